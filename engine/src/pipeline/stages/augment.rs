//! `Augment`: how images are normalised and augmented.

use std::sync::Arc;

use pipe_stages::{StageName, augment::Augment};
use serde_json::{Value, json};

use super::decode;
use crate::pipeline::{
    reading::Reading,
    stage::{Expansion, Reads, StageKind, StageSpec, with},
};

pub(super) const NAME: &str = "Augment";

pub(super) static KIND: StageKind = StageKind {
    name: NAME,
    reads: &[Reads { path: &["data"], kinds: &[decode::NAME] }],
    may_name_test_split: false,
    nouns: &[(StageName::Augment, ["augmentation", "augmentations"])],
    read: |reading| Some(Arc::new(AugmentSpec::read(reading)?)),
    from_record: |mut fields| Ok(Arc::new(AugmentSpec { data: fields.take("data")?, augment: fields.rest()? })),
};

/// The augmentation of the images of the stage `data`.
#[derive(Debug, Clone)]
struct AugmentSpec {
    data: String,
    augment: Augment,
}

impl AugmentSpec {
    fn read(reading: &mut Reading<'_, '_>) -> Option<Self> {
        let data = reading.reference("data");
        let augment: Augment = reading.rest()?;
        Some(Self { data: data?, augment })
    }
}

impl StageSpec for AugmentSpec {
    fn kind(&self) -> &'static StageKind {
        &KIND
    }

    fn reads(&self) -> Vec<&str> {
        vec![&self.data]
    }

    fn fields(&self) -> Value {
        with(&self.augment, [("data", json!(self.data))])
    }

    fn expand(&self, name: &str, plan: &mut Expansion<'_>) -> usize {
        let data = plan.node_of(&self.data);
        plan.add(name, name, self.augment.clone(), [("train", data, "train.safetensors")], 0)
    }

    fn augmentation(&self) -> Option<&Augment> {
        Some(&self.augment)
    }
}
