//! `Evaluate`: measures a network on a split that it was not trained on. Only this stage may read the test split.

use std::sync::Arc;

use pipe_stages::{
    StageName,
    evaluate::{Evaluate, EvaluateOn},
    records::{Labels, Record},
};
use serde_json::{Value, json};

use super::{retrain, train};
use crate::pipeline::{
    mistake::Mistake,
    reading::Reading,
    stage::{Expansion, Here, Reads, StageKind, StageSpec, with},
};

pub(super) static KIND: StageKind = StageKind {
    name: "Evaluate",
    reads: &[Reads { path: &["of"], kinds: &[train::NAME, retrain::NAME] }],
    may_name_test_split: true,
    nouns: &[(StageName::Evaluate, ["evaluation", "evaluations"])],
    read: |reading| Some(Arc::new(EvaluateSpec::read(reading)?)),
    from_record: |mut fields| Ok(Arc::new(EvaluateSpec { of: fields.take("of")?, evaluate: fields.rest()? })),
};

/// An evaluation of the network of the stage `of`.
#[derive(Debug, Clone)]
struct EvaluateSpec {
    of: String,
    evaluate: Evaluate,
}

impl EvaluateSpec {
    fn read(reading: &mut Reading<'_, '_>) -> Option<Self> {
        let of = reading.reference("of");
        let evaluate = reading.rest()?;
        Some(Self { of: of?, evaluate })
    }

    fn split(&self) -> &'static str {
        match self.evaluate.split {
            EvaluateOn::Test => "test",
            EvaluateOn::Validation => "validation",
        }
    }
}

impl StageSpec for EvaluateSpec {
    fn kind(&self) -> &'static StageKind {
        &KIND
    }

    fn reads(&self) -> Vec<&str> {
        vec![&self.of]
    }

    fn fields(&self) -> Value {
        with(&self.evaluate, [("of", json!(self.of))])
    }

    fn check(&self, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
        let data = here.stages.training(&self.of).and_then(|training| here.stages.data_set(&training.data));
        let split = self.split();
        if data.is_some_and(|data| !data.splits().contains(&split)) {
            let mistake = Mistake::at(here.field("split"), format!("the dataset has no {split} split"));
            mistakes.push(mistake.help(match self.evaluate.split {
                EvaluateOn::Test => "its `validation: OfficialTest` takes the test images for validation: use `split: Validation`, or choose another `validation`",
                EvaluateOn::Validation => "its `validation` is `None`: choose another",
            }));
        }
        train::check_weights(&self.of, here, mistakes);
    }

    fn expand(&self, name: &str, plan: &mut Expansion<'_>) -> usize {
        let network = train::network(&self.of, plan);
        let file = format!("{}.safetensors", self.split());
        let mut inputs = network.inputs;
        inputs.extend([("data", network.data, file.as_str()), ("labels", network.data, Labels::FILE)]);
        plan.add(name, name, self.evaluate.clone(), inputs, 0)
    }
}
