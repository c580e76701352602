//! Predictions of a trained network.

use std::collections::BTreeMap;

use pipe_store::Bytes;

use super::{Architecture, Backend, Mode, Network, Pass, Weights, awake::awake};
use crate::{
    network::training::loss,
    stage::{ComputeDevice, StageError},
};

/// A trained network: an architecture with its weights, and the backend that computes it.
pub struct Predictor {
    architecture: Architecture,
    weights: Weights,
    backend: Backend,
}

impl Predictor {
    /// Loads a network of this architecture from the contents of `weights.safetensors`.
    ///
    /// # Errors
    /// If the weights cannot be read or do not fit the architecture, or the device is not available.
    pub fn load(architecture: Architecture, weights: Bytes, device: ComputeDevice) -> Result<Self, StageError> {
        let weights = Weights::read(&architecture, weights)?;
        Ok(Self::new(architecture, weights, Backend::of(device)?))
    }

    /// Returns a predictor. If the weights do not fit the architecture, the first computation panics.
    pub fn new(architecture: Architecture, weights: Weights, backend: Backend) -> Self {
        Self { architecture, weights, backend }
    }

    /// Returns the architecture of the network.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    pub(super) fn weights(&self) -> &Weights {
        &self.weights
    }

    pub(super) fn backend(&self) -> &Backend {
        &self.backend
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

    /// Returns the network that computes the logits of all heads, with its weights.
    pub fn of_heads(&self) -> Network {
        let mut network = Network::of_heads(&self.architecture, Pass::Inference, &self.backend);
        network.set_weights(&self.weights);
        network
    }

    /// Returns the logits `[n, classes]` of each head, by name, for normalised `images` `[n, c, h, w]`. Computes `batch` images at
    /// a time.
    ///
    /// # Panics
    /// If the length of `images` is not a multiple of an image's, or if `batch` is 0.
    pub fn logits(&self, images: &[f32], batch: usize) -> BTreeMap<String, Vec<f32>> {
        let size: usize = self.architecture.input.iter().product();
        assert!(images.len().is_multiple_of(size), "the length of `images` is a multiple of an image's");
        let mut network = self.of_heads();
        let mut logits: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        awake(|| {
            for images in images.chunks(batch * size) {
                for (head, values) in network.forward(images, Mode::Inference).outputs {
                    logits.entry(head).or_default().extend(values);
                }
            }
        });
        logits
    }

    /// Returns the class probabilities `[n, classes]` of each head, by name, for normalised `images` `[n, c, h, w]`. Computes
    /// `batch` images at a time.
    ///
    /// # Panics
    /// As [`logits`](Self::logits) does.
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
