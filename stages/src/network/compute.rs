//! Networks that compute: with our kernels on a CPU, with burn on other devices.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

#[cfg(any(feature = "gpu", test))]
use super::on_burn::BurnNetwork;
use super::{
    Architecture, Backend, Forward, Mode, Pass, Response, Weights, awake::awake, kernels::buffer::Buffer,
    on_cpu::CpuNetwork,
};

/// A network on a backend, ready to compute.
pub struct Network {
    engine: Engine,
    /// The channels and the pixels of each output.
    outputs: BTreeMap<String, Planes>,
}

/// The planes of an output: each channel has its pixels. A layer of units has channels of one pixel.
#[derive(Debug, Clone, Copy)]
struct Planes {
    channels: usize,
    pixels: usize,
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
            Backend::Burn(device, precision) => {
                let network = BurnNetwork::new(architecture, pass, outputs, frozen, device, *precision);
                Engine::Burn(Box::new(network))
            }
        };
        let planes = |name: &&str| {
            let shape = &architecture.layer(name).expect("outputs are layers").shape;
            ((*name).to_owned(), Planes { channels: shape[0], pixels: shape[1..].iter().product() })
        };
        Self { engine, outputs: outputs.iter().map(planes).collect() }
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
    pub fn weight_gradients(&mut self, output_gradients: &BTreeMap<String, Vec<f32>>) -> &BTreeMap<String, Buffer> {
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

    /// Returns the mean of each channel of each output over its pixels, `[n, channels]`, by layer, for normalised `images`
    /// `[n, c, h, w]` in inference.
    ///
    /// # Panics
    /// If the length of `images` is not a multiple of an image's.
    pub fn channel_means(&mut self, images: &[f32]) -> BTreeMap<String, Vec<f64>> {
        #[cfg(any(feature = "gpu", test))]
        if let Engine::Burn(network) = &mut self.engine {
            return network.channel_means(images);
        }
        let outputs = self.forward(images, Mode::Inference).outputs;
        let of_output = |(layer, output): (String, Vec<f32>)| {
            let means = output.chunks_exact(self.outputs[&layer].pixels).map(mean).collect();
            (layer, means)
        };
        outputs.into_iter().map(of_output).collect()
    }

    /// Returns how much image i of the normalised `images` `[n, c, h, w]` excites channel `channels.start + i` of the output `layer`, in
    /// inference.
    ///
    /// # Panics
    /// If the network was not built for [`Pass::ImageGradients`] with the one output `layer`, which has these channels, or the images are
    /// not as many as the channels.
    pub fn responses(&mut self, images: &[f32], layer: &str, channels: Range<usize>) -> Response {
        #[cfg(any(feature = "gpu", test))]
        if let Engine::Burn(network) = &mut self.engine {
            return network.responses(images, layer, channels);
        }
        let output = self.forward(images, Mode::Inference).outputs.remove(layer).expect("the layer is the output");
        let planes = self.outputs[layer];
        assert_eq!(
            output.len(),
            channels.len() * planes.channels * planes.pixels,
            "there is an image for each channel"
        );
        let own = |(image, channel)| {
            let start = (image * planes.channels + channel) * planes.pixels;
            start..start + planes.pixels
        };
        let own = || channels.clone().enumerate().map(own);
        // An image affects only its own mean, so the gradient of the sum is made of the images' own gradients.
        let mut of_output = vec![0.0; output.len()];
        own().for_each(|plane| of_output[plane].fill(1.0 / planes.pixels as f32));
        let gradients = self.image_gradients(&BTreeMap::from([(layer.to_owned(), of_output)]));
        Response { means: own().map(|plane| mean(&output[plane])).collect(), gradients }
    }

    /// Calls `f` on a thread of the pool, whose other threads stay awake. On another thread, each operation would have to wake a thread
    /// of the pool and wait for it.
    fn on_the_pool<'a, T: Send>(&'a mut self, f: impl FnOnce(&'a mut Engine) -> T + Send) -> T {
        let engine = &mut self.engine;
        // Whoever is on the pool already, for example in the step of a training, has woken its threads.
        if rayon::current_thread_index().is_some() { f(engine) } else { awake(move || f(engine)) }
    }
}

fn mean(plane: &[f32]) -> f64 {
    plane.iter().map(|&x| f64::from(x)).sum::<f64>() / plane.len() as f64
}
