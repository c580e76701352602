//! Unfolds the windows of an image (im2col), for images with few channels. With three channels, a product would spend more time on
//! finding a pixel than on computing with it. An unfolded window has enough channels to be worth it.

use rayon::prelude::*;

use super::{
    Isa,
    buffers::with_scratch,
    lanes::{LANES, kernel},
    map::Shape,
    window::Window,
};

/// Unfolds maps `x` into maps `y`. The channels of a pixel of `y` are a window of `x`: `[k, k, channels]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unfold {
    pub(crate) x: Shape,
    pub(crate) y: Shape,
    /// The shape of the convolution's output.
    pub(super) of: Shape,
    pub(super) window: Window,
}

/// The memory layout of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[n, c, h, w]`.
    Images,
    /// As described in [`map`](super::map).
    Map,
}

impl Unfold {
    /// Returns the unfolding for a convolution from `x` to `y`, if it makes the convolution faster.
    pub(crate) fn of(x: Shape, y: Shape, window: Window) -> Option<Self> {
        let pays = window.size > 1 && x.c < LANES / 2;
        pays.then(|| Self { x, y: Shape { c: window.places() * x.c, ..y }, of: y, window })
    }

    /// Returns the number of elements of an image in this layout.
    pub(super) fn image_len(&self, layout: Layout) -> usize {
        match layout {
            Layout::Images => self.x.values(),
            Layout::Map => self.x.len(),
        }
    }

    /// Writes the windows of `x` to `y`.
    pub(super) fn forward(&self, isa: Isa, (layout, x): (Layout, &[f32]), y: &mut [f32]) {
        let (height, width) = self.framed();
        // `unfold` copies whole vectors, so there must be readable numbers after the end.
        with_scratch(height * width * self.x.c + LANES, |framed| {
            framed.fill(0.0);
            for (y, x) in y.chunks_exact_mut(self.y.len()).zip(x.chunks_exact(self.image_len(layout))) {
                self.frame(layout, x, framed);
                unfold(isa, self, framed, y);
            }
        });
    }

    /// Adds the gradient with respect to `x` to `dx`.
    pub(crate) fn backward(&self, dy: &[f32], dx: &mut [f32]) {
        dx.par_chunks_exact_mut(self.x.len()).zip(dy.par_chunks_exact(self.y.len())).for_each(|(dx, dy)| {
            for (output, dy) in dy.chunks_exact(self.y.padded()).enumerate() {
                for (place, dy) in dy[..self.y.c].chunks_exact(self.x.c).enumerate() {
                    let Some((iy, ix)) = self.window.pixel((output / self.y.w, output % self.y.w), place, self.x)
                    else {
                        continue;
                    };
                    let pixel = &mut dx[(iy * self.x.w + ix) * self.x.padded()..][..self.x.c];
                    pixel.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy);
                }
            }
        });
    }

    /// Returns the height and width of the framed image.
    fn framed(&self) -> (usize, usize) {
        let side = |outputs: usize| (outputs - 1) * self.window.stride + self.window.size;
        (side(self.y.h), side(self.y.w))
    }

    /// Writes the image `x` into `framed`, `[h, w, channels]` with a frame.
    fn frame(&self, layout: Layout, x: &[f32], framed: &mut [f32]) {
        let Window { top, left, .. } = self.window;
        let (height, width) = self.framed();
        let Shape { c, h, w } = self.x;
        // The distance in `x` between two pixels, and between two channels.
        let (pixel, plane) = match layout {
            Layout::Images => (1, h * w),
            Layout::Map => (self.x.padded(), 1),
        };
        for iy in 0..h.min(height - top) {
            for channel in 0..c {
                let row = x[channel * plane + iy * w * pixel..].iter().step_by(pixel).take(w.min(width - left));
                let to = framed[((iy + top) * width + left) * c + channel..].iter_mut().step_by(c);
                to.zip(row).for_each(|(to, from)| *to = *from);
            }
        }
    }
}

kernel! {
    /// Writes the windows of one framed image. Each row of a window is a contiguous run of numbers.
    fn unfold(unfold: &Unfold, framed: &[f32], y: &mut [f32]) {
        match unfold.window.size {
            3 if 3 * unfold.x.c <= LANES => unfold.windows(framed, y, |framed, pixel| unfold.short_runs::<3>(framed, pixel)),
            5 if 5 * unfold.x.c <= LANES => unfold.windows(framed, y, |framed, pixel| unfold.short_runs::<5>(framed, pixel)),
            _ => unfold.windows(framed, y, |framed, pixel| unfold.runs(framed, pixel)),
        }
    }
}

impl Unfold {
    /// Calls `write` for each output pixel, with the framed image from the corner of its window on, and the pixel followed by a spare
    /// vector.
    #[inline(always)]
    fn windows(&self, framed: &[f32], y: &mut [f32], write: impl Fn(&[f32], &mut [f32])) {
        let (_, width) = self.framed();
        let (step, padded, last) = (self.window.stride * self.x.c, self.y.padded(), self.y.pixels() - 1);
        for row in 0..self.y.h {
            let first = row * self.y.w;
            let mut corner = &framed[row * width * step..];
            // What is written beyond the end of a pixel is overwritten by the next one.
            for pixel in first..(first + self.y.w).min(last) {
                write(corner, &mut y[pixel * padded..][..padded + LANES]);
                corner = &corner[step..];
            }
        }
        let mut pixel = vec![0.0; padded + LANES];
        write(&framed[((self.y.h - 1) * width + self.y.w - 1) * step..], &mut pixel);
        y[last * padded..].copy_from_slice(&pixel[..padded]);
    }

    /// Writes the window at the start of `framed` to `pixel`, and numbers of no meaning to the spare vector.
    #[inline(always)]
    fn runs(&self, framed: &[f32], pixel: &mut [f32]) {
        let (size, c) = (self.window.size, self.x.c);
        let run = size * c;
        let (_, width) = self.framed();
        for row in 0..size {
            for part in (0..run).step_by(LANES) {
                // The next run overwrites the numbers copied beyond the end of this one.
                copy_vector(&framed[row * width * c + part..], &mut pixel[row * run + part..]);
            }
        }
        copy_vector(&[0.0; LANES], &mut pixel[self.y.c..]);
    }

    /// Does what [`runs`](Self::runs) does, for windows with `SIZE` rows of at most a vector.
    #[inline(always)]
    fn short_runs<const SIZE: usize>(&self, framed: &[f32], pixel: &mut [f32]) {
        let (distance, run) = (self.framed().1 * self.x.c, SIZE * self.x.c);
        for row in 0..SIZE {
            copy_vector(&framed[row * distance..], &mut pixel[row * run..]);
        }
        copy_vector(&[0.0; LANES], &mut pixel[self.y.c..]);
    }
}

/// Copies the first vector.
#[inline(always)]
fn copy_vector(from: &[f32], to: &mut [f32]) {
    let from: &[f32; LANES] = from.first_chunk().expect("the framed image ends with a spare vector");
    *to.first_chunk_mut().expect("the pixel is followed by a spare vector") = *from;
}
