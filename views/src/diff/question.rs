//! Differences between the pipelines and actions of two studies, and the nodes that they affect.

use std::collections::{BTreeMap, BTreeSet};

use pipe_engine::{
    action::Action,
    leaves::{Change, changes},
    pipeline::{
        spec::Pipeline,
        stage::{StageSpec, Stages},
    },
    run::why::FileChanges,
    study::{Study, action},
};
use pipe_store::Store;
use serde::Serialize;
use serde_json::Value;

use super::{folders, pair::Pair};
use crate::ViewError;

/// Differences in the inputs of the studies: their pipelines and actions.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Question {
    /// The causes, each with the nodes that it affects.
    pub causes: Vec<Cause>,
    /// The selected stages or nodes of the old and the new study, if they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selection: Option<[Vec<String>; 2]>,
    /// Nodes whose actions differ although no cause affects them, because an input has other bytes.
    pub unexplained: Vec<Follow>,
}

/// Differences in one stage of the pipeline, in settings of the whole study, or in the implementation of a kind of stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cause {
    /// The stage of the pipeline. None if the differences concern several stages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    pub changes: Vec<Change>,
    /// What changed in folders, of which `changes` has the digests of the listings: the path of a change, and its files.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub folders: BTreeMap<String, FileChanges>,
    /// The nodes whose actions differ for this reason, and perhaps also for others.
    pub follows: Vec<Follow>,
}

/// The affected nodes of one kind in one stage of the pipeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Follow {
    pub part_of: String,
    /// The kind of stage: `train`.
    pub stage: String,
    /// The number of nodes that are in both studies, with different actions.
    pub changed: usize,
    /// The number of nodes that are only in the old study.
    pub removed: usize,
    /// The number of nodes that are only in the new study.
    pub added: usize,
}

pub(super) fn compare(store: &Store, old: &Study, new: &Study, pairs: &[Pair<'_>]) -> Result<Question, ViewError> {
    let pairs: Vec<_> = pairs.iter().filter(|pair| pair.has_other_action()).collect();
    // Equal pipelines have the same graph. If no action differs, the graph is not needed.
    let (changes, graph) = if old.pipeline != new.pipeline {
        let (old, new) = (old.read_pipeline(store)?, new.read_pipeline(store)?);
        (pipeline_changes(&old, &new), readers(&[&old.stages, &new.stages]))
    } else if pairs.is_empty() {
        Default::default()
    } else {
        (Vec::new(), readers(&[&new.read_pipeline(store)?.stages]))
    };
    let mut reached = BTreeSet::new();
    let mut causes = Vec::new();
    for (stage, changes) in changes {
        let parts = stage.as_ref().map(|stage| with_readers(stage, &graph));
        let is_meant = |pair: &&&Pair<'_>| parts.as_ref().is_none_or(|parts| parts.contains(&pair.any().part_of));
        let reached_by_it: Vec<_> = pairs.iter().filter(is_meant).copied().collect();
        reached.extend(reached_by_it.iter().map(|pair| pair.name));
        let folders = folders::in_inputs(store, &changes)?;
        causes.push(Cause { stage, changes, folders, follows: follows(&reached_by_it) });
    }
    for (kind, changes) in implementations(store, &pairs)? {
        let of_kind = pairs.iter().filter(|pair| pair.any().stage == kind);
        let parts: BTreeSet<_> = of_kind.flat_map(|pair| with_readers(&pair.any().part_of, &graph)).collect();
        let reached_by_it: Vec<_> = pairs.iter().filter(|pair| parts.contains(&pair.any().part_of)).copied().collect();
        reached.extend(reached_by_it.iter().map(|pair| pair.name));
        causes.push(Cause { stage: None, changes, folders: BTreeMap::new(), follows: follows(&reached_by_it) });
    }
    // Nodes that a selection leaves out are missing in one of the studies.
    let selection = (old.selection != new.selection).then(|| [old.selection.clone(), new.selection.clone()]);
    let unexplained: Vec<_> = pairs.into_iter().filter(|pair| !reached.contains(pair.name)).collect();
    Ok(Question { causes, selection, unexplained: follows(&unexplained) })
}

/// Returns the differences between two pipelines: first in settings of the whole study, then by stage.
fn pipeline_changes(old: &Pipeline, new: &Pipeline) -> Vec<(Option<String>, Vec<Change>)> {
    let mut found = Vec::new();
    let mut whole = Vec::new();
    changes("", Some(&old.head()), Some(&new.head()), &mut whole);
    found.push((None, whole));
    let names: BTreeSet<&str> = old.stages.iter().chain(new.stages.iter()).map(|(name, _)| name).collect();
    for name in names {
        let (old, new) = (old.stages.get(name), new.stages.get(name));
        let mut changed = Vec::new();
        match old.zip(new) {
            Some((old, new)) if old.kind().name == new.kind().name => {
                changes(name, Some(&old.fields()), Some(&new.fields()), &mut changed);
            }
            _ => {
                let [old, new] = [old, new].map(|stage| stage.map(<dyn StageSpec>::record));
                changed.push(Change { path: name.to_owned(), old, new });
            }
        }
        found.push((Some(name.to_owned()), changed));
    }
    found.retain(|(_, changes)| !changes.is_empty());
    found
}

/// Returns the readers of each stage: name -> names of the stages that read it.
fn readers(pipelines: &[&Stages]) -> BTreeMap<String, BTreeSet<String>> {
    let mut readers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (reader, stage) in pipelines.iter().flat_map(|stages| stages.iter()) {
        for name in stage.reads() {
            readers.entry(name.to_owned()).or_default().insert(reader.to_owned());
        }
    }
    readers
}

/// Returns a stage and all stages that read it, directly or through others.
fn with_readers(stage: &str, readers: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![stage.to_owned()];
    while let Some(stage) = open.pop() {
        open.extend(readers.get(&stage).into_iter().flatten().filter(|reader| !found.contains(*reader)).cloned());
        found.insert(stage);
    }
    found
}

/// Returns the differences in the implementation of each kind of stage. One action of each kind is compared, as all nodes of
/// a kind in a study have the same implementation.
fn implementations(store: &Store, pairs: &[&Pair<'_>]) -> Result<BTreeMap<String, Vec<Change>>, ViewError> {
    let mut seen = BTreeSet::new();
    let mut found = BTreeMap::new();
    for pair in pairs {
        let Some((old, new)) = pair.both().and_then(|(old, new)| old.action.zip(new.action)) else { continue };
        let kind = &pair.any().stage;
        if !seen.insert(kind) {
            continue;
        }
        let (old, new) = (action(store, &old)?, action(store, &new)?);
        let facts = |action: &Action| [Some(Value::from(action.version)), action.numerics.clone().map(Value::from)];
        let facts = facts(&old).into_iter().zip(facts(&new)).zip(["version", "numerics"]);
        let changes: Vec<_> = facts
            .filter(|((old, new), _)| old != new)
            .map(|((old, new), fact)| Change { path: format!("{fact} of {kind}"), old, new })
            .collect();
        if !changes.is_empty() {
            found.insert(kind.clone(), changes);
        }
    }
    Ok(found)
}

/// Counts the nodes of each kind, by stage of the pipeline.
fn follows(pairs: &[&Pair<'_>]) -> Vec<Follow> {
    let mut counts: BTreeMap<(&str, &str), [usize; 3]> = BTreeMap::new();
    for pair in pairs {
        let node = pair.any();
        let at = match (pair.old, pair.new) {
            (Some(_), Some(_)) => 0,
            (Some(_), None) => 1,
            _ => 2,
        };
        counts.entry((&node.part_of, &node.stage)).or_default()[at] += 1;
    }
    let follow = |((part_of, stage), [changed, removed, added]): ((&str, &str), [usize; 3])| Follow {
        part_of: part_of.to_owned(),
        stage: stage.to_owned(),
        changed,
        removed,
        added,
    };
    counts.into_iter().map(follow).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn readers_of_readers_are_found_once() {
        // `a` contains the name of a stage as a string, but does not read that stage.
        let stages = json!({ "format": 1, "seed": "1", "device": "Cpu", "stages": {
            "a": { "Fetch": { "Embedded": { "name": "shapes100", "train": 9, "test": 9 } } },
            "shapes100": { "Decode": { "from": "a", "format": "Cifar10" } },
            "c": { "Augment": { "data": "shapes100" } },
            "d": { "Train": { "data": "shapes100", "augment": "c", "model": "HyperCnn", "epochs": 1 } },
        } });
        let pipeline = Pipeline::from_record(stages.to_string().as_bytes()).unwrap();
        let readers = readers(&[&pipeline.stages]);
        let check = |stage, expected: &[&str]| {
            assert!(with_readers(stage, &readers).iter().eq(expected), "{stage}: {:?}", with_readers(stage, &readers));
        };
        check("a", &["a", "c", "d", "shapes100"]);
        check("shapes100", &["c", "d", "shapes100"]);
        check("c", &["c", "d"]);
        check("d", &["d"]);
    }
}
