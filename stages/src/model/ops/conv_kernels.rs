//! Convolution on the CPU as matrix products over unfolded images (im2col), and its two gradients.
//!
//! Images are taken in groups, so that small images fill a product. What a group is depends on shapes alone, and sums
//! over groups are made in a fixed order: results do not depend on the number of threads.

use gemm::Parallelism;
use rayon::prelude::*;

/// Shapes of a convolution: [n, c, h, w] with `o` kernels of [c, k, k] gives [n, o, oh, ow].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) n: usize,
    pub(super) c: usize,
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) o: usize,
    pub(super) k: usize,
    pub(super) stride: usize,
    /// Rows of zeros above and columns of zeros to the left.
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) oh: usize,
    pub(super) ow: usize,
}

/// Columns that a group should have at least, for the product to be efficient.
const COLUMNS: usize = 512;

/// Partial sums of the kernels' gradient.
const PARTS: usize = 8;

impl Geometry {
    /// Elements of one image.
    fn image(&self) -> usize {
        self.c * self.h * self.w
    }

    /// Elements of one channel of one output.
    fn pixels(&self) -> usize {
        self.oh * self.ow
    }

    /// Elements of one output.
    fn output(&self) -> usize {
        self.o * self.pixels()
    }

    /// Elements of one kernel: rows of an unfolded image.
    fn rows(&self) -> usize {
        self.c * self.k * self.k
    }

    /// Images in a group.
    fn group(&self) -> usize {
        COLUMNS.div_ceil(self.pixels()).min(self.n)
    }

    /// Whether an image is its own unfolding.
    fn is_pointwise(&self) -> bool {
        self.k == 1 && self.stride == 1
    }
}

/// Returns the convolution of `x` [n, c, h, w] with `kernel` [o, c, k, k], plus `bias` [o]: [n, o, oh, ow].
pub(super) fn forward(g: &Geometry, x: &[f32], kernel: &[f32], bias: &[f32]) -> Vec<f32> {
    let (group, pixels) = (g.group(), g.pixels());
    let mut y = vec![0.0; g.n * g.output()];
    let images = x.par_chunks(group * g.image());
    y.par_chunks_mut(group * g.output()).zip(images).for_each_init(Scratch::default, |scratch, (y, x)| {
        let n = x.len() / g.image();
        let columns = unfold(g, x, n, &mut scratch.columns);
        if n == 1 {
            product(y, kernel, columns, [g.o, g.rows(), pixels], Layout::Plain);
        } else {
            scratch.outputs.resize(g.o * n * pixels, 0.0);
            product(&mut scratch.outputs, kernel, columns, [g.o, g.rows(), n * pixels], Layout::Plain);
            for_planes(g.o, n, pixels, |plane, planar| y[plane].copy_from_slice(&scratch.outputs[planar]));
        }
        for (plane, bias) in y.chunks_exact_mut(pixels).zip(bias.iter().cycle()) {
            plane.iter_mut().for_each(|y| *y += bias);
        }
    });
    y
}

/// Returns the gradient by `x`, given that by the output: [n, c, h, w].
pub(super) fn gradient_by_x(g: &Geometry, dy: &[f32], kernel: &[f32]) -> Vec<f32> {
    let (group, pixels) = (g.group(), g.pixels());
    let mut dx = vec![0.0; g.n * g.image()];
    let outputs = dy.par_chunks(group * g.output());
    dx.par_chunks_mut(group * g.image()).zip(outputs).for_each_init(Scratch::default, |scratch, (dx, dy)| {
        let n = dx.len() / g.image();
        let dy = planar(g, dy, n, &mut scratch.outputs);
        let shape = [g.rows(), g.o, n * pixels];
        if n == 1 && g.is_pointwise() {
            product(dx, kernel, dy, shape, Layout::LeftTransposed);
        } else {
            scratch.columns.resize(g.rows() * n * pixels, 0.0);
            product(&mut scratch.columns, kernel, dy, shape, Layout::LeftTransposed);
            fold(g, &scratch.columns, n, dx);
        }
    });
    dx
}

/// Returns the gradients by kernel [o, c, k, k] and bias [o], given that by the output.
pub(super) fn gradient_by_kernel(g: &Geometry, x: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (group, pixels) = (g.group(), g.pixels());
    let per_part = g.n.div_ceil(group).div_ceil(PARTS) * group;
    let parts: Vec<_> = x
        .par_chunks(per_part * g.image())
        .zip(dy.par_chunks(per_part * g.output()))
        .map(|(x, dy)| {
            let mut scratch = Scratch::default();
            let (mut kernel, mut bias) = (vec![0.0; g.o * g.rows()], vec![0.0; g.o]);
            for (x, dy) in x.chunks(group * g.image()).zip(dy.chunks(group * g.output())) {
                let n = x.len() / g.image();
                let columns = unfold(g, x, n, &mut scratch.columns);
                let dy = planar(g, dy, n, &mut scratch.outputs);
                product(&mut kernel, dy, columns, [g.o, n * pixels, g.rows()], Layout::RightTransposedAdded);
                for (bias, dy) in bias.iter_mut().zip(dy.chunks_exact(n * pixels)) {
                    *bias += sum(dy);
                }
            }
            (kernel, bias)
        })
        .collect();
    let mut parts = parts.into_iter();
    let (mut kernel, mut bias) = parts.next().expect("a batch has images");
    for (other, other_bias) in parts {
        kernel.iter_mut().zip(&other).for_each(|(sum, x)| *sum += x);
        bias.iter_mut().zip(&other_bias).for_each(|(sum, x)| *sum += x);
    }
    (kernel, bias)
}

/// Buffers that a thread uses again for its next group.
#[derive(Default)]
struct Scratch {
    columns: Vec<f32>,
    outputs: Vec<f32>,
}

/// Calls `f` with the range of each channel of each image in [image, channel, pixel] and in [channel, image, pixel].
fn for_planes(
    channels: usize,
    n: usize,
    pixels: usize,
    mut f: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>),
) {
    for image in 0..n {
        for channel in 0..channels {
            let (plane, planar) = ((image * channels + channel) * pixels, (channel * n + image) * pixels);
            f(plane..plane + pixels, planar..planar + pixels);
        }
    }
}

/// Returns `dy` [n, o, pixels] as [o, n, pixels].
fn planar<'a>(g: &Geometry, dy: &'a [f32], n: usize, buffer: &'a mut Vec<f32>) -> &'a [f32] {
    if n == 1 {
        return dy;
    }
    buffer.resize(dy.len(), 0.0);
    for_planes(g.o, n, g.pixels(), |plane, planar| buffer[planar].copy_from_slice(&dy[plane]));
    buffer
}

/// Returns the windows of `x` [n, c, h, w] as columns: [c, k, k, n, oh, ow].
fn unfold<'a>(g: &Geometry, x: &'a [f32], n: usize, buffer: &'a mut Vec<f32>) -> &'a [f32] {
    if n == 1 && g.is_pointwise() {
        return x;
    }
    buffer.resize(g.rows() * n * g.pixels(), 0.0);
    for_rows(g, n, |row, image, channel, iy, columns| {
        let out = &mut buffer[row..row + g.ow];
        let Some(iy) = iy else { return out.fill(0.0) };
        let x = &x[image * g.image() + (channel * g.h + iy) * g.w..][..g.w];
        out[..columns.first].fill(0.0);
        out[columns.end..].fill(0.0);
        let x = &x[columns.x..];
        if g.stride == 1 {
            out[columns.first..columns.end].copy_from_slice(&x[..columns.end - columns.first]);
        } else {
            out[columns.first..columns.end].iter_mut().zip(x.iter().step_by(g.stride)).for_each(|(out, x)| *out = *x);
        }
    });
    buffer
}

/// Adds columns [c, k, k, n, oh, ow] back to the pixels they were taken from, in `x` [n, c, h, w].
fn fold(g: &Geometry, columns: &[f32], n: usize, x: &mut [f32]) {
    for_rows(g, n, |row, image, channel, iy, range| {
        let Some(iy) = iy else { return };
        let from = &columns[row + range.first..row + range.end];
        let x = &mut x[image * g.image() + (channel * g.h + iy) * g.w..][..g.w][range.x.min(g.w)..];
        if g.stride == 1 {
            x.iter_mut().zip(from).for_each(|(x, column)| *x += column);
        } else {
            x.iter_mut().step_by(g.stride).zip(from).for_each(|(x, column)| *x += column);
        }
    });
}

/// The outputs of a row, `first..end`, whose windows see a pixel at some place of the kernel; the first sees pixel `x`.
#[derive(Clone, Copy)]
struct Columns {
    first: usize,
    end: usize,
    x: usize,
}

/// Calls `f` for every row of outputs of an unfolding with its position in [c, k, k, n, oh, ow], the image, the channel,
/// the row of pixels that it sees (if it lies within the image), and which of its outputs see a pixel.
fn for_rows(g: &Geometry, n: usize, mut f: impl FnMut(usize, usize, usize, Option<usize>, Columns)) {
    let mut row = 0;
    for channel in 0..g.c {
        for ky in 0..g.k {
            for kx in 0..g.k {
                let first = g.left.saturating_sub(kx).div_ceil(g.stride).min(g.ow);
                let end = (g.w + g.left).saturating_sub(kx).div_ceil(g.stride).clamp(first, g.ow);
                let x = if first == end { 0 } else { first * g.stride + kx - g.left };
                for image in 0..n {
                    for oy in 0..g.oh {
                        let iy = (oy * g.stride + ky).checked_sub(g.top).filter(|&iy| iy < g.h);
                        f(row, image, channel, iy, Columns { first, end, x });
                        row += g.ow;
                    }
                }
            }
        }
    }
}

/// Returns the sum, in eight lanes that are added in order.
fn sum(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<8>();
    let mut lanes = [0.0f32; 8];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += x);
    }
    lanes.iter().chain(rest).sum()
}

/// How the row-major operands of a [`product`] are read.
#[derive(Clone, Copy, PartialEq)]
enum Layout {
    Plain,
    /// The left operand is given as [k, m].
    LeftTransposed,
    /// The right operand is given as [n, k], and the product is added to what is there.
    RightTransposedAdded,
}

/// Writes the product of `left` [m, k] and `right` [k, n] to `out` [m, n], all row-major, on this thread.
fn product(out: &mut [f32], left: &[f32], right: &[f32], [m, k, n]: [usize; 3], layout: Layout) {
    assert!(out.len() == m * n && left.len() == m * k && right.len() == k * n, "operands fit their shapes");
    let (left_rs, left_cs) = if layout == Layout::LeftTransposed { (1, m) } else { (k, 1) };
    let (right_rs, right_cs) = if layout == Layout::RightTransposedAdded { (1, k) } else { (n, 1) };
    let added = layout == Layout::RightTransposedAdded;
    // SAFETY: the strides stay within the slices, whose lengths were checked, and `out` overlaps no operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            added,
            left.as_ptr(),
            left_cs as isize,
            left_rs as isize,
            right.as_ptr(),
            right_cs as isize,
            right_rs as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::philox::{Purpose, Stream};

    fn numbers(n: usize, id: u32) -> Vec<f32> {
        let stream = Stream::new(1, Purpose::Filters, 0, id);
        (0..n as u64).map(|i| stream.f32(i) - 0.5).collect()
    }

    /// Convolution by its definition, and its gradients by the same indices.
    fn slow(g: &Geometry, mut visit: impl FnMut(usize, usize, usize)) {
        for (n, o, oy, ox) in itertools4(g.n, g.o, g.oh, g.ow) {
            for (c, ky, kx, _) in itertools4(g.c, g.k, g.k, 1) {
                let (iy, ix) = (oy * g.stride + ky, ox * g.stride + kx);
                if iy < g.top || ix < g.left || iy - g.top >= g.h || ix - g.left >= g.w {
                    continue;
                }
                let x = ((n * g.c + c) * g.h + iy - g.top) * g.w + ix - g.left;
                visit(((n * g.o + o) * g.oh + oy) * g.ow + ox, x, ((o * g.c + c) * g.k + ky) * g.k + kx);
            }
        }
    }

    fn itertools4(a: usize, b: usize, c: usize, d: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> {
        (0..a * b * c * d).map(move |i| (i / (b * c * d), i / (c * d) % b, i / d % c, i % d))
    }

    #[test]
    fn forward_and_gradients_are_those_of_the_definition() {
        use crate::model::Padding;
        for (n, c, h, w, o, k, stride, padding) in [
            (3, 2, 5, 7, 4, 3, 1, Padding::Same),
            (2, 3, 6, 6, 5, 2, 1, Padding::Same),
            (2, 1, 9, 4, 3, 4, 1, Padding::Same),
            (5, 2, 8, 7, 3, 3, 2, Padding::Same),
            (2, 2, 1, 1, 3, 3, 2, Padding::Same),
            (2, 2, 2, 3, 3, 5, 1, Padding::Same),
            (2, 4, 24, 24, 3, 1, 1, Padding::Same),
            (3, 4, 4, 4, 3, 1, 1, Padding::Same),
            (3, 2, 6, 5, 2, 3, 1, Padding::Valid),
            (2, 2, 30, 30, 2, 3, 1, Padding::Same),
        ] {
            let (top, _, oh) = padding.along(h, k, stride);
            let (left, _, ow) = padding.along(w, k, stride);
            let g = Geometry { n, c, h, w, o, k, stride, top, left, oh, ow };
            let (x, kernel, bias) = (numbers(n * c * h * w, 1), numbers(o * c * k * k, 2), numbers(o, 3));
            let dy = numbers(n * o * oh * ow, 4);
            let mut y: Vec<f32> = (0..n * o * oh * ow).map(|i| bias[i / (oh * ow) % o]).collect();
            let (mut dx, mut dkernel) = (vec![0.0; x.len()], vec![0.0; kernel.len()]);
            slow(&g, |iy, ix, ik| {
                y[iy] += x[ix] * kernel[ik];
                dx[ix] += dy[iy] * kernel[ik];
                dkernel[ik] += dy[iy] * x[ix];
            });
            let dbias: Vec<f32> = (0..o).map(|o| dy.chunks(oh * ow).skip(o).step_by(g.o).flatten().sum()).collect();
            let close = |a: &[f32], b: &[f32]| {
                assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-4 * (1.0 + b.abs())), "{g:?}");
            };
            close(&forward(&g, &x, &kernel, &bias), &y);
            close(&gradient_by_x(&g, &dy, &kernel), &dx);
            let (found, found_bias) = gradient_by_kernel(&g, &x, &dy);
            close(&found, &dkernel);
            close(&found_bias, &dbias);
        }
    }
}
