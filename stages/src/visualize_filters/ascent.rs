//! Gradient ascent in input space: the trait of all methods, and the classic method.

use std::ops::Range;

use super::target::Target;
use crate::{
    images::{Normalisation, dataset::ImageShape},
    network::{Network, Pass, Predictor, Response},
    philox::{Purpose, Stream},
    stage::StageError,
};

/// Start images are grey noise: uniform within this many bytes of mid-grey.
const NOISE: f32 = 10.0;
const MID_GREY: f32 = 128.0;

/// Keeps a gradient of 0 from being divided by 0.
const EPSILON: f64 = 1e-5;

/// A method that finds the image to which a filter responds most.
pub(super) trait Climber {
    /// Returns the number of steps of a climb.
    fn steps(&self) -> u32;

    /// Climbs for `filters` of a layer together, one image each. Calls `at_step` with the number of steps done before each
    /// step.
    ///
    /// # Errors
    /// Returns the errors of `at_step`.
    fn climb(
        &self,
        target: &Target,
        filters: Range<usize>,
        at_step: &mut dyn FnMut(u32) -> Result<(), StageError>,
    ) -> Result<Vec<Climb>, StageError>;
}

/// The classic method: pixels move along their gradient.
pub(super) struct Ascent<'a> {
    pub(super) predictor: &'a Predictor,
    pub(super) shape: ImageShape,
    pub(super) normalisation: &'a Normalisation,
    pub(super) steps: u32,
    /// The root mean square of a step, in bytes (1/255 of the range).
    pub(super) step: f32,
    pub(super) seed: u64,
}

/// The result of one filter's climb.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Climb {
    pub(super) filter: usize,
    /// The last image, normalised, `[c, h, w]`.
    pub(super) image: Vec<f32>,
    /// The filter's mean activation for the start image.
    pub(super) start: f64,
    /// The filter's mean activation for `image`.
    pub(super) end: f64,
}

impl Climb {
    /// Returns whether the filter responds at all: its activation ends above 0, and is not NaN.
    pub(super) fn is_alive(&self) -> bool {
        self.end > 0.0
    }
}

impl Climber for Ascent<'_> {
    fn steps(&self) -> u32 {
        self.steps
    }

    fn climb(
        &self,
        target: &Target,
        filters: Range<usize>,
        at_step: &mut dyn FnMut(u32) -> Result<(), StageError>,
    ) -> Result<Vec<Climb>, StageError> {
        let mut network = self.network(target);
        let mut images: Vec<f32> = filters.clone().flat_map(|filter| self.start_image(target, filter)).collect();
        let mut start = vec![0.0; filters.len()];
        for step in 0..self.steps {
            at_step(step)?;
            let Response { means, gradients } = network.responses(&images, &target.layer, filters.clone());
            if step == 0 {
                start = means;
            }
            let size = self.shape.bytes();
            images.chunks_exact_mut(size).zip(gradients.chunks_exact(size)).for_each(|(x, g)| self.move_along(x, g));
        }
        // The activation of the last image. The original scripts report that of the image before it.
        let end = activations_of(&mut network, target, &filters, &images);
        let images = images.chunks_exact(self.shape.bytes()).map(<[f32]>::to_vec);
        let climbs = filters.zip(images).zip(start.into_iter().zip(end));
        Ok(climbs.map(|((filter, image), (start, end))| Climb { filter, image, start, end }).collect())
    }
}

impl Ascent<'_> {
    /// Returns a filter's start image: grey noise, normalised. Value `e` of filter `f` is element `f * values + e` of the
    /// stream (0, layer), where `values` is the number of values of an image.
    pub(super) fn start_image(&self, target: &Target, filter: usize) -> Vec<f32> {
        let stream = Stream::new(self.seed, Purpose::Filters, 0, target.index);
        let size = self.shape.bytes();
        let byte = |e: usize| MID_GREY + NOISE * (2.0 * stream.f32((filter * size + e) as u64) - 1.0);
        let normalised = |e: usize| {
            let (scale, offset) = self.scale_and_offset(e);
            byte(e) * scale + offset
        };
        (0..size).map(normalised).collect()
    }

    /// Moves an image along its gradient, keeping it between black and white.
    fn move_along(&self, image: &mut [f32], gradient: &[f32]) {
        let rms = root_mean_square(gradient) + EPSILON;
        for (e, (x, &g)) in image.iter_mut().zip(gradient).enumerate() {
            let (scale, offset) = self.scale_and_offset(e);
            let moved = *x + self.step * scale * (f64::from(g) / rms) as f32;
            *x = moved.clamp(offset, 255.0 * scale + offset);
        }
    }

    fn scale_and_offset(&self, element: usize) -> (f32, f32) {
        let channel = element / (self.shape.height * self.shape.width);
        (self.normalisation.scale[channel], self.normalisation.offset[channel])
    }

    /// Returns the network up to a layer.
    pub(super) fn network(&self, target: &Target) -> Network {
        self.predictor.network(Pass::ImageGradients, &[&target.layer])
    }
}

/// Returns the root mean square of a gradient.
pub(super) fn root_mean_square(gradient: &[f32]) -> f64 {
    let squares: f64 = gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum();
    (squares / gradient.len() as f64).sqrt()
}

/// Returns, for each image i, the mean activation of filter `filters[i]`.
pub(super) fn activations_of(
    network: &mut Network,
    target: &Target,
    filters: &Range<usize>,
    images: &[f32],
) -> Vec<f64> {
    let means = &network.channel_means(images)[&target.layer]; // [n, filters]
    means.chunks_exact(target.filters).zip(filters.clone()).map(|(of_image, filter)| of_image[filter]).collect()
}
