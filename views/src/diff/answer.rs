//! Differences in the results of two studies.

use std::collections::{BTreeMap, BTreeSet};

use pipe_engine::{
    leaves::{Change, changes},
    run::why::FileChanges,
};
use pipe_stages::{
    StageName,
    params::Float,
    records::{Best, Evaluation, Figure, HeadEvaluation, Record, Score, TrainingHistory, TrialRecord},
};
use pipe_store::{Digest, Store};
use rayon::prelude::*;
use serde::Serialize;

use super::{folders, pair::Pair};
use crate::{
    ViewError,
    outputs::{Outputs, is_picture, numbers},
    show,
};

/// Differences in the results.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Answer {
    pub outcomes: Vec<OutcomeChange>,
    pub metrics: Vec<MetricChange>,
    pub best: Vec<BestChange>,
    pub curves: Vec<CurveChange>,
    pub pictures: Vec<FileChange>,
    pub files: Vec<FileChange>,
}

/// A node that has outputs in only one of the studies.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutcomeChange {
    pub node: String,
    pub old: String,
    pub new: String,
}

/// A metric of an evaluation, or the score of a training.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricChange {
    pub node: String,
    pub metric: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Float>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Float>,
    /// The new value minus the old one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Float>,
}

/// The best trial of a search.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BestChange {
    pub search: String,
    /// The numbers of the trials and their losses.
    pub old_trial: Option<u64>,
    pub new_trial: Option<u64>,
    pub old_loss: Option<Float>,
    pub new_loss: Option<Float>,
    /// The hyperparameters whose values differ.
    #[serde(rename = "hyperparameters")]
    pub labels: Vec<Change>,
}

/// Two trainings with equal weights up to some epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CurveChange {
    pub node: String,
    /// The last epoch after which the weights were equal.
    pub equal_until: usize,
    pub old_epochs: usize,
    pub new_epochs: usize,
}

/// An output file that differs, or is missing in one of the studies.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileChange {
    pub node: String,
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Digest>,
    /// What changed in the folder, if the file is the listing of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<FileChanges>,
    /// The name for the nodes of all trials that are like this one: `search/train/*`.
    #[serde(skip)]
    pub of_trials: Option<String>,
}

pub(super) fn compare(store: &Store, pairs: &[Pair<'_>]) -> Result<Answer, ViewError> {
    let parts: Vec<_> = pairs.par_iter().map(|pair| within(store, pair)).collect();
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
    match pair.any().kind() {
        _ if pair.is_of_trial() => 2,
        Some(stage) if stage.trains() => 1,
        _ => 0,
    }
}

/// Returns the differences within one node.
fn within(store: &Store, pair: &Pair<'_>) -> Result<Answer, ViewError> {
    let mut answer = Answer { outcomes: outcome(pair).into_iter().collect(), ..Answer::default() };
    // If only one study has outputs, all of them differ. Only metrics and the best trial are worth listing then.
    let kind = pair.any().kind();
    if !pair.has_other_outputs()
        || (pair.trees().contains(&None)
            && !matches!(kind, Some(StageName::Evaluate | StageName::Select | StageName::Command)))
    {
        return Ok(answer);
    }
    let outputs = pair.outputs(store)?;
    match kind {
        Some(StageName::Evaluate) => answer.metrics = metrics(pair.name, &outputs, evaluation)?,
        Some(StageName::Train) => answer.metrics = metrics(pair.name, &outputs, score)?,
        Some(StageName::Command) => answer.metrics = metrics(pair.name, &outputs, figures)?,
        Some(StageName::Select) => answer.best.extend(best(&pair.any().part_of, &outputs)?),
        _ => {}
    }
    if pair.has_other_action() {
        (answer.pictures, answer.files) =
            file_changes(store, pair, &outputs)?.into_iter().partition(|change| is_picture(&change.path));
    }
    Ok(answer)
}

/// Returns the trainings with equal weights up to some epoch.
///
/// Two trials with the same number can have equal weights only if their proposals are equal. All trials of a search are trained
/// alike except for their proposals, so if one pair with equal proposals differs from the first epoch on, all others do too.
fn curves(store: &Store, pairs: &[Pair<'_>]) -> Result<Vec<CurveChange>, ViewError> {
    let changed: BTreeSet<_> = pairs.iter().filter(|pair| pair.has_other_outputs()).map(|pair| pair.name).collect();
    let mut parted = BTreeSet::new();
    let mut found = Vec::new();
    for pair in
        pairs.iter().filter(|pair| pair.any().kind().is_some_and(StageName::trains) && changed.contains(pair.name))
    {
        let part_of = pair.any().part_of.as_str();
        let is_other_trial = pair.is_of_trial() && pair.has_other_action();
        let parts_at_once = || parted.contains(part_of) || pair.proposals().any(|name| changed.contains(name));
        if pair.trees().contains(&None) || is_other_trial && parts_at_once() {
            continue;
        }
        let curve = curve(pair.name, &pair.outputs(store)?)?;
        if is_other_trial && curve.is_none() {
            parted.insert(part_of);
        }
        found.extend(curve);
    }
    Ok(found)
}

/// Returns the outcomes of a node that has outputs in only one of the studies, or fails differently.
fn outcome(pair: &Pair<'_>) -> Option<OutcomeChange> {
    let (old, new) = pair.both()?;
    if old.outcome == new.outcome || (old.tree().is_some() && new.tree().is_some()) {
        return None;
    }
    let words = |node: &pipe_engine::study::StudyNode| match show::words(&node.outcome) {
        (word, Some(reason)) => format!("{word}: {reason}"),
        (word, None) => word.to_owned(),
    };
    Some(OutcomeChange { node: pair.name.to_owned(), old: words(old), new: words(new) })
}

/// Returns the files that differ between two output trees, or nothing if one of the trees is missing.
pub(super) fn file_changes(
    store: &Store,
    pair: &Pair<'_>,
    outputs: &[Option<Outputs<'_>>; 2],
) -> Result<Vec<FileChange>, ViewError> {
    let [Some(old), Some(new)] = outputs else { return Ok(Vec::new()) };
    let mut files: BTreeMap<&String, [Option<Digest>; 2]> = BTreeMap::new();
    for (at, outputs) in [old, new].into_iter().enumerate() {
        for (path, entry) in &outputs.tree.files {
            files.entry(path).or_default()[at] = Some(entry.digest);
        }
    }
    let node = pair.any();
    let of_trials = pair.is_of_trial().then(|| format!("{}/{}/*", node.part_of, node.stage));
    let mut changes = Vec::new();
    for (path, digests) in files.into_iter().filter(|(_, [old, new])| old != new) {
        let folder = folders::in_output(store, path, digests)?;
        let ([old, new], path, of_trials) = (digests, path.clone(), of_trials.clone());
        changes.push(FileChange { node: pair.name.to_owned(), path, old, new, folder, of_trials });
    }
    Ok(changes)
}

type Figures = BTreeMap<String, f64>;

fn metrics<R: Record>(
    node: &str,
    [old, new]: &[Option<Outputs<'_>>; 2],
    figures: fn(R) -> Figures,
) -> Result<Vec<MetricChange>, ViewError> {
    let of = |outputs: &Option<Outputs<'_>>| outputs.as_ref().and_then(|outputs| outputs.digest(R::FILE));
    if of(old) == of(new) {
        return Ok(Vec::new());
    }
    let read = |outputs: &Option<Outputs<'_>>| -> Result<Figures, ViewError> {
        let record = outputs.as_ref().map(Outputs::record).transpose()?.flatten();
        Ok(record.map(figures).unwrap_or_default())
    };
    let (old, new) = (read(old)?, read(new)?);
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        let (old, new) = (old.get(name).copied(), new.get(name).copied());
        // Bits are compared, so that NaN equals NaN.
        if old.map(f64::to_bits) == new.map(f64::to_bits) {
            continue;
        }
        let difference = old.zip(new).map(|(old, new)| Float(new - old));
        let (old, new) = (old.map(Float), new.map(Float));
        changes.push(MetricChange { node: node.to_owned(), metric: name.clone(), old, new, difference });
    }
    Ok(changes)
}

/// Returns the metrics of each head, without those of single classes.
fn evaluation(record: Evaluation) -> Figures {
    let of_head = |(head, figures): (String, HeadEvaluation)| {
        // A hundred classes would hide the other metrics.
        let figures = HeadEvaluation { classes: Vec::new(), ..figures };
        let figures = serde_json::to_value(figures).expect("figures are plain data");
        numbers(&figures).into_iter().map(|(path, x)| (format!("{head}.{path}"), x)).collect::<Vec<_>>()
    };
    record.heads.into_iter().flat_map(of_head).collect()
}

/// Returns the metric that was optimised.
fn score(record: Score) -> Figures {
    [(record.metric, record.value.0)].into()
}

/// Returns the last value of each metric, and its best value if that is another.
fn figures(record: TrialRecord) -> Figures {
    let figures = record.trained.map(|trained| trained.figures).unwrap_or_default();
    let both = |(name, figure): (String, Figure)| {
        let best = (figure.best != figure.end).then(|| (format!("best.{name}"), figure.best.0));
        [(name, figure.end.0)].into_iter().chain(best).collect::<Vec<_>>()
    };
    figures.into_iter().flat_map(both).collect()
}

fn curve(node: &str, [old, new]: &[Option<Outputs<'_>>; 2]) -> Result<Option<CurveChange>, ViewError> {
    let (Some(old), Some(new)) = (old, new) else { return Ok(None) };
    if old.digest(TrainingHistory::FILE) == new.digest(TrainingHistory::FILE) {
        return Ok(None);
    }
    let (Some(old), Some(new)) = (old.history()?, new.history()?) else { return Ok(None) };
    let equal_until = old.equal_until(&new);
    let change =
        || CurveChange { node: node.to_owned(), equal_until, old_epochs: old.rows.len(), new_epochs: new.rows.len() };
    Ok((equal_until > 0).then(change))
}

fn best(search: &str, [old, new]: &[Option<Outputs<'_>>; 2]) -> Result<Option<BestChange>, ViewError> {
    let read = |outputs: &Option<Outputs<'_>>| -> Result<Option<Best>, ViewError> {
        Ok(outputs.as_ref().map(Outputs::record).transpose()?.flatten())
    };
    let (old, new) = (read(old)?, read(new)?);
    let trial = |best: &Option<Best>| best.as_ref().map(|best| best.trial.into());
    let loss = |best: &Option<Best>| best.as_ref().map(|best| best.loss);
    let empty = BTreeMap::new();
    let [old_labels, new_labels] = [&old, &new].map(|best| best.as_ref().map_or(&empty, |best| &best.labels));
    let mut labels: Vec<Change> = Vec::new();
    for name in old_labels.keys().chain(new_labels.keys()).collect::<BTreeSet<_>>() {
        changes(name, old_labels.get(name), new_labels.get(name), &mut labels);
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
