//! What a study found, in a few lines: the best trial of each search, what was trained afterwards, how it did on data that nothing was
//! chosen by, and which trials gave nothing.

use std::collections::BTreeMap;

use pipe_engine::{
    names::trial_number,
    study::{Found, StudyNode},
};
use pipe_stages::{
    StageName,
    params::Float,
    records::{EvaluateOn, Evaluation, Score, Status, TrialRecord},
};
use pipe_store::Store;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ViewError,
    outputs::Outputs,
    text::{cell, counted, metric_value, percent, significant},
    trials::{Stopped, TrialRow, stopped, table},
};

/// The most hyperparameters of the best trial that are named.
const UNUSUAL: usize = 4;
/// The most figures of a final command that are named.
const FIGURES: usize = 4;
/// The most reasons for trials without a score that are named.
const REASONS: usize = 3;

/// What a study found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    pub searches: Vec<SearchFindings>,
    /// Trainings that are not trials, with their scores.
    pub trained: Vec<Trained>,
    /// How networks do on a split that they were not trained on.
    pub evaluations: Vec<Evaluated>,
    /// The metrics of final commands.
    pub metrics: Vec<Measured>,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchFindings {
    pub search: String,
    pub trials: usize,
    /// The trials that have a score.
    pub completed: usize,
    pub best: Option<BestTrial>,
    /// The trials that have none, by reason, the most frequent first.
    pub without_score: Vec<WithoutScore>,
    /// Its end, if it stopped before its last trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

/// The best trial of a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BestTrial {
    pub node: String,
    pub metric: String,
    pub value: Float,
    /// The hyperparameters that set it apart: numbers outside of the middle half of the completed trials, and choices that are not the
    /// most frequent one.
    pub unusual: BTreeMap<String, Value>,
}

/// Trials that have no score for the same reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WithoutScore {
    /// `failed`, `diverged`, `crashed` or `skipped`.
    pub status: String,
    /// Why, if it is known.
    pub reason: Option<String>,
    pub trials: usize,
}

/// A training that is not a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    pub node: String,
    pub metric: String,
    pub value: Float,
}

/// One head of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    pub node: String,
    /// `Test` or `Validation`.
    pub split: String,
    pub head: String,
    pub accuracy: f64,
    /// The 95 % confidence interval.
    pub interval_95: [f64; 2],
    /// The accuracy of guessing.
    pub chance: f64,
    pub images: usize,
}

/// The metrics of a final command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    pub node: String,
    pub metrics: BTreeMap<String, Float>,
}

impl Findings {
    /// Returns what a study found.
    ///
    /// # Errors
    /// If a record of the study cannot be read.
    pub fn of(store: &Store, found: &Found) -> Result<Self, ViewError> {
        let rows = table(store, &found.study)?;
        let mut findings =
            Self { searches: rows.chunk_by(|a, b| a.search == b.search).map(search).collect(), ..Self::default() };
        for search in &mut findings.searches {
            search.stopped = stopped(store, &found.study, &search.search)?;
        }
        let stages = found.study.read_pipeline(store)?.stages;
        for (name, node) in &found.study.nodes {
            let is_final = || {
                let spec = stages.get(&node.part_of).filter(|_| node.is(StageName::Command));
                spec.and_then(|spec| spec.program(&stages)).is_some_and(|program| program.is_final)
            };
            if node.is(StageName::Evaluate) {
                findings.evaluations.extend(evaluated(store, name, node)?);
            } else if is_final() {
                findings.metrics.extend(measured(store, name, node)?);
            } else if is_training(name, node) {
                findings.trained.extend(trained(store, name, node)?);
            }
        }
        Ok(findings)
    }

    /// Returns the score of the best trial, or of the first training if there is no search, as short text.
    pub fn best(&self) -> Option<String> {
        let of_search =
            self.searches.iter().find_map(|found| found.best.as_ref()).map(|best| (&best.metric, best.value));
        let (metric, value) = of_search.or(self.trained.first().map(|found| (&found.metric, found.value)))?;
        Some(metric_value(Some(metric), value.0).replace('\u{a0}', " "))
    }

    /// Returns the accuracy of the first evaluation on the test split, or the first figure of a final command, as short text.
    pub fn test(&self) -> Option<String> {
        let is_test = |found: &&Evaluated| found.split == EvaluateOn::Test.as_str();
        let evaluated = self.evaluations.iter().find(is_test).map(|found| percent(found.accuracy));
        let measured = || self.metrics.iter().find_map(|found| found.metrics.iter().next());
        let text = evaluated.or_else(|| measured().map(|(name, value)| metric_value(Some(name), value.0)))?;
        Some(text.replace('\u{a0}', " "))
    }

    /// Returns the findings as lines for a terminal.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let several = self.searches.len() > 1;
        for found in &self.searches {
            let of = if several { format!(" of {}", found.search) } else { String::new() };
            match &found.best {
                None => lines.push(format!("best trial{of}: none")),
                Some(best) => {
                    let unusual: Vec<_> =
                        best.unusual.iter().map(|(name, value)| format!("{name} {}", cell(value))).collect();
                    let unusual =
                        if unusual.is_empty() { String::new() } else { format!(" (unusual: {})", unusual.join(", ")) };
                    let value = metric_value(Some(&best.metric), best.value.0);
                    lines.push(format!("best trial{of}: {}, {} {value}{unusual}", best.node, best.metric));
                }
            }
            let stopped = found.stopped.as_ref().map(|stopped| format!("; {}", stopped.text())).unwrap_or_default();
            lines.push(format!("trials{of}: {}{stopped}", found.counts()));
        }
        for Trained { node, metric, value } in &self.trained {
            lines.push(format!("{node}: {metric} {}", metric_value(Some(metric), value.0)));
        }
        lines.extend(self.evaluations.iter().map(|found| format!("{} by {}", found.text(), found.node)));
        lines.extend(self.metrics.iter().map(|found| format!("{}: {}", found.node, found.text())));
        lines.into_iter().map(|line| line.replace('\u{a0}', " ")).collect()
    }
}

impl SearchFindings {
    /// Returns how many trials have a score, and why the others have none: `12 completed, 3 failed (..)`.
    pub fn counts(&self) -> String {
        let mut parts = vec![format!("{} completed", self.completed)];
        for found in self.without_score.iter().take(REASONS) {
            let reason = found.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            parts.push(format!("{} {}{reason}", found.trials, found.status));
        }
        let others: usize = self.without_score.iter().skip(REASONS).map(|found| found.trials).sum();
        if others > 0 {
            parts.push(format!("{others} more without a score"));
        }
        parts.join(", ")
    }
}

impl Evaluated {
    fn text(&self) -> String {
        let [low, high] = self.interval_95;
        let what = if self.split == EvaluateOn::Test.as_str() { "test" } else { "validation" };
        format!(
            "{what}: {} accuracy {} (95 % interval {:.2} to {}; chance {}; {})",
            self.head,
            percent(self.accuracy),
            100.0 * low,
            percent(high),
            percent(self.chance),
            counted(self.images, "image"),
        )
    }
}

impl Measured {
    fn text(&self) -> String {
        let figure = |(name, value): (&String, &Float)| format!("{name} {}", significant(value.0, 5));
        let shown: Vec<_> = self.metrics.iter().take(FIGURES).map(figure).collect();
        let more = self.metrics.len().saturating_sub(FIGURES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more}", shown.join(", "))
    }
}

/// Returns how well a node did, if it is an evaluation or a command with metrics: a line for each head.
pub(crate) fn figures(store: &Store, name: &str, node: &StudyNode) -> Result<Vec<String>, ViewError> {
    let mut lines = Vec::new();
    if node.is(StageName::Evaluate) {
        lines.extend(evaluated(store, name, node)?.iter().map(Evaluated::text));
    } else if node.is(StageName::Command) {
        lines.extend(measured(store, name, node)?.iter().map(Measured::text));
    }
    Ok(lines.into_iter().map(|line| line.replace('\u{a0}', " ")).collect())
}

fn search(rows: &[TrialRow]) -> SearchFindings {
    let mut without: BTreeMap<(&str, Option<&str>), usize> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.is_completed()) {
        // A reason may have lines of a log below it.
        let reason = row.reason.as_deref().and_then(|reason| reason.lines().next());
        *without.entry((&row.status, reason)).or_default() += 1;
    }
    let mut without_score: Vec<_> = without
        .into_iter()
        .map(|((status, reason), trials)| WithoutScore {
            status: status.to_owned(),
            reason: reason.map(str::to_owned),
            trials,
        })
        .collect();
    without_score.sort_by_key(|found| std::cmp::Reverse(found.trials));
    let best = rows.iter().find(|row| row.best).map(|row| BestTrial {
        node: row.node.clone(),
        metric: row.metric.clone().unwrap_or_else(|| "loss".to_owned()),
        value: row.value.or(row.loss).unwrap_or(Float(f64::NAN)),
        unusual: unusual(row, rows),
    });
    SearchFindings {
        search: rows[0].search.clone(),
        trials: rows.len(),
        completed: rows.iter().filter(|row| row.is_completed()).count(),
        best,
        without_score,
        stopped: None,
    }
}

/// Returns the hyperparameters that set a trial apart from the completed ones: those that lie farthest from the middle.
fn unusual(best: &TrialRow, rows: &[TrialRow]) -> BTreeMap<String, Value> {
    let mut found: Vec<(f64, &String, &Value)> = Vec::new();
    for (name, value) in &best.labels {
        let others: Vec<&Value> =
            rows.iter().filter(|row| row.is_completed()).filter_map(|row| row.labels.get(name)).collect();
        if others.len() < 8 {
            continue;
        }
        let numbers: Vec<f64> = others.iter().filter_map(|value| value.as_f64()).collect();
        let distance = match value.as_f64().filter(|_| numbers.len() == others.len()) {
            Some(x) => {
                let below = numbers.iter().filter(|other| **other < x).count() as f64;
                let equal = numbers.iter().filter(|other| **other == x).count() as f64;
                ((below + 0.5 * equal) / numbers.len() as f64 - 0.5).abs()
            }
            None => {
                let same = |value: &Value| others.iter().filter(|other| **other == value).count();
                let most = others.iter().map(|other| same(other)).max().unwrap_or(0);
                // As far from the middle as the share of trials that chose otherwise.
                if same(value) < most { 0.5 * (1.0 - same(value) as f64 / others.len() as f64) } else { 0.0 }
            }
        };
        if distance > 0.25 {
            found.push((distance, name, value));
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    found.into_iter().take(UNUSUAL).map(|(_, name, value)| (name.clone(), value.clone())).collect()
}

fn is_training(name: &str, node: &StudyNode) -> bool {
    let trains = node.is(StageName::Train) || node.is(StageName::Command);
    trains
        && trial_number(name, &node.part_of, StageName::Train).is_none()
        && trial_number(name, &node.part_of, StageName::Command).is_none()
}

fn trained(store: &Store, name: &str, node: &StudyNode) -> Result<Option<Trained>, ViewError> {
    let score = Outputs::of(store, name, node)?.map(|outputs| outputs.record::<Score>()).transpose()?.flatten();
    let scored = |score: Score| Trained { node: name.to_owned(), metric: score.metric, value: score.value };
    Ok(score.filter(|score| score.status == Status::Completed).map(scored))
}

fn evaluated(store: &Store, name: &str, node: &StudyNode) -> Result<Vec<Evaluated>, ViewError> {
    let record = Outputs::of(store, name, node)?.map(|outputs| outputs.record()).transpose()?.flatten();
    let Some(Evaluation { split, n, heads, .. }) = record else { return Ok(Vec::new()) };
    let evaluated = |(head, figures): (String, pipe_stages::records::HeadEvaluation)| Evaluated {
        node: name.to_owned(),
        split: split.as_str().to_owned(),
        head,
        accuracy: figures.accuracy,
        interval_95: figures.interval_95,
        chance: figures.chance,
        images: n,
    };
    let mut found: Vec<_> = heads.into_iter().map(evaluated).collect();
    // The head with the most classes is the main one.
    found.sort_by(|a, b| a.chance.total_cmp(&b.chance));
    Ok(found)
}

fn measured(store: &Store, name: &str, node: &StudyNode) -> Result<Option<Measured>, ViewError> {
    let record = Outputs::of(store, name, node)?.map(|outputs| outputs.record::<TrialRecord>()).transpose()?.flatten();
    let figures = record.and_then(|record| record.trained).map(|trained| trained.figures).unwrap_or_default();
    let metrics: BTreeMap<_, _> = figures.into_iter().map(|(name, figure)| (name, figure.end)).collect();
    Ok((!metrics.is_empty()).then(|| Measured { node: name.to_owned(), metrics }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Builder, Trial};

    #[test]
    fn a_study_tells_its_best_trial_its_test_and_its_failures() {
        let (store, study) = Builder::whole(6).done();
        let found = Found { name: None, hash: study.hash(), study, open: None };
        let findings = Findings::of(&store, &found).unwrap();
        let lines = findings.lines();
        assert!(lines[0].starts_with("best trial: search/train/"), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("test: fine accuracy ")), "{lines:?}");
        let written = serde_json::to_string(&findings).unwrap();
        assert_eq!(serde_json::from_str::<Findings>(&written).unwrap(), findings);
    }

    #[test]
    fn failures_are_counted_by_reason() {
        let trials: Vec<_> = (0..4).map(|_| Trial::completed(0.3)).collect();
        let mut builder = Builder::new().search("search", &trials);
        for index in 1..4 {
            let reason = if index == 3 { "another" } else { "its network does not fit the images" };
            builder
                .outcome(&format!("search/train/00{index}"), pipe_engine::study::Outcome::Failure(reason.to_owned()));
        }
        let (store, study) = builder.done();
        let rows = table(&store, &study).unwrap();
        let found = search(&rows);
        let expected = "1 completed, 2 failed (its network does not fit the images), 1 failed (another)";
        assert_eq!(found.counts(), expected);
    }

    #[test]
    fn what_sets_the_best_trial_apart_is_named() {
        let (store, study) = Builder::whole(8).done();
        let mut rows = table(&store, &study).unwrap();
        for (at, row) in rows.iter_mut().enumerate() {
            row.status = "completed".to_owned();
            row.labels = [
                ("middle".to_owned(), json!(if at == 0 { 3.5 } else { at as f64 })),
                ("high".to_owned(), json!(if at == 0 { 99 } else { at })),
                ("same".to_owned(), json!("relu")),
                ("other".to_owned(), json!(if at == 0 { "Adam" } else { "SGD" })),
            ]
            .into();
        }
        let names: Vec<_> = unusual(&rows[0], &rows).into_keys().collect();
        assert_eq!(names, ["high", "other"]);
    }
}
