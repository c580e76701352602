//! `Retrain`: the training of a search's best trial, longer or on more data.

use std::sync::Arc;

use pipe_stages::{
    choices,
    network::training::{At, EarlyStopping, Keep, Objective},
    parameters,
    params::Hyper,
    problem::{self, Path},
    records::{Best, Proposal, Record},
    train::{EPOCHS, EVERY, Epochs, NamedEpochs, Train},
};
use serde_json::{Value, json};

use super::search;
use crate::pipeline::{
    mistake::Mistake,
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

parameters! {
    /// The parameters of a retraining.
    struct RetrainParams where keeps_each_once {
        /// A number, or `BestEpoch`: as many as the best trial had at its best. Needed unless the data are
        /// `TrainAndValidation`.
        epochs: Option<Epochs> [EPOCHS],
        /// Which weights are kept. By default the trial's.
        keep: Option<Vec<Keep>>,
        /// Every how many epochs the spread of each layer's weights becomes an output; `None`: never.
        histograms: Option<u32> [EVERY] = Some(2),
        /// When to stop before the last epoch.
        early_stopping: Option<EarlyStopping>,
        /// What is trained on.
        data: RetrainData = RetrainData::Train,
        /// The seed of the training.
        seed: RetrainSeed = RetrainSeed::Same,
    }
}

choices! {
    /// What a retraining trains on.
    #[derive(Copy, Eq)]
    enum RetrainData {
        /// The training split: with the same seed it continues the trial's own trajectory.
        Train,
        /// Both, for a model to be used: nothing is left to validate on.
        TrainAndValidation,
    }
}

choices! {
    /// The seed of a retraining.
    #[derive(Copy, Eq)]
    enum RetrainSeed {
        /// The trial's.
        Same,
        /// Another one, for an independent estimate.
        Fresh(u32),
    }
}

impl RetrainParams {
    fn keeps_each_once(self, at: &Path, problems: &mut Vec<problem::Problem>) -> Self {
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

    fn check(&self, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
        if self.own.epochs.is_none() && self.own.data == RetrainData::Train {
            let mistake = Mistake::at(here.name, format!("`{}` does not say for how long to train", self.of));
            let long =
                "`epochs: 20`, or `data: TrainAndValidation`, which trains as long as the best trial's best epoch";
            mistakes.push(mistake.expected(long));
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
            train.objective = Objective::Minimise(At::Last("train.loss".into()));
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
