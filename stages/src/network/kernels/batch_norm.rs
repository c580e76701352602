//! Batch normalisation of each channel over the pixels of a batch (Ioffe and Szegedy 2015).
//!
//! Sums within a chunk of pixels are in f32, pixel by pixel. Sums over the chunks are in f64, chunk by chunk.

use rayon::prelude::*;

use super::{Isa, lanes::kernel};

/// The number of pixels in a chunk: few enough to stay in the cache between the two passes over them.
const CHUNK: usize = 128;

/// The mean and variance of channels. Both have one number for each channel, including padding.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Statistics {
    pub(crate) mean: Vec<f32>,
    /// Biased: divided by the number of pixels.
    pub(crate) variance: Vec<f32>,
}

/// Returns the mean and the biased variance of each channel of the pixels `x` `[n, width]`.
pub(crate) fn statistics(isa: Isa, width: usize, x: &[f32]) -> Statistics {
    let chunk_of = |x: &[f32]| {
        let mut sums = vec![0.0; 3 * width];
        let (means, sums_of_chunk) = sums.split_at_mut(width);
        let (rests, squares) = sums_of_chunk.split_at_mut(width);
        moments(isa, x, means, rests, squares);
        sums
    };
    let chunks: Vec<_> = x.par_chunks(CHUNK * width).map(chunk_of).collect();
    let n = x.len() / width;
    let pixels_of = |chunk: usize| CHUNK.min(n - chunk * CHUNK) as f64;
    // The mean of a chunk was rounded. The sum of the distances from it corrects that.
    let mean_of = |chunk: usize, channel: usize| {
        f64::from(chunks[chunk][channel]) + f64::from(chunks[chunk][width + channel]) / pixels_of(chunk)
    };
    let of_channel = |channel: usize| {
        let sum: f64 = (0..chunks.len()).map(|chunk| mean_of(chunk, channel) * pixels_of(chunk)).sum();
        let mean = sum / n as f64;
        // The squared distances from the chunk's mean, plus those of the chunk's mean from the total mean (Chan, Golub and
        // LeVeque 1983).
        let of_chunk = |chunk: usize| {
            let pixels = pixels_of(chunk);
            let rest = f64::from(chunks[chunk][width + channel]);
            let within = f64::from(chunks[chunk][2 * width + channel]) - rest * rest / pixels;
            let distance = mean_of(chunk, channel) - mean;
            within + distance * distance * pixels
        };
        let squares: f64 = (0..chunks.len()).map(of_chunk).sum();
        (mean as f32, (squares / n as f64).max(0.0) as f32)
    };
    let (mean, variance) = (0..width).into_par_iter().with_min_len(16).map(of_channel).unzip();
    Statistics { mean, variance }
}

kernel! {
    /// Writes the mean of each channel, and the sums of the distances from the mean and of their squares. All must be 0 before.
    fn moments(x: &[f32], means: &mut [f32], rests: &mut [f32], squares: &mut [f32]) {
        let width = means.len();
        for pixel in x.chunks_exact(width) {
            means.iter_mut().zip(pixel).for_each(|(mean, x)| *mean += x);
        }
        let share = 1.0 / (x.len() / width) as f32;
        means.iter_mut().for_each(|mean| *mean *= share);
        for pixel in x.chunks_exact(width) {
            let sums = rests.iter_mut().zip(squares.iter_mut());
            for ((sums, mean), x) in sums.zip(&*means).zip(pixel) {
                let distance = x - mean;
                *sums.0 += distance;
                *sums.1 += distance * distance;
            }
        }
    }
}

/// Returns `gamma / sqrt(variance + epsilon)` for each channel.
pub(crate) fn scale(gamma: &[f32], variance: &[f32], epsilon: f32) -> Vec<f32> {
    gamma.iter().zip(variance).map(|(gamma, variance)| gamma / (variance + epsilon).sqrt()).collect()
}

/// Writes `(x - mean) * scale + beta` to `y`. `mean`, `scale` and `beta` have one number for each channel, including padding.
pub(crate) fn normalise(isa: Isa, mean: &[f32], scale: &[f32], beta: &[f32], x: &[f32], y: &mut [f32]) {
    let width = mean.len();
    y.par_chunks_mut(CHUNK * width)
        .zip(x.par_chunks(CHUNK * width))
        .for_each(|(y, x)| normalise_chunk(isa, (mean, scale, beta), x, y));
}

kernel! {
    fn normalise_chunk(channels: (&[f32], &[f32], &[f32]), x: &[f32], y: &mut [f32]) {
        let (mean, scale, beta) = channels;
        let width = mean.len();
        for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            for ((((y, x), mean), scale), beta) in y.iter_mut().zip(x).zip(mean).zip(scale).zip(beta) {
                *y = (x - mean) * scale + beta;
            }
        }
    }
}

/// The gradients with respect to the parameters of a batch normalisation.
pub(crate) struct Gradients {
    pub(crate) gamma: Vec<f32>,
    pub(crate) beta: Vec<f32>,
}

/// Turns `dy`, the gradient with respect to the output, into the gradient with respect to the input `x`, after a forward pass that
/// used the batch's own `statistics`. Returns the gradients with respect to the parameters.
pub(crate) fn backward(
    isa: Isa,
    statistics: &Statistics,
    gamma: &[f32],
    epsilon: f32,
    x: &[f32],
    dy: &mut [f32],
) -> Gradients {
    let Statistics { mean, variance } = statistics;
    let width = mean.len();
    let ones = vec![1.0; width];
    let inverse = scale(&ones, variance, epsilon);
    let chunk_of = |(dy, x): (&[f32], &[f32])| {
        let mut sums = vec![0.0; 2 * width];
        let (of_dy, of_products) = sums.split_at_mut(width);
        sums_of_chunk(isa, (mean, &inverse), x, dy, of_dy, of_products);
        sums
    };
    let chunks: Vec<_> = dy.par_chunks(CHUNK * width).zip(x.par_chunks(CHUNK * width)).map(chunk_of).collect();
    let mut sums = vec![0.0f64; 2 * width];
    for chunk in &chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    let n = (x.len() / width) as f64;
    let means: Vec<f32> = sums.iter().map(|sum| (sum / n) as f32).collect();
    let factors = scale(gamma, variance, epsilon);
    let (mean_dy, mean_products) = means.split_at(width);
    dy.par_chunks_mut(CHUNK * width)
        .zip(x.par_chunks(CHUNK * width))
        .for_each(|(dy, x)| backward_chunk(isa, (mean, &inverse), (mean_dy, mean_products, &factors), x, dy));
    let mut sums = sums.into_iter().map(|sum| sum as f32);
    let beta = sums.by_ref().take(width).collect();
    Gradients { gamma: sums.collect(), beta }
}

kernel! {
    /// Sums `dy`, and `dy` times the normalised `x`, for each channel.
    fn sums_of_chunk(
        channels: (&[f32], &[f32]),
        x: &[f32],
        dy: &[f32],
        of_dy: &mut [f32],
        of_products: &mut [f32],
    ) {
        let (mean, inverse) = channels;
        let width = mean.len();
        for (dy, x) in dy.chunks_exact(width).zip(x.chunks_exact(width)) {
            let sums = of_dy.iter_mut().zip(of_products.iter_mut());
            for ((((sums, dy), x), mean), inverse) in sums.zip(dy).zip(x).zip(mean).zip(inverse) {
                *sums.0 += dy;
                *sums.1 += dy * ((x - mean) * inverse);
            }
        }
    }
}

kernel! {
    fn backward_chunk(
        channels: (&[f32], &[f32]),
        means: (&[f32], &[f32], &[f32]),
        x: &[f32],
        dy: &mut [f32],
    ) {
        let (mean, inverse) = channels;
        let (mean_dy, mean_products, factors) = means;
        let width = mean.len();
        for (dy, x) in dy.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let means = mean_dy.iter().zip(mean_products).zip(factors);
            for ((((dy, x), mean), inverse), means) in dy.iter_mut().zip(x).zip(mean).zip(inverse).zip(means) {
                let ((mean_dy, mean_product), factor) = means;
                *dy = factor * (*dy - mean_dy - (x - mean) * inverse * mean_product);
            }
        }
    }
}

kernel! {
    /// Multiplies each channel of `dy` by its factor.
    fn scale_chunk(factors: &[f32], dy: &mut [f32]) {
        for dy in dy.chunks_exact_mut(factors.len()) {
            dy.iter_mut().zip(factors).for_each(|(dy, factor)| *dy *= factor);
        }
    }
}

/// Turns `dy`, the gradient with respect to the output, into the gradient with respect to the input, after a forward pass that used
/// the moving statistics, which do not depend on the batch.
pub(crate) fn backward_of_inference(isa: Isa, scale: &[f32], dy: &mut [f32]) {
    dy.par_chunks_mut(CHUNK * scale.len()).for_each(|dy| scale_chunk(isa, scale, dy));
}
