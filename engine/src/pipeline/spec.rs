//! A pipeline as typed values: what the text means.

use std::collections::BTreeMap;

use pipe_stages::{
    augment::Augment,
    choices,
    decode::Decode,
    evaluate::{Evaluate, EvaluateOn},
    fetch::FetchSpec,
    network::training::{EarlyStopping, Keep},
    parameters,
    params::{self, Domain, Hyper},
    problem::{Path, Problem},
    search::{Bracket, Constraint, Sampler, Space, Tpe},
    train::{EPOCHS, Epochs, Train},
    visualize_filters::VisualizeFilters,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::action::DeviceKind;

/// A study as a user describes it.
#[derive(Debug, Clone)]
pub struct Pipeline {
    pub name: String,
    pub seed: u64,
    pub device: DeviceKind,
    /// In the order of the file, which means nothing.
    pub stages: Vec<(String, StageSpec)>,
}

/// One stage with its parameters and the names of the stages it reads from.
#[derive(Debug, Clone)]
pub enum StageSpec {
    Fetch(FetchSpec),
    Decode { from: String, decode: Decode },
    Augment { data: String, augment: Augment },
    Train(TrainSpec),
    Search(SearchSpec),
    Retrain(RetrainSpec),
    Evaluate { of: String, evaluate: Evaluate },
    VisualizeFilters { of: String, visualize: VisualizeFilters },
}

/// A training, of its own or as the trial of a search.
#[derive(Debug, Clone)]
pub struct TrainSpec {
    pub data: String,
    /// Without one: x/255 - 0.5, and no augmentation.
    pub augment: Option<String>,
    pub train: Train,
}

/// A search: trials proposed one after the other, each trained.
#[derive(Debug, Clone)]
pub struct SearchSpec {
    pub own: SearchParams,
    pub trial: TrainSpec,
    /// Trials of another search, which count as earlier ones of this: `pipe import-trials` writes them.
    pub imported: Option<String>,
}

parameters! {
    /// The parameters of a search beside its trial.
    pub struct SearchParams {
        /// How many trials there are; fewer if the space has fewer points. `Grid` needs no number, and `Hyperband` and
        /// `SuccessiveHalving` say it themselves.
        trials: Option<u32> [Domain::Whole(1..=MOST_TRIALS)],
        /// How many of the latest trials a proposal does not know the scores of: so many can run side by side. With 1, trials
        /// run one at a time.
        lag: u32 [Domain::Whole(1..=1000)] = 8,
        /// What proposes trials.
        sampler: Sampler = Sampler::Tpe(Tpe::default()),
        /// What a trial may be.
        space: Space,
        /// Labels of the space that have one value in this search.
        fixed: BTreeMap<String, Value> = BTreeMap::new(),
        /// What holds of every proposal.
        constraints: Vec<Constraint> = Vec::new(),
    }
}

/// The most trials that a search may have.
pub const MOST_TRIALS: u32 = 100_000;

impl SearchSpec {
    /// Returns the space that is searched: without the labels that are fixed.
    ///
    /// # Panics
    /// If a fixed label does not fit, which reading refuses.
    pub fn space(&self) -> Space {
        self.own.space.with_fixed(&self.own.fixed).expect("fixed labels are checked when a pipeline is read")
    }

    /// Returns the rungs that the trials are trained in, where the sampler has any.
    pub fn brackets(&self) -> Option<Vec<Bracket>> {
        let Hyper::Value(Epochs::Count(most)) = self.trial.train.epochs else { return None };
        match &self.own.sampler {
            Sampler::Hyperband(params) => Some(params.brackets(most)),
            Sampler::SuccessiveHalving(params) => Some(vec![params.bracket(most)]),
            _ => None,
        }
    }

    /// Returns how many trials there are, and what is said where those are fewer than were asked for.
    pub fn n_trials(&self) -> (u32, Option<String>) {
        if let Some(brackets) = self.brackets() {
            return (brackets.iter().flatten().map(|rung| rung.trials).sum(), None);
        }
        let asked = self.own.trials.unwrap_or(MOST_TRIALS);
        let repeats = if let Sampler::Grid(grid) = &self.own.sampler { grid.repeats } else { 1 };
        match pipe_stages::search::count(&self.space(), &self.own.constraints, asked.div_ceil(repeats)) {
            Some(points) if points.saturating_mul(repeats) < asked => {
                let n = points * repeats;
                let times = if repeats > 1 { format!(", {repeats} trials each") } else { String::new() };
                let asked = self.own.trials.map(|asked| {
                    format!("the space has {points} points{times}: it is exhausted after {n} of {asked} trials")
                });
                (n, asked)
            }
            _ => (asked, None),
        }
    }
}

/// The training of a search's best trial.
#[derive(Debug, Clone)]
pub struct RetrainSpec {
    pub of: String,
    pub own: RetrainParams,
}

parameters! {
    /// The parameters of a retraining.
    pub struct RetrainParams where keeps_each_once {
        /// A number, or `BestEpoch`: as many as the best trial had at its best. Needed unless the data are
        /// `TrainAndValidation`.
        epochs: Option<Epochs> [EPOCHS],
        /// Which weights are kept. By default the trial's.
        keep: Option<Vec<Keep>>,
        /// Every how many epochs the spread of each layer's weights becomes an output; `None`: never.
        histograms: Option<u32> [Domain::Whole(1..=u32::MAX)] = Some(2),
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
    pub enum RetrainData {
        /// The training split: with the same seed it continues the trial's own trajectory.
        Train,
        /// Both, for a model to be used: nothing is left to validate on.
        TrainAndValidation,
    }
}

choices! {
    /// The seed of a retraining.
    #[derive(Copy, Eq)]
    pub enum RetrainSeed {
        /// The trial's.
        Same,
        /// Another one, for an independent estimate.
        Fresh(u32),
    }
}

impl StageSpec {
    /// The kinds of stages, as they are written.
    pub const KINDS: [&str; 8] =
        ["Fetch", "Decode", "Augment", "Train", "Search", "Retrain", "Evaluate", "VisualizeFilters"];

    /// Returns the kind, as it is written.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Fetch(_) => "Fetch",
            Self::Decode { .. } => "Decode",
            Self::Augment { .. } => "Augment",
            Self::Train(_) => "Train",
            Self::Search(_) => "Search",
            Self::Retrain(_) => "Retrain",
            Self::Evaluate { .. } => "Evaluate",
            Self::VisualizeFilters { .. } => "VisualizeFilters",
        }
    }

    fn to_json(&self) -> Value {
        let content = match self {
            // Where bytes come from is outside the study: only what they are is in its record.
            Self::Fetch(fetch) => plain(&fetch.divide().0),
            Self::Decode { from, decode } => with(plain(decode), [("from", json!(from))]),
            Self::Augment { data, augment } => with(plain(augment), [("data", json!(data))]),
            Self::Train(spec) => spec.to_json(),
            Self::Search(spec) => {
                let imported = spec.imported.as_ref().map(|name| ("imported", json!(name)));
                let trial = ("trial", json!({ "Train": spec.trial.to_json() }));
                with(plain(&spec.own), imported.into_iter().chain([trial]))
            }
            Self::Retrain(spec) => with(plain(&spec.own), [("of", json!(spec.of))]),
            Self::Evaluate { of, evaluate } => with(plain(evaluate), [("of", json!(of))]),
            Self::VisualizeFilters { of, visualize } => with(plain(visualize), [("of", json!(of))]),
        };
        json!({ self.kind(): content })
    }
}

impl RetrainParams {
    fn keeps_each_once(self, at: &Path, problems: &mut Vec<Problem>) -> Self {
        Keep::each_once(self.keep.as_deref().unwrap_or_default(), &at.name("keep"), problems);
        self
    }
}

impl RetrainSpec {
    /// Returns which weights are kept, of a search with this `trial`.
    pub fn kept(&self, trial: &TrainSpec) -> Vec<Keep> {
        match (&self.own.keep, self.own.data) {
            (Some(keep), _) => keep.clone(),
            (None, RetrainData::Train) => trial.train.keep.clone(),
            (None, RetrainData::TrainAndValidation) => vec![Keep::Last],
        }
    }
}

impl TrainSpec {
    fn to_json(&self) -> Value {
        let mut wiring = vec![("data", json!(self.data))];
        wiring.extend(self.augment.as_ref().map(|augment| ("augment", json!(augment))));
        with(plain(&self.train), wiring)
    }
}

impl Pipeline {
    /// Returns the canonical record: the same for every text that means the same. The study's name is not in it.
    pub fn record(&self) -> Vec<u8> {
        let stages: BTreeMap<&str, Value> =
            self.stages.iter().map(|(name, spec)| (name.as_str(), spec.to_json())).collect();
        params::record(&json!({
            "format": 1,
            "seed": self.seed.to_string(),
            "device": self.device,
            "stages": stages,
        }))
    }

    /// Returns the stage called `name`.
    pub fn stage(&self, name: &str) -> Option<&StageSpec> {
        self.stages.iter().find(|(known, _)| known == name).map(|(_, spec)| spec)
    }
}

/// Returns parameters as they enter an action.
pub(crate) fn plain(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("parameters are plain data")
}

fn with<'a>(value: Value, fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let Value::Object(mut map) = value else { return value };
    map.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Value::Object(map)
}

/// Returns whether a decoded dataset has a test split and a validation split.
pub(super) fn splits(decode: &Decode) -> BTreeMap<&'static str, bool> {
    let written = decode.splits();
    ["validation", "test"].map(|split| (split, written.contains(&split))).into()
}

/// Returns the name of the split that an evaluation reads.
pub(super) fn split_of(evaluate: &Evaluate) -> &'static str {
    match evaluate.split {
        EvaluateOn::Test => "test",
        EvaluateOn::Validation => "validation",
    }
}
