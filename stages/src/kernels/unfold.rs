//! Windows of an image side by side, for images of few channels: a pixel of three numbers is not worth the way to it in a
//! product, whole windows are.

use rayon::prelude::*;

use super::{lanes::LANES, map::Shape, window::Window};

/// Turns maps `x` into maps `y` whose pixels are the windows of a convolution: `[k, k, channels]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unfold {
    pub(crate) x: Shape,
    pub(crate) y: Shape,
    /// What the convolution gives.
    pub(super) of: Shape,
    pub(super) window: Window,
}

impl Unfold {
    /// Returns the unfolding that a convolution from `x` to `y` is faster with, if it is.
    pub(crate) fn of(x: Shape, y: Shape, window: Window) -> Option<Self> {
        let pays = window.size > 1 && x.c < LANES / 2;
        pays.then(|| Self { x, y: Shape { c: window.places() * x.c, ..y }, of: y, window })
    }

    /// Writes the windows of maps `x` to `y`.
    pub(crate) fn forward(&self, x: &[f32], y: &mut [f32]) {
        y.par_chunks_exact_mut(self.y.len())
            .zip(x.par_chunks_exact(self.x.len()))
            .for_each_init(Vec::new, |framed, (y, x)| self.unfold(x, framed, y));
    }

    /// Adds the gradient by `x` to `dx`.
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

    /// Writes the windows of one map: each of its rows is one run of numbers in the image with a frame of zeros.
    fn unfold(&self, x: &[f32], framed: &mut Vec<f32>, y: &mut [f32]) {
        let Window { size, stride, top, left } = self.window;
        let (c, run) = (self.x.c, size * self.x.c);
        let width = (self.y.w - 1) * stride + size;
        let height = (self.y.h - 1) * stride + size;
        framed.clear();
        // Runs are copied in whole vectors: there is something to read behind the last one.
        framed.resize(height * width * c + LANES, 0.0);
        for iy in 0..self.x.h.min(height - top) {
            for ix in 0..self.x.w.min(width - left) {
                let pixel = &x[(iy * self.x.w + ix) * self.x.padded()..][..c];
                let to = ((iy + top) * width + ix + left) * c;
                framed[to..][..c].iter_mut().zip(pixel).for_each(|(to, from)| *to = *from);
            }
        }
        let mut pixel = vec![0.0; self.y.padded() + LANES];
        for (output, y) in y.chunks_exact_mut(self.y.padded()).enumerate() {
            let (oy, ox) = (output / self.y.w, output % self.y.w);
            for row in 0..size {
                let from = ((oy * stride + row) * width + ox * stride) * c;
                for part in (0..run).step_by(LANES) {
                    let from: &[f32; LANES] = framed[from + part..].first_chunk().expect("there is something to read");
                    // What is beyond the run is written over by the next one.
                    *pixel[row * run + part..].first_chunk_mut().expect("there is room") = *from;
                }
            }
            pixel[self.y.c..].fill(0.0);
            y.copy_from_slice(&pixel[..y.len()]);
        }
    }
}
