//! `augment`: decides how the images of one dataset are normalised and randomly changed.

mod preview;

use crate::{
    choices,
    decode::pixels,
    images::{Augmentation, Normalisation, Policy, dataset::Dataset},
    parameters,
    stage::{Context, Inputs, Outputs, Stage, StageError, StageId},
};

/// The input slot of the training split.
pub const TRAIN: &str = "train";

parameters! {
    /// How images are normalised, and how training images are randomly changed.
    pub struct Augment = defaults {
        /// How the bytes of a pixel become numbers, in every split.
        normalise: Normalise = Normalise::HalfCentred,
        /// The random changes of each training image, in order.
        policy: Vec<Augmentation> = Vec::new(),
    }
}

choices! {
    /// How bytes become numbers, in every split.
    #[derive(Copy, Eq)]
    pub enum Normalise {
        /// x / 255 - 0.5, from -0.5 to 0.5.
        HalfCentred,
        /// x / 255, from 0 to 1.
        UnitRange,
        /// (x - mean) / deviation, with the mean and the standard deviation of the channel in the training split. A constant
        /// channel is only shifted.
        PerChannel,
    }
}

impl Augment {
    /// Returns the policy for images like those of `train`, the training split.
    ///
    /// # Errors
    /// If a change does not fit the size of the images.
    pub fn resolve(&self, train: &Dataset) -> Result<Policy, StageError> {
        let shape = train.image_shape();
        if let Some(message) = self.policy.iter().find_map(|operation| operation.misfit(shape)) {
            return Err(StageError::failed(message));
        }
        let (scale, offset) = match self.normalise {
            Normalise::HalfCentred => (vec![1.0 / 255.0; shape.channels], vec![-0.5; shape.channels]),
            Normalise::UnitRange => (vec![1.0 / 255.0; shape.channels], vec![0.0; shape.channels]),
            Normalise::PerChannel => {
                let pixels = pixels(train.images(), shape);
                let scale = |deviation: &f64| if *deviation > 0.0 { (1.0 / deviation) as f32 } else { 1.0 };
                let offset = |(mean, scale): (&f64, &f32)| (-mean * f64::from(*scale)) as f32;
                let scales: Vec<f32> = pixels.deviation.iter().map(scale).collect();
                let offsets = pixels.mean.iter().zip(&scales).map(offset).collect();
                (scales, offsets)
            }
        };
        Ok(Policy::new(Normalisation { scale, offset }, self.policy.clone()))
    }
}

impl Stage for Augment {
    fn id(&self) -> StageId {
        StageId { name: "augment", version: 1 }
    }

    fn run(&self, inputs: &Inputs<'_>, _: &Context<'_>) -> Result<Outputs, StageError> {
        let train = Dataset::read(inputs.bytes(TRAIN)?)?;
        if train.is_empty() {
            return Err(StageError::failed(format!("the split in the slot `{TRAIN}` has no images")));
        }
        let policy = self.resolve(&train)?;
        Ok(Outputs::default().with_record(&policy).with("preview.png", preview::sheet(&policy, &train)))
    }
}

#[cfg(test)]
mod tests;
