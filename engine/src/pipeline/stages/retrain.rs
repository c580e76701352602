//! `Retrain`: trains the best trial of a search again, for longer or on more data.

use std::sync::Arc;

use pipe_stages::{
    choices,
    network::training::{At, EarlyStopping, Keep, Objective},
    parameters,
    params::{Domain, Hyper, Read},
    problem::{Path, Problem},
    records::{Best, Proposal, Record},
    train::{EPOCHS, EVERY, Epochs, NamedEpochs, Train},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{search, train};
use crate::pipeline::{
    mistake::Mistake,
    reading::Reading,
    stage::{Expansion, Here, Reads, StageKind, StageSpec, Stages, TrainSpec, with},
};

pub(super) const NAME: &str = train::RETRAIN;

pub(super) static KIND: StageKind = StageKind {
    name: NAME,
    reads: &[Reads { path: &["of"], kinds: &[search::NAME] }],
    may_name_test_split: false,
    // It executes `train`, whose nouns `Train` has.
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

parameters! {
    /// The parameters of a retraining.
    pub(crate) struct RetrainParams where keeps_each_once {
        /// The number of epochs, or `BestEpoch`: the best epoch of the best trial. Required, unless `data` is
        /// `TrainAndValidation`, for which it defaults to `BestEpoch`.
        epochs: Option<RetrainEpochs> [EPOCHS],
        /// The weights to keep as outputs. Defaults to those of the trial, or to `[Last]` if `data` is `TrainAndValidation`.
        keep: Option<Vec<Keep>>,
        /// The number of epochs between histograms of each layer's weights, or `None` for no histograms.
        histograms: Option<u32> [EVERY] = Some(2),
        /// When to stop before the last epoch. Defaults to never.
        early_stopping: Option<EarlyStopping>,
        /// The images to train on. With `TrainAndValidation` no images are left to validate on.
        data: RetrainData = RetrainData::Train,
        /// The trial's seed, or another one for an independent estimate.
        seed: RetrainSeed = RetrainSeed::Same,
    }
}

/// The length of a retraining: a number of epochs, or `BestEpoch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct RetrainEpochs(Epochs);

impl Read for RetrainEpochs {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let before = problems.len();
        let read = Epochs::read(value, domain, at, problems);
        for problem in &mut problems[before..] {
            problem.expected = Some(Self::expected(domain));
        }
        read.map(Self)
    }

    fn expected(domain: &Domain) -> String {
        format!("{}, or `BestEpoch`", Epochs::expected(domain))
    }

    fn brief(domain: &Domain) -> String {
        format!("{}, or `BestEpoch`", Epochs::brief(domain))
    }
}

choices! {
    /// The splits that a retraining trains on.
    #[derive(Copy, Eq)]
    pub(crate) enum RetrainData {
        /// The training split. With the same seed, the retraining continues the trial's own trajectory.
        Train,
        /// The training and the validation split. No images are left to validate on.
        TrainAndValidation,
    }
}

choices! {
    /// The seed of a retraining.
    #[derive(Copy, Eq)]
    pub(crate) enum RetrainSeed {
        /// The seed of the trial.
        Same,
        /// Another seed, for an independent estimate. Each number gives a different one.
        Fresh(u32),
    }
}

impl RetrainParams {
    fn keeps_each_once(self, at: &Path, problems: &mut Vec<Problem>) -> Self {
        Keep::each_once(self.keep.as_deref().unwrap_or_default(), &at.name("keep"), problems);
        self
    }
}

impl RetrainSpec {
    fn read(reading: &mut Reading<'_, '_>) -> Option<Self> {
        let of = reading.reference("of");
        let own: RetrainParams = reading.rest()?;
        Some(Self { of: of?, own })
    }

    /// Returns which weights are kept if `trial` is the search's trial.
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

    fn check(&self, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
        if self.own.epochs.is_none() && self.own.data == RetrainData::Train {
            let expected = "`epochs: ..`, or `data: TrainAndValidation` to train up to the best trial's best epoch";
            mistakes.push(Mistake::missing_field(here.name, "epochs", expected));
        }
    }

    fn expand(&self, name: &str, plan: &mut Expansion<'_>) -> usize {
        let select = plan.node_of(&self.of);
        let trial = plan.stages.training(&self.of).expect("kinds are checked when a pipeline is read");
        let mut inputs = trial.inputs(plan);
        inputs.inputs.push(("proposal", select, Proposal::FILE));
        let best_epoch = Epochs::Named(NamedEpochs::BestEpoch);
        let epochs = self.own.epochs.map_or(best_epoch, |RetrainEpochs(epochs)| epochs);
        let mut train = Train {
            keep: self.kept_of(trial),
            histograms: self.own.histograms,
            early_stopping: self.own.early_stopping.clone(),
            epochs: Hyper::Value(epochs),
            ..trial.train.clone()
        };
        if epochs == best_epoch {
            inputs.inputs.push(("best", select, Best::FILE));
        }
        if self.own.data == RetrainData::TrainAndValidation {
            // Without validation images, the last state is the model.
            inputs.inputs.iter_mut().filter(|(slot, ..)| *slot == "validation").for_each(|input| input.0 = "extra");
            train.objective = Objective::Minimise(At::Last("train.loss".into()));
            train.metrics.retain(|metric| !metric.as_str().starts_with("valid."));
        }
        let repeat = match self.own.seed {
            RetrainSeed::Same => 0,
            RetrainSeed::Fresh(n) => u64::from(n) + 1,
        };
        plan.add(name, name, train, inputs.iter(), repeat)
    }

    fn training<'s>(&'s self, stages: &'s Stages) -> Option<&'s TrainSpec> {
        stages.training(&self.of)
    }

    fn kept(&self, stages: &Stages) -> Option<Vec<Keep>> {
        stages.training(&self.of).map(|trial| self.kept_of(trial))
    }
}
