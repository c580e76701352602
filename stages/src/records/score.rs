//! `score.json`: the result of a training, in the few numbers that a search reads.

use serde::{Deserialize, Serialize};

use super::{Record, Version};
use crate::params::Float;

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It was trained to its end.
    Completed,
    /// Its loss stopped being a finite number.
    Diverged,
    /// It could not be trained.
    Failed,
}

impl Status {
    /// Returns the loss that samplers see: `loss`, or infinity if it is NaN or the trial did not complete. Hyperopt instead
    /// drops trials whose loss is NaN, and uses the loss of failed trials.
    pub fn loss_or_worst(self, loss: f64) -> f64 {
        match self {
            Self::Completed if !loss.is_nan() => loss,
            _ => f64::INFINITY,
        }
    }

    /// Returns the name of the status in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
        }
    }
}

/// `score.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// 1.
    pub format: Version<1>,
    /// How it ended.
    pub status: Status,
    /// The metric that was optimised, such as `valid.fine_accuracy`.
    pub metric: String,
    /// The metric's value. NaN if the training did not complete.
    pub value: Float,
    /// The loss, which the search minimises.
    pub loss: Float,
    /// The epoch that gave the value, from 1.
    pub epoch: Option<u32>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Record for Score {
    const FILE: &'static str = "score.json";
    const FORMAT: u32 = 1;
}
