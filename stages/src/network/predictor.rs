//! A trained network for use: probabilities for images.

use std::collections::BTreeMap;

use pipe_store::Bytes;

use super::{Architecture, Backend, Mode, Network, Pass, Weights};
use crate::{
    network::training::loss,
    stage::{ComputeDevice, StageError},
};

/// An architecture with its weights on a device.
pub struct Predictor {
    architecture: Architecture,
    weights: Weights,
    backend: Backend,
}

impl Predictor {
    /// Returns the network in `architecture` (a record architecture.json) with `weights` (a file weights.safetensors).
    ///
    /// # Errors
    /// If they cannot be read or do not fit each other, or the device is not there.
    pub fn load(architecture: &[u8], weights: Bytes, device: ComputeDevice) -> Result<Self, StageError> {
        let architecture: Architecture = serde_json::from_slice(architecture)
            .map_err(|error| StageError::failed(format!("the architecture cannot be read: {error}")))?;
        let weights = Weights::read(&architecture, weights)?;
        Ok(Self::new(architecture, weights, Backend::of(device)?))
    }

    /// Returns the network of these weights.
    ///
    /// # Panics
    /// At its first use, if the weights are not the architecture's.
    pub fn new(architecture: Architecture, weights: Weights, backend: Backend) -> Self {
        Self { architecture, weights, backend }
    }

    /// Returns the network's architecture.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Returns the network that computes the outputs of the layers named `outputs`, with its weights.
    ///
    /// # Panics
    /// If an output is not a layer.
    pub fn network(&self, pass: Pass, outputs: &[&str]) -> Network {
        let mut network = Network::new(&self.architecture, pass, outputs, &self.backend);
        network.set_weights(&self.weights);
        network
    }

    /// Returns the logits of each head, [n, classes], for normalised `images` [n, c, h, w], computed `batch` at a time.
    ///
    /// # Panics
    /// If `images` is not a whole number of images, or `batch` is 0.
    pub fn logits(&self, images: &[f32], batch: usize) -> BTreeMap<String, Vec<f32>> {
        let size: usize = self.architecture.input.iter().product();
        assert!(images.len().is_multiple_of(size), "images are whole");
        let mut network = Network::of_heads(&self.architecture, Pass::Inference, &self.backend);
        network.set_weights(&self.weights);
        let mut logits: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for images in images.chunks(batch * size) {
            for (head, values) in network.forward(images, Mode::Inference).outputs {
                logits.entry(head).or_default().extend(values);
            }
        }
        logits
    }

    /// Returns the probabilities of each head's classes, [n, classes], for normalised `images` [n, c, h, w], computed
    /// `batch` at a time.
    ///
    /// # Panics
    /// As [`logits`](Self::logits).
    pub fn probabilities(&self, images: &[f32], batch: usize) -> BTreeMap<String, Vec<f32>> {
        let mut logits = self.logits(images, batch);
        for head in &self.architecture.heads {
            if let Some(values) = logits.get_mut(&head.name) {
                *values = loss::probabilities(head.output, values, head.classes);
            }
        }
        logits
    }
}
