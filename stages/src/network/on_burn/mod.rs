//! Networks on any device that burn supports, with burn's tensors and autodiff. Used on GPUs, and in tests to check our CPU kernels.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use burn::tensor::{Device, Tensor};

use self::traffic::{numbers, upload};

use crate::device::Precision;

use super::{
    architecture::{Architecture, Layer, ParameterShape},
    kernels::buffer::Buffer,
    layers::burn_site::Site,
    pass::{Forward, Mode, Pass, Response},
    weights::Weights,
};

#[cfg(feature = "gpu")]
pub(crate) mod kernels;
pub(crate) mod traffic;

/// The outputs of layers, by name.
pub(crate) type Outputs = BTreeMap<String, Tensor<4>>;

/// The mean and the biased variance of a batch, by layer, without autodiff.
pub(crate) type Statistics = BTreeMap<String, [Tensor<1>; 2]>;

/// The arrays of a network, by name and flat.
pub(crate) type Arrays = BTreeMap<String, Tensor<1>>;

/// A network on a device.
pub(crate) struct BurnNetwork {
    /// Ends at the last layer in `outputs`.
    architecture: Architecture,
    pass: Pass,
    outputs: Vec<String>,
    /// The layers that are not trained.
    frozen: BTreeSet<String>,
    /// The device without autodiff.
    device: Device,
    precision: Precision,
    #[cfg(feature = "gpu")]
    has_our_kernels: bool,
    /// Trained parameters and moving statistics.
    weights: Arrays,
    /// The images of the last forward pass, if they need gradients.
    images: Option<Tensor<4>>,
    /// The outputs of the last forward pass.
    last: Outputs,
    gradients: BTreeMap<String, Buffer>,
}

impl BurnNetwork {
    /// Returns the network that computes the outputs of the layers named `outputs` on `device`, with products of this
    /// precision. The layers named `frozen` are not trained.
    ///
    /// # Panics
    /// If an output is not a layer.
    pub(crate) fn new(
        architecture: &Architecture,
        pass: Pass,
        outputs: &[&str],
        frozen: &BTreeSet<String>,
        device: &Device,
        precision: Precision,
    ) -> Self {
        let mut architecture = architecture.clone();
        let is_output = |layer: &Layer| outputs.contains(&layer.name.as_str());
        let last = architecture.layers.iter().rposition(is_output).expect("outputs are layers");
        // Layers after the last output are not needed.
        architecture.layers.truncate(last + 1);
        Self {
            architecture,
            pass,
            outputs: outputs.iter().map(|&name| name.to_owned()).collect(),
            frozen: frozen.clone(),
            device: device.clone(),
            precision,
            #[cfg(feature = "gpu")]
            has_our_kernels: kernels::is_cube(device),
            weights: Arrays::new(),
            images: None,
            last: BTreeMap::new(),
            gradients: BTreeMap::new(),
        }
    }

    /// Replaces the weights.
    ///
    /// # Panics
    /// If an array of the architecture is missing.
    pub(super) fn set_weights(&mut self, weights: &Weights) {
        let device = self.device.clone();
        let array = |name: &str| {
            let values = &weights.0[name].values;
            upload(values.clone(), [values.len()], &device)
        };
        self.set_arrays(array);
    }

    /// Replaces the arrays by those that `array` returns for their names: flat, and without autodiff.
    pub(crate) fn set_arrays(&mut self, array: impl Fn(&str) -> Tensor<1>) {
        let tensor = |parameter: ParameterShape| {
            let tensor = array(&parameter.name);
            let is_frozen = parameter.name.rsplit_once('.').is_some_and(|(layer, _)| self.frozen.contains(layer));
            let trained = parameter.trained && !is_frozen && self.pass == Pass::Training;
            (parameter.name, if trained { tensor.autodiff().require_grad() } else { tensor })
        };
        self.weights = self.architecture.parameter_shapes().into_iter().map(tensor).collect();
    }

    /// Computes the outputs for `images` `[n, c, h, w]`.
    ///
    /// # Panics
    /// If the length of `images` is not a multiple of an image's.
    pub(super) fn forward(&mut self, images: &[f32], mode: Mode) -> Forward {
        let images = self.on_device(images);
        let images = if self.pass == Pass::ImageGradients { images.autodiff().require_grad() } else { images };
        self.images = (self.pass == Pass::ImageGradients).then(|| images.clone());
        let (last, statistics) = self.walk(images, mode);
        self.last = last;
        let outputs = self.last.iter().map(|(name, output)| (name.clone(), numbers(output.clone().inner()))).collect();
        let statistics = statistics.into_iter().map(|(layer, of)| (layer, of.map(numbers))).collect();
        Forward { outputs, statistics }
    }

    /// See [`Network::weight_gradients`](super::Network::weight_gradients).
    pub(super) fn weight_gradients(
        &mut self,
        output_gradients: &BTreeMap<String, Vec<f32>>,
    ) -> &BTreeMap<String, Buffer> {
        assert_eq!(self.pass, Pass::Training, "the network was built for training");
        let scalar = self.scalar(output_gradients);
        self.gradients =
            self.slopes(&scalar).into_iter().map(|(name, slope)| (name, numbers(slope)[..].into())).collect();
        &self.gradients
    }

    /// Returns the gradients of `scalar` with respect to the arrays that are trained.
    pub(crate) fn slopes(&self, scalar: &Tensor<1>) -> Arrays {
        let mut gradients = scalar.backward();
        let tracked = self.weights.iter().filter(|(_, weight)| weight.is_autodiff());
        tracked.filter_map(|(name, weight)| Some((name.clone(), weight.grad_remove(&mut gradients)?))).collect()
    }

    /// See [`Network::image_gradients`](super::Network::image_gradients).
    pub(super) fn image_gradients(&mut self, output_gradients: &BTreeMap<String, Vec<f32>>) -> Vec<f32> {
        let mut gradients = self.scalar(output_gradients).backward();
        let images = self.images.take().expect("the last pass was for gradients with respect to images");
        numbers(images.grad_remove(&mut gradients).expect("every output depends on the images"))
    }

    /// See [`Network::channel_means`](super::Network::channel_means).
    pub(super) fn channel_means(&mut self, images: &[f32]) -> BTreeMap<String, Vec<f64>> {
        let (outputs, _) = self.walk(self.on_device(images), Mode::Inference);
        let outputs = outputs.into_iter();
        outputs.map(|(layer, output)| (layer, wide(numbers(output.mean_dim(3).mean_dim(2))))).collect()
    }

    /// See [`Network::responses`](super::Network::responses).
    pub(super) fn responses(&mut self, images: &[f32], layer: &str, channels: Range<usize>) -> Response {
        assert_eq!(self.pass, Pass::ImageGradients, "the network was built for gradients with respect to images");
        let n = channels.len();
        let images = self.on_device(images).autodiff().require_grad();
        let (mut outputs, _) = self.walk(images.clone(), Mode::Inference);
        let output = outputs.remove(layer).expect("the layer is an output");
        let means = output.slice_dim(1, channels).mean_dim(3).mean_dim(2).reshape([n, n]);
        // An image affects only its own mean, so the gradient of the sum is made of the images' own gradients.
        let own = (means * Tensor::<2>::eye(n, &self.device).autodiff()).sum_dim(1);
        let mut gradients = own.clone().sum().backward();
        let gradients = images.grad_remove(&mut gradients).expect("every output depends on the images");
        Response { means: wide(numbers(own.inner())), gradients: numbers(gradients) }
    }

    /// Copies `images` `[n, c, h, w]` to the device.
    fn on_device(&self, images: &[f32]) -> Tensor<4> {
        let [c, h, w] = self.architecture.input;
        upload(images.to_vec(), [images.len() / (c * h * w), c, h, w], &self.device)
    }

    /// Returns a scalar whose gradients with respect to the outputs are `output_gradients`.
    fn scalar(&mut self, output_gradients: &BTreeMap<String, Vec<f32>>) -> Tensor<1> {
        let last = std::mem::take(&mut self.last);
        let term = |(name, gradient): (&String, &Vec<f32>)| {
            let output = last[name].clone();
            let gradient = upload(gradient.clone(), output.dims(), &self.device);
            (output * gradient).sum()
        };
        output_gradients.iter().map(term).reduce(|sum, term| sum + term).expect("there is at least one gradient")
    }

    /// Computes all layers. Returns the outputs and the statistics of the batch.
    pub(crate) fn walk(&self, images: Tensor<4>, mode: Mode) -> (Outputs, Statistics) {
        let layers = &self.architecture.layers;
        let mut statistics = Statistics::new();
        // The number of remaining readers of each output. The last reader takes the tensor, so that burn can compute in place.
        let mut readers: BTreeMap<&str, usize> = BTreeMap::new();
        let read = layers.iter().flat_map(|layer| &layer.inputs).chain(&self.outputs);
        read.for_each(|name| *readers.entry(name).or_default() += 1);
        let mut outputs: BTreeMap<&str, Tensor<4>> = BTreeMap::from([("input", images)]);
        let mut take = |outputs: &mut BTreeMap<&str, Tensor<4>>, name: &str| {
            let left = readers.get_mut(name).expect("the readers were counted");
            *left -= 1;
            if *left == 0 { outputs.remove(name) } else { outputs.get(name).cloned() }
                .expect("a layer comes after the layers that it reads")
        };
        for (index, layer) in (0..).zip(layers) {
            let inputs = layer.inputs.iter().map(|name| take(&mut outputs, name)).collect();
            let mut site = Site {
                layer: &layer.name,
                index,
                mode: if self.frozen.contains(&layer.name) { Mode::Inference } else { mode },
                device: &self.device,
                precision: self.precision,
                #[cfg(feature = "gpu")]
                has_our_kernels: self.has_our_kernels,
                weights: &self.weights,
                statistics: &mut statistics,
            };
            outputs.insert(&layer.name, layer.kind.definition().on_burn(inputs, &mut site));
        }
        let last = self.outputs.iter().map(|name| (name.clone(), take(&mut outputs, name))).collect();
        (last, statistics)
    }
}

fn wide(values: Vec<f32>) -> Vec<f64> {
    values.into_iter().map(f64::from).collect()
}

/// A device, and the turn of one test to use it.
#[cfg(all(test, feature = "gpu"))]
pub(crate) type TestDevice = (Device, std::sync::MutexGuard<'static, ()>);

/// Returns the device with which tests run: a GPU, or a driver that computes on the processor. Says so if there is none.
///
/// Only one test has it at a time, because burn's devices do not promise the same bits to threads that use them at the same time. `pipe`
/// has a process for each training.
#[cfg(all(test, feature = "gpu"))]
#[expect(clippy::print_stderr, reason = "a test says what it skips")]
pub(crate) fn test_device() -> Option<TestDevice> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    #[cfg(feature = "wgpu")]
    let kind = burn::tensor::DeviceType::Wgpu;
    #[cfg(not(feature = "wgpu"))]
    let kind = burn::tensor::DeviceType::Cuda;
    let turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let found = Device::enumerate(kind).into_iter().next();
    if found.is_none() {
        eprintln!("skipped: there is no device");
    }
    found.map(|device| (device, turn))
}
