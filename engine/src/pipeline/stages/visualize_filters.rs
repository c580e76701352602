//! `VisualizeFilters`: pictures of what the filters of a network respond to.

use std::sync::Arc;

use pipe_stages::{
    StageName,
    records::{Labels, Record},
    visualize_filters::{Method, VisualizeFilters},
};
use serde_json::{Value, json};

use super::{retrain, train};
use crate::pipeline::{
    mistake::Mistake,
    reading::Reading,
    stage::{Expansion, Here, Reads, StageKind, StageSpec, with},
};

pub(super) static KIND: StageKind = StageKind {
    name: "VisualizeFilters",
    reads: &[Reads { path: &["of"], kinds: &[train::NAME, retrain::NAME] }],
    may_name_test_split: false,
    nouns: &[(StageName::VisualizeFilters, ["filter visualisation", "filter visualisations"])],
    read: |reading| Some(Arc::new(VisualizeSpec::read(reading)?)),
    from_record: |mut fields| Ok(Arc::new(VisualizeSpec { of: fields.take("of")?, visualize: fields.rest()? })),
};

/// The visualisation of the filters of the network of the stage `of`.
#[derive(Debug, Clone)]
struct VisualizeSpec {
    of: String,
    visualize: VisualizeFilters,
}

impl VisualizeSpec {
    fn read(reading: &mut Reading<'_, '_>) -> Option<Self> {
        let of = reading.reference("of");
        let visualize: VisualizeFilters = reading.rest()?;
        Some(Self { of: of?, visualize })
    }
}

impl StageSpec for VisualizeSpec {
    fn kind(&self) -> &'static StageKind {
        &KIND
    }

    fn reads(&self) -> Vec<&str> {
        vec![&self.of]
    }

    fn fields(&self) -> Value {
        with(&self.visualize, [("of", json!(self.of))])
    }

    fn check(&self, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
        train::check_weights(&self.of, here, mistakes);
    }

    fn expand(&self, name: &str, plan: &mut Expansion<'_>) -> usize {
        let network = train::network(&self.of, plan);
        let mut inputs = network.inputs;
        if matches!(self.visualize.method, Method::Fourier(_)) {
            inputs.push(("train", network.data, "train.safetensors"));
        }
        if self.visualize.examples > 0 && network.data_set.splits().contains(&"validation") {
            inputs.push(("validation", network.data, "validation.safetensors"));
            inputs.push(("labels", network.data, Labels::FILE));
        }
        plan.add(name, name, self.visualize.clone(), inputs, 0)
    }
}
