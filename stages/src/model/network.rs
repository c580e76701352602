//! The one interpreter of architectures: walks the layers with tensors on a device.

use std::collections::BTreeMap;

use burn::tensor::{Device, Gradients, Tensor, TensorData, module};

use super::{
    Architecture, Kind, Layer, Weights,
    architecture::Activation,
    ops::{activation, conv, masks, pool},
};

/// How a network is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// With the moving statistics, without dropout.
    Inference,
    /// With the batch's statistics and the dropout masks of (seed, step).
    Training { seed: u64, step: u32 },
}

/// A network whose numbers are on a device.
pub struct Network<'a> {
    architecture: &'a Architecture,
    /// Trained parameters and moving statistics, flat.
    weights: BTreeMap<String, Tensor<1>>,
    device: Device,
}

/// What a forward pass gives.
pub struct Forward {
    /// Per head: [n, classes].
    pub logits: BTreeMap<String, Tensor<2>>,
    /// The outputs asked for, by layer: [n, channels, height, width] ([n, units, 1, 1] behind the flattening).
    pub taps: BTreeMap<String, Tensor<4>>,
    /// Mean and biased variance of the batch per channel, by layer; none in inference.
    pub statistics: BTreeMap<String, [Vec<f32>; 2]>,
}

impl<'a> Network<'a> {
    /// Returns the network with these weights on `device`; the trained ones have gradients where the device has autodiff.
    ///
    /// # Panics
    /// If the weights are not the architecture's.
    pub fn new(architecture: &'a Architecture, weights: &Weights, device: &Device) -> Self {
        let tensor = |parameter: super::architecture::ParameterShape| {
            let values = &weights.0[&parameter.name].values;
            // Straight to the inner device: only trained numbers belong on the tape.
            let tensor =
                Tensor::<1>::from_data(TensorData::new(values.clone(), [values.len()]), &device.clone().inner());
            let trained = parameter.trained && device.is_autodiff();
            (parameter.name, if trained { tensor.autodiff().require_grad() } else { tensor })
        };
        let weights = architecture.parameter_shapes().into_iter().map(tensor).collect();
        Self { architecture, weights, device: device.clone() }
    }

    /// Returns the device that images go to.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Returns a tensor of images [n, c, h, w] on the network's inner device (without autodiff).
    pub fn images(&self, values: Vec<f32>, n: usize) -> Tensor<4> {
        let [c, h, w] = self.architecture.input;
        Tensor::from_data(TensorData::new(values, [n, c, h, w]), &self.device.clone().inner())
    }

    /// Returns the trained parameters' gradients, by name.
    pub fn gradients(&self, gradients: &mut Gradients) -> BTreeMap<String, Vec<f32>> {
        let numbers = |tensor: Tensor<1>| tensor.into_data().try_into_vec::<f32>().expect("networks compute with f32");
        let gradient =
            |(name, weight): (&String, &Tensor<1>)| Some((name.clone(), numbers(weight.grad_remove(gradients)?)));
        self.weights.iter().filter(|(_, weight)| weight.is_autodiff()).filter_map(gradient).collect()
    }

    /// Walks the layers with `images` [n, c, h, w].
    ///
    /// # Panics
    /// If a tap is no layer's name, or the images do not fit the architecture.
    pub fn forward(&self, images: Tensor<4>, mode: Mode, taps: &[&str]) -> Forward {
        self.forward_until(images, mode, taps, self.architecture.layers.len())
    }

    /// Walks only as far as the taps need: a gradient by the images does not pass layers behind them.
    pub fn forward_taps(&self, images: Tensor<4>, taps: &[&str]) -> BTreeMap<String, Tensor<4>> {
        let last = self.architecture.layers.iter().rposition(|layer| taps.contains(&layer.name.as_str()));
        self.forward_until(images, Mode::Inference, taps, last.map_or(0, |last| last + 1)).taps
    }

    fn forward_until(&self, images: Tensor<4>, mode: Mode, taps: &[&str], n_layers: usize) -> Forward {
        let layers = &self.architecture.layers[..n_layers];
        let mut walk = Walk { network: self, mode, statistics: BTreeMap::new() };
        // How many layers still read an output: the last one takes it, so that burn may compute in place.
        let mut readers: BTreeMap<&str, usize> = BTreeMap::new();
        let read = layers.iter().flat_map(|layer| &layer.inputs).map(String::as_str);
        read.chain(taps.iter().copied()).for_each(|name| *readers.entry(name).or_default() += 1);
        let mut outputs: BTreeMap<&str, Tensor<4>> = BTreeMap::from([("input", images)]);
        let mut take = |outputs: &mut BTreeMap<&str, Tensor<4>>, name: &str| {
            let left = readers.get_mut(name).expect("the readers were counted");
            *left -= 1;
            if *left == 0 { outputs.remove(name) } else { outputs.get(name).cloned() }
                .expect("layers are in an order in which they can be computed")
        };
        for (index, layer) in layers.iter().enumerate() {
            let inputs: Vec<_> = layer.inputs.iter().map(|name| take(&mut outputs, name)).collect();
            outputs.insert(&layer.name, walk.layer(index, layer, inputs));
        }
        let heads = self.architecture.heads.iter().filter(|_| n_layers == self.architecture.layers.len());
        let logits = heads
            .map(|head| {
                let output = outputs[head.name.as_str()].clone();
                let n = output.dims()[0];
                (head.name.clone(), output.reshape([n, head.classes])) // [n, classes]
            })
            .collect();
        let taps = taps.iter().map(|&name| (name.to_owned(), outputs[name].clone())).collect();
        Forward { logits, taps, statistics: walk.statistics }
    }
}

struct Walk<'a> {
    network: &'a Network<'a>,
    mode: Mode,
    statistics: BTreeMap<String, [Vec<f32>; 2]>,
}

impl Walk<'_> {
    /// Returns the layer's output: [n, channels, height, width], or [n, units, 1, 1].
    fn layer(&mut self, index: usize, layer: &Layer, mut inputs: Vec<Tensor<4>>) -> Tensor<4> {
        let x = inputs.remove(0);
        match layer.kind {
            Kind::Conv { filters, kernel, stride, padding } => {
                let channels = x.dims()[1];
                let weight = self.weight(layer, "kernel").reshape([filters, channels, kernel, kernel]);
                conv::conv2d(x, weight, self.weight(layer, "bias"), stride, padding)
            }
            Kind::Dense { units } => {
                let [n, from, ..] = x.dims();
                let weight = self.weight(layer, "kernel").reshape([from, units]);
                let y = x.reshape([n, from]).matmul(weight) + self.weight(layer, "bias").reshape([1, units]); // [n, units]
                y.reshape([n, units, 1, 1])
            }
            Kind::BatchNorm { epsilon, .. } => self.batch_norm(layer, x, f64::from(epsilon)),
            Kind::Activation { function: Activation::Relu } => activation::relu(x),
            Kind::Activation { function: Activation::Elu } => activation::elu(x),
            Kind::MaxPool { size, stride, padding } => pool::max(x, size, stride, padding),
            Kind::AvgPool { size, stride, padding } => pool::avg(x, size, stride, padding),
            Kind::Dropout { p } => self.dropout(index, p, x),
            Kind::Add => inputs.into_iter().fold(x, |sum, input| sum + input),
            Kind::Concat => {
                inputs.insert(0, x);
                Tensor::cat(inputs, 1)
            }
            Kind::Flatten => {
                let [n, c, h, w] = x.dims();
                x.reshape([n, c * h * w, 1, 1])
            }
        }
    }

    fn weight(&self, layer: &Layer, part: &str) -> Tensor<1> {
        self.network.weights[&format!("{}.{part}", layer.name)].clone()
    }

    fn batch_norm(&mut self, layer: &Layer, x: Tensor<4>, epsilon: f64) -> Tensor<4> {
        let (gamma, beta) = (self.weight(layer, "gamma"), self.weight(layer, "beta"));
        if self.mode == Mode::Inference {
            let (mean, variance) = (self.weight(layer, "moving_mean"), self.weight(layer, "moving_variance"));
            return module::batch_norm(x, gamma, beta, mean, variance, epsilon);
        }
        let normalised = module::batch_norm_train(x, gamma, beta, epsilon);
        let numbers = |tensor: Tensor<1>| tensor.into_data().try_into_vec::<f32>().expect("networks compute with f32");
        let statistics = [numbers(normalised.mean), numbers(normalised.variance)];
        self.statistics.insert(layer.name.clone(), statistics);
        normalised.output
    }

    fn dropout(&self, index: usize, p: f32, x: Tensor<4>) -> Tensor<4> {
        let Mode::Training { seed, step } = self.mode else { return x };
        if p == 0.0 {
            return x;
        }
        let shape = x.dims();
        let layer = u32::try_from(index).expect("few layers");
        let mask = masks::dropout(seed, step, layer, p, shape.iter().product());
        x * Tensor::from_data(TensorData::new(mask, shape), &self.network.device.clone().inner())
    }
}
