//! `augment`: decides how the images of one dataset are normalised and randomly changed.

mod preview;

use crate::{
    choices,
    decode::pixels,
    images::{Augmentation, Edges, Normalisation, Policy, dataset::Dataset},
    parameters,
    problem::{Path, Problem},
    stage::{Context, Inputs, Outputs, Stage, StageError, StageId},
};

/// The input slot of the training split.
pub const TRAIN: &str = "train";

parameters! {
    /// How images are normalised, and how training images are randomly changed.
    pub struct Augment = defaults where fits_together {
        /// How the bytes of a pixel become numbers, in every split.
        normalise: Normalise = Normalise::HalfCentred,
        /// The random changes of each training image, in order.
        policy: Vec<Augmentation> = Vec::new(),
        /// What `RandomCrop`, `Rotation`, `Scale` and `Translation` show beyond the edges of an image.
        fill: Edges = Edges::Black,
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
    /// Complains about a change after one that mixes images, and about ranges with the larger number first.
    fn fits_together(self, at: &Path, problems: &mut Vec<Problem>) -> Self {
        let at = at.name("policy");
        if let Some(first) = self.policy.iter().position(Augmentation::mixes) {
            for (i, later) in self.policy.iter().enumerate().skip(first).filter(|(_, later)| !later.mixes()) {
                let found = format!("`{}` after `{}`", later.name(), self.policy[first].name());
                let expected = "`MixUp` and `CutMix` after all other changes: they mix images that are already changed";
                problems.push(Problem::new(at.index(i), found).expected(expected));
            }
        }
        let misfits = self.policy.iter().enumerate().filter_map(|(i, change)| Some((i, change.reversed()?)));
        problems
            .extend(misfits.map(|(i, found)| Problem::new(at.index(i), found).expected("the smaller number first")));
        self
    }

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
        Ok(Policy::new(Normalisation { scale, offset }, self.policy.clone(), self.fill))
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
        let (shown, left_out) = policy.without_labels();
        if !left_out.is_empty() {
            // Their values are known only in a trial.
            tracing::info!("preview.png is without {}, whose values a search proposes", left_out.join(", "));
        }
        Ok(Outputs::default().with_record(&policy).with("preview.png", preview::sheet(&shown, &train)))
    }
}

#[cfg(test)]
mod tests;
