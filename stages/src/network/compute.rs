//! A network that computes: on the CPU with our kernels, elsewhere with burn's tensors.

use std::collections::BTreeMap;

#[cfg(any(feature = "cuda", test))]
use super::on_burn::BurnNetwork;
use super::{Architecture, Backend, Forward, Mode, Pass, Weights, on_cpu::CpuNetwork};

/// A network with its weights on a backend.
pub struct Network {
    engine: Engine,
}

enum Engine {
    Cpu(Box<CpuNetwork>),
    #[cfg(any(feature = "cuda", test))]
    Burn(Box<BurnNetwork>),
}

impl Network {
    /// Returns the network that computes the outputs of the layers named `outputs`. It has no weights yet.
    ///
    /// # Panics
    /// If an output is not a layer.
    pub fn new(architecture: &Architecture, pass: Pass, outputs: &[&str], backend: &Backend) -> Self {
        let engine = match backend {
            Backend::Cpu(isa) => Engine::Cpu(Box::new(CpuNetwork::new(architecture, pass, outputs, *isa))),
            #[cfg(any(feature = "cuda", test))]
            Backend::Burn(device) => Engine::Burn(Box::new(BurnNetwork::new(architecture, pass, outputs, device))),
        };
        Self { engine }
    }

    /// Returns the network that computes the logits of all heads.
    pub fn of_heads(architecture: &Architecture, pass: Pass, backend: &Backend) -> Self {
        let heads: Vec<_> = architecture.heads.iter().map(|head| head.name.as_str()).collect();
        Self::new(architecture, pass, &heads, backend)
    }

    /// Replaces the weights.
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
    /// If `images` is not a whole number of images, or `mode` does not suit the network's pass.
    pub fn forward(&mut self, images: &[f32], mode: Mode) -> Forward {
        self.on_the_pool(|engine| match engine {
            Engine::Cpu(network) => network.forward(images, mode),
            #[cfg(any(feature = "cuda", test))]
            Engine::Burn(network) => network.forward(images, mode),
        })
    }

    /// Returns the gradients with respect to the trained parameters, by name, given those with respect to outputs of the last
    /// forward pass. Works once for each forward pass.
    ///
    /// # Panics
    /// If the network is not for training.
    pub fn weight_gradients(&mut self, output_gradients: &BTreeMap<String, Vec<f32>>) -> &BTreeMap<String, Vec<f32>> {
        self.on_the_pool(|engine| match engine {
            Engine::Cpu(network) => network.weight_gradients(output_gradients),
            #[cfg(any(feature = "cuda", test))]
            Engine::Burn(network) => network.weight_gradients(output_gradients),
        })
    }

    /// Returns the gradients with respect to the images [n, c, h, w], given those with respect to outputs of the last forward
    /// pass. Works once for each forward pass.
    ///
    /// # Panics
    /// If the network is not for gradients with respect to images.
    pub fn image_gradients(&mut self, output_gradients: &BTreeMap<String, Vec<f32>>) -> Vec<f32> {
        self.on_the_pool(|engine| match engine {
            Engine::Cpu(network) => network.image_gradients(output_gradients),
            #[cfg(any(feature = "cuda", test))]
            Engine::Burn(network) => network.image_gradients(output_gradients),
        })
    }

    /// Calls `f` on a thread of the pool. Elsewhere each of its operations would wake a thread and wait for it.
    fn on_the_pool<'a, T: Send>(&'a mut self, f: impl FnOnce(&'a mut Engine) -> T + Send) -> T {
        let engine = &mut self.engine;
        rayon::scope(move |_| f(engine))
    }
}
