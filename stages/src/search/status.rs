//! How a trial ended, and what that means to a sampler.

use serde::{Deserialize, Serialize};

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// With a score.
    Completed,
    /// Its loss left the numbers.
    Diverged,
    /// It could not be trained.
    Failed,
}

impl Status {
    /// Returns the `loss` of such a trial as samplers see it: NaN, and whatever did not complete, counts as worst. This is the
    /// one deviation from Hyperopt, which drops NaN and takes the loss of a failed trial at its word.
    pub(crate) fn loss_or_worst(self, loss: f64) -> f64 {
        match self {
            Self::Completed if !loss.is_nan() => loss,
            _ => f64::INFINITY,
        }
    }
}
