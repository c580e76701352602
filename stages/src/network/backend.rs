//! A network that computes: on the CPU with our kernels, elsewhere with burn's tensors.

use std::collections::BTreeMap;

#[cfg(any(feature = "cuda", test))]
use super::on_burn::BurnNetwork;
use super::{Architecture, Place, Weights, on_cpu::CpuNetwork};

/// What a network is for: decides what a forward pass keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Outputs alone.
    Inference,
    /// Gradients by the trained parameters, with the batch's statistics and dropout.
    Training,
    /// Gradients by the images, otherwise as inference.
    ImageGradients,
}

/// How a network is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// With the moving statistics, without dropout.
    Inference,
    /// With the batch's statistics and the dropout masks of (seed, step).
    Training { seed: u64, step: u32 },
}

/// What a forward pass gives.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Forward {
    /// The outputs asked for, by layer: [n, channels, height, width], or [n, units].
    pub outputs: BTreeMap<String, Vec<f32>>,
    /// Mean and biased variance of the batch per channel, by layer; none unless it is trained.
    pub statistics: BTreeMap<String, [Vec<f32>; 2]>,
}

/// A network with its weights, somewhere.
pub struct Network {
    engine: Engine,
}

enum Engine {
    Cpu(Box<CpuNetwork>),
    #[cfg(any(feature = "cuda", test))]
    Burn(Box<BurnNetwork>),
}

impl Network {
    /// Returns the network that computes the outputs of the layers named `outputs` at `place`. It has no weights yet.
    ///
    /// # Panics
    /// If one is no layer.
    pub fn new(architecture: &Architecture, pass: Pass, outputs: &[&str], place: &Place) -> Self {
        let engine = match place {
            Place::Cpu(isa) => Engine::Cpu(Box::new(CpuNetwork::new(architecture, pass, outputs, *isa))),
            #[cfg(any(feature = "cuda", test))]
            Place::Burn(device) => Engine::Burn(Box::new(BurnNetwork::new(architecture, pass, outputs, device))),
        };
        Self { engine }
    }

    /// Returns the network that computes the logits of all heads.
    pub fn of_heads(architecture: &Architecture, pass: Pass, place: &Place) -> Self {
        let heads: Vec<_> = architecture.heads.iter().map(|head| head.name.as_str()).collect();
        Self::new(architecture, pass, &heads, place)
    }

    /// Takes the weights over.
    ///
    /// # Panics
    /// If they are not the architecture's.
    pub fn set_weights(&mut self, weights: &Weights) {
        self.on_the_pool(|engine| match engine {
            Engine::Cpu(network) => network.set_weights(weights),
            #[cfg(any(feature = "cuda", test))]
            Engine::Burn(network) => network.set_weights(weights),
        });
    }

    /// Computes the outputs for normalised `images` [n, c, h, w].
    ///
    /// # Panics
    /// If `images` are no whole number of images, or `mode` is not for the network's pass.
    pub fn forward(&mut self, images: &[f32], mode: Mode) -> Forward {
        self.on_the_pool(|engine| match engine {
            Engine::Cpu(network) => network.forward(images, mode),
            #[cfg(any(feature = "cuda", test))]
            Engine::Burn(network) => network.forward(images, mode),
        })
    }

    /// Returns the gradients by the trained parameters, by name, given those by outputs of the last forward pass. It can be
    /// asked once for each.
    ///
    /// # Panics
    /// If the network is not for training.
    pub fn gradients_by_weights(&mut self, by_outputs: &BTreeMap<String, Vec<f32>>) -> &BTreeMap<String, Vec<f32>> {
        self.on_the_pool(|engine| match engine {
            Engine::Cpu(network) => network.gradients_by_weights(by_outputs),
            #[cfg(any(feature = "cuda", test))]
            Engine::Burn(network) => network.gradients_by_weights(by_outputs),
        })
    }

    /// Returns the gradients by the images [n, c, h, w], given those by outputs of the last forward pass. It can be asked
    /// once for each.
    ///
    /// # Panics
    /// If the network is not for gradients by images.
    pub fn gradients_by_images(&mut self, by_outputs: &BTreeMap<String, Vec<f32>>) -> Vec<f32> {
        self.on_the_pool(|engine| match engine {
            Engine::Cpu(network) => network.gradients_by_images(by_outputs),
            #[cfg(any(feature = "cuda", test))]
            Engine::Burn(network) => network.gradients_by_images(by_outputs),
        })
    }

    /// Calls `f` on a thread of the pool. Elsewhere each of its operations would wake a thread and wait for it.
    fn on_the_pool<'a, T: Send>(&'a mut self, f: impl FnOnce(&'a mut Engine) -> T + Send) -> T {
        let engine = &mut self.engine;
        rayon::scope(move |_| f(engine))
    }
}
