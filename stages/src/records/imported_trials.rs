//! The trials of another search, which a search can continue from. `pipe import-trials` writes this file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Record, Status, Version};
use crate::params::Float;

/// The trials of another search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedTrials {
    /// 1.
    pub format: Version<1>,
    /// Where the trials come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The trials, in the order in which they were proposed.
    pub trials: Vec<Imported>,
}

/// A trial of another search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// The value of each active label.
    pub labels: BTreeMap<String, Value>,
    /// The loss, which the search minimises. NaN or infinite if the trial failed.
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
    /// Returns a trial that completed with `loss`, or failed if that is `None`.
    pub fn new(labels: BTreeMap<String, Value>, loss: Option<f64>) -> Self {
        let status = if loss.is_some() { Status::Completed } else { Status::Failed };
        Self { labels, loss: Float(loss.unwrap_or(f64::INFINITY)), status }
    }

    /// Returns the loss that samplers see. See [`Status::loss_or_worst`].
    pub fn loss_or_worst(&self) -> f64 {
        self.status.loss_or_worst(self.loss.0)
    }
}

impl Record for ImportedTrials {
    /// The name that `pipe import-trials` uses. In a study the file has the name that `Fetch` gives it.
    const FILE: &'static str = "trials.json";
    const FORMAT: u32 = 1;
}
