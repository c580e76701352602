//! Which weights of a training become outputs.

use serde::{Deserialize, Serialize};

/// Weights that become outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    /// `best/weights.safetensors`: of the epoch where the objective's metric is best (the last epoch, where there is no
    /// validation split).
    Best,
    /// `last/weights.safetensors`
    Last,
    /// `epoch-0010/weights.safetensors` and so on: every so many epochs.
    Every(u32),
}
