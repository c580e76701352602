//! The parameters of a search, and the number of trials that follows from them.

use std::{collections::BTreeMap, sync::Arc};

use pipe_stages::{
    parameters,
    params::{Domain, Hyper},
    search::{Auto, Bracket, Constraint, Length, Sampler, Space},
};
use serde_json::Value;

use super::trial::Trial;

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
    /// The name of a stage that fetches trials of another search, as `pipe import-trials` writes them. They count as
    /// earlier trials of this search.
    pub imported: Option<String>,
}

parameters! {
    /// The parameters of a search, without its trial.
    pub struct SearchParams {
        /// The number of trials; fewer if the space has fewer points. `Grid` needs no number. `Hyperband` and
        /// `SuccessiveHalving` take none.
        trials: Option<u32> [TRIALS],
        /// The number of trials that can run side by side: trial `i` is proposed from the scores of the trials 0 to `i - lag`.
        lag: u32 [Domain::Whole(1..=1000)] = 8,
        /// What proposes trials.
        sampler: Sampler = Sampler::Auto(Auto),
        /// What is searched, by key.
        space: Space,
        /// Labels of the space that have one value in this search, instead of being proposed.
        fixed: BTreeMap<String, Value> = BTreeMap::new(),
        /// What every proposal must keep to.
        constraints: Vec<Constraint> = Vec::new(),
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
    pub(super) fn repeats(&self) -> u32 {
        self.own.sampler.repeats()
    }

    /// Returns the number of trials, and a note for the user if it is smaller than what was asked for.
    pub fn n_trials(&self) -> (u32, Option<String>) {
        if let Some(brackets) = self.brackets() {
            return (brackets.iter().flatten().map(|rung| rung.trials).sum(), None);
        }
        let asked = self.own.trials.unwrap_or(MOST_TRIALS);
        let repeats = self.repeats();
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
