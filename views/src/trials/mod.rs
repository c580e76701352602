//! The table of all trials of a study.

mod column;
mod front;
mod render;
mod repetitions;
mod sort;
mod stopped;

use std::collections::{BTreeMap, BTreeSet};

use pipe_engine::{
    pipeline::stages::search::SearchSpec,
    study::{Outcome, Study, StudyNode, Trial},
};
use pipe_stages::{
    params::Float,
    records::{Best, ParametersLink, Proposal, Score, Status, TrialRecord},
};
use pipe_store::Store;
use serde::Serialize;
use serde_json::Value;

pub(crate) use self::{column::Column, front::value as front_value};
pub use self::{
    front::{Front, FrontRow, fronts},
    render::{Layout, render_csv, render_text},
    repetitions::{render_repetitions, repetitions},
    sort::sort,
    stopped::{Stopped, stopped},
};
use crate::{ViewError, outputs::Outputs};

/// One trial: a configuration with its training.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrialRow {
    /// The search, a stage of the pipeline.
    pub search: String,
    /// The number of the trial in its search, from 0.
    pub index: u32,
    /// The node of the training.
    pub node: String,
    /// `completed`, `diverged` or `failed`; or `crashed` or `skipped` if there is no result.
    pub status: String,
    /// Whether it is the best trial of its search.
    pub best: bool,
    /// The metric that was optimised, such as `valid.fine_accuracy`, and its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Float>,
    /// The number that the sampler minimised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Float>,
    /// The epoch of the value, from 1, and the number of epochs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// The number of parameters of the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<u64>,
    /// The part of the sampler that proposed it, and how: `gaussian: expected improvement`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// active hyperparameter -> proposed value
    #[serde(rename = "hyperparameters")]
    pub labels: BTreeMap<String, Value>,
    /// Every setting that the training used, searched or fixed: `learning_rate`, `use_BN`.
    pub settings: BTreeMap<String, Value>,
    /// All metrics at the best epoch and at the end: `best.valid.loss`, `end.train.fine_accuracy`.
    pub metrics: BTreeMap<String, Float>,
    /// Why it did not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Returns the trials of all searches of a study, by search and number.
pub fn table(store: &Store, study: &Study) -> Result<Vec<TrialRow>, ViewError> {
    let mut rows = Vec::new();
    for trial in study.searches().flat_map(|search| study.trials(search)) {
        if let Some((name, node)) = trial.training {
            rows.push(row(store, &trial, name, node)?);
        }
    }
    write_whole_numbers(store, study, &mut rows);
    mark_best(store, study, &mut rows)?;
    Ok(rows)
}

/// Writes the values of labels that are whole numbers as such: 16, and not 16.0. A pipeline that cannot be read leaves them.
fn write_whole_numbers(store: &Store, study: &Study, rows: &mut [TrialRow]) {
    let Ok(pipeline) = study.read_pipeline(store) else { return };
    for rows in rows.chunk_by_mut(|a, b| a.search == b.search) {
        let Some(spec) = pipeline.stages.get_as::<SearchSpec>(&rows[0].search) else { continue };
        for label in spec.own.space.whole_labels() {
            for value in rows.iter_mut().filter_map(|row| row.labels.get_mut(label)) {
                if let Some(x) = value.as_f64().filter(|x| x.fract() == 0.0 && x.abs() < 9e15) {
                    *value = Value::from(x as i64);
                }
            }
        }
    }
}

fn row(store: &Store, trial: &Trial<'_>, name: &str, node: &StudyNode) -> Result<TrialRow, ViewError> {
    let mut row = TrialRow {
        search: trial.search.to_owned(),
        index: trial.number,
        node: name.to_owned(),
        status: String::new(),
        best: false,
        metric: None,
        value: None,
        loss: None,
        best_epoch: None,
        epochs: None,
        parameters: None,
        by: None,
        labels: BTreeMap::new(),
        settings: BTreeMap::new(),
        metrics: BTreeMap::new(),
        reason: None,
    };
    read_proposal(store, trial, &mut row)?;
    match &node.outcome {
        Outcome::Tree(_) => {}
        Outcome::Failure(message) => {
            (row.status, row.reason) = (Status::Failed.as_str().to_owned(), Some(message.clone()))
        }
        Outcome::Crash => row.status = "crashed".to_owned(),
        Outcome::Skipped(needed) => {
            (row.status, row.reason) = ("skipped".to_owned(), Some(format!("`{needed}` has no outputs")));
        }
    }
    if let Some(outputs) = Outputs::of(store, name, node)? {
        read_score(&outputs, &mut row)?;
        read_trial(&outputs, &mut row)?;
    }
    Ok(row)
}

fn read_proposal(store: &Store, trial: &Trial<'_>, row: &mut TrialRow) -> Result<(), ViewError> {
    let Some((name, node)) = trial.proposal else { return Ok(()) };
    let Some(outputs) = Outputs::of(store, name, node)? else { return Ok(()) };
    row.labels = outputs.record::<Proposal>()?.map(|proposal| proposal.labels).unwrap_or_default();
    row.by = outputs.record::<ParametersLink>()?.and_then(|link| link.by);
    Ok(())
}

fn read_score(outputs: &Outputs<'_>, row: &mut TrialRow) -> Result<(), ViewError> {
    let Some(score) = outputs.record::<Score>()? else { return Ok(()) };
    row.status = score.status.as_str().to_owned();
    row.metric = Some(score.metric);
    row.reason = score.reason;
    row.value = Some(score.value);
    row.loss = Some(score.loss);
    row.best_epoch = score.epoch.map(u64::from);
    Ok(())
}

fn read_trial(outputs: &Outputs<'_>, row: &mut TrialRow) -> Result<(), ViewError> {
    let Some(trial) = outputs.record::<TrialRecord>()? else { return Ok(()) };
    row.settings.extend(trial.hyperparameters);
    let Some(trained) = trial.trained else { return Ok(()) };
    for (metric, figure) in trained.figures {
        row.metrics.insert(format!("best.{metric}"), figure.best);
        row.metrics.insert(format!("end.{metric}"), figure.end);
    }
    row.settings.extend(trained.settings);
    row.epochs = Some(trained.epochs.into());
    row.parameters = trained.parameters;
    Ok(())
}

/// Marks the best trial of each search: the selected one. Without a selection it is the completed trial with the least loss,
/// the first if several are equal.
fn mark_best(store: &Store, study: &Study, rows: &mut [TrialRow]) -> Result<(), ViewError> {
    for rows in rows.chunk_by_mut(|a, b| a.search == b.search) {
        let select = study.selection(&rows[0].search);
        let outputs = select.map(|(name, node)| Outputs::of(store, name, node)).transpose()?.flatten();
        let best: Option<Best> = outputs.map(|outputs| outputs.record()).transpose()?.flatten();
        let selected = best.map(|best| best.trial);
        let least =
            || rows.iter().filter(|row| row.is_ranked()).min_by(|a, b| a.loss_or_worst().total_cmp(&b.loss_or_worst()));
        let index = selected.or_else(|| least().map(|row| row.index));
        for row in rows {
            row.best = index == Some(row.index);
        }
    }
    Ok(())
}

impl TrialRow {
    /// Returns whether it was trained to its end.
    pub fn is_completed(&self) -> bool {
        self.status == Status::Completed.as_str()
    }

    /// Returns whether the trial can be ranked: it completed, and its loss is not NaN.
    pub fn is_ranked(&self) -> bool {
        self.is_completed() && self.loss.is_some_and(|loss| !loss.0.is_nan())
    }

    /// Returns the loss, or infinity for a trial that cannot be ranked.
    pub fn loss_or_worst(&self) -> f64 {
        self.loss.filter(|_| self.is_ranked()).map_or(f64::INFINITY, |loss| loss.0)
    }
}

/// The names of the columns that every trial has.
const OWN: [&str; 8] = ["trial", "status", "value", "loss", "best_epoch", "epochs", "parameters", "by"];

/// Returns the names of the columns of a search's trials: what every trial has, hyperparameters, and the metrics of its first trial that
/// has some. It reads as little as possible.
///
/// # Errors
/// If a record cannot be read.
pub fn column_names(store: &Store, study: &Study, search: &str) -> Result<Vec<String>, ViewError> {
    let pipeline = study.read_pipeline(store)?;
    let space = pipeline.stages.get_as::<SearchSpec>(search).map(SearchSpec::space);
    let labels = space.iter().flat_map(|space| space.labels()).map(str::to_owned);
    let mut names: Vec<_> = OWN.map(str::to_owned).into_iter().chain(labels).collect();
    for trial in study.trials(search) {
        let Some((name, node)) = trial.training else { continue };
        let row = row(store, &trial, name, node)?;
        if !row.metrics.is_empty() {
            names.extend(row.metrics.into_keys());
            break;
        }
    }
    Ok(names)
}

/// Returns the names of all labels of these trials.
pub(crate) fn label_names(rows: &[TrialRow]) -> Vec<String> {
    let names: BTreeSet<_> = rows.iter().flat_map(|row| row.labels.keys()).collect();
    names.into_iter().cloned().collect()
}

/// Returns the names of all settings of these trials.
pub(crate) fn setting_names(rows: &[TrialRow]) -> Vec<String> {
    let names: BTreeSet<_> = rows.iter().flat_map(|row| row.settings.keys()).collect();
    names.into_iter().cloned().collect()
}

/// Returns the names of all metrics of these trials.
pub(crate) fn metric_names(rows: &[TrialRow]) -> Vec<String> {
    let names: BTreeSet<_> = rows.iter().flat_map(|row| row.metrics.keys()).collect();
    names.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Builder, Trial};

    #[test]
    fn trials_are_ordered_by_number_and_the_selected_one_is_marked() {
        let study = Builder::new().search("search", &[Trial::completed(0.3), Trial::diverged(), Trial::completed(0.5)]);
        let (store, study) = study.done();
        let rows = table(&store, &study).unwrap();
        let seen: Vec<_> = rows.iter().map(|row| (row.index, row.status.as_str(), row.best)).collect();
        assert_eq!(seen, [(0, "completed", false), (1, "diverged", false), (2, "completed", true)]);
        assert_eq!(rows[2].value, Some(Float(0.5)));
        assert_eq!(rows[2].metric.as_deref(), Some("valid.fine_accuracy"));
        assert_eq!((rows[2].best_epoch, rows[2].epochs, rows[2].parameters), (Some(3), Some(4), Some(3292)));
        assert_eq!(rows[2].labels["activation"], json!("relu"));
        assert!(rows[2].metrics.contains_key("best.valid.loss"));
        assert_eq!(rows[1].reason.as_deref(), Some("the loss is NaN"));
    }

    #[test]
    fn without_a_selection_the_first_trial_with_the_least_loss_is_best() {
        let trials = [Trial::diverged(), Trial::completed(0.4), Trial::completed(0.4)];
        let mut builder = Builder::new().search("search", &trials);
        builder.nodes.remove("search/select");
        let (store, study) = builder.done();
        let best: Vec<_> = table(&store, &study).unwrap().iter().map(|row| row.best).collect();
        assert_eq!(best, [false, true, false]);
    }

    #[test]
    fn a_promoted_trial_has_the_labels_of_the_trial_it_continues() {
        let trials = [Trial::completed(0.3), Trial::completed(0.4), Trial::completed(0.5)];
        let (store, study) = Builder::new().halving("search", &trials).done();
        assert!(study.nodes["search/promote/002"].is(pipe_stages::StageName::Promote));
        let rows = table(&store, &study).unwrap();
        assert_eq!((rows.len(), &rows[2].labels), (3, &rows[1].labels));
        assert_eq!((rows[2].labels["activation"].as_str(), rows[2].best), (Some("elu"), true));
    }

    #[test]
    fn an_unreadable_record_is_reported_with_node_file_and_field() {
        let mut builder = Builder::new().search("search", &[Trial::completed(0.3)]);
        let score = json!({ "format": 1, "status": "completed", "metric": "valid.loss", "value": 0.5, "loss": "low" });
        let outputs = pipe_stages::stage::Outputs::default().with_json("score.json", &score);
        builder.inject("search/train/000", pipe_stages::StageName::Train, &outputs);
        builder.nodes.get_mut("search/train/000").unwrap().part_of = "search".to_owned();
        let (store, study) = builder.done();
        let error = table(&store, &study).unwrap_err().to_string();
        let digest = pipe_store::Digest::of(&pipe_stages::params::record(&score));
        let expected = format!(
            "`search/train/000/score.json` ({digest}) cannot be read: `loss`: expected a number, found \"low\""
        );
        assert!(error.starts_with(&expected), "{error}");
    }

    #[test]
    fn a_trial_without_a_result_is_shown_with_its_labels() {
        let mut builder = Builder::new().search("search", &[Trial::completed(0.3), Trial::completed(0.4)]);
        builder.outcome("search/train/000", Outcome::Crash);
        builder.outcome("search/train/001", Outcome::Failure("images too small".into()));
        let (store, study) = builder.done();
        let rows = table(&store, &study).unwrap();
        assert_eq!((rows[0].status.as_str(), rows[0].labels.len() > 1), ("crashed", true));
        assert_eq!(rows[1].reason.as_deref(), Some("images too small"));
    }
}
