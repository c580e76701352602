//! Networks that compute: with our kernels on a CPU, with burn on other devices.

use std::collections::{BTreeMap, BTreeSet};

#[cfg(any(feature = "gpu", test))]
use super::on_burn::BurnNetwork;
use super::{Architecture, Backend, Forward, Mode, Pass, Weights, on_cpu::CpuNetwork};

/// A network on a backend, ready to compute.
pub struct Network {
    engine: Engine,
}

enum Engine {
    Cpu(Box<CpuNetwork>),
    #[cfg(any(feature = "gpu", test))]
    Burn(Box<BurnNetwork>),
}

impl Network {
    /// Returns the network that computes the outputs of the layers named `outputs`. Call [`set_weights`](Self::set_weights) before
    /// the first pass.
    ///
    /// # Panics
    /// If an output is not a layer.
    pub fn new(architecture: &Architecture, pass: Pass, outputs: &[&str], backend: &Backend) -> Self {
        Self::frozen(architecture, pass, outputs, &BTreeSet::new(), backend)
    }

    fn frozen(
        architecture: &Architecture,
        pass: Pass,
        outputs: &[&str],
        frozen: &BTreeSet<String>,
        backend: &Backend,
    ) -> Self {
        let engine = match backend {
            Backend::Cpu(isa) => Engine::Cpu(Box::new(CpuNetwork::new(architecture, pass, outputs, frozen, *isa))),
            #[cfg(any(feature = "gpu", test))]
            Backend::Burn(device) => {
                Engine::Burn(Box::new(BurnNetwork::new(architecture, pass, outputs, frozen, device)))
            }
        };
        Self { engine }
    }

    /// Returns the network that computes the logits of all heads and is trained, except for the layers named `frozen`: those
    /// compute as in inference, batch normalisation with its moving statistics, and have no gradients. Layers without weights,
    /// such as dropout, must not be among them.
    pub fn to_train(architecture: &Architecture, frozen: &BTreeSet<String>, backend: &Backend) -> Self {
        let heads: Vec<_> = architecture.heads.iter().map(|head| head.name.as_str()).collect();
        Self::frozen(architecture, Pass::Training, &heads, frozen, backend)
    }

    /// Returns the network that computes the logits of all heads. See [`new`](Self::new).
    pub fn of_heads(architecture: &Architecture, pass: Pass, backend: &Backend) -> Self {
        let heads: Vec<_> = architecture.heads.iter().map(|head| head.name.as_str()).collect();
        Self::new(architecture, pass, &heads, backend)
    }

    /// Replaces the weights.
    ///
    /// # Panics
    /// If an array of the architecture is missing or has another size.
    pub fn set_weights(&mut self, weights: &Weights) {
        self.on_the_pool(|engine| match engine {
            Engine::Cpu(network) => network.set_weights(weights),
            #[cfg(any(feature = "gpu", test))]
            Engine::Burn(network) => network.set_weights(weights),
        });
    }

    /// Computes the outputs for normalised `images` `[n, c, h, w]`.
    ///
    /// # Panics
    /// If the length of `images` is not a multiple of an image's, or `mode` does not suit the network's pass.
    pub fn forward(&mut self, images: &[f32], mode: Mode) -> Forward {
        self.on_the_pool(|engine| match engine {
            Engine::Cpu(network) => network.forward(images, mode),
            #[cfg(any(feature = "gpu", test))]
            Engine::Burn(network) => network.forward(images, mode),
        })
    }

    /// Returns the gradients with respect to the trained parameters, by name and in the layout of the parameters, given the
    /// gradients with respect to outputs of the last forward pass, by layer and in the layout of [`Forward::outputs`]. Call it at
    /// most once after each forward pass.
    ///
    /// # Panics
    /// If the network was not built for [`Pass::Training`], or a gradient does not belong to an output.
    pub fn weight_gradients(&mut self, output_gradients: &BTreeMap<String, Vec<f32>>) -> &BTreeMap<String, Vec<f32>> {
        self.on_the_pool(|engine| match engine {
            Engine::Cpu(network) => network.weight_gradients(output_gradients),
            #[cfg(any(feature = "gpu", test))]
            Engine::Burn(network) => network.weight_gradients(output_gradients),
        })
    }

    /// Returns the gradient `[n, c, h, w]` with respect to the images, given the gradients with respect to outputs of the last
    /// forward pass, by layer and in the layout of [`Forward::outputs`]. Call it at most once after each forward pass.
    ///
    /// # Panics
    /// If the network was not built for [`Pass::ImageGradients`], or a gradient does not belong to an output.
    pub fn image_gradients(&mut self, output_gradients: &BTreeMap<String, Vec<f32>>) -> Vec<f32> {
        self.on_the_pool(|engine| match engine {
            Engine::Cpu(network) => network.image_gradients(output_gradients),
            #[cfg(any(feature = "gpu", test))]
            Engine::Burn(network) => network.image_gradients(output_gradients),
        })
    }

    /// Calls `f` on a thread of the pool. On another thread, each operation would have to wake a thread of the pool and wait for it.
    fn on_the_pool<'a, T: Send>(&'a mut self, f: impl FnOnce(&'a mut Engine) -> T + Send) -> T {
        let engine = &mut self.engine;
        rayon::scope(move |_| f(engine))
    }
}
