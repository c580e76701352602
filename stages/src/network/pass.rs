//! A pass through a network: its purpose, its mode and its result.

use std::collections::BTreeMap;

/// The purpose of a network. It decides what a forward pass keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Only outputs.
    Inference,
    /// Outputs, and gradients with respect to the trained parameters. Runs in [`Mode::Training`].
    Training,
    /// Outputs, and gradients with respect to the images. Runs in [`Mode::Inference`].
    ImageGradients,
}

/// How layers that behave differently in training are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Normalises with the moving statistics, and does not drop anything.
    Inference,
    /// Normalises with the batch's statistics, and applies the dropout masks of (`seed`, `step`).
    Training {
        /// The seed of the training.
        seed: u64,
        /// The number of steps before this one.
        step: u32,
    },
}

/// The result of a forward pass.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Forward {
    /// The requested outputs, by layer: `[n, channels, height, width]` or `[n, units]`.
    pub outputs: BTreeMap<String, Vec<f32>>,
    /// The batch's mean and biased variance of each channel, by batch normalisation layer. Empty except in training.
    pub statistics: BTreeMap<String, [Vec<f32>; 2]>,
}

/// How much channels of a layer respond to images.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// For each image, the mean of its channel over the pixels.
    pub means: Vec<f64>,
    /// The gradient `[n, c, h, w]` of each mean with respect to its image.
    pub gradients: Vec<f32>,
}
