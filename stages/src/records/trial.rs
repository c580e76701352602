//! `trial.json`: the parameters of a training and its results.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Record, Status, Transfer, Version};
use crate::params::Float;

/// `trial.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct TrialRecord {
    /// How it ended.
    pub status: Status,
    /// Why it failed.
    pub reason: Option<String>,
    /// All hyperparameters of its network, by key: proposed, fixed, or at their defaults.
    pub hyperparameters: Map<String, Value>,
    /// The proposed value of each label.
    pub labels: Map<String, Value>,
    /// The results of the training. `None` if it failed.
    pub trained: Option<Trained>,
}

/// The results of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The number of epochs.
    pub epochs: u32,
    /// The number of steps, if it is known.
    pub steps: Option<u64>,
    /// The step at which it diverged, if it did.
    pub diverged_at: Option<u64>,
    /// The best epoch, from 1.
    pub best_epoch: Option<u32>,
    /// Every parameter of `Train` with the value it had, by name, and `head_weights`: the weight of each head's loss.
    pub settings: Map<String, Value>,
    /// The number of the network's parameters, if `pipe` built the network.
    pub parameters: Option<u64>,
    /// The number of floating-point operations for one image, if `pipe` built the network.
    pub flops: Option<u64>,
    /// Every metric, by a name such as `valid.fine_accuracy`.
    pub figures: BTreeMap<String, Figure>,
    /// What it took from the weights that it started from. `None` if all its weights were drawn.
    pub transfer: Option<Transfer>,
    /// The names of the layers whose weights it left as they were.
    pub frozen: Vec<String>,
}

/// A metric over the epochs of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The best value.
    pub best: Float,
    /// The epoch of the best value, from 1.
    pub best_epoch: u32,
    /// The value in the last epoch.
    pub end: Float,
}

impl Record for TrialRecord {
    const FILE: &'static str = "trial.json";
    const FORMAT: u32 = 1;
}

/// The fields of the record. The fields of [`Trained`] are absent if the trial failed. An `Option<Option<_>>` is a field that
/// may be absent or `null`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    format: Version<1>,
    status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    hyperparameters: Map<String, Value>,
    labels: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epochs: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    steps: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    diverged_at: Option<Option<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    best_epoch: Option<Option<u32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parameters: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flops: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    figures: Option<BTreeMap<String, Figure>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transfer: Option<Transfer>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    frozen: Vec<String>,
}

/// Reads a field that is present, and may be `null`.
fn given<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl From<TrialRecord> for Fields {
    fn from(record: TrialRecord) -> Self {
        let TrialRecord { status, reason, hyperparameters, labels, trained } = record;
        let mut fields = Self {
            format: Version,
            status,
            reason,
            hyperparameters,
            labels,
            epochs: None,
            steps: None,
            diverged_at: None,
            best_epoch: None,
            settings: None,
            parameters: None,
            flops: None,
            figures: None,
            transfer: None,
            frozen: Vec::new(),
        };
        if let Some(trained) = trained {
            fields.epochs = Some(trained.epochs);
            fields.steps = trained.steps;
            fields.diverged_at = Some(trained.diverged_at);
            fields.best_epoch = Some(trained.best_epoch);
            fields.settings = Some(trained.settings);
            fields.parameters = trained.parameters;
            fields.flops = trained.flops;
            fields.figures = Some(trained.figures);
            (fields.transfer, fields.frozen) = (trained.transfer, trained.frozen);
        }
        fields
    }
}

impl TryFrom<Fields> for TrialRecord {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let trained = match fields.status {
            Status::Failed => None,
            Status::Completed | Status::Diverged => Some(Trained {
                epochs: present("epochs", fields.epochs)?,
                steps: fields.steps,
                diverged_at: present("diverged_at", fields.diverged_at)?,
                best_epoch: present("best_epoch", fields.best_epoch)?,
                settings: present("settings", fields.settings)?,
                parameters: fields.parameters,
                flops: fields.flops,
                figures: present("figures", fields.figures)?,
                transfer: fields.transfer,
                frozen: fields.frozen,
            }),
        };
        let Fields { status, reason, hyperparameters, labels, .. } = fields;
        Ok(Self { status, reason, hyperparameters, labels, trained })
    }
}

fn present<T>(name: &str, field: Option<T>) -> Result<T, String> {
    field.ok_or_else(|| format!("missing field `{name}`"))
}
