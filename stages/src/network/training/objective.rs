//! What makes a training good, and when it is good enough.

use serde::{Deserialize, Serialize};

use crate::params::is_default;

/// Which way a metric is better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    Maximise(At),
    Minimise(At),
}

impl Default for Objective {
    fn default() -> Self {
        Self::Maximise(At::Best("valid.accuracy".into()))
    }
}

impl Objective {
    /// Returns the metric's name.
    pub fn metric(&self) -> &str {
        let (Self::Maximise(at) | Self::Minimise(at)) = self;
        let (At::Best(metric) | At::Last(metric)) = at;
        metric
    }

    /// Returns `value` as a loss to be minimised.
    pub fn loss(&self, value: f64) -> f64 {
        if matches!(self, Self::Maximise(_)) { -value } else { value }
    }

    /// Returns whether the last epoch counts rather than the best.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Maximise(At::Last(_)) | Self::Minimise(At::Last(_)))
    }
}

/// The epoch that counts, and the metric: `valid.` or `train.` with `loss`, `accuracy` (of the first head),
/// `<head>_loss` or `<head>_accuracy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum At {
    /// The epoch where it is best; the first of equals.
    Best(String),
    /// The last epoch.
    Last(String),
}

/// Stops a training whose objective's metric does not become better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// Epochs without improvement after which to stop.
    pub patience: u32,
    /// What counts as an improvement: more than this. Default 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub min_delta: f64,
}
