//! The output files of a training.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::params::Train;
use crate::{
    network::{
        Proposed,
        training::{
            Histograms, Keep, Settings,
            history::{self, Epoch, Metric, metric_names},
            larger_is_better,
            state::{State, epoch_name},
        },
    },
    params::{Declared, Float},
    records::{Figure, Score, Status, Trained, TrainingHistory, Transfer, TrialRecord, Version},
    stage::Outputs,
};

/// Returns the outputs of a training that ran to its end or diverged. `used` are its parameters with the values
/// that were used.
pub(crate) fn of(
    used: &Train,
    settings: &Settings,
    proposal: &Proposed,
    metric: &Metric,
    state: &State,
    transfer: Option<Transfer>,
) -> Outputs {
    let heads = &settings.architecture.heads;
    let status = if state.diverged_at.is_some() { Status::Diverged } else { Status::Completed };
    let at = if used.objective.is_last() {
        state.epochs.len() as u32
    } else {
        state.best.as_ref().map_or(0, |(epoch, _)| *epoch)
    };
    // A training that diverged has no value, however good the epochs before were.
    let value = if state.diverged_at.is_some() { f64::NAN } else { metric.of(&state.epochs[at as usize - 1]) };
    let score = Score {
        format: Version,
        status,
        metric: metric.name.clone(),
        value: Float(value),
        loss: Float(used.objective.loss(value)),
        epoch: (at > 0).then_some(at),
        reason: None,
    };
    let trained = Trained {
        epochs: state.epochs.len() as u32,
        steps: Some(state.step),
        diverged_at: state.diverged_at,
        best_epoch: state.best.as_ref().map(|(epoch, _)| *epoch),
        settings: recorded(used, settings),
        parameters: Some(settings.architecture.parameters),
        flops: Some(settings.architecture.flops),
        figures: figures(&state.epochs, &metric_names(heads, has_validation(&state.epochs), &settings.asked), settings),
        transfer,
        frozen: settings.frozen.iter().cloned().collect(),
    };
    let trial = TrialRecord {
        status,
        reason: None,
        hyperparameters: settings.hyperparameters.clone(),
        labels: proposal.labels.clone(),
        trained: Some(trained),
    };
    let mut outputs = Outputs::default()
        .with_record(&trial)
        .with_record(&score)
        .with(TrainingHistory::FILE, history::table(&state.epochs, heads, &settings.asked).write())
        .with_record(&settings.architecture);
    for keep in &used.keep {
        match keep {
            Keep::Best => {
                if let Some((_, weights)) = &state.best {
                    outputs.insert("best/weights.safetensors", weights.write());
                }
            }
            Keep::Last => outputs.insert("last/weights.safetensors", state.weights.write()),
            // These are written below, once even if several `Every` keep them.
            Keep::Every(_) => {}
        }
    }
    for (&epoch, weights) in &state.kept {
        outputs.insert(format!("{}/weights.safetensors", epoch_name(epoch)), weights.write());
    }
    if let Some(every) = used.histograms {
        outputs.insert(Histograms::FILE, state.histograms.thinned(every).write());
    }
    outputs
}

/// Returns the outputs of a proposal that cannot be trained, for `reason`.
pub(crate) fn of_infeasible(train: &Train, proposal: &Proposed, reason: &str) -> Outputs {
    let score = Score {
        format: Version,
        status: Status::Failed,
        metric: train.objective.metric().to_owned(),
        value: Float(f64::NAN),
        loss: Float(f64::NAN),
        epoch: None,
        reason: Some(reason.to_owned()),
    };
    let trial = TrialRecord {
        status: Status::Failed,
        reason: Some(reason.to_owned()),
        hyperparameters: proposal.values.clone(),
        labels: proposal.labels.clone(),
        trained: None,
    };
    Outputs::default().with_record(&trial).with_record(&score)
}

/// Parameters that were added after version 2 of the stage. They are recorded unless they have their default, so that a
/// training from before is repeated with equal bytes. The next version of the stage empties the list.
pub(super) const ADDED: &[&str] = &["class_weights", "sampling", "metrics", "init", "freeze"];

/// Returns every parameter of a training with the value that was used, and the weights of the heads' losses and of the classes.
fn recorded(used: &Train, settings: &Settings) -> Map<String, Value> {
    let mut values = used.all();
    for added in Train::declarations().iter().filter(|declaration| ADDED.contains(&declaration.name)) {
        if values.get(added.name) == added.default.as_ref() {
            values.remove(added.name);
        }
    }
    values.insert("head_weights".into(), json!(settings.head_weights));
    if let Some(weights) = &settings.class_weights {
        let weight = |(class, weight): (&String, &f64)| (class.clone(), json!(weight));
        values.insert("weights_of_classes".into(), settings.classes.iter().zip(weights).map(weight).collect());
    }
    values
}

fn has_validation(epochs: &[Epoch]) -> bool {
    epochs.iter().any(|epoch| epoch.valid.is_some())
}

/// Returns each metric's best value, its epoch, and the value of the last epoch.
fn figures(epochs: &[Epoch], names: &[String], settings: &Settings) -> BTreeMap<String, Figure> {
    let heads = &settings.architecture.heads;
    let of_metric = |name: &String| {
        let metric = Metric::new(name, heads, has_validation(epochs)).expect("the name is in the list");
        let sign = if larger_is_better(name) { -1.0 } else { 1.0 };
        let (end, ..) = epochs.split_last()?;
        let first = (1, metric.of(&epochs[0]));
        let best = (2..).zip(&epochs[1..]).fold(first, |best, (number, epoch)| {
            let value = metric.of(epoch);
            if sign * value < sign * best.1 { (number, value) } else { best }
        });
        let figures = Figure { best: Float(best.1), best_epoch: best.0, end: Float(metric.of(end)) };
        Some((name.clone(), figures))
    };
    names.iter().filter_map(of_metric).collect()
}
