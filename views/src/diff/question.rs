//! What was asked differently, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};

use pipe_engine::{
    action::Action,
    leaves::{Change, changes},
    study::{Study, StudyError, action},
};
use pipe_store::{Digest, ObjectSource, Store};
use serde_json::{Map, Value};

use super::{Cause, Follow, Pair, Question};
use crate::ViewError;

pub(super) fn compare(store: &Store, old: &Study, new: &Study, pairs: &[Pair<'_>]) -> Result<Question, ViewError> {
    let pairs: Vec<_> = pairs.iter().filter(|pair| pair.is_asked_differently()).collect();
    let records = if old.pipeline == new.pipeline {
        [Value::Null, Value::Null]
    } else {
        [pipeline(store, &old.pipeline)?, pipeline(store, &new.pipeline)?]
    };
    // The two are needed for the graph too, even where they are equal.
    let graph = match &records {
        [Value::Null, _] if pairs.is_empty() => BTreeMap::new(),
        [Value::Null, _] => readers(&[&pipeline(store, &new.pipeline)?]),
        [old, new] => readers(&[old, new]),
    };
    let mut reached = BTreeSet::new();
    let mut causes = Vec::new();
    for (stage, changes) in pipeline_changes(&records[0], &records[1]) {
        let parts = stage.as_ref().map(|stage| with_readers(stage, &graph));
        let is_meant = |pair: &&&Pair<'_>| parts.as_ref().is_none_or(|parts| parts.contains(&pair.any().part_of));
        let reached_by_it: Vec<_> = pairs.iter().filter(is_meant).copied().collect();
        reached.extend(reached_by_it.iter().map(|pair| pair.name));
        causes.push(Cause { stage, changes, follows: follows(&reached_by_it) });
    }
    for (kind, changes) in implementations(store, &pairs)? {
        let of_kind = pairs.iter().filter(|pair| pair.any().stage == kind);
        let parts: BTreeSet<_> = of_kind.flat_map(|pair| with_readers(&pair.any().part_of, &graph)).collect();
        let reached_by_it: Vec<_> = pairs.iter().filter(|pair| parts.contains(&pair.any().part_of)).copied().collect();
        reached.extend(reached_by_it.iter().map(|pair| pair.name));
        causes.push(Cause { stage: None, changes, follows: follows(&reached_by_it) });
    }
    // What a selection leaves out is in one study alone.
    let selection = (old.selection != new.selection).then(|| [old.selection.clone(), new.selection.clone()]);
    let unexplained: Vec<_> = pairs.into_iter().filter(|pair| !reached.contains(pair.name)).collect();
    Ok(Question { causes, selection, unexplained: follows(&unexplained) })
}

fn pipeline(store: &Store, digest: &Digest) -> Result<Value, ViewError> {
    let bytes = store.read(digest)?;
    let not_a = |source| StudyError::NotA { kind: "pipeline", digest: *digest, source };
    Ok(serde_json::from_slice(&bytes).map_err(not_a)?)
}

/// Returns what differs between two pipelines: first of the whole study, then by stage.
fn pipeline_changes(old: &Value, new: &Value) -> Vec<(Option<String>, Vec<Change>)> {
    let fields = |record: &Value| record.as_object().cloned().unwrap_or_default();
    let (mut old, mut new) = (fields(old), fields(new));
    let [old_stages, new_stages] = [&mut old, &mut new].map(|record| record.remove("stages").unwrap_or_default());
    let mut whole = Vec::new();
    changes("", Some(&Value::Object(old)), Some(&Value::Object(new)), &mut whole);
    let mut found = Vec::new();
    if !whole.is_empty() {
        found.push((None, whole));
    }
    let (old_stages, new_stages) = (fields(&old_stages), fields(&new_stages));
    for name in keys(&old_stages, &new_stages) {
        let mut changed = Vec::new();
        match (old_stages.get(name), new_stages.get(name)) {
            (Some(old), Some(new)) => match (kind(old), kind(new)) {
                (Some((old_kind, old)), Some((new_kind, new))) if old_kind == new_kind => {
                    changes(name, Some(old), Some(new), &mut changed);
                }
                _ if old != new => {
                    changed.push(Change { path: name.clone(), old: Some(old.clone()), new: Some(new.clone()) })
                }
                _ => {}
            },
            (old, new) => changed.push(Change { path: name.clone(), old: old.cloned(), new: new.cloned() }),
        }
        if !changed.is_empty() {
            found.push((Some(name.clone()), changed));
        }
    }
    found
}

/// Returns a stage's kind and its parameters: `Augment` and what is in its parentheses.
fn kind(stage: &Value) -> Option<(&str, &Value)> {
    let mut items = stage.as_object()?.iter();
    let (kind, params) = items.next()?;
    items.next().is_none().then_some((kind, params))
}

fn keys<'a>(old: &'a Map<String, Value>, new: &'a Map<String, Value>) -> BTreeSet<&'a String> {
    old.keys().chain(new.keys()).collect()
}

/// Returns which stages read which: name -> names of those that name it.
fn readers(pipelines: &[&Value]) -> BTreeMap<String, BTreeSet<String>> {
    fn strings<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::String(text) => drop(found.insert(text)),
            Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
            Value::Object(items) => items.values().for_each(|item| strings(item, found)),
            _ => {}
        }
    }
    let mut readers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for stages in pipelines.iter().filter_map(|pipeline| pipeline.get("stages")?.as_object()) {
        for (reader, stage) in stages {
            let mut named = BTreeSet::new();
            strings(stage, &mut named);
            for name in named.into_iter().filter(|name| stages.contains_key(*name)) {
                readers.entry(name.to_owned()).or_default().insert(reader.clone());
            }
        }
    }
    readers
}

/// Returns a stage, those that read it, those that read these, and so on.
fn with_readers(stage: &str, readers: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![stage.to_owned()];
    while let Some(stage) = open.pop() {
        open.extend(readers.get(&stage).into_iter().flatten().filter(|reader| !found.contains(*reader)).cloned());
        found.insert(stage);
    }
    found
}

/// Returns what differs in how a kind of stage is computed. One action of each kind tells: all of a study agree.
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

/// Returns how many nodes of each kind there are, by stage of the pipeline.
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
        let stages = json!({ "stages": { "a": { "F": {} }, "b": { "D": { "from": "a" } }, "c": { "T": [{ "of": "b" }, "a"] } } });
        let readers = readers(&[&stages]);
        assert_eq!(with_readers("a", &readers).into_iter().collect::<String>(), "abc");
        assert_eq!(with_readers("b", &readers).into_iter().collect::<String>(), "bc");
        assert_eq!(with_readers("c", &readers).into_iter().collect::<String>(), "c");
    }
}
