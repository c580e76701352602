//! What comes of a program that has ended: its outputs, its metrics and its score.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    params::Command,
    reports::{Reports, Rows, flatten, with_quoted_words},
    word::Word,
};
use crate::{
    network::training::{Objective, larger_is_better},
    params::Float,
    program::Finished,
    records::{Figure, Score, Status, Trained, TrainingHistory, TrialRecord, Version},
    stage::{Outputs, StageError},
};

/// The largest file of metrics.
const METRICS: u64 = 16 << 20;

/// Returns the outputs of a program that ended by itself. `labels` are the proposed values.
pub(super) fn outputs(
    command: &Command,
    finished: Finished,
    epochs: Option<u32>,
    labels: Map<String, Value>,
) -> Result<Outputs, StageError> {
    if finished.code != 0 {
        return failed(command, &finished, labels);
    }
    let mut outputs = Outputs::default();
    let mut metrics = BTreeMap::new();
    for path in &command.metrics {
        metrics.extend(metrics_of(path, &finished)?);
    }
    let report = finished.watched.as_deref().unwrap_or_default();
    let rows = command.reports.as_ref().map(|reports| reports.rows(report, epochs)).transpose();
    let rows = rows.map_err(|message| broken(message, None))?;
    for ignored in rows.iter().flat_map(|rows| &rows.ignored) {
        tracing::warn!("not in the history: {ignored}");
    }
    take(command, finished, &mut outputs)?;
    let has_numbers = rows.is_some() || !metrics.is_empty() || command.objective.is_some();
    let rows = rows.unwrap_or_default();
    if !rows.epochs.is_empty() {
        let history = rows.history();
        if let Some(reserved) = history.metrics.iter().find(|name| *name == "weights") {
            return Err(broken(format!("a metric is called `{reserved}`"), Some("call it otherwise")));
        }
        outputs.insert(TrainingHistory::FILE, history.write());
    }
    let score = command.objective.as_ref().map(|objective| score(&objective.0, &rows, &metrics, epochs)).transpose()?;
    if has_numbers {
        let status = score.as_ref().map_or(Status::Completed, |score| score.status);
        let trained = Trained {
            epochs: rows.epochs.last_key_value().map_or(epochs.unwrap_or(1), |(epoch, _)| *epoch),
            steps: None,
            diverged_at: None,
            best_epoch: score.as_ref().and_then(|score| score.epoch),
            settings: Map::new(),
            parameters: None,
            flops: None,
            figures: figures(command, &rows, &metrics, epochs),
            transfer: None,
            frozen: Vec::new(),
        };
        let record = TrialRecord { status, reason: None, hyperparameters: Map::new(), labels, trained: Some(trained) };
        outputs = outputs.with_record(&record);
    }
    Ok(match score {
        Some(score) => outputs.with_record(&score),
        None => outputs,
    })
}

/// Returns the error of a program that gave something wrong. It is not a result: a program may do better next time.
fn broken(message: String, hint: Option<&str>) -> StageError {
    StageError::Environment { message, hint: hint.map(str::to_owned), source: None }
}

fn failed(command: &Command, finished: &Finished, labels: Map<String, Value>) -> Result<Outputs, StageError> {
    let name = command.run.first().and_then(Word::plain).unwrap_or("the program");
    let message = format!("`{name}` ended with the exit code {}", finished.code);
    let is_caught = u8::try_from(finished.code).is_ok_and(|code| command.catch.contains(&code));
    if !is_caught {
        let lines: String = finished.last_lines.iter().map(|line| format!("\n  | {line}")).collect();
        return Err(broken(message + &lines, finished.hint.as_deref()));
    }
    let Some(objective) = &command.objective else { return Err(StageError::failed(message)) };
    let score = Score {
        format: Version,
        status: Status::Failed,
        metric: objective.0.metric().to_owned(),
        value: Float(f64::NAN),
        loss: Float(f64::NAN),
        epoch: None,
        reason: Some(message.clone()),
    };
    let record = TrialRecord {
        status: Status::Failed,
        reason: Some(message),
        hyperparameters: Map::new(),
        labels,
        trained: None,
    };
    Ok(Outputs::default().with_record(&record).with_record(&score))
}

/// Moves the declared outputs from what the program wrote. What is not declared is dropped, and told.
fn take(command: &Command, mut finished: Finished, outputs: &mut Outputs) -> Result<(), StageError> {
    let mut missing = Vec::new();
    let declared: BTreeSet<&String> = command.outputs.iter().chain(&command.metrics).collect();
    for path in declared {
        if path.ends_with('/') {
            let inside: Vec<String> =
                finished.outputs.keys().filter(|known| known.starts_with(path.as_str())).cloned().collect();
            if inside.is_empty() {
                missing.push(path.as_str());
            }
            for path in inside {
                let file = finished.outputs.remove(&path).expect("it is one of the keys");
                outputs.insert_found(path, file);
            }
        } else {
            match finished.outputs.remove(path) {
                Some(file) => outputs.insert_found(path.clone(), file),
                // A file of a folder that is an output as well.
                None if outputs.found().contains_key(path) => {}
                None => missing.push(path.as_str()),
            }
        }
    }
    if !missing.is_empty() {
        let quoted: Vec<_> = missing.iter().map(|path| format!("`{path}`")).collect();
        let others: Vec<_> = finished.outputs.keys().take(5).map(|path| format!("`{path}`")).collect();
        let hint = if others.is_empty() {
            "the program must write its outputs to the folder `{out}`".to_owned()
        } else {
            format!("it wrote {} there", others.join(", "))
        };
        return Err(broken(format!("the program did not write {} to `{{out}}`", quoted.join(", ")), Some(&hint)));
    }
    let report = match &command.reports {
        Some(Reports::Csv(path)) => Some(path),
        _ => None,
    };
    let dropped: Vec<_> =
        finished.outputs.keys().filter(|path| Some(*path) != report).chain(&finished.others).collect();
    if let Some(first) = dropped.first() {
        let more = if dropped.len() > 1 { format!(" and {} more", dropped.len() - 1) } else { String::new() };
        tracing::warn!("`{first}`{more} is not kept: it is not in `outputs`");
    }
    Ok(())
}

/// Returns the numbers in a file of metrics, which is JSON.
fn metrics_of(path: &str, finished: &Finished) -> Result<Vec<(String, f64)>, StageError> {
    let Some(file) = finished.outputs.get(path) else {
        let message = format!("the program did not write `{path}` to `{{out}}`");
        return Err(broken(message, Some("it is one of its `metrics`")));
    };
    if file.size > METRICS {
        return Err(broken(format!("`{path}` has {} bytes, too many for a file of metrics", file.size), None));
    }
    #[expect(clippy::disallowed_methods, reason = "an output of the program that just ended")]
    let bytes = std::fs::read(&file.path).map_err(|error| broken(format!("`{path}` cannot be read: {error}"), None))?;
    let text = String::from_utf8_lossy(&bytes);
    let value: Value =
        serde_json::from_str(&text).or_else(|_| serde_json::from_str(&with_quoted_words(&text))).map_err(|error| {
            broken(format!("`{path}` is not JSON: {error}"), Some("metrics are a JSON object of numbers"))
        })?;
    if !value.is_object() {
        return Err(broken(format!("`{path}` is not a JSON object"), Some("metrics are a JSON object of numbers")));
    }
    let (mut numbers, mut ignored) = (Vec::new(), BTreeSet::new());
    flatten("", &value, &mut numbers, &mut ignored);
    Ok(numbers)
}

/// Returns the score. A value that is not a number counts as diverged.
fn score(
    objective: &Objective,
    rows: &Rows,
    metrics: &BTreeMap<String, f64>,
    epochs: Option<u32>,
) -> Result<Score, StageError> {
    let metric = objective.metric();
    let curve = rows.curve(metric);
    let (epoch, value) = if curve.is_empty() {
        let Some(value) = metrics.get(metric) else {
            let known: BTreeSet<&str> = rows.metrics().into_iter().chain(metrics.keys().map(String::as_str)).collect();
            let known: Vec<_> = known.into_iter().take(20).map(|name| format!("`{name}`")).collect();
            let hint = match known.as_slice() {
                [] => "it reported nothing".to_owned(),
                known => format!("it reported {}", known.join(", ")),
            };
            return Err(broken(format!("the program reported no metric `{metric}`"), Some(&hint)));
        };
        (epochs, *value)
    } else if objective.is_last() {
        // The value in the last epoch that the program trained, even if that epoch lacks it.
        let last = rows.epochs.last_key_value().map_or(0, |(epoch, _)| *epoch);
        (Some(last), curve.iter().find(|(epoch, _)| *epoch == last).map_or(f64::NAN, |(_, value)| *value))
    } else {
        let best = curve.iter().filter(|(_, value)| !value.is_nan());
        let best = best.min_by(|(_, a), (_, b)| objective.loss(*a).total_cmp(&objective.loss(*b)));
        best.map_or((None, f64::NAN), |(epoch, value)| (Some(*epoch), *value))
    };
    let last_is_nan = curve.last().is_some_and(|(_, value)| value.is_nan());
    let status = if value.is_nan() || last_is_nan { Status::Diverged } else { Status::Completed };
    let value = if status == Status::Diverged { f64::NAN } else { value };
    Ok(Score {
        format: Version,
        status,
        metric: metric.to_owned(),
        value: Float(value),
        loss: Float(objective.loss(value)),
        epoch,
        reason: None,
    })
}

/// Returns each metric with its best and its last value.
fn figures(
    command: &Command,
    rows: &Rows,
    metrics: &BTreeMap<String, f64>,
    epochs: Option<u32>,
) -> BTreeMap<String, Figure> {
    let last = rows.epochs.last_key_value().map_or(epochs.unwrap_or(1), |(epoch, _)| *epoch);
    let of_file = |(name, value): (&String, &f64)| {
        (name.clone(), Figure { best: Float(*value), best_epoch: last, end: Float(*value) })
    };
    let mut figures: BTreeMap<String, Figure> = metrics.iter().map(of_file).collect();
    for name in rows.metrics() {
        let loss = |value: f64| match &command.objective {
            Some(objective) if objective.0.metric() == name => objective.0.loss(value),
            _ if larger_is_better(name) => -value,
            _ => value,
        };
        let curve = rows.curve(name);
        let numbers = curve.iter().filter(|(_, value)| !value.is_nan());
        let best = numbers.min_by(|(_, a), (_, b)| loss(*a).total_cmp(&loss(*b))).or(curve.last());
        let (Some((best_epoch, best)), Some((_, end))) = (best, curve.last()) else { continue };
        figures.insert(name.to_owned(), Figure { best: Float(*best), best_epoch: *best_epoch, end: Float(*end) });
    }
    figures
}
