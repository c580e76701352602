//! Expands a search: for each trial a proposal, a training and a link of the history. See ARCHITECTURE.md.

use std::{collections::BTreeMap, sync::Arc};

use pipe_stages::{
    StageName,
    history::History,
    known::Known,
    network::training::Objective,
    params::Hyper,
    promote::Promote,
    propose::Propose,
    records::{HistoryLink, ImportedTrials, ParametersLink, Proposal, Record, Score, SplitRecord, TrialRecord},
    search::Stopping,
    select::Select,
    split::Split,
    stop::Stop,
};

use super::params::SearchSpec;
use crate::{
    names::{known_node, selection_node, trial_node},
    pipeline::stage::{Expansion, plain},
    plan::SearchTrials,
};

/// The rung of a trial.
#[derive(Debug, Clone, Copy)]
struct RungOf {
    epochs: u32,
    /// The first and the last trial of the rung before, and the rank, from 0 for the best, of the one among them that this
    /// trial continues. `None` on the first rung.
    promoted: Option<(u32, u32, u32)>,
    /// The first and the last trial of the first rung of the bracket before, if this is a trial of a first rung.
    learns_from: Option<(u32, u32)>,
}

/// Returns the rung of each trial. Empty if the sampler has no rungs. The first rungs of all brackets come first, then the
/// second ones, so that no bracket waits for the end of another.
fn rungs(search: &SearchSpec) -> Vec<RungOf> {
    let brackets = search.brackets().unwrap_or_default();
    let mut rungs: Vec<RungOf> = Vec::new();
    // The first and the last trial of the rung before, for each bracket.
    let mut before: Vec<Option<(u32, u32)>> = vec![None; brackets.len()];
    let mut learns_from = None;
    for depth in 0..brackets.iter().map(Vec::len).max().unwrap_or(0) {
        for (bracket, before) in brackets.iter().zip(&mut before) {
            let Some(rung) = bracket.get(depth) else { continue };
            let first = rungs.len() as u32;
            let promoted = |rank| before.map(|(first, last)| (first, last, rank));
            let of = |rank| RungOf { epochs: rung.epochs, promoted: promoted(rank), learns_from };
            rungs.extend((0..rung.trials).map(of));
            *before = Some((first, first + rung.trials - 1));
            learns_from = before.filter(|_| depth == 0);
        }
    }
    rungs
}

/// Adds the nodes of a search, and returns the index of the one that selects the best trial. If the sampler reads scores, a
/// proposal reads the history, or the split made from it, up to the last trial that it may know.
pub(super) fn unroll(search: &SearchSpec, name: &str, plan: &mut Expansion<'_>) -> usize {
    let (n_trials, note) = search.n_trials();
    plan.notes.extend(search.advice().into_iter().chain(note).map(|note| format!("{name}: {note}")));
    let sampler = &search.own.sampler;
    let repeats = search.repeats();
    let shared = search.trial.inputs(name, plan);
    let horizon = match search.trial.epochs() {
        Some(Hyper::Value(epochs)) => Some(epochs),
        _ => None,
    };
    let (training, training_params) = search.trial.with_epochs(None, horizon);
    let (executes, how) = (search.trial.stage_name(), search.trial.how());
    let limited = (!search.own.limits.is_empty()).then(|| search.trial.limited(&search.own.limits, plan)).flatten();
    // Made once, because serialising the space is most of the work of expanding a long search.
    // The trials of a grid know their repetitions themselves.
    let together = if sampler.repeats() > 1 { 1 } else { repeats };
    let (space, constraints) = (search.space(), search.constraints());
    let first =
        |trial: u32| search.own.first.get((trial / together) as usize).filter(|_| trial.is_multiple_of(together));
    let propose = |trial| Propose {
        trial,
        space: space.clone(),
        constraints: constraints.clone(),
        limits: limited.as_ref().map(|(limited, _)| limited.clone()),
        given: first(trial).cloned().unwrap_or_default(),
        repeats: if together > 1 { together } else { 0 },
        sampler: sampler.clone(),
    };
    let proposal_params = plain(&propose(u32::MAX));
    let imported = search.imported.as_ref().map(|from| ("imported", plan.node_of(from), "archive"));
    let known = search.known.as_ref().map(|known| {
        let known = Known { trials: known.trials.clone() };
        ("imported", plan.add(&known_node(name), name, known, [], 0), ImportedTrials::FILE)
    });
    let imported = imported.or(known);
    let rungs = rungs(search);
    let (mut proposals, mut history): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    let stop = search.stop();
    let mut stops = BTreeMap::new();
    let mut goes_on = None;
    let mut trainings = Vec::new();
    for trial in 0..n_trials {
        let node = |stage| trial_node(name, stage, trial);
        let seen = trial.checked_sub(search.own.lag);
        // The repetitions of a point stay together.
        if let (Some(stop), Some(last)) = (&stop, seen)
            && trial.is_multiple_of(repeats)
        {
            let scores = [("history", history[last as usize], HistoryLink::FILE)];
            let links = stop.space.as_ref().map(|_| ("parameters", proposals[last as usize], ParametersLink::FILE));
            let decides = plan.add(&node(StageName::Stop), name, stop.clone(), scores.into_iter().chain(links), 0);
            plan.wait(decides, goes_on);
            stops.insert(decides, trial);
            goes_on = Some(decides);
        }
        let previous = proposals.last().map(|last| ("previous", *last, ParametersLink::FILE));
        let rung = rungs.get(trial as usize).copied();
        let proposal = if let Some((first, last, rank)) = rung.and_then(|rung| rung.promoted) {
            let seen = ("history", history[last as usize], HistoryLink::FILE);
            let promote = Promote { trial, rung: (first, last), rank };
            plan.add(&node(StageName::Promote), name, promote, previous.into_iter().chain([seen]), 0)
        } else {
            // It knows the scores of trials 0 to i - lag. Later trials are pending and count as the worst.
            let seen = seen.map(|last| ("history", history[last as usize], HistoryLink::FILE));
            let mut inputs: Vec<_> =
                previous.into_iter().chain(imported).chain(limited.as_ref().map(|(_, labels)| *labels)).collect();
            let point = trial / together;
            let given = first(trial);
            let before = rung.and_then(|rung| rung.learns_from);
            if !trial.is_multiple_of(together) || given.is_some() {
                // It repeats a proposal, or is given.
            } else if let (Some(rule), Some((left_out, last))) = (sampler.split_of_brackets(), before) {
                // All of a first rung know the same scores, so that its trials can run side by side.
                let seen = [("history", history[last as usize], HistoryLink::FILE)].into_iter().chain(imported);
                let split = Split { trial, rule, left_out, repeats: 0 };
                let split = plan.add(&node(StageName::Split), name, split, seen, 0);
                plan.wait(split, goes_on);
                inputs.push(("split", split, SplitRecord::FILE));
            } else if let Some(rule) = sampler.split(point, imported.is_some()) {
                let seen = seen.into_iter().chain(imported);
                let split = Split { trial, rule, left_out: 0, repeats: if together > 1 { together } else { 0 } };
                let split = plan.add(&node(StageName::Split), name, split, seen, 0);
                plan.wait(split, goes_on);
                inputs.push(("split", split, SplitRecord::FILE));
            } else if sampler.reads_history(point, imported.is_some()) {
                inputs.extend(seen);
            }
            let mut params = proposal_params.clone();
            params["trial"] = trial.into();
            if let Some(given) = given {
                params["given"] = plain(given);
            }
            plan.push(&node(StageName::Propose), name, Arc::new(propose(trial)), Arc::new(params), inputs, 0)
        };
        plan.wait(proposal, goes_on);
        proposals.push(proposal);

        let inputs = shared.iter().chain([("proposal", proposal, Proposal::FILE)]);
        let repeat = u64::from(trial % repeats);
        let (stage, params) = match rung {
            None => (training.clone(), training_params.clone()),
            Some(rung) => search.trial.with_epochs(Some(rung.epochs), horizon),
        };
        let train = plan.push(&node(executes), name, stage, params, inputs, repeat);
        if let Some(how) = &how {
            plan.run_as(train, how);
        }

        trainings.push(train);
        let previous = history.last().map(|last| ("previous", *last, HistoryLink::FILE));
        let record = (!search.others.is_empty()).then_some(("trial", train, TrialRecord::FILE));
        let inputs = previous.into_iter().chain([("score", train, Score::FILE)]).chain(record);
        let link = History { trial, failure: None, others: search.others.clone() };
        history.push(plan.add(&node(StageName::History), name, link, inputs, 0));
    }
    let last = |nodes: &[usize]| *nodes.last().expect("a search has a trial");
    let inputs =
        [("history", last(&history), HistoryLink::FILE), ("parameters", last(&proposals), ParametersLink::FILE)];
    let select =
        plan.add(&selection_node(name), name, Select { repeats, by_bound: together > 1, pick: None }, inputs, 0);
    let links = proposals.iter().zip(&history).map(|(proposal, history)| [*proposal, *history]).collect();
    let (name, lag) = (name.to_owned(), search.own.lag as usize);
    plan.searches.push(SearchTrials { name, lag, nodes: trainings, stops, links, select });
    select
}

impl SearchSpec {
    /// Returns the stage that decides whether the search goes on. `None` if it always does.
    fn stop(&self) -> Option<Stop> {
        let rules = self.own.stop.clone();
        let reads_parameters = rules.0.iter().any(|rule| matches!(rule, Stopping::RegretBound(_)));
        let repeats = self.repeats();
        (!rules.0.is_empty()).then(|| Stop {
            rules,
            maximise: matches!(self.trial.objective(), Some(Objective::Maximise(_))),
            repeats: if repeats > 1 { repeats } else { 0 },
            space: reads_parameters.then(|| self.space()),
        })
    }
}
