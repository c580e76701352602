//! Decorrelated colours: turns independent numbers into colours whose channels are correlated as in a dataset.
//!
//! "We explicitly measure the correlation between colors in the training set and use a Cholesky decomposition to decorrelate
//! them" (Olah et al., "Feature visualization", Distill 2017). Here the covariance is first scaled to a mean variance of 1, so
//! that the dataset's colours matter and its contrast does not.

use super::cholesky::Cholesky;
use crate::images::dataset::ImageShape;

/// The share of the mean variance that is added to the variance of each channel, so that images are not grey even if the
/// dataset is.
const OWN: f64 = 1e-3;

/// A square root of the colours' covariance.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Colours {
    /// `[channel, number]`, lower triangle.
    root: Vec<f32>,
    channels: usize,
}

impl Colours {
    /// Returns the colours of `images`, `[n, c, h, w]`. If no channel varies, the channels are independent.
    pub(super) fn of(images: &[u8], shape: ImageShape) -> Self {
        let channels = shape.channels;
        let mut covariance = covariance(images, shape);
        let mean = (0..channels).map(|i| covariance[i * channels + i]).sum::<f64>() / channels as f64;
        if mean > 0.0 {
            covariance.iter_mut().for_each(|x| *x /= mean);
        }
        let own = |i, j| if i == j { if mean > 0.0 { OWN } else { 1.0 } } else { 0.0 };
        let root = Cholesky::new(channels, |i, j| covariance[i * channels + j] + own(i, j));
        let root = root.expect("a covariance with something added to its diagonal is positive definite");
        let entry = |i: usize, j: usize| root.row(i).get(j).map_or(0.0, |x| *x as f32);
        Self { root: (0..channels * channels).map(|i| entry(i / channels, i % channels)).collect(), channels }
    }

    /// Turns planes of independent numbers, `[c, h, w]`, into colours.
    pub(super) fn mix(&self, planes: &[f32]) -> Vec<f32> {
        self.times(planes, |channel, number| self.root[channel * self.channels + number])
    }

    /// Returns the gradient with respect to the independent numbers, given the gradient with respect to the colours. It is the
    /// transpose of [`mix`](Self::mix).
    pub(super) fn gradient(&self, by_colours: &[f32]) -> Vec<f32> {
        self.times(by_colours, |number, channel| self.root[channel * self.channels + number])
    }

    /// Multiplies each pixel, a vector of channels, by the matrix `entry(row, column)`. Returns planes.
    fn times(&self, planes: &[f32], entry: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        let plane = planes.len() / self.channels;
        let mut found = vec![0.0; planes.len()];
        for (to, sums) in found.chunks_exact_mut(plane).enumerate() {
            for (from, values) in planes.chunks_exact(plane).enumerate() {
                let factor = entry(to, from);
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
            }
        }
        found
    }
}

/// Returns the covariance of the channels of `images`, `[c, c]`. Its sums are exact, so the order of pixels does not matter.
fn covariance(images: &[u8], shape: ImageShape) -> Vec<f64> {
    let (channels, plane) = (shape.channels, shape.height * shape.width);
    let (mut sums, mut products) = (vec![0_i128; channels], vec![0_i128; channels * channels]);
    for image in images.chunks_exact(shape.bytes()) {
        let planes: Vec<&[u8]> = image.chunks_exact(plane).collect();
        for (i, of_i) in planes.iter().enumerate() {
            sums[i] += i128::from(of_i.iter().map(|x| i64::from(*x)).sum::<i64>());
            for (j, of_j) in planes.iter().enumerate().take(i + 1) {
                let sum: i64 = of_i.iter().zip(*of_j).map(|(x, y)| i64::from(u32::from(*x) * u32::from(*y))).sum();
                products[i * channels + j] += i128::from(sum);
            }
        }
    }
    let n = (images.len() / channels) as i128;
    let entry = |i: usize, j: usize| (n * products[i * channels + j] - sums[i] * sums[j]) as f64 / (n * n) as f64;
    (0..channels * channels)
        .map(|at| (at / channels, at % channels))
        .map(|(i, j)| if n == 0 { 0.0 } else { entry(i.max(j), i.min(j)) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 3, height: 2, width: 4 };

    fn images() -> Vec<u8> {
        let pixel = |i: usize| {
            let (image, channel, at) = (i / 24, i / 8 % 3, i % 8);
            let shared = (image * 37 + at * 11) % 160;
            (shared + (image * 7 + at * 5 + channel * 29) % (40 + 20 * channel)) as u8
        };
        (0..24 * 50).map(pixel).collect()
    }

    #[test]
    fn the_covariance_agrees_with_the_slow_formula() {
        let images = images();
        let found = covariance(&images, SHAPE);
        let of = |channel: usize| -> Vec<f64> {
            (0..images.len()).filter(|i| i / 8 % 3 == channel).map(|i| f64::from(images[i])).collect()
        };
        for i in 0..3 {
            for j in 0..3 {
                let (a, b) = (of(i), of(j));
                let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
                let (of_a, of_b) = (mean(&a), mean(&b));
                let expected = a.iter().zip(&b).map(|(a, b)| (a - of_a) * (b - of_b)).sum::<f64>() / a.len() as f64;
                assert!((found[3 * i + j] - expected).abs() < 1e-9, "{i} {j}");
            }
        }
    }

    #[test]
    fn colours_have_the_covariance_of_the_dataset() {
        let colours = Colours::of(&images(), SHAPE);
        let covariance = covariance(&images(), SHAPE);
        let mean = (covariance[0] + covariance[4] + covariance[8]) / 3.0;
        for i in 0..3 {
            for j in 0..3 {
                let root = |row: usize, k: usize| f64::from(colours.root[3 * row + k]);
                let found: f64 = (0..3).map(|k| root(i, k) * root(j, k)).sum();
                let own = if i == j { OWN } else { 0.0 };
                assert!((found - covariance[3 * i + j] / mean - own).abs() < 1e-6, "{i} {j}");
            }
        }
    }

    #[test]
    fn the_gradient_is_the_transpose() {
        let colours = Colours::of(&images(), SHAPE);
        let numbers: Vec<f32> = (0..24).map(|i| (i * 5 % 13) as f32 - 6.0).collect();
        let by_colours: Vec<f32> = (0..24).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let (there, back) = (dot(&colours.mix(&numbers), &by_colours), dot(&numbers, &colours.gradient(&by_colours)));
        assert!((there - back).abs() < 1e-3, "{there} {back}");
    }

    #[test]
    fn grey_and_constant_pictures_have_a_root_too() {
        let gray = ImageShape { channels: 1, height: 2, width: 2 };
        assert!((Colours::of(&[1, 2, 3, 4], gray).root[0] - 1.0).abs() < 1e-3);
        assert_eq!(Colours::of(&[7; 4], gray).root, [1.0]);
        let three = ImageShape { channels: 3, height: 1, width: 2 };
        // In a grey dataset all three channels are almost fully correlated.
        let root = Colours::of(&[10, 200, 10, 200, 10, 200], three).root;
        assert!(root[0] > 0.99 && root[3] > 0.99 && root[6] > 0.99 && root[4] < 0.1 && root[8] < 0.1, "{root:?}");
        assert_eq!(Colours::of(&[], three).root, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    }
}
