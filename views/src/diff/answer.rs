//! What came out differently.

use std::collections::{BTreeMap, BTreeSet};

use pipe_engine::leaves::{Change, changes};
use pipe_stages::params::Float;
use pipe_store::{Digest, Store};
use serde_json::Value;

use super::{Answer, BestChange, CurveChange, FileChange, MetricChange, OutcomeChange, Pair};
use crate::{
    ViewError,
    outputs::{Outputs, is_picture, number, numbers},
    show,
    trials::trial_index,
};

/// From so many nodes on, reading is shared among threads.
const ALONE: usize = 64;

pub(super) fn compare(store: &Store, pairs: &[Pair<'_>]) -> Result<Answer, ViewError> {
    let threads =
        if pairs.len() < ALONE { 1 } else { std::thread::available_parallelism().map_or(1, usize::from).min(4) };
    let parts: Vec<_> = std::thread::scope(|scope| {
        let part = |pairs| scope.spawn(move || each(store, pairs));
        let threads: Vec<_> = pairs.chunks(pairs.len().div_ceil(threads).max(1)).map(part).collect();
        threads.into_iter().map(|thread| thread.join().expect("a comparison does not panic")).collect()
    });
    let mut answer = Answer::default();
    for part in parts {
        let part = part?;
        answer.outcomes.extend(part.outcomes);
        answer.metrics.extend(part.metrics);
        answer.best.extend(part.best);
        answer.pictures.extend(part.pictures);
        answer.files.extend(part.files);
    }
    // Evaluations first, then trainings, then trials.
    let rank: BTreeMap<_, _> = pairs.iter().map(|pair| (pair.name, rank(pair))).collect();
    answer.metrics.sort_by_key(|change| rank[change.node.as_str()]);
    answer.curves = curves(store, pairs)?;
    Ok(answer)
}

fn rank(pair: &Pair<'_>) -> u8 {
    let node = pair.any();
    match trial_index(pair.name, &node.part_of, "train") {
        Some(_) => 2,
        None if node.stage == "train" => 1,
        None => 0,
    }
}

/// Returns what differs in each node by itself.
fn each(store: &Store, pairs: &[Pair<'_>]) -> Result<Answer, ViewError> {
    let mut answer = Answer::default();
    for pair in pairs {
        outcome(pair, &mut answer);
        // What is in one study alone is new in all its parts: but for evaluations, saying that once is enough.
        let kind = pair.any().stage.as_str();
        if !pair.came_out_differently() || (pair.trees().contains(&None) && !matches!(kind, "evaluate" | "select")) {
            continue;
        }
        let outputs = pair.outputs(store)?;
        match kind {
            "evaluate" => metrics(pair.name, &outputs, "evaluation.json", evaluation, &mut answer)?,
            "train" => metrics(pair.name, &outputs, "score.json", score, &mut answer)?,
            "select" => answer.best.extend(best(&pair.any().part_of, &outputs)?),
            _ => {}
        }
        if pair.is_asked_differently() {
            let (pictures, files) =
                file_changes(pair.name, &outputs).into_iter().partition(|change| is_picture(&change.path));
            answer.pictures.extend::<Vec<_>>(pictures);
            answer.files.extend::<Vec<_>>(files);
        }
    }
    Ok(answer)
}

/// Returns the trainings that went the same way for a while.
///
/// Two trials with one number can only do so if their proposals are equal. All trials of a search are trained alike but for
/// their proposals: once a pair with equal proposals is seen to differ from the first epoch on, so do all others.
fn curves(store: &Store, pairs: &[Pair<'_>]) -> Result<Vec<CurveChange>, ViewError> {
    let changed: BTreeSet<_> = pairs.iter().filter(|pair| pair.came_out_differently()).map(|pair| pair.name).collect();
    let mut parted = BTreeSet::new();
    let mut found = Vec::new();
    for pair in pairs.iter().filter(|pair| pair.any().stage == "train" && changed.contains(pair.name)) {
        let part_of = pair.any().part_of.as_str();
        let is_trial = trial_index(pair.name, part_of, "train").is_some() && pair.is_asked_differently();
        let proposal = pair.name.replacen("/train/", "/propose/", 1);
        if pair.trees().contains(&None)
            || (is_trial && (parted.contains(part_of) || changed.contains(proposal.as_str())))
        {
            continue;
        }
        let curve = curve(pair.name, &pair.outputs(store)?)?;
        if is_trial && curve.is_none() {
            parted.insert(part_of);
        }
        found.extend(curve);
    }
    Ok(found)
}

fn outcome(pair: &Pair<'_>, answer: &mut Answer) {
    let Some((old, new)) = pair.both() else { return };
    if old.outcome == new.outcome || (old.tree().is_some() && new.tree().is_some()) {
        return;
    }
    let words = |node: &pipe_engine::study::StudyNode| match show::words(&node.outcome) {
        (word, Some(reason)) => format!("{word}: {reason}"),
        (word, None) => word.to_owned(),
    };
    answer.outcomes.push(OutcomeChange { node: pair.name.to_owned(), old: words(old), new: words(new) });
}

/// Returns the files that differ between two output trees; none where a tree is missing.
pub(super) fn file_changes(node: &str, outputs: &[Option<Outputs<'_>>; 2]) -> Vec<FileChange> {
    let [Some(old), Some(new)] = outputs else { return Vec::new() };
    let mut files: BTreeMap<&String, [Option<Digest>; 2]> = BTreeMap::new();
    for (at, outputs) in [old, new].into_iter().enumerate() {
        for (path, entry) in &outputs.tree.files {
            files.entry(path).or_default()[at] = Some(entry.digest);
        }
    }
    let change = |(path, [old, new]): (&String, [Option<Digest>; 2])| {
        (old != new).then(|| FileChange { node: node.to_owned(), path: path.clone(), old, new })
    };
    files.into_iter().filter_map(change).collect()
}

type Figures = BTreeMap<String, f64>;

fn metrics(
    node: &str,
    [old, new]: &[Option<Outputs<'_>>; 2],
    path: &str,
    figures: fn(&Value) -> Figures,
    answer: &mut Answer,
) -> Result<(), ViewError> {
    let of = |outputs: &Option<Outputs<'_>>| outputs.as_ref().and_then(|outputs| outputs.digest(path));
    if of(old) == of(new) {
        return Ok(());
    }
    let read = |outputs: &Option<Outputs<'_>>| -> Result<Figures, ViewError> {
        let record = outputs.as_ref().map(|outputs| outputs.json(path)).transpose()?.flatten();
        Ok(record.as_ref().map(figures).unwrap_or_default())
    };
    let (old, new) = (read(old)?, read(new)?);
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (old, new) = (old.get(name).copied(), new.get(name).copied());
        // By bits: NaN equals NaN here.
        if old.map(f64::to_bits) == new.map(f64::to_bits) {
            continue;
        }
        let difference = old.zip(new).map(|(old, new)| Float(new - old));
        let (old, new) = (old.map(Float), new.map(Float));
        answer.metrics.push(MetricChange { node: node.to_owned(), metric: name.clone(), old, new, difference });
    }
    Ok(())
}

/// Returns the figures of each head, without those of each class.
fn evaluation(record: &Value) -> Figures {
    let of_head = |(head, figures): (&String, &Value)| {
        let mut figures = figures.clone();
        // A hundred classes would hide the rest.
        figures.as_object_mut().map(|figures| figures.remove("classes"));
        numbers(&figures).into_iter().map(|(path, x)| (format!("{head}.{path}"), x)).collect::<Vec<_>>()
    };
    record.get("heads").and_then(Value::as_object).into_iter().flatten().flat_map(of_head).collect()
}

/// Returns what was optimised; the loss where that has no name.
fn score(record: &Value) -> Figures {
    let named = || Some((record.get("metric")?.as_str()?.to_owned(), number(record.get("value")?)?));
    let loss = || Some(("loss".to_owned(), number(record.get("loss")?)?));
    named().or_else(loss).into_iter().collect()
}

fn curve(node: &str, [old, new]: &[Option<Outputs<'_>>; 2]) -> Result<Option<CurveChange>, ViewError> {
    let (Some(old), Some(new)) = (old, new) else { return Ok(None) };
    if old.digest("history.csv") == new.digest("history.csv") {
        return Ok(None);
    }
    let (Some(old), Some(new)) = (old.history()?, new.history()?) else { return Ok(None) };
    let equal_until = old.equal_until(&new).unwrap_or(0);
    let change =
        || CurveChange { node: node.to_owned(), equal_until, old_epochs: old.epochs(), new_epochs: new.epochs() };
    Ok((equal_until > 0).then(change))
}

fn best(search: &str, [old, new]: &[Option<Outputs<'_>>; 2]) -> Result<Option<BestChange>, ViewError> {
    let read = |outputs: &Option<Outputs<'_>>| outputs.as_ref().map(|outputs| outputs.json("best.json")).transpose();
    let (old, new) = (read(old)?.flatten().unwrap_or_default(), read(new)?.flatten().unwrap_or_default());
    let trial = |best: &Value| best.get("trial").and_then(Value::as_u64);
    let loss = |best: &Value| best.get("loss").and_then(number).map(Float);
    let mut labels: Vec<Change> = Vec::new();
    let empty = Value::Object(serde_json::Map::new());
    let of = |best: &Value| best.get("labels").unwrap_or(&empty).clone();
    let (old_labels, new_labels) = (of(&old), of(&new));
    let keys =
        |labels: &Value| labels.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let names: BTreeSet<_> = keys(&old_labels).into_iter().chain(keys(&new_labels)).collect();
    for name in names {
        changes(&name, old_labels.get(&name), new_labels.get(&name), &mut labels);
    }
    let change = BestChange {
        search: search.to_owned(),
        old_trial: trial(&old),
        new_trial: trial(&new),
        old_loss: loss(&old),
        new_loss: loss(&new),
        labels,
    };
    let same = change.old_trial == change.new_trial && change.old_loss == change.new_loss && change.labels.is_empty();
    Ok((!same).then_some(change))
}
