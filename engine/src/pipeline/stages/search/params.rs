//! The parameters of a search, and the number of trials that follows from them.

use std::{collections::BTreeMap, sync::Arc};

use pipe_stages::{
    network::training::AnyObjective,
    parameters,
    params::{Domain, Hyper},
    records::Imported,
    search::{Auto, Bracket, Constraint, Length, Sampler, Space, Stoppings},
    train::Limits,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::trial::Trial;
use crate::pipeline::stage::Stages;

/// The most trials that a search may have.
pub(in crate::pipeline) const MOST_TRIALS: u32 = 100_000;

/// How many trials a search may have.
pub(super) const TRIALS: Domain = Domain::Whole(1..=MOST_TRIALS);

/// A search: proposes trials one after the other and trains each.
#[derive(Debug, Clone)]
pub struct SearchSpec {
    /// Its parameters.
    pub own: SearchParams,
    /// How a trial is trained.
    pub(in crate::pipeline) trial: Arc<dyn Trial>,
    /// The objectives besides the one that its trials are scored by.
    pub others: Vec<AnyObjective>,
    /// The name of a stage that fetches trials of another search, as `pipe import-trials` writes them. They count as
    /// earlier trials of this search.
    pub imported: Option<String>,
    /// The trials that it knows from an earlier study. They count as imported trials.
    pub known: Option<Remembered>,
}

/// The trials that a search knows from an earlier study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remembered {
    /// The number of trials that the earlier study had or knew.
    pub of: usize,
    /// Those that the space could have proposed.
    pub trials: Vec<Imported>,
}

parameters! {
    /// The parameters of a search, without its trial.
    pub struct SearchParams {
        /// The number of trials; fewer if the space has fewer points. `Grid` needs no number. `Hyperband` and
        /// `SuccessiveHalving` take none.
        trials: Option<u32> [TRIALS],
        /// The number of trials that can run side by side: trial `i` is proposed from the scores of the trials 0 to `i - lag`.
        lag: u32 [Domain::Whole(1..=1000)] = 8,
        /// When to stop before the last trial: one reason, or a list.
        stop: Stoppings = Stoppings(Vec::new()),
        /// What proposes trials.
        sampler: Sampler = Sampler::Auto(Auto),
        /// What is searched, by key.
        space: Space,
        /// Labels of the space that have one value in this search, instead of being proposed.
        fixed: BTreeMap<String, Value> = BTreeMap::new(),
        /// What every proposal must keep to.
        constraints: Vec<Constraint> = Vec::new(),
        /// The first proposals: values by label. What is not given is drawn.
        first: Vec<BTreeMap<String, Value>> = Vec::new(),
        /// Whether the trials of the latest study of the same name count as earlier trials, as far as the space has them.
        remember: bool = false,
        /// The number of times that each point is trained, each time with other random numbers. Its score is the mean. All of them
        /// count as `trials`.
        repeats: u32 [Domain::Whole(1..=1000)] = 1,
        /// The most that the network of a trial may have, or its training may take. Only for trials that are a `Train`.
        limits: Limits = Limits::default(),
    }
}

impl SearchSpec {
    /// Returns the space that is searched, which lacks the fixed labels.
    ///
    /// # Panics
    /// If a fixed label does not fit the space. Both ways of reading a pipeline refuse that.
    pub fn space(&self) -> Space {
        self.own.space.with_fixed(&self.own.fixed).expect("fixed labels are checked when a pipeline is read")
    }

    /// Returns the brackets that the trials are trained in, if the sampler has any.
    pub fn brackets(&self) -> Option<Vec<Bracket>> {
        let Some(Hyper::Value(most)) = self.trial.epochs() else { return None };
        (self.own.sampler.length() == Length::Brackets).then(|| self.own.sampler.brackets(most))
    }

    /// Returns the number of trials that each point of the space has.
    pub fn repeats(&self) -> u32 {
        self.own.sampler.repeats().max(self.own.repeats)
    }

    /// Returns whether the sampler knows trials from elsewhere before the first one.
    pub fn starts_from_others(&self) -> bool {
        self.imported.is_some() || self.known.is_some()
    }

    /// Returns what the score of a trial depends on besides its proposal and its seed. `stages` are all stages of the pipeline.
    pub fn scored_by(&self, stages: &Stages) -> Value {
        let mut read: BTreeMap<String, Value> = BTreeMap::new();
        let mut open: Vec<String> = self.trial.reads().into_iter().map(str::to_owned).collect();
        while let Some(name) = open.pop() {
            let Some(stage) = stages.get(&name).filter(|_| !read.contains_key(&name)) else { continue };
            open.extend(stage.reads().into_iter().map(str::to_owned));
            read.insert(name, stage.record());
        }
        json!([self.trial.fields(), read])
    }

    /// Returns the constraints on the labels that are searched. The others are fixed.
    pub(super) fn constraints(&self) -> Vec<Constraint> {
        constraints(&self.own)
    }

    /// Returns the number of trials, and a note for the user if it is smaller than what was asked for.
    pub fn n_trials(&self) -> (u32, Option<String>) {
        if let Some(brackets) = self.brackets() {
            return (brackets.iter().flatten().map(|rung| rung.trials).sum(), None);
        }
        let asked = self.own.trials.unwrap_or(MOST_TRIALS);
        let repeats = self.repeats();
        match pipe_stages::search::count(&self.space(), &self.constraints(), asked.div_ceil(repeats)) {
            Some(points) if points.saturating_mul(repeats) < asked => {
                let n = points * repeats;
                let times = if repeats > 1 { format!(", {repeats} trials each") } else { String::new() };
                let points = if points == 1 { "1 point".to_owned() } else { format!("{points} points") };
                let asked = self
                    .own
                    .trials
                    .map(|asked| format!("the space has {points}{times}: it is exhausted after {n} of {asked} trials"));
                (n, asked)
            }
            _ => (asked, None),
        }
    }
}

/// Returns the constraints of a search on the labels that are not fixed.
pub(super) fn constraints(own: &SearchParams) -> Vec<Constraint> {
    own.constraints
        .iter()
        .flat_map(|constraint| match own.fixed.is_empty() {
            true => vec![constraint.clone()],
            false => constraint.with_fixed(&own.fixed),
        })
        .collect()
}
