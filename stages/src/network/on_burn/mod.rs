//! Networks on any device of burn: the interpreter of architectures in tensors, with burn's autodiff. On a GPU it is what
//! computes; on the CPU it is what the kernels are held against.

use std::collections::BTreeMap;

mod activation;
mod conv;
mod masks;
mod pool;

use burn::tensor::{Device, Tensor, TensorData, module};

use super::{
    Architecture, Kind, Layer, Weights,
    architecture::Activation,
    backend::{Forward, Mode, Pass},
};

/// Outputs of layers, by name.
type Outputs = BTreeMap<String, Tensor<4>>;

/// Mean and variance of a batch, by layer.
type Statistics = BTreeMap<String, [Vec<f32>; 2]>;

/// A network whose numbers are on a device.
pub(super) struct BurnNetwork {
    architecture: Architecture,
    pass: Pass,
    outputs: Vec<String>,
    /// Without autodiff.
    device: Device,
    /// Trained parameters and moving statistics, flat.
    weights: BTreeMap<String, Tensor<1>>,
    /// What the last pass left for the backward pass: the images if they have gradients, and the outputs.
    images: Option<Tensor<4>>,
    last: Outputs,
    gradients: BTreeMap<String, Vec<f32>>,
}

impl BurnNetwork {
    /// Returns the network that computes the outputs of the layers named `outputs` on `device`.
    ///
    /// # Panics
    /// If one is no layer.
    pub(super) fn new(architecture: &Architecture, pass: Pass, outputs: &[&str], device: &Device) -> Self {
        let mut architecture = architecture.clone();
        let is_output = |layer: &Layer| outputs.contains(&layer.name.as_str());
        let last = architecture.layers.iter().rposition(is_output).expect("outputs are layers");
        // A gradient by the images does not pass layers behind the outputs.
        architecture.layers.truncate(last + 1);
        Self {
            architecture,
            pass,
            outputs: outputs.iter().map(|&name| name.to_owned()).collect(),
            device: device.clone(),
            weights: BTreeMap::new(),
            images: None,
            last: BTreeMap::new(),
            gradients: BTreeMap::new(),
        }
    }

    /// Takes the weights over.
    ///
    /// # Panics
    /// If they are not the architecture's.
    pub(super) fn set_weights(&mut self, weights: &Weights) {
        let tensor = |parameter: super::architecture::ParameterShape| {
            let values = &weights.0[&parameter.name].values;
            let tensor = Tensor::<1>::from_data(TensorData::new(values.clone(), [values.len()]), &self.device);
            let trained = parameter.trained && self.pass == Pass::Training;
            (parameter.name, if trained { tensor.autodiff().require_grad() } else { tensor })
        };
        self.weights = self.architecture.parameter_shapes().into_iter().map(tensor).collect();
    }

    /// Computes the outputs for `images` [n, c, h, w].
    ///
    /// # Panics
    /// If `images` are no whole number of images.
    pub(super) fn forward(&mut self, images: &[f32], mode: Mode) -> Forward {
        let [c, h, w] = self.architecture.input;
        let n = images.len() / (c * h * w);
        let images = Tensor::<4>::from_data(TensorData::new(images.to_vec(), [n, c, h, w]), &self.device);
        let images = if self.pass == Pass::ImageGradients { images.autodiff().require_grad() } else { images };
        self.images = (self.pass == Pass::ImageGradients).then(|| images.clone());
        let (last, statistics) = self.walk(images, mode);
        self.last = last;
        let outputs = self.last.iter().map(|(name, output)| (name.clone(), numbers(output.clone().inner()))).collect();
        Forward { outputs, statistics }
    }

    /// See [`Network::gradients_by_weights`](super::Network::gradients_by_weights).
    pub(super) fn gradients_by_weights(
        &mut self,
        by_outputs: &BTreeMap<String, Vec<f32>>,
    ) -> &BTreeMap<String, Vec<f32>> {
        assert_eq!(self.pass, Pass::Training, "the last pass was taped");
        let mut gradients = self.scalar(by_outputs).backward();
        let tracked = self.weights.iter().filter(|(_, weight)| weight.is_autodiff());
        let by_weights =
            tracked.filter_map(|(name, weight)| Some((name.clone(), numbers(weight.grad_remove(&mut gradients)?))));
        self.gradients = by_weights.collect();
        &self.gradients
    }

    /// See [`Network::gradients_by_images`](super::Network::gradients_by_images).
    pub(super) fn gradients_by_images(&mut self, by_outputs: &BTreeMap<String, Vec<f32>>) -> Vec<f32> {
        let mut gradients = self.scalar(by_outputs).backward();
        let images = self.images.take().expect("the last pass was taped");
        numbers(images.grad_remove(&mut gradients).expect("every layer's output depends on the images"))
    }

    /// Returns a scalar whose gradients by the outputs are these.
    fn scalar(&mut self, by_outputs: &BTreeMap<String, Vec<f32>>) -> Tensor<1> {
        let last = std::mem::take(&mut self.last);
        let term = |(name, gradient): (&String, &Vec<f32>)| {
            let output = last[name].clone();
            let gradient = TensorData::new(gradient.clone(), output.dims());
            (output * Tensor::<4>::from_data(gradient, &self.device)).sum()
        };
        by_outputs.iter().map(term).reduce(|sum, term| sum + term).expect("there is an output")
    }

    /// Walks the layers; returns the outputs and the batch's statistics.
    fn walk(&self, images: Tensor<4>, mode: Mode) -> (Outputs, Statistics) {
        let layers = &self.architecture.layers;
        let mut walk = Walk { network: self, mode, statistics: BTreeMap::new() };
        // How many still read an output: the last one takes it, so that burn may compute in place.
        let mut readers: BTreeMap<&str, usize> = BTreeMap::new();
        let read = layers.iter().flat_map(|layer| &layer.inputs).chain(&self.outputs);
        read.for_each(|name| *readers.entry(name).or_default() += 1);
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
        let last = self.outputs.iter().map(|name| (name.clone(), take(&mut outputs, name))).collect();
        (last, walk.statistics)
    }
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().expect("networks compute with f32")
}

struct Walk<'a> {
    network: &'a BurnNetwork,
    mode: Mode,
    statistics: Statistics,
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
            Kind::Activation { function: Activation::Selu } => activation::selu(x),
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
        x * Tensor::from_data(TensorData::new(masks::dropout(seed, step, layer, p, shape), shape), &self.network.device)
    }
}
