//! A study as it stands now, for a page that shows it while it runs.

use std::collections::BTreeMap;

use pipe_engine::{
    run::live::{self, LiveRun},
    study::{Found, Outcome},
};
use pipe_store::{Digest, Store};
use serde::Serialize;
use serde_json::Value;

use crate::{
    ViewError,
    findings::Findings,
    show,
    trials::{TrialRow, table},
};

/// A study as it stands now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct State {
    pub name: Option<String>,
    /// `complete`, `failed`, `running` or `stopped`.
    pub status: &'static str,
    /// The study hash, if the study has come to its end.
    pub study: Option<Digest>,
    /// When it was begun, in seconds since 1970, if it has not come to its end.
    pub started: Option<u64>,
    /// The nodes that have an outcome, and all nodes.
    pub done: usize,
    pub planned: usize,
    /// The stages of the pipeline. Each comes after those that it reads from.
    pub stages: Vec<StageState>,
    /// What is going on, if it is running.
    pub live: Option<LiveRun>,
    /// The trials with an outcome, by search and number.
    pub trials: Vec<TrialState>,
    /// What was found so far, as lines.
    pub findings: Vec<String>,
}

/// A stage of the pipeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageState {
    pub name: String,
    /// `Train`
    pub kind: &'static str,
    /// The stages that it reads from.
    pub reads: Vec<String>,
    /// How many stages there are on the longest way to it.
    pub depth: usize,
    /// Its nodes that have outputs, that have none although they have an outcome, that are being executed, and all.
    pub done: usize,
    pub failed: usize,
    pub running: usize,
    pub planned: usize,
}

/// A trial, as a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrialState {
    pub search: String,
    pub index: u32,
    pub node: String,
    pub status: String,
    pub best: bool,
    pub metric: Option<String>,
    /// None if it has none, or it is not a number.
    pub value: Option<f64>,
    /// The number that the search minimises.
    pub loss: Option<f64>,
    pub hyperparameters: BTreeMap<String, Value>,
    pub reason: Option<String>,
}

impl State {
    /// Returns how a study stands.
    ///
    /// # Errors
    /// If a record of the study cannot be read.
    pub fn of(store: &Store, found: &Found) -> Result<Self, ViewError> {
        let open = found.open.as_ref();
        let live = open.filter(|open| open.running).and_then(|open| live::of(store, &open.run));
        Ok(Self {
            name: found.name.clone(),
            status: show::status(found),
            study: open.is_none().then_some(found.hash),
            started: open.map(|open| open.started),
            done: found.study.nodes.len(),
            planned: open.map_or(found.study.nodes.len(), |open| open.planned()),
            stages: stages(store, found, live.as_ref())?,
            live,
            trials: table(store, &found.study)?.into_iter().map(trial).collect(),
            findings: Findings::of(store, found)?.lines(),
        })
    }
}

fn stages(store: &Store, found: &Found, live: Option<&LiveRun>) -> Result<Vec<StageState>, ViewError> {
    let pipeline = found.study.read_pipeline(store)?;
    let mut all: Vec<StageState> = Vec::new();
    for (name, spec) in pipeline.stages.in_order() {
        let nodes = || found.study.nodes.values().filter(|node| node.part_of == name);
        let done = nodes().filter(|node| matches!(node.outcome, Outcome::Tree(_))).count();
        let belongs = |node: &str| node == name || node.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
        let running = live.map_or(0, |live| live.nodes.iter().filter(|node| belongs(&node.node)).count());
        let reads: Vec<String> = spec.reads().into_iter().map(str::to_owned).collect();
        let before = all.iter().filter(|stage| reads.contains(&stage.name)).map(|stage| stage.depth + 1);
        all.push(StageState {
            name: name.to_owned(),
            kind: spec.kind().name,
            depth: before.max().unwrap_or(0),
            reads,
            done,
            failed: nodes().count() - done,
            running,
            planned: found.open.as_ref().map_or(nodes().count(), |open| open.parts.get(name).copied().unwrap_or(0)),
        });
    }
    Ok(all)
}

fn trial(row: TrialRow) -> TrialState {
    let finite = |x: Option<pipe_stages::params::Float>| x.map(|x| x.0).filter(|x| x.is_finite());
    TrialState {
        value: finite(row.value),
        loss: finite(row.loss),
        search: row.search,
        index: row.index,
        node: row.node,
        status: row.status,
        best: row.best,
        metric: row.metric,
        hyperparameters: row.labels,
        reason: row.reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Builder;

    #[test]
    fn a_study_has_its_stages_in_order_and_its_trials() {
        let (store, study) = Builder::whole(4).done();
        let found = Found { name: Some("shapes".into()), hash: study.hash(), study, open: None };
        let state = State::of(&store, &found).unwrap();
        assert_eq!((state.status, state.done, state.planned), ("complete", found.study.nodes.len(), state.done));
        assert_eq!(state.trials.len(), 4);
        assert_eq!(state.trials.iter().filter(|trial| trial.best).count(), 1);
        let search = state.stages.iter().find(|stage| stage.kind == "Search").unwrap();
        assert_eq!((search.done, search.failed, search.running), (search.planned, 0, 0));
        for stage in &state.stages {
            let sources = state.stages.iter().filter(|source| stage.reads.contains(&source.name));
            assert!(sources.clone().all(|source| source.depth < stage.depth), "{stage:?}");
            assert_eq!(sources.count(), stage.reads.len());
        }
        assert!(!state.findings.is_empty() && state.live.is_none());
    }
}
