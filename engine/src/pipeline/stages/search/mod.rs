//! `Search`: trials that a sampler proposes one after the other, each trained.

mod sampler;
mod unroll;

use std::{collections::BTreeMap, sync::Arc};

use pipe_stages::{
    StageName,
    network::training::Objective,
    params::{self, Hyper},
    search::{Bracket, Constraint, Sampler, Space, Tpe},
    train::Epochs,
};
use serde::{Deserialize, Serialize, de::Error as _};
use serde_json::{Value, json};

pub(in crate::pipeline) use self::sampler::{fits, in_space};
use super::{
    Fields, Reading, Reads, StageKind, StageSpec, augment, decode, fetch, plain,
    train::{self, TrainSpec},
    with,
};
use crate::pipeline::{
    check::Here, expand::Expansion, explain, explain::name_of, labels, node::Node, problem::Problem, spec::Stages,
};

pub(in crate::pipeline) const NAME: &str = "Search";

pub(super) static KIND: StageKind = StageKind {
    name: NAME,
    reads: &[
        Reads { path: &["imported"], kinds: &[fetch::NAME] },
        Reads { path: &["trial", "data"], kinds: &[decode::NAME] },
        Reads { path: &["trial", "augment"], kinds: &[augment::NAME] },
    ],
    may_name_test_split: false,
    nouns: &[
        (StageName::Propose, ["proposal", "proposals"]),
        (StageName::Promote, ["promotion", "promotions"]),
        (StageName::History, ["history record", "history records"]),
        (StageName::Split, ["split", "splits"]),
        (StageName::Select, ["selection", "selections"]),
    ],
    read: |reading| Some(Arc::new(SearchSpec::read(reading)?)),
    from_record: |fields| Ok(Arc::new(SearchSpec::from_record(fields)?)),
};

/// The most trials that a search may have.
pub const MOST_TRIALS: u32 = 100_000;

/// A search: trials proposed one after the other, each trained.
#[derive(Debug, Clone)]
pub struct SearchSpec {
    /// Its parameters.
    pub own: SearchParams,
    /// How a trial is trained.
    pub trial: TrainSpec,
    /// A stage that brings in trials of another search, which count as earlier ones of this: `pipe import-trials` writes them.
    pub imported: Option<String>,
}

/// The parameters of a search beside its trial.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchParams {
    /// How many trials there are; fewer if the space has fewer points. `Grid` needs no number, and `Hyperband` and
    /// `SuccessiveHalving` say it themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trials: Option<u32>,
    /// How many trials at the end a proposal does not know the scores of: so many can run side by side. Default: 8.
    #[serde(default = "lag::value", skip_serializing_if = "lag::is")]
    pub lag: u32,
    /// Default: `Tpe`.
    #[serde(default = "sampler_or_tpe::value", skip_serializing_if = "sampler_or_tpe::is")]
    pub sampler: Sampler,
    /// What is searched.
    pub space: Space,
    /// Labels of the space that have one value in this search.
    #[serde(default, skip_serializing_if = "params::is_default")]
    pub fixed: BTreeMap<String, Value>,
    /// What holds of every proposal.
    #[serde(default, skip_serializing_if = "params::is_default")]
    pub constraints: Vec<Constraint>,
}

pipe_stages::defaults! {
    lag: u32 = 8;
    sampler_or_tpe: Sampler = Sampler::Tpe(Tpe::default());
}

impl SearchSpec {
    fn read(reading: &mut Reading<'_, '_>) -> Option<Self> {
        let node = reading.node;
        let objective = objective(reading);
        reading.form.take("trial");
        let imported = reading.optional_reference("imported");
        let trial = trial(reading, objective);
        let own: SearchParams = reading.rest()?;
        labels::search(node, &own, trial.as_ref(), reading.problems);
        Some(Self { own, trial: trial?, imported: imported? })
    }

    fn from_record(mut fields: Fields) -> Result<Self, serde_json::Error> {
        let mut trial: BTreeMap<String, Value> = fields.take("trial")?;
        let trial = TrainSpec::from_record(Fields(trial.remove(train::NAME).unwrap_or_default()))?;
        let imported = fields.take("imported")?;
        let own: SearchParams = fields.rest()?;
        if own.space.with_fixed(&own.fixed).is_err() {
            return Err(serde_json::Error::custom("`fixed` does not fit the space"));
        }
        Ok(Self { own, trial, imported })
    }

    /// Returns the space that is searched: without the labels that are fixed.
    ///
    /// # Panics
    /// If a fixed label does not fit, which both ways of reading a pipeline refuse.
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

    /// Returns how many trials each point of the space has.
    fn repeats(&self) -> u32 {
        if let Sampler::Grid(grid) = &self.own.sampler { grid.repeats } else { 1 }
    }

    /// Returns how many trials there are, and what is said where those are fewer than were asked for.
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

impl StageSpec for SearchSpec {
    fn kind(&self) -> &'static StageKind {
        &KIND
    }

    fn reads(&self) -> Vec<&str> {
        self.trial.reads().into_iter().chain(self.imported.as_deref()).collect()
    }

    fn fields(&self) -> Value {
        let imported = self.imported.as_ref().map(|name| ("imported", json!(name)));
        let trial = ("trial", json!({ train::NAME: self.trial.fields() }));
        with(&self.own, imported.into_iter().chain([trial]))
    }

    fn check(&self, here: &Here<'_, '_>, problems: &mut Vec<Problem>) {
        let mode = ["maximise", "minimise"].into_iter().find_map(|mode| here.node.field(mode));
        let at = mode.map_or(here.name, |field| field.value.span);
        self.trial.check_objective(at, here.stages, problems);
        let trial = here.node.field("trial").map_or(here.node, |field| &field.value);
        self.trial.check_network(trial, here.stages, problems);
    }

    fn expand(&self, name: &str, plan: &mut Expansion<'_>) -> usize {
        unroll::unroll(self, name, plan)
    }

    fn training<'s>(&'s self, _: &'s Stages) -> Option<&'s TrainSpec> {
        Some(&self.trial)
    }
}

/// Takes what a search goes for, which is what its trials are scored by.
fn objective<'n>(reading: &mut Reading<'_, 'n>) -> Option<(Objective, &'n Node)> {
    let node = reading.node;
    let given = ["maximise", "minimise"].map(|mode| (mode, reading.form.take(mode)));
    let mut given = given.into_iter().filter_map(|(mode, value)| Some((mode, value?)));
    let (mode, value) = given.next()?;
    if given.next().is_some() {
        let at = node.field("minimise").map_or(node.span, |field| field.key_span);
        reading.problems.push(Problem::at(at, "both `maximise` and `minimise`").help("remove one of the two"));
    }
    let at = &node.field(mode)?.value;
    let objective = explain::read(node, json!({ mode: value }), &[], reading.problems)?;
    Some((objective, at))
}

fn trial(reading: &mut Reading<'_, '_>, objective: Option<(Objective, &Node)>) -> Option<TrainSpec> {
    let node = reading.node;
    match node.field("trial").map(|field| &field.value) {
        None => {
            let problem = Problem::at(name_of(node), "missing field `trial`");
            reading.problems.push(problem.expected("`trial: Train(data: \"..\", model: .., epochs: ..)`"));
            None
        }
        Some(trial) if trial.name() == Some(train::NAME) => {
            let mut inner = reading.inner(trial);
            inner.refuse_test_split();
            if let Some(own) = trial.field("objective").filter(|_| objective.is_some()) {
                let problem = Problem::at(own.key_span, "the search says already what its trials go for");
                inner.problems.push(problem.help("remove `objective`, or the search's `maximise` or `minimise`"));
            }
            TrainSpec::read(&mut inner, objective)
        }
        Some(trial) => {
            let problem = Problem::at(name_of(trial), format!("`trial`: found {}", trial.described()));
            reading.problems.push(problem.expected("`Train(..)`"));
            None
        }
    }
}
