//! Unfolds the windows of an image (im2col), for images with few channels. With three channels, a product would spend more time on
//! finding a pixel than on computing with it. An unfolded window has enough channels to be worth it.

use rayon::prelude::*;

use super::{
    Isa,
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

    /// Writes the windows of `x` to `y`.
    pub(crate) fn forward(&self, isa: Isa, (layout, x): (Layout, &[f32]), y: &mut [f32]) {
        let len = match layout {
            Layout::Images => self.x.values(),
            Layout::Map => self.x.len(),
        };
        y.par_chunks_exact_mut(self.y.len()).zip(x.par_chunks_exact(len)).for_each_init(Vec::new, |framed, (y, x)| {
            self.frame(layout, x, framed);
            unfold(isa, self, framed, y);
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

    /// Writes the image `x` with a frame of zeros to `framed`, as `[h, w, channels]` followed by [`LANES`] zeros.
    fn frame(&self, layout: Layout, x: &[f32], framed: &mut Vec<f32>) {
        let Window { top, left, .. } = self.window;
        let (height, width) = self.framed();
        let Shape { c, h, w } = self.x;
        // `unfold` copies whole vectors, so there must be readable numbers after the end.
        let len = height * width * c + LANES;
        if framed.len() != len {
            framed.clear();
            framed.resize(len, 0.0);
        }
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
        let (_, width) = unfold.framed();
        let (step, padded) = (unfold.window.stride * unfold.x.c, unfold.y.padded());
        let corner = |output: usize| (output / unfold.y.w * width + output % unfold.y.w) * step;
        let last = unfold.y.pixels() - 1;
        for output in 0..last {
            // What is written beyond the end of a pixel is overwritten by the next one.
            unfold.window(&framed[corner(output)..], width, &mut y[output * padded..][..padded + LANES]);
        }
        let mut pixel = vec![0.0; padded + LANES];
        unfold.window(&framed[corner(last)..], width, &mut pixel);
        y[last * padded..].copy_from_slice(&pixel[..padded]);
    }
}

impl Unfold {
    /// Writes the window at the start of `framed` to `pixel`, which has room for a spare vector, and numbers of no meaning there.
    #[inline(always)]
    fn window(&self, framed: &[f32], width: usize, pixel: &mut [f32]) {
        let (size, c) = (self.window.size, self.x.c);
        let run = size * c;
        for row in 0..size {
            let from = &framed[row * width * c..];
            for part in (0..run).step_by(LANES) {
                let from: &[f32; LANES] =
                    from[part..].first_chunk().expect("the framed image ends with a spare vector");
                // The next run overwrites the numbers copied beyond the end of this one.
                *pixel[row * run + part..].first_chunk_mut().expect("`pixel` ends with a spare vector") = *from;
            }
        }
        *pixel[self.y.c..].first_chunk_mut().expect("`pixel` ends with a spare vector") = [0.0; LANES];
    }
}
