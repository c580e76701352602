//! What a search knows from earlier studies of the same name, if it says `remember: true`.
//!
//! What is known becomes part of the pipeline's record, and so of the question that the study answers. It is decided from the studies
//! that the store has of the name:
//!
//! - If one of them had this search as it is written now, except for its number of trials, it is the same question: what it knew is
//!   known again. So running a file again gives the study hash that it gave before, and a longer search goes on.
//! - Otherwise, the trials of the latest study that had the search count, with what that one knew, as far as the space could have
//!   proposed them. Their scores must mean the same: the trial and everything that it reads must be as they are now.

use std::collections::BTreeMap;

use pipe_stages::{
    params::Float,
    records::{self, Imported, Proposal, Record, Score, Status},
    search::Length,
};
use pipe_store::{Digest, ObjectSource, RefKind, Store};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    pipeline::{
        spec::Pipeline,
        stages::search::{Remembered, SearchSpec},
    },
    study::{Named, Study, StudyError, tree_of},
};

/// Adds what is known from earlier studies to the searches of a pipeline that ask for it. Returns what to tell the user.
///
/// # Errors
/// If the store cannot be read. An earlier study that cannot be read only means that less is known.
pub fn remember(store: &Store, pipeline: &mut Pipeline) -> Result<Vec<String>, StudyError> {
    let mut notes = Vec::new();
    let searches: Vec<(String, SearchSpec)> =
        pipeline.stages.of_type::<SearchSpec>().map(|(name, spec)| (name.to_owned(), spec.clone())).collect();
    let searches = searches.into_iter().filter(|(_, spec)| spec.imported.is_none() && models(spec));
    let mut earlier = None;
    for (name, mut spec) in searches {
        // Most pipelines have no earlier study, and some no search.
        if earlier.is_none() {
            earlier = Some(studies(store, &pipeline.name)?);
        }
        let earlier = earlier.as_deref().unwrap_or_default();
        let Some(found) = known(store, pipeline, earlier, &name, &spec) else { continue };
        let n = found.trials.len();
        if spec.own.remember {
            notes.push(format!("{name}: {n} of {} trials are known to the new space", found.of));
            spec.known = (n > 0).then_some(found);
            pipeline.stages.replace(&name, spec);
        } else if n > 0 {
            notes.push(format!(
                "{name}: the space has changed, and {n} of {} trials fit it: with `remember: true` the sampler knows them",
                found.of
            ));
        }
    }
    Ok(notes)
}

/// Returns whether the sampler learns from trials.
fn models(spec: &SearchSpec) -> bool {
    spec.own.sampler.startup().is_some() && spec.own.sampler.length() == Length::Given
}

/// The studies of a name, the newest first, each with its pipeline.
fn studies(store: &Store, name: &str) -> Result<Vec<(Study, Pipeline)>, StudyError> {
    let log = store.ref_log(RefKind::Studies, name)?;
    let load = |digest: &Digest| {
        let study = Study::load(store, digest).ok()?;
        let pipeline = study.read_pipeline(store).ok()?;
        Some((study, pipeline))
    };
    Ok(log.iter().rev().filter_map(|entry| load(&entry.digest)).collect())
}

/// Returns what the search `name` knows. `None` if there is no earlier study of it whose scores mean the same, or if the space is as
/// it was and nothing is asked for.
fn known(
    store: &Store,
    pipeline: &Pipeline,
    earlier: &[(Study, Pipeline)],
    name: &str,
    spec: &SearchSpec,
) -> Option<Remembered> {
    let with_search = || {
        earlier
            .iter()
            .filter_map(move |(study, pipeline)| Some((study, pipeline, pipeline.stages.get_as::<SearchSpec>(name)?)))
    };
    let question = question(pipeline, spec);
    if let Some((.., same)) = with_search().find(|(_, pipeline, before)| self::question(pipeline, before) == question) {
        return same.known.clone();
    }
    let (study, pipeline_before, before) = with_search().next()?;
    let is_comparable = before.own.sampler.length() != Length::Brackets
        && before.scored_by(&pipeline_before.stages) == spec.scored_by(&pipeline.stages);
    if !is_comparable || (!spec.own.remember && before.own.space == spec.own.space) {
        return None;
    }
    let mut trials = before.known.as_ref().map(|known| known.trials.clone()).unwrap_or_default();
    trials.extend(trials_of(store, study, name, before.repeats() as usize));
    let of = trials.len();
    let space = spec.space();
    let mut fitting: Vec<Imported> = Vec::new();
    for trial in trials.into_iter().filter_map(|trial| without_fixed(trial, &spec.own.fixed)) {
        let Ok(trial) = trial.of_space(&space) else { continue };
        if fitting.iter().all(|known| known.labels != trial.labels) {
            fitting.push(trial);
        }
    }
    Some(Remembered { of, trials: fitting })
}

/// Returns what a search asks, without its number of trials and what it knows.
fn question(pipeline: &Pipeline, spec: &SearchSpec) -> Value {
    let mut own = serde_json::to_value(&spec.own).expect("parameters are plain data");
    if let Some(own) = own.as_object_mut() {
        own.remove("trials");
    }
    json!([pipeline.head(), own, spec.imported, spec.scored_by(&pipeline.stages)])
}

/// Returns the trials of a search that have a result. `repeats` trials in a row are one, with the mean of their scores.
fn trials_of(store: &Store, study: &Study, search: &str, repeats: usize) -> Vec<Imported> {
    let all: Vec<_> = study.trials(search).collect();
    let point = |point: &[crate::study::Trial<'_>]| {
        let labels = read::<Proposal>(store, point[0].proposal)?.labels;
        let scores = point.iter().map(|trial| read::<Score>(store, trial.training)).collect::<Option<Vec<_>>>()?;
        let status = scores.iter().map(|score| score.status).find(|status| *status != Status::Completed);
        let mean = scores.iter().map(|score| score.loss.0).sum::<f64>() / scores.len() as f64;
        let loss = if status.is_some() { f64::INFINITY } else { mean };
        Some(Imported { labels, loss: Float(loss), status: status.unwrap_or(Status::Completed) })
    };
    all.chunks(repeats.max(1)).filter_map(point).collect()
}

fn read<R: Record + DeserializeOwned>(store: &Store, node: Option<Named<'_>>) -> Option<R> {
    let tree = tree_of(store, node?.1).ok()??;
    let file = tree.files.get(R::FILE)?;
    records::read(&store.read(&file.digest).ok()?).ok()
}

/// Returns a trial without the labels that are fixed now. `None` if it had other values.
fn without_fixed(mut trial: Imported, fixed: &BTreeMap<String, Value>) -> Option<Imported> {
    for (label, value) in fixed {
        if let Some(found) = trial.labels.remove(label)
            && found != *value
            && (found.as_f64().is_none() || found.as_f64() != value.as_f64())
        {
            return None;
        }
    }
    Some(trial)
}
