//! Studies that are being run, or were stopped before their end, as far as they go.
//!
//! A run notes its pipeline in its log. From that and from the results in the store follows what is done. So a study can be looked at on
//! any machine that sees the store, while it runs and after a kill.

use std::collections::{BTreeMap, BTreeSet};

use pipe_store::{ActionResult, Digest, RunLog, Store};

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
    let open = store.readable_runs()?;
    let of_name = |name: &str| open.iter().filter(|run| run.study_name == name).max_by_key(|run| run.started);
    let begun = match text {
        Some(name) => of_name(name),
        None => {
            let latest = study::list(store)?.into_iter().map(|(_, entry)| entry.at).max();
            let is_later = |run: &&RunLog| latest.is_none_or(|latest| seconds(run) >= latest);
            open.iter().filter(|run| !run.study_name.is_empty()).filter(is_later).max_by_key(|run| run.started)
        }
    };
    match begun.map(|run| so_far(store, run)).transpose()?.flatten() {
        Some(found) => Ok(found),
        None => study::find(store, text),
    }
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

/// Returns what a run has done so far. `None` if its log does not say what it runs, as that of an older version.
fn so_far(store: &Store, run: &RunLog) -> Result<Option<Found>, StudyError> {
    let mut pipelines = run.objects.iter().filter_map(|object| Some((*object, pipeline(store, object)?)));
    let Some((digest, mut pipeline)) = pipelines.next_back() else { return Ok(None) };
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
    let open = OpenRun { run: run.id.clone(), running: run.running, started: seconds(run), planned: plan.nodes.len() };
    Ok(Some(Found { name: Some(run.study_name.clone()), hash: study.hash(), study, open: Some(open) }))
}

/// Returns the pipeline that an object is, if it is one.
fn pipeline(store: &Store, object: &Digest) -> Option<Pipeline> {
    let bytes = store.read_record(object).ok()?;
    Pipeline::from_record(&bytes).ok()
}
