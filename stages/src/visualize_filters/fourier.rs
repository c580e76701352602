//! Gradient ascent in a Fourier basis, after C. Olah, A. Mordvintsev and L. Schubert, "Feature visualization", Distill 2017.
//!
//! An image is made from the coefficients of a [`Spectrum`] in decorrelated [`Colours`]. A sigmoid keeps it between black and
//! white. In each step the network sees the image rolled by a few pixels. The basis is periodic, so nothing is lost at the
//! border. The gradient of the total variation (Rudin, Osher and Fatemi 1992; Mahendran and Vedaldi 2015) is subtracted from
//! the gradient of the activation, and Adam (Kingma and Ba 2015) moves the coefficients.
//!
//! The gradient of the activation with respect to the picture is first scaled to a root mean square of 1, because activations
//! differ in size and the weight of the total variation should mean the same for all filters.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    ascent::{Climb, Climber, activations_of, root_mean_square},
    colours::Colours,
    method::Fourier,
    spectrum::Spectrum,
    target::Target,
};
use crate::{
    images::{Normalisation, dataset::ImageShape},
    network::{Pass, Predictor},
    philox::{Purpose, Stream},
    stage::StageError,
};

/// The standard deviation of the coefficients at the start, as in Lucid.
const START: f32 = 0.01;

/// Adam's constants.
const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Differences between neighbours that are much smaller than this hardly count in the total variation. From black to white
/// the difference is 1.
const FLAT: f32 = 0.01;

/// The Fourier method.
pub(super) struct FourierAscent<'a> {
    pub(super) predictor: &'a Predictor,
    pub(super) shape: ImageShape,
    pub(super) normalisation: &'a Normalisation,
    pub(super) settings: &'a Fourier,
    pub(super) spectrum: Spectrum,
    pub(super) colours: Colours,
    pub(super) seed: u64,
}

/// One image while it climbs.
struct Point {
    /// `[c, h, w]`
    coefficients: Vec<f32>,
    /// Adam's running means of the gradient and of its square.
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Climber for FourierAscent<'_> {
    fn steps(&self) -> u32 {
        self.settings.steps
    }

    fn climb(
        &self,
        target: &Target,
        filters: Range<usize>,
        at_step: &mut dyn FnMut(u32) -> Result<(), StageError>,
    ) -> Result<Vec<Climb>, StageError> {
        let mut network = self.predictor.network(Pass::ImageGradients, &[&target.layer]);
        let mut points: Vec<Point> = filters.clone().map(|filter| self.start(target, filter)).collect();
        let pictures = |points: &[Point]| -> Vec<Vec<f32>> {
            points.par_iter().map(|point| self.picture(&point.coefficients)).collect()
        };
        let images = |pictures: &[Vec<f32>]| -> Vec<f32> { pictures.iter().flat_map(|x| self.normalised(x)).collect() };
        let start = activations_of(&mut network, target, &filters, &images(&pictures(&points)));
        for step in 0..self.settings.steps {
            at_step(step)?;
            let shifts: Vec<_> = filters.clone().map(|filter| self.shift(target, filter, step)).collect();
            let seen = pictures(&points);
            let rolled: Vec<Vec<f32>> = seen.iter().zip(&shifts).map(|(x, shift)| self.rolled(x, *shift)).collect();
            let by_images = network.responses(&images(&rolled), &target.layer, filters.clone()).gradients;
            let by_images = by_images.par_chunks_exact(self.shape.bytes());
            points.par_iter_mut().zip(by_images).zip(seen.par_iter().zip(&shifts)).for_each(
                |((point, by_image), (picture, shift))| {
                    let uphill = self.uphill(picture, by_image, *shift);
                    point.climb(&uphill, step, self.settings.learning_rate);
                },
            );
        }
        let images = images(&pictures(&points));
        let end = activations_of(&mut network, target, &filters, &images);
        let images = images.chunks_exact(self.shape.bytes()).map(<[f32]>::to_vec);
        let climbs = filters.zip(images).zip(start.into_iter().zip(end));
        Ok(climbs.map(|((filter, image), (start, end))| Climb { filter, image, start, end }).collect())
    }
}

impl FourierAscent<'_> {
    /// Returns the start of a filter's climb: small random coefficients. Coefficient `e` of filter `f` is element
    /// `f * values + e` of the stream (0, layer), where `values` is the number of values of an image.
    fn start(&self, target: &Target, filter: usize) -> Point {
        let stream = Stream::new(self.seed, Purpose::Filters, 0, target.index);
        let size = self.shape.bytes();
        // Numbers drawn uniformly from -a to a have a standard deviation of a / sqrt(3).
        let reach = START * 3_f32.sqrt();
        let coefficient = |e: usize| reach * (2.0 * stream.f32((filter * size + e) as u64) - 1.0);
        let zeros = vec![0.0; size];
        Point { coefficients: (0..size).map(coefficient).collect(), first: zeros.clone(), second: zeros }
    }

    /// Returns the number of pixels by which a filter's image is rolled down and to the right at a step. They are drawn from
    /// elements `2 * f` and `2 * f + 1` of the stream (1 + step, layer).
    fn shift(&self, target: &Target, filter: usize, step: u32) -> (usize, usize) {
        let stream = Stream::new(self.seed, Purpose::Filters, 1 + step, target.index);
        let reach = self.settings.jitter;
        let draw = |axis: u64, size: usize| {
            let by = stream.below(2 * filter as u64 + axis, 2 * reach + 1) as usize;
            // From -reach to reach. A negative roll becomes the equal roll forward.
            (by + size * (reach as usize).div_ceil(size) - reach as usize) % size
        };
        (draw(0, self.shape.height), draw(1, self.shape.width))
    }

    /// Returns the picture that `coefficients` make, `[c, h, w]` with values from 0 to 1.
    fn picture(&self, coefficients: &[f32]) -> Vec<f32> {
        let planes = coefficients.chunks_exact(self.plane());
        let planes: Vec<f32> = planes.flat_map(|coefficients| self.spectrum.plane(coefficients)).collect();
        let mut picture = self.colours.mix(&planes);
        picture.iter_mut().for_each(|x| *x = 1.0 / (1.0 + libm::expf(-*x)));
        picture
    }

    /// Returns the gradient with respect to the coefficients, given the gradient with respect to their `picture`.
    fn by_coefficients(&self, picture: &[f32], by_picture: &[f32]) -> Vec<f32> {
        let through_sigmoid: Vec<f32> = picture.iter().zip(by_picture).map(|(x, g)| g * x * (1.0 - x)).collect();
        let by_planes = self.colours.gradient(&through_sigmoid);
        by_planes.chunks_exact(self.plane()).flat_map(|by_plane| self.spectrum.gradient(by_plane)).collect()
    }

    /// Returns the direction in which the coefficients of `picture` climb. `by_image` is the gradient of the activation with
    /// respect to the normalised picture, rolled `down` and `right`.
    fn uphill(&self, picture: &[f32], by_image: &[f32], (down, right): (usize, usize)) -> Vec<f32> {
        let back = ((self.shape.height - down) % self.shape.height, (self.shape.width - right) % self.shape.width);
        let mut by_picture = self.rolled(by_image, back);
        for (of_channel, scale) in by_picture.chunks_exact_mut(self.plane()).zip(&self.normalisation.scale) {
            of_channel.iter_mut().for_each(|g| *g *= 255.0 * scale);
        }
        // A gradient of 0 stays 0.
        let length = root_mean_square(&by_picture).max(f64::MIN_POSITIVE);
        let against = by_total_variation(picture, self.shape);
        let weight = self.settings.total_variation as f32;
        for (g, against) in by_picture.iter_mut().zip(against) {
            *g = (f64::from(*g) / length) as f32 - weight * against;
        }
        self.by_coefficients(picture, &by_picture)
    }

    /// Returns a picture with values from 0 to 1 as the network takes it.
    fn normalised(&self, picture: &[f32]) -> Vec<f32> {
        let Normalisation { scale, offset } = self.normalisation;
        let plane = self.plane();
        picture.iter().enumerate().map(|(e, x)| 255.0 * x * scale[e / plane] + offset[e / plane]).collect()
    }

    /// Returns planes rolled `down` and to the `right`: what leaves on one side enters on the other.
    fn rolled(&self, planes: &[f32], (down, right): (usize, usize)) -> Vec<f32> {
        let ImageShape { height, width, .. } = self.shape;
        let mut rolled = planes.to_vec();
        for plane in rolled.chunks_exact_mut(height * width) {
            plane.rotate_right(down * width);
            plane.chunks_exact_mut(width).for_each(|row| row.rotate_right(right));
        }
        rolled
    }

    /// Returns the number of pixels of a channel.
    fn plane(&self) -> usize {
        self.shape.height * self.shape.width
    }
}

impl Point {
    /// Moves the coefficients along `uphill` with step `step` of Adam, counted from 0.
    fn climb(&mut self, uphill: &[f32], step: u32, learning_rate: f64) {
        let t = f64::from(step) + 1.0;
        let first_share = 1.0 - libm::pow(f64::from(BETA_1), t);
        let second_share = 1.0 - libm::pow(f64::from(BETA_2), t);
        let (rate, root) = ((learning_rate / first_share) as f32, libm::sqrt(second_share) as f32);
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((x, g), (first, second)) in self.coefficients.iter_mut().zip(uphill).zip(moments) {
            *first = BETA_1 * *first + (1.0 - BETA_1) * g;
            *second = BETA_2 * *second + (1.0 - BETA_2) * g * g;
            *x += rate * *first / (second.sqrt() / root + EPSILON);
        }
    }
}

/// Returns the gradient of a picture's total variation: the sum, over the pixels of all channels, of the length of the vector
/// of the differences to the pixel below and to the pixel on the right. The picture is periodic at the border.
fn by_total_variation(picture: &[f32], shape: ImageShape) -> Vec<f32> {
    let ImageShape { height, width, .. } = shape;
    let mut gradient = vec![0.0; picture.len()];
    for (x, g) in picture.chunks_exact(height * width).zip(gradient.chunks_exact_mut(height * width)) {
        for i in 0..height * width {
            let below = (i + width) % (height * width);
            let beside = i / width * width + (i + 1) % width;
            let (down, right) = (x[below] - x[i], x[beside] - x[i]);
            let length = (down * down + right * right + FLAT * FLAT).sqrt();
            g[below] += down / length;
            g[beside] += right / length;
            g[i] -= (down + right) / length;
        }
    }
    gradient
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        network::{
            Architecture, Backend, Builder, Padding, Weights,
            architecture::Head,
            layers::{Conv, Flatten},
        },
        stage::ComputeDevice,
        visualize_filters::target,
    };

    fn network([channels, height, width]: [usize; 3]) -> (Architecture, Weights) {
        let mut builder = Builder::new([channels, height, width]);
        let conv = Conv { filters: 6, kernel: 3, stride: 1, padding: Padding::Same };
        let conv = builder.add(conv, &["input"]);
        let flat = builder.add(Flatten, &[&conv]);
        let head = Head { name: "class".into(), classes: 2, output: Default::default() };
        let architecture = builder.finish(&flat, &[head]).unwrap();
        let weights = Weights::initial(&architecture, 3);
        (architecture, weights)
    }

    fn with<T>(input: [usize; 3], settings: &Fourier, f: impl FnOnce(&FourierAscent<'_>, &Target) -> T) -> T {
        let (architecture, weights) = network(input);
        let [channels, height, width] = input;
        let shape = ImageShape { channels, height, width };
        let target = target::select(&architecture, &[]).unwrap().remove(0);
        let images: Vec<u8> = (0..40 * shape.bytes()).map(|i| ((i * i + i / shape.bytes() * 31) % 211) as u8).collect();
        let ascent = FourierAscent {
            predictor: &Predictor::new(architecture, weights, Backend::of(ComputeDevice::CPU).unwrap()),
            shape,
            normalisation: &Normalisation { scale: vec![1.0 / 255.0; channels], offset: vec![-0.5; channels] },
            settings,
            spectrum: Spectrum::new(height, width),
            colours: Colours::of(&images, shape),
            seed: 5,
        };
        f(&ascent, &target)
    }

    const INPUTS: [[usize; 3]; 3] = [[3, 6, 5], [1, 8, 8], [3, 1, 7]];

    fn noise(n: usize, size: f32) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(1);
        std::iter::repeat_with(|| size * (2.0 * random.f32() - 1.0)).take(n).collect()
    }

    #[test]
    fn gradients_with_respect_to_coefficients_agree_with_finite_differences() {
        for input in INPUTS {
            with(input, &Fourier::default(), |ascent, _| {
                let coefficients = noise(ascent.shape.bytes(), 0.3);
                let weights: Vec<f32> = noise(coefficients.len() + 1, 1.0).split_off(1);
                let picture = ascent.picture(&coefficients);
                assert!(picture.iter().all(|x| (0.0..=1.0).contains(x)));
                let found = ascent.by_coefficients(&picture, &weights);
                let value = |coefficients: &[f32]| -> f64 {
                    ascent.picture(coefficients).iter().zip(&weights).map(|(x, w)| f64::from(x * w)).sum()
                };
                for e in 0..coefficients.len() {
                    let mut moved = coefficients.clone();
                    moved[e] += 0.01;
                    let up = value(&moved);
                    moved[e] -= 0.02;
                    let expected = (up - value(&moved)) / 0.02;
                    assert!((f64::from(found[e]) - expected).abs() < 2e-3, "{input:?} {e}: {} {expected}", found[e]);
                }
            });
        }
    }

    #[test]
    fn the_gradient_of_the_total_variation_agrees_with_finite_differences() {
        for [channels, height, width] in INPUTS {
            let shape = ImageShape { channels, height, width };
            let picture = noise(shape.bytes(), 0.5);
            let value = |picture: &[f32]| -> f64 {
                let at =
                    |c: usize, y: usize, x: usize| f64::from(picture[(c * height + y % height) * width + x % width]);
                let places =
                    (0..channels * height * width).map(|i| (i / (height * width), i / width % height, i % width));
                let length = |(c, y, x)| {
                    let (down, right) = (at(c, y + 1, x) - at(c, y, x), at(c, y, x + 1) - at(c, y, x));
                    (down * down + right * right + 1e-4).sqrt()
                };
                places.map(length).sum()
            };
            let found = by_total_variation(&picture, shape);
            for e in 0..picture.len() {
                let mut moved = picture.clone();
                moved[e] += 1e-3;
                let up = value(&moved);
                moved[e] -= 2e-3;
                let expected = (up - value(&moved)) / 2e-3;
                assert!((f64::from(found[e]) - expected).abs() < 1e-2, "{e}: {} {expected}", found[e]);
            }
        }
    }

    #[test]
    fn a_picture_is_rolled_and_rolled_back() {
        with([1, 2, 3], &Fourier { jitter: 7, ..Fourier::default() }, |ascent, target| {
            let planes = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
            assert_eq!(ascent.rolled(&planes, (1, 1)), [5.0, 3.0, 4.0, 2.0, 0.0, 1.0]);
            assert_eq!(ascent.rolled(&ascent.rolled(&planes, (1, 2)), (1, 1)), planes);
            let shifts: std::collections::BTreeSet<_> = (0..99).map(|step| ascent.shift(target, 1, step)).collect();
            assert_eq!(shifts.len(), 6, "every place is reached");
        });
        with([1, 2, 3], &Fourier { jitter: 0, ..Fourier::default() }, |ascent, target| {
            assert!((0..9).all(|step| ascent.shift(target, 2, step) == (0, 0)));
        });
    }

    /// Adam's first step has the length of the learning rate in each coordinate, whatever the size of the gradient (Kingma
    /// and Ba 2015, section 2.1). The second is worked out by hand.
    #[test]
    fn steps_follow_adam() {
        let mut point = Point { coefficients: vec![0.0; 3], first: vec![0.0; 3], second: vec![0.0; 3] };
        point.climb(&[2.0, -1e-3, 0.0], 0, 0.05);
        let near =
            |found: f32, expected: f64| assert!((f64::from(found) - expected).abs() < 1e-6, "{found} {expected}");
        near(point.coefficients[0], 0.05);
        near(point.coefficients[1], -0.05);
        near(point.coefficients[2], 0.0);
        point.climb(&[1.0, -1e-3, 0.0], 1, 0.05);
        let (first, second) = (0.9 * 0.2 + 0.1, 0.999 * 0.004 + 0.001);
        near(point.coefficients[0], 0.05 + 0.05 * (first / 0.19) / (second / (1.0 - 0.999_f64 * 0.999)).sqrt());
        near(point.coefficients[1], -0.1);
    }

    #[test]
    fn activations_rise_and_the_penalty_lowers_the_total_variation() {
        let climb = |total_variation: f64| {
            let settings = Fourier { total_variation, ..Fourier::default() };
            with([3, 12, 12], &settings, |ascent, target| {
                let climbs = ascent.climb(target, 0..6, &mut |_| Ok(())).unwrap();
                let variation = |climb: &Climb| {
                    climb
                        .image
                        .chunks_exact(12)
                        .map(|row| (row[1] - row[0]).abs() + (row[7] - row[6]).abs())
                        .sum::<f32>()
                };
                (climbs.iter().map(variation).sum::<f32>(), climbs)
            })
        };
        let (wild, climbs) = climb(0.0);
        for climb in &climbs {
            assert!(climb.end > climb.start + 0.05, "{} {} {}", climb.filter, climb.start, climb.end);
            assert!(climb.image.iter().all(|x| (-0.5..=0.5).contains(x)));
        }
        assert!(climb(2.0).0 < 0.7 * wild);
    }

    #[test]
    fn batches_do_not_matter() {
        with([3, 9, 8], &Fourier { steps: 10, ..Fourier::default() }, |ascent, target| {
            let together = ascent.climb(target, 0..6, &mut |_| Ok(())).unwrap();
            for (filter, climb) in together.iter().enumerate() {
                let alone = ascent.climb(target, filter..filter + 1, &mut |_| Ok(())).unwrap().remove(0);
                assert!(alone.image.iter().zip(&climb.image).all(|(a, b)| (a - b).abs() < 1e-3));
            }
        });
    }
}
