//! Expands a search: for each trial a proposal, a training and a link of the history. See ARCHITECTURE.md.

use std::sync::Arc;

use pipe_stages::{
    StageName,
    history::History,
    params::Hyper,
    promote::Promote,
    propose::Propose,
    records::{HistoryLink, ParametersLink, Proposal, Record, Score, SplitRecord},
    select::Select,
    split::Split,
};

use super::params::SearchSpec;
use crate::{
    names::{selection_node, trial_node},
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
    plan.notes.extend(note.map(|note| format!("{name}: {note}")));
    let sampler = &search.own.sampler;
    let repeats = search.repeats();
    let shared = search.trial.inputs(name, plan);
    let horizon = match search.trial.epochs() {
        Some(Hyper::Value(epochs)) => Some(epochs),
        _ => None,
    };
    let (training, training_params) = search.trial.with_epochs(None, horizon);
    let (executes, how) = (search.trial.stage_name(), search.trial.how());
    // Made once, because serialising the space is most of the work of expanding a long search.
    let propose = |trial| Propose {
        trial,
        space: search.space(),
        constraints: search.own.constraints.clone(),
        sampler: sampler.clone(),
    };
    let proposal_params = plain(&propose(0));
    let imported = search.imported.as_ref().map(|from| ("imported", plan.node_of(from), "archive"));
    let rungs = rungs(search);
    let (mut proposals, mut history): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut trainings = Vec::new();
    for trial in 0..n_trials {
        let node = |stage| trial_node(name, stage, trial);
        let previous = proposals.last().map(|last| ("previous", *last, ParametersLink::FILE));
        let rung = rungs.get(trial as usize).copied();
        let proposal = if let Some((first, last, rank)) = rung.and_then(|rung| rung.promoted) {
            let seen = ("history", history[last as usize], HistoryLink::FILE);
            let promote = Promote { trial, rung: (first, last), rank };
            plan.add(&node(StageName::Promote), name, promote, previous.into_iter().chain([seen]), 0)
        } else {
            // It knows the scores of trials 0 to i - lag. Later trials are pending and count as the worst.
            let seen = trial.checked_sub(search.own.lag);
            let seen = seen.map(|last| ("history", history[last as usize], HistoryLink::FILE));
            let mut inputs: Vec<_> = previous.into_iter().chain(imported).collect();
            let before = rung.and_then(|rung| rung.learns_from);
            if let (Some(rule), Some((first, last))) = (sampler.split_of_brackets(), before) {
                // All of a first rung know the same scores, so that its trials can run side by side.
                let seen = [("history", history[last as usize], HistoryLink::FILE)].into_iter().chain(imported);
                let split = plan.add(&node(StageName::Split), name, Split { trial, rule, left_out: first }, seen, 0);
                inputs.push(("split", split, SplitRecord::FILE));
            } else if let Some(rule) = sampler.split(trial, imported.is_some()) {
                let seen = seen.into_iter().chain(imported);
                let split = plan.add(&node(StageName::Split), name, Split { trial, rule, left_out: 0 }, seen, 0);
                inputs.push(("split", split, SplitRecord::FILE));
            } else if sampler.reads_history(trial, imported.is_some()) {
                inputs.extend(seen);
            }
            let mut params = proposal_params.clone();
            params["trial"] = trial.into();
            plan.push(&node(StageName::Propose), name, Arc::new(propose(trial)), Arc::new(params), inputs, 0)
        };
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
        let inputs = previous.into_iter().chain([("score", train, Score::FILE)]);
        history.push(plan.add(&node(StageName::History), name, History { trial, failure: None }, inputs, 0));
    }
    plan.searches.push(SearchTrials { name: name.to_owned(), lag: search.own.lag as usize, nodes: trainings });
    let last = |nodes: &[usize]| *nodes.last().expect("a search has a trial");
    let inputs =
        [("history", last(&history), HistoryLink::FILE), ("parameters", last(&proposals), ParametersLink::FILE)];
    plan.add(&selection_node(name), name, Select { repeats }, inputs, 0)
}
