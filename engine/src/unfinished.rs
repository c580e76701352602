//! Studies that are being run, or were stopped before their end, as far as they go.
//!
//! A run notes its pipeline in its log. From that and from the results in the store follows what is done. So a study can be looked at on
//! any machine that sees the store, while it runs and after a kill.

use std::collections::{BTreeMap, BTreeSet};

use pipe_store::{ActionKey, ActionResult, Digest, RunLog, Store};

use crate::{
    pipeline::{
        expand::{Downloads, expand},
        spec::Pipeline,
    },
    run::outlook::Outlook,
    study::{self, Found, OpenRun, Outcome, Study, StudyError, StudyNode},
};

/// Returns the study that `text` names, as [`study::find`] does. If a run of that name has no study yet, it counts as the latest one
/// and has the nodes that are done. Without `text`, returns what was begun last.
///
/// # Errors
/// As for [`study::find`].
pub fn find(store: &Store, text: Option<&str>) -> Result<Found, StudyError> {
    match begun(store, text)?.map(|run| so_far(store, &run)).transpose()?.flatten() {
        Some(found) => Ok(found),
        None => study::find(store, text),
    }
}

/// Returns the names of the nodes of the study that `text` names, sorted, also of those that are not done yet. No result is looked up.
///
/// # Errors
/// As for [`find`].
pub fn names(store: &Store, text: Option<&str>) -> Result<Vec<String>, StudyError> {
    match begun(store, text)?.and_then(|run| pipeline_of(store, &run)) {
        Some((_, pipeline)) => {
            let plan = expand(&pipeline, &Downloads::default());
            let names: BTreeSet<_> = plan.nodes.into_iter().map(|node| node.name).collect();
            Ok(names.into_iter().collect())
        }
        None => Ok(study::find(store, text)?.study.nodes.into_keys().collect()),
    }
}

/// Returns the unfinished run of the study that `text` names, or the one that was begun last, if no study was recorded after it.
fn begun(store: &Store, text: Option<&str>) -> Result<Option<RunLog>, StudyError> {
    let latest = match text {
        Some(_) => None,
        None => study::list(store)?.into_iter().map(|(_, entry)| entry.at).max(),
    };
    let is_meant = |run: &RunLog| match text {
        Some(name) => run.study_name == name,
        None => !run.study_name.is_empty() && latest.is_none_or(|latest| seconds(run) >= latest),
    };
    Ok(store.readable_runs()?.into_iter().filter(is_meant).max_by_key(|run| run.started))
}

/// Returns the pipeline of a run with the digest of its record. `None` if its log does not say what it runs, as that of an older version.
fn pipeline_of(store: &Store, run: &RunLog) -> Option<(Digest, Pipeline)> {
    run.objects.iter().filter_map(|object| Some((*object, pipeline(store, object)?))).next_back()
}

/// Returns what the unfinished runs of the store have done so far, by name.
///
/// # Errors
/// If the logs or what they name cannot be read.
pub fn all(store: &Store) -> Result<Vec<Found>, StudyError> {
    let mut latest: BTreeMap<String, RunLog> = BTreeMap::new();
    for run in store.readable_runs()? {
        if !run.study_name.is_empty() && latest.get(&run.study_name).is_none_or(|known| known.started <= run.started) {
            latest.insert(run.study_name.clone(), run);
        }
    }
    Ok(latest.values().map(|run| so_far(store, run)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn seconds(run: &RunLog) -> u64 {
    run.started.duration_since(std::time::SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Returns what a run has done so far. `None` if its log does not say what it runs.
fn so_far(store: &Store, run: &RunLog) -> Result<Option<Found>, StudyError> {
    let Some((digest, mut pipeline)) = pipeline_of(store, run) else { return Ok(None) };
    pipeline.name.clone_from(&run.study_name);
    let plan = expand(&pipeline, &Downloads::default());
    let wanted: BTreeSet<usize> = (0..plan.nodes.len()).collect();
    let outlook = Outlook::of_run(store, &plan, &wanted, None, &BTreeSet::new())?;
    let mut nodes = BTreeMap::new();
    for (name, index, prospect) in outlook.iter() {
        let Some(key) = prospect.key else { continue };
        let Some(result) = store.result(&key)? else { continue };
        let node = &plan.nodes[index];
        let outcome = match result {
            ActionResult::Tree(tree) => Outcome::Tree(tree),
            ActionResult::Failure(failure) => Outcome::Failure(failure.message),
        };
        let stage = node.stage.id().name.to_owned();
        nodes.insert(name.to_owned(), StudyNode { stage, part_of: node.part_of.clone(), action: Some(key.0), outcome });
    }
    let study = Study::new(digest, Vec::new(), nodes);
    let mut parts = BTreeMap::new();
    for (_, node) in plan.nodes.iter().enumerate().filter(|(index, _)| !outlook.leaves_out(*index)) {
        *parts.entry(node.part_of.clone()).or_default() += 1;
    }
    let open = OpenRun { run: run.id.clone(), running: run.running, started: seconds(run), parts };
    Ok(Some(Found { name: Some(run.study_name.clone()), hash: study.hash(), study, open: Some(open) }))
}

/// Returns the key of the action of a node that has no result yet. `None` if it is not known, or the run is over.
pub fn key_of(store: &Store, found: &Found, name: &str) -> Option<ActionKey> {
    found.open.as_ref()?;
    let pipeline = found.study.read_pipeline(store).ok()?;
    let plan = expand(&pipeline, &Downloads::default());
    let index = plan.nodes.iter().position(|node| node.name == name)?;
    let wanted = plan.with_ancestors(&BTreeSet::from([index]));
    let outlook = Outlook::of_run(store, &plan, &wanted, None, &BTreeSet::new()).ok()?;
    outlook.get(index)?.key
}

/// Returns the pipeline that an object is, if it is one.
fn pipeline(store: &Store, object: &Digest) -> Option<Pipeline> {
    let bytes = store.read_record(object).ok()?;
    Pipeline::from_record(&bytes).ok()
}
