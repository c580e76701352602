//! One pass through a network: what it is for, how it is walked and what it gives.

use std::collections::BTreeMap;

/// What a network is for, which decides what a forward pass keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Outputs alone.
    Inference,
    /// Gradients with respect to the trained parameters. Normalises with the batch's statistics and applies dropout.
    Training,
    /// Gradients with respect to the images. Otherwise as inference.
    ImageGradients,
}

/// How a network is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// With the moving statistics, without dropout.
    Inference,
    /// With the batch's statistics and the dropout masks of (`seed`, `step`).
    Training {
        /// The seed of the training.
        seed: u64,
        /// Steps taken before this one.
        step: u32,
    },
}

/// What a forward pass gives.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Forward {
    /// The requested outputs, by layer: [n, channels, height, width] or [n, units].
    pub outputs: BTreeMap<String, Vec<f32>>,
    /// The batch's mean and biased variance per channel, by layer. Empty unless the network is trained.
    pub statistics: BTreeMap<String, [Vec<f32>; 2]>,
}
