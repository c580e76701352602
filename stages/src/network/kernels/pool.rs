//! Pooling: the maximum or the mean over each window. Positions outside the image are ignored.

use rayon::prelude::*;

use super::{
    Isa,
    lanes::{LANES, kernel},
    map::Shape,
    window::Window,
};

/// A pooling of maps of a fixed shape.
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
    /// Pools the maps `x`, and writes the result to `y`.
    pub(crate) fn forward(&self, isa: Isa, x: &[f32], y: &mut [f32]) {
        y.par_chunks_exact_mut(self.y.len())
            .zip(x.par_chunks_exact(self.x.len()))
            .for_each(|(y, x)| forward(isa, self, x, y));
    }

    /// Returns whether every pixel of `x` is in exactly one window. Then `dx` need not be zeroed before the backward pass.
    pub(crate) fn tiles(&self) -> bool {
        let size = self.window.size;
        self.windows_are_apart() && self.y.h * size == self.x.h && self.y.w * size == self.x.w
    }

    /// Returns whether windows do not overlap and lie within the image.
    pub(super) fn windows_are_apart(&self) -> bool {
        let Window { size, stride, top, left } = self.window;
        size == stride && top == 0 && left == 0 && self.y.h * size <= self.x.h && self.y.w * size <= self.x.w
    }

    /// Computes the gradient with respect to `x` from the gradient `dy` with respect to `y`. Adds it to `dx`, or overwrites `dx` if
    /// `is_new` and the windows [tile](Self::tiles) the image.
    ///
    /// If several pixels of a window have the maximum, the first one gets the gradient. Only max-pooling reads the maps `x` and `y`;
    /// they may be empty for the mean.
    pub(crate) fn backward(&self, isa: Isa, (x, y): (&[f32], &[f32]), dy: &[f32], is_new: bool, dx: &mut [f32]) {
        let writes = is_new && self.tiles();
        let of_images = dx.par_chunks_exact_mut(self.x.len()).zip(dy.par_chunks_exact(self.y.len()));
        if self.kind == PoolKind::Mean {
            return of_images.for_each(|(dx, dy)| backward_of_mean(isa, self, dy, writes, dx));
        }
        let given = x.par_chunks_exact(self.x.len()).zip(y.par_chunks_exact(self.y.len()));
        of_images.zip(given).for_each(|((dx, dy), (x, y))| backward_of_max(isa, self, (x, y), dy, writes, dx));
    }

    /// Sets `seen` to the offsets of the pixels in the window of an output pixel.
    #[inline(always)]
    fn see(&self, output: usize, seen: &mut Vec<usize>) {
        seen.clear();
        let output = (output / self.y.w, output % self.y.w);
        let pixels = (0..self.window.places()).filter_map(|place| self.window.pixel(output, place, self.x));
        seen.extend(pixels.map(|(y, x)| (y * self.x.w + x) * self.x.padded()));
    }
}

/// Returns the vector at offset `at`.
#[inline(always)]
fn lanes(map: &[f32], at: usize) -> &[f32; LANES] {
    map[at..].first_chunk().expect("a pixel is a whole number of vectors")
}

kernel! {
    fn forward(pool: &Pool, x: &[f32], y: &mut [f32]) {
        let mut seen = Vec::new();
        for (output, y) in y.chunks_exact_mut(pool.y.padded()).enumerate() {
            pool.see(output, &mut seen);
            for (panel, y) in y.chunks_exact_mut(LANES).enumerate() {
                let mut found = *lanes(x, seen[0] + panel * LANES);
                for &pixel in &seen[1..] {
                    let x = lanes(x, pixel + panel * LANES);
                    for lane in 0..LANES {
                        found[lane] = match pool.kind {
                            // NaN counts as the largest number, so that it is not lost.
                            PoolKind::Max if found[lane] >= x[lane] || found[lane].is_nan() => found[lane],
                            PoolKind::Max => x[lane],
                            PoolKind::Mean => found[lane] + x[lane],
                        };
                    }
                }
                if pool.kind == PoolKind::Mean {
                    let n = seen.len() as f32;
                    found.iter_mut().for_each(|found| *found /= n);
                }
                y.copy_from_slice(&found);
            }
        }
    }
}

kernel! {
    fn backward_of_mean(pool: &Pool, dy: &[f32], writes: bool, dx: &mut [f32]) {
        let width = pool.y.padded();
        let mut seen = Vec::new();
        for (output, dy) in dy.chunks_exact(width).enumerate() {
            pool.see(output, &mut seen);
            let share = 1.0 / seen.len() as f32;
            for &pixel in &seen {
                let dx = dx[pixel..][..width].iter_mut().zip(dy);
                if writes {
                    dx.for_each(|(dx, dy)| *dx = dy * share);
                } else {
                    dx.for_each(|(dx, dy)| *dx += dy * share);
                }
            }
        }
    }
}

kernel! {
    fn backward_of_max(pool: &Pool, maps: (&[f32], &[f32]), dy: &[f32], writes: bool, dx: &mut [f32]) {
        let width = pool.y.padded();
        let (x, y) = maps;
        let mut seen = Vec::new();
        for output in 0..dy.len() / width {
            pool.see(output, &mut seen);
            for panel in (0..width).step_by(LANES) {
                let y = lanes(y, output * width + panel);
                let mut left = *lanes(dy, output * width + panel);
                for &pixel in &seen {
                    let x = lanes(x, pixel + panel);
                    let dx: &mut [f32; LANES] = dx[pixel + panel..].first_chunk_mut().expect("a pixel is a whole number of vectors");
                    if writes {
                        *dx = [0.0; LANES];
                    }
                    for lane in 0..LANES {
                        let is_largest = x[lane] == y[lane];
                        dx[lane] += if is_largest { left[lane] } else { 0.0 };
                        left[lane] = if is_largest { 0.0 } else { left[lane] };
                    }
                }
            }
        }
    }
}
