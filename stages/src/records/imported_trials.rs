//! A file of trials of another search, from which a search goes on. `pipe import-trials` writes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Record, Status, Version};
use crate::params::Float;

/// The record of a file of trials, in the order in which they were proposed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedTrials {
    /// 1.
    pub format: Version<1>,
    /// Where they are from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The trials.
    pub trials: Vec<Imported>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// active label -> its value
    pub labels: BTreeMap<String, Value>,
    /// To be minimised; NaN or infinite if the trial failed.
    pub loss: Float,
    /// How it ended.
    #[serde(default = "completed", skip_serializing_if = "is_completed")]
    pub status: Status,
}

fn completed() -> Status {
    Status::Completed
}

fn is_completed(status: &Status) -> bool {
    *status == Status::Completed
}

impl Imported {
    /// Returns a trial that ended with this loss, or failed without one.
    pub fn new(labels: BTreeMap<String, Value>, loss: Option<f64>) -> Self {
        let status = if loss.is_some() { Status::Completed } else { Status::Failed };
        Self { labels, loss: Float(loss.unwrap_or(f64::INFINITY)), status }
    }

    /// Returns the loss as samplers see it: see [`Status::loss_or_worst`].
    pub fn loss_or_worst(&self) -> f64 {
        self.status.loss_or_worst(self.loss.0)
    }
}

impl Record for ImportedTrials {
    /// As `pipe import-trials` calls it. In a study the file has the name that `Fetch` gives it.
    const FILE: &'static str = "trials.json";
    const FORMAT: u32 = 1;
}
