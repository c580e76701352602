//! The pixels in a window, as the rows of a product.

use super::{
    map::Shape,
    rows::{OUTSIDE, Rows},
};

/// A square window that moves over a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) size: usize,
    pub(crate) stride: usize,
    /// The number of rows of the first window above the image.
    pub(crate) top: usize,
    /// The number of columns of the first window to the left of the image.
    pub(crate) left: usize,
}

impl Window {
    /// Returns the number of places (positions within the window).
    pub(crate) fn places(self) -> usize {
        self.size * self.size
    }

    /// Returns the pixel (y, x) at a place of the window of an output pixel, or `None` if it lies outside the image.
    pub(crate) fn pixel(self, (oy, ox): (usize, usize), place: usize, shape: Shape) -> Option<(usize, usize)> {
        let y = (oy * self.stride + place / self.size).checked_sub(self.top).filter(|&y| y < shape.h)?;
        let x = (ox * self.stride + place % self.size).checked_sub(self.left).filter(|&x| x < shape.w)?;
        Some((y, x))
    }

    /// Returns the rows of the product that computes maps of shape `y` from maps of shape `x`, for `n` images.
    pub(super) fn rows(self, n: usize, x: Shape, y: Shape) -> Rows {
        let outputs = || (0..n).flat_map(move |image| pixels(y).map(move |pixel| (image, pixel)));
        let from = |place| {
            outputs().map(move |(image, output)| {
                self.pixel(output, place, x).map_or(OUTSIDE, |pixel| offset(x, image, pixel))
            })
        };
        Rows::new(
            outputs().map(|(image, pixel)| offset(y, image, pixel)).collect(),
            (0..self.places() as u32).collect(),
            (0..self.places()).flat_map(from).collect(),
        )
    }

    /// Returns the rows of the products that compute the gradient with respect to `x` from the gradient with respect to `y`, for `n`
    /// images. There is one product for each phase: each set of pixels that the same places of windows can cover.
    pub(super) fn transposed_rows(self, n: usize, x: Shape, y: Shape) -> Vec<Rows> {
        let phases = (0..self.stride).flat_map(|py| (0..self.stride).map(move |px| (py, px)));
        phases.map(|phase| self.phase(phase, n, x, y)).filter(|rows| rows.len() > 0).collect()
    }

    /// Returns the rows of a phase: the pixels whose distance from the first window's corner is `phase` modulo the stride.
    fn phase(self, phase: (usize, usize), n: usize, x: Shape, y: Shape) -> Rows {
        let is_of_phase =
            |&(iy, ix): &(usize, usize)| ((iy + self.top) % self.stride, (ix + self.left) % self.stride) == phase;
        let of_image: Vec<_> = pixels(x).filter(is_of_phase).collect();
        let inputs = || (0..n).flat_map(|image| of_image.iter().map(move |&pixel| (image, pixel)));
        let is_seen = |place: &usize| (place / self.size % self.stride, place % self.size % self.stride) == phase;
        let places: Vec<usize> = (0..self.places()).filter(is_seen).collect();
        // The output pixel whose window has the pixel at this place.
        let output = |(iy, ix): (usize, usize), place: usize| {
            let oy = (iy + self.top).checked_sub(place / self.size)? / self.stride;
            let ox = (ix + self.left).checked_sub(place % self.size)? / self.stride;
            (oy < y.h && ox < y.w).then_some((oy, ox))
        };
        let from = |&place: &usize| {
            inputs().map(move |(image, pixel)| output(pixel, place).map_or(OUTSIDE, |output| offset(y, image, output)))
        };
        Rows::new(
            inputs().map(|(image, pixel)| offset(x, image, pixel)).collect(),
            places.iter().map(|&place| place as u32).collect(),
            places.iter().flat_map(from).collect(),
        )
    }
}

fn pixels(shape: Shape) -> impl Iterator<Item = (usize, usize)> + Clone {
    (0..shape.h).flat_map(move |y| (0..shape.w).map(move |x| (y, x)))
}

fn offset(shape: Shape, image: usize, (y, x): (usize, usize)) -> u32 {
    let offset = (image * shape.pixels() + y * shape.w + x) * shape.padded();
    u32::try_from(offset)
        .ok()
        .filter(|&offset| offset != OUTSIDE)
        .expect("a group of images has fewer than 2^32 elements")
}
