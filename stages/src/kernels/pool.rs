//! Pooling: the largest or the mean number that a window sees. What lies outside the image is not seen.

use rayon::prelude::*;

use super::{
    Isa,
    lanes::{LANES, kernel},
    map::Shape,
    window::Window,
};

/// A pooling of maps of one shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pool {
    pub(crate) x: Shape,
    pub(crate) y: Shape,
    pub(crate) window: Window,
    pub(crate) kind: PoolKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PoolKind {
    Max,
    Mean,
}

impl Pool {
    /// Writes the pooled maps `x` to `y`.
    pub(crate) fn forward(&self, isa: Isa, x: &[f32], y: &mut [f32]) {
        y.par_chunks_exact_mut(self.y.len())
            .zip(x.par_chunks_exact(self.x.len()))
            .for_each(|(y, x)| forward(isa, self, x, y));
    }

    /// Adds the gradient by `x` to `dx`. A largest number that is seen twice has it at its first place.
    /// The maps `x` and `y` are read for it alone, and empty for the mean.
    pub(crate) fn backward(&self, isa: Isa, (x, y): (&[f32], &[f32]), dy: &[f32], dx: &mut [f32]) {
        let of_images = dx.par_chunks_exact_mut(self.x.len()).zip(dy.par_chunks_exact(self.y.len()));
        if self.kind == PoolKind::Mean {
            return of_images.for_each(|(dx, dy)| backward_of_mean(isa, self, dy, dx));
        }
        let given = x.par_chunks_exact(self.x.len()).zip(y.par_chunks_exact(self.y.len()));
        of_images.zip(given).for_each(|((dx, dy), (x, y))| backward_of_max(isa, self, (x, y), dy, dx));
    }

    /// Returns the offsets of the pixels that the window of an output sees.
    #[inline(always)]
    fn seen(&self, output: usize) -> impl Iterator<Item = usize> + Clone + use<'_> {
        let output = (output / self.y.w, output % self.y.w);
        let pixels = (0..self.window.places()).filter_map(move |place| self.window.pixel(output, place, self.x));
        pixels.map(|(y, x)| (y * self.x.w + x) * self.x.padded())
    }
}

kernel! {
    fn forward(pool: &Pool, x: &[f32], y: &mut [f32]) {
        for (output, y) in y.chunks_exact_mut(pool.y.padded()).enumerate() {
            let mut count = 0;
            for pixel in pool.seen(output) {
                let x = &x[pixel..][..y.len()];
                match (count, pool.kind) {
                    (0, _) => y.copy_from_slice(x),
                    // NaN is larger than anything: it must not vanish.
                    (_, PoolKind::Max) => {
                        y.iter_mut().zip(x).for_each(|(y, &x)| *y = if *y >= x || y.is_nan() { *y } else { x });
                    }
                    (_, PoolKind::Mean) => y.iter_mut().zip(x).for_each(|(y, x)| *y += x),
                }
                count += 1;
            }
            if pool.kind == PoolKind::Mean {
                y.iter_mut().for_each(|y| *y /= count as f32);
            }
        }
    }
}

kernel! {
    fn backward_of_mean(pool: &Pool, dy: &[f32], dx: &mut [f32]) {
        let width = pool.y.padded();
        for (output, dy) in dy.chunks_exact(width).enumerate() {
            let share = 1.0 / pool.seen(output).count() as f32;
            for pixel in pool.seen(output) {
                dx[pixel..][..width].iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy * share);
            }
        }
    }
}

kernel! {
    fn backward_of_max(pool: &Pool, maps: (&[f32], &[f32]), dy: &[f32], dx: &mut [f32]) {
        let width = pool.y.padded();
        let (x, y) = maps;
        for (output, (dy, y)) in dy.chunks_exact(width).zip(y.chunks_exact(width)).enumerate() {
            for (panel, (dy, y)) in dy.chunks_exact(LANES).zip(y.chunks_exact(LANES)).enumerate() {
                let mut left: [f32; LANES] = dy.try_into().expect("a panel has so many lanes");
                for pixel in pool.seen(output) {
                    let at = pixel + panel * LANES;
                    for ((dx, left), (x, y)) in dx[at..][..LANES].iter_mut().zip(&mut left).zip(x[at..].iter().zip(y)) {
                        let is_largest = x == y;
                        *dx += if is_largest { *left } else { 0.0 };
                        *left = if is_largest { 0.0 } else { *left };
                    }
                }
            }
        }
    }
}
