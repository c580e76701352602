//! `Retrain`: the training of a search's best trial, longer or on more data.

use std::sync::Arc;

use pipe_stages::{
    network::training::{At, EarlyStopping, Keep, Objective},
    params::{self, Hyper},
    records::{Best, Proposal, Record},
    train::{Epochs, NamedEpochs, Train},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::search;
use crate::pipeline::{
    problem::Problem,
    reading::Reading,
    stage::{Expansion, Here, Reads, StageKind, StageSpec, Stages, TrainSpec, with},
};

pub(super) const NAME: &str = "Retrain";

pub(super) static KIND: StageKind = StageKind {
    name: NAME,
    reads: &[Reads { path: &["of"], kinds: &[search::NAME] }],
    may_name_test_split: false,
    // It is a training.
    nouns: &[],
    read: |reading| Some(Arc::new(RetrainSpec::read(reading)?)),
    from_record: |mut fields| Ok(Arc::new(RetrainSpec { of: fields.take("of")?, own: fields.rest()? })),
};

/// The training of the best trial of the search `of`.
#[derive(Debug, Clone)]
struct RetrainSpec {
    of: String,
    own: RetrainParams,
}

/// The parameters of a retraining.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetrainParams {
    /// A number, or `BestEpoch`: as many as the best trial had at its best. Needed unless the data are
    /// `TrainAndValidation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epochs: Option<Epochs>,
    /// Which weights are kept. Default: the trial's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep: Option<Vec<Keep>>,
    /// Every how many epochs the spread of each layer's weights becomes an output. Default 2; `None`: never.
    #[serde(default = "histograms::value", skip_serializing_if = "histograms::is")]
    histograms: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    early_stopping: Option<EarlyStopping>,
    #[serde(default, skip_serializing_if = "params::is_default")]
    data: RetrainData,
    #[serde(default, skip_serializing_if = "params::is_default")]
    seed: RetrainSeed,
}

pipe_stages::defaults! {
    histograms: Option<u32> = Some(2);
}

/// What a retraining trains on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum RetrainData {
    /// The training split: with the same seed it continues the trial's own trajectory.
    #[default]
    Train,
    /// Both, for a model to be used: nothing is left to validate on.
    TrainAndValidation,
}

/// The seed of a retraining.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum RetrainSeed {
    /// The trial's.
    #[default]
    Same,
    /// Another one, for an independent estimate.
    Fresh(u32),
}

impl RetrainParams {
    /// Returns what is wrong with the values: (path inside the parameters, what was found and what is allowed).
    fn problems(&self) -> Vec<(String, String)> {
        // What is allowed of a training is allowed of a retraining.
        let any: Train = serde_json::from_value(json!({ "model": "HyperCnn", "epochs": 1 })).expect("it is a training");
        let epochs = self.epochs.map_or_else(|| any.epochs.clone(), Hyper::Value);
        let keep = self.keep.clone().unwrap_or_else(|| any.keep.clone());
        let (histograms, early_stopping) = (self.histograms, self.early_stopping.clone());
        Train { epochs, keep, histograms, early_stopping, ..any }.problems()
    }
}

impl RetrainSpec {
    fn read(reading: &mut Reading<'_, '_>) -> Option<Self> {
        let of = reading.reference("of");
        let own: RetrainParams = reading.rest()?;
        reading.refuse(own.problems());
        Some(Self { of: of?, own })
    }

    /// Returns which weights are kept of a search with this `trial`.
    fn kept_of(&self, trial: &TrainSpec) -> Vec<Keep> {
        match (&self.own.keep, self.own.data) {
            (Some(keep), _) => keep.clone(),
            (None, RetrainData::Train) => trial.train.keep.clone(),
            (None, RetrainData::TrainAndValidation) => vec![Keep::Last],
        }
    }
}

impl StageSpec for RetrainSpec {
    fn kind(&self) -> &'static StageKind {
        &KIND
    }

    fn reads(&self) -> Vec<&str> {
        vec![&self.of]
    }

    fn fields(&self) -> Value {
        with(&self.own, [("of", json!(self.of))])
    }

    fn check(&self, here: &Here<'_, '_>, problems: &mut Vec<Problem>) {
        if self.own.epochs.is_none() && self.own.data == RetrainData::Train {
            let problem = Problem::at(here.name, format!("`{}` does not say for how long to train", self.of));
            let long =
                "`epochs: 20`, or `data: TrainAndValidation`, which trains as long as the best trial's best epoch";
            problems.push(problem.expected(long));
        }
    }

    fn expand(&self, name: &str, plan: &mut Expansion<'_>) -> usize {
        let select = plan.node_of(&self.of);
        let trial = plan.stages.training(&self.of).expect("kinds are checked when a pipeline is read");
        let mut inputs = trial.inputs(plan);
        inputs.push(("proposal", select, Proposal::FILE));
        let best_epoch = Epochs::Named(NamedEpochs::BestEpoch);
        let epochs = self.own.epochs.unwrap_or(best_epoch);
        let mut train = Train {
            keep: self.kept_of(trial),
            histograms: self.own.histograms,
            early_stopping: self.own.early_stopping.clone(),
            epochs: Hyper::Value(epochs),
            ..trial.train.clone()
        };
        if epochs == best_epoch {
            inputs.push(("best", select, Best::FILE));
        }
        if self.own.data == RetrainData::TrainAndValidation {
            // Nothing is left to validate on: the last state is the model.
            inputs.iter_mut().filter(|(slot, ..)| *slot == "validation").for_each(|input| input.0 = "extra");
            train.objective = Objective::Minimise(At::Last("train.loss".to_owned()));
        }
        let repeat = match self.own.seed {
            RetrainSeed::Same => 0,
            RetrainSeed::Fresh(n) => u64::from(n) + 1,
        };
        plan.add(name, name, train, inputs, repeat)
    }

    fn training<'s>(&'s self, stages: &'s Stages) -> Option<&'s TrainSpec> {
        stages.training(&self.of)
    }

    fn kept(&self, stages: &Stages) -> Option<Vec<Keep>> {
        stages.training(&self.of).map(|trial| self.kept_of(trial))
    }
}
