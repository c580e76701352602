//! Networks on the CPU: a list of kernels to call, forward and back, over maps that are used again from step to step.

mod build;

use std::collections::BTreeMap;

use self::build::Built;
use super::{
    Architecture, Weights,
    backend::{Forward, Mode, Pass},
};
use crate::network::kernels::{
    Isa,
    activation::{self, Function},
    batch_norm::{self, Statistics},
    buffers::Buffers,
    conv::{ByOutput, Conv, Transposed},
    dropout::Mask,
    elementwise,
    map::{self, Shape},
    peaks::Peaks,
    pool::{Pool, PoolKind},
    unfold::{Layout, Unfold},
};

/// A network of which every operation is a kernel.
pub(super) struct CpuNetwork {
    isa: Isa,
    pass: Pass,
    nodes: Vec<Node>,
    /// Shape of each value; the first is the input.
    shapes: Vec<Shape>,
    outputs: Vec<(String, Value)>,
    /// How many nodes and outputs read each value.
    readers: Vec<usize>,
    /// The first node that needs a value for the backward pass: until then it is kept.
    kept_for: Vec<Option<usize>>,
    /// Whether gradients are to reach a value.
    reached: Vec<bool>,
    /// Images are copied into a map unless they are unfolded at once, which is all that becomes of them.
    input: Layout,
    buffers: Buffers,
    /// Images of the last pass, and what it left for the backward pass.
    n: usize,
    mode: Mode,
    maps: Vec<Option<Vec<f32>>>,
    /// By the parameters, in their layout.
    gradients: BTreeMap<String, Vec<f32>>,
}

type Value = usize;

struct Node {
    /// The layer's name and its place in the architecture; of joined layers the first one's.
    layer: String,
    index: u32,
    operation: Operation,
    inputs: Vec<Value>,
    output: Value,
}

enum Operation {
    Unfold(Unfold),
    Conv(Box<Convolution>),
    BatchNorm(BatchNorm),
    Activation(Function),
    Pool(Pool),
    Dropout { p: f32 },
    Add,
    Concat,
    Flatten,
}

/// A convolution or dense layer, with the max-pooling and the activation behind it if they have no other reader.
struct Convolution {
    conv: Conv,
    is_dense: bool,
    peaks: Option<Peaks>,
    function: Option<Function>,
    /// Packed, and the padded bias.
    weights: Vec<f32>,
    bias: Vec<f32>,
    /// What a gradient by the input needs, where there is to be one.
    transposed: Option<(Transposed, Vec<f32>)>,
}

#[derive(Default)]
struct BatchNorm {
    epsilon: f32,
    /// Padded.
    gamma: Vec<f32>,
    beta: Vec<f32>,
    moving: Statistics,
    /// Of the batch, where it is trained on.
    batch: Option<Statistics>,
}

impl CpuNetwork {
    /// Returns the network that computes the outputs of the layers named `outputs`.
    ///
    /// # Panics
    /// If one is no layer.
    pub(super) fn new(architecture: &Architecture, pass: Pass, outputs: &[&str], isa: Isa) -> Self {
        let Built { mut nodes, values, shapes } = build::build(architecture, pass, outputs);
        let outputs: Vec<_> = outputs.iter().map(|&name| (name.to_owned(), values[name])).collect();
        let mut readers = vec![0; shapes.len()];
        let read = nodes.iter().flat_map(|node| &node.inputs).chain(outputs.iter().map(|(_, value)| value));
        read.for_each(|&value| readers[value] += 1);
        let mut reached = vec![pass == Pass::ImageGradients; shapes.len()];
        let mut kept_for = vec![None; shapes.len()];
        for (i, node) in nodes.iter_mut().enumerate() {
            let from_inputs = node.inputs.iter().any(|&input| reached[input]);
            let trains = pass == Pass::Training && node.operation.has_parameters();
            reached[node.output] |= from_inputs || trains;
            node.prepare(pass, from_inputs);
            if !reached[node.output] || pass == Pass::Inference {
                continue;
            }
            let keeps_input = node.operation.keeps_input(pass).then_some(node.inputs[0]);
            let keeps_output = node.operation.keeps_output().then_some(node.output);
            for value in keeps_input.into_iter().chain(keeps_output) {
                kept_for[value].get_or_insert(i);
            }
        }
        let unfolds = |node: &Node| matches!(node.operation, Operation::Unfold(_)) || !node.inputs.contains(&0);
        let is_unfolded = nodes.iter().all(unfolds) && outputs.iter().all(|&(_, value)| value != 0);
        Self {
            isa,
            pass,
            input: if is_unfolded { Layout::Images } else { Layout::Map },
            maps: vec![None; shapes.len()],
            nodes,
            shapes,
            outputs,
            readers,
            kept_for,
            reached,
            buffers: Buffers::default(),
            n: 0,
            mode: Mode::Inference,
            gradients: BTreeMap::new(),
        }
    }

    /// Takes the weights over.
    ///
    /// # Panics
    /// If they are not the architecture's.
    pub(super) fn set_weights(&mut self, weights: &Weights) {
        for node in &mut self.nodes {
            let values = |part: &str| weights.0[&format!("{}.{part}", node.layer)].values.as_slice();
            match &mut node.operation {
                Operation::Conv(convolution) => convolution.set_weights(values("kernel"), values("bias")),
                Operation::BatchNorm(norm) => {
                    let width = self.shapes[node.output].padded();
                    let padded = |part| padded(values(part), width);
                    (norm.gamma, norm.beta) = (padded("gamma"), padded("beta"));
                    norm.moving = Statistics { mean: padded("moving_mean"), variance: padded("moving_variance") };
                }
                _ => {}
            }
        }
    }

    /// Computes the outputs for `images` [n, c, h, w].
    ///
    /// # Panics
    /// If `images` are no whole number of images.
    pub(super) fn forward(&mut self, images: &[f32], mode: Mode) -> Forward {
        let input = self.shapes[0];
        assert!(images.len().is_multiple_of(input.values()), "images are whole");
        (self.n, self.mode) = (images.len() / input.values(), mode);
        let map = match self.input {
            Layout::Images => {
                let mut copy = self.buffers.take(images.len());
                elementwise::copy(images, &mut copy);
                copy
            }
            Layout::Map => {
                let mut map = self.buffers.take(self.n * input.len());
                map::from_images(input, images, &mut map);
                map
            }
        };
        self.maps.fill(None);
        self.maps[0] = Some(map);
        let mut left = self.readers.clone();
        for i in 0..self.nodes.len() {
            let output = self.compute(i);
            let node = &self.nodes[i];
            self.maps[node.output] = Some(output);
            for input in node.inputs.clone() {
                left[input] -= 1;
                self.release(input, &left);
            }
        }
        let mut forward = Forward::default();
        for (name, value) in &self.outputs {
            let shape = self.shapes[*value];
            let mut output = vec![0.0; self.n * shape.values()];
            map::to_images(shape, self.maps[*value].as_ref().expect("outputs are kept"), &mut output);
            forward.outputs.insert(name.clone(), output);
        }
        for value in 0..self.maps.len() {
            if self.kept_for[value].is_none() {
                self.free(value);
            }
        }
        for node in &self.nodes {
            if let Operation::BatchNorm(BatchNorm { batch: Some(batch), .. }) = &node.operation {
                let c = self.shapes[node.output].c;
                let statistics = [&batch.mean, &batch.variance].map(|values| values[..c].to_vec());
                forward.statistics.insert(node.layer.clone(), statistics);
            }
        }
        forward
    }

    /// Gives a map back that nobody reads any more.
    fn release(&mut self, value: Value, left: &[usize]) {
        if left[value] == 0 && self.kept_for[value].is_none() {
            self.free(value);
        }
    }

    fn free(&mut self, value: Value) {
        if let Some(map) = self.maps[value].take() {
            self.buffers.give(map);
        }
    }

    /// Returns the output of node `i`.
    fn compute(&mut self, i: usize) -> Vec<f32> {
        let (isa, n) = (self.isa, self.n);
        let node = &mut self.nodes[i];
        let shape = self.shapes[node.output];
        let mut y = self.buffers.take(n * shape.len());
        let map =
            |value: Value| self.maps[value].as_deref().expect("layers are in an order in which they can be computed");
        let x = map(node.inputs[0]);
        match &mut node.operation {
            Operation::Unfold(unfold) => {
                let layout = if node.inputs[0] == 0 { self.input } else { Layout::Map };
                unfold.forward(isa, (layout, x), &mut y);
            }
            Operation::Conv(convolution) => convolution.forward(isa, n, x, &mut y),
            Operation::BatchNorm(norm) => {
                let trains = self.pass == Pass::Training;
                norm.batch = trains.then(|| batch_norm::statistics(isa, shape.padded(), x));
                let Statistics { mean, variance } = norm.batch.as_ref().unwrap_or(&norm.moving);
                let scale = batch_norm::scale(&norm.gamma, variance, norm.epsilon);
                batch_norm::normalise(isa, mean, &scale, &norm.beta, x, &mut y);
            }
            Operation::Activation(function) => activation::apply(isa, *function, x, &mut y),
            Operation::Pool(pool) => pool.forward(isa, x, &mut y),
            Operation::Dropout { p } => mask(self.mode, node.index, *p).apply(isa, x, &mut y),
            Operation::Add => {
                elementwise::sum(isa, x, map(node.inputs[1]), &mut y);
                node.inputs[2..].iter().for_each(|&input| elementwise::add(isa, map(input), &mut y));
            }
            Operation::Concat => {
                let part = |&value: &Value| (self.shapes[value].c, map(value));
                map::concat(&node.inputs.iter().map(part).collect::<Vec<_>>(), &mut y);
            }
            Operation::Flatten => map::flatten(self.shapes[node.inputs[0]], x, &mut y),
        }
        y
    }

    /// Computes, from the gradients by outputs of the last pass [n, c, h, w], those by the trained parameters, and returns
    /// them by name in the layout of the parameters.
    ///
    /// # Panics
    /// If the network is not for training, or the gradients are not of outputs.
    pub(super) fn gradients_by_weights(
        &mut self,
        by_outputs: &BTreeMap<String, Vec<f32>>,
    ) -> &BTreeMap<String, Vec<f32>> {
        assert_eq!(self.pass, Pass::Training, "the last pass kept what is needed");
        self.backward(by_outputs);
        &self.gradients
    }

    /// Computes, from the gradients by outputs of the last pass [n, c, h, w], those by the images [n, c, h, w].
    ///
    /// # Panics
    /// If the network is not for gradients by images, or the gradients are not of outputs.
    pub(super) fn gradients_by_images(&mut self, by_outputs: &BTreeMap<String, Vec<f32>>) -> Vec<f32> {
        assert_eq!(self.pass, Pass::ImageGradients, "the last pass kept what is needed");
        let input = self.shapes[0];
        let mut images = vec![0.0; self.n * input.values()];
        if let Some(gradient) = self.backward(by_outputs) {
            map::to_images(input, &gradient, &mut images);
            self.buffers.give(gradient);
        }
        images
    }

    /// Walks back, and returns the gradient by the input, if it is reached.
    fn backward(&mut self, by_outputs: &BTreeMap<String, Vec<f32>>) -> Option<Vec<f32>> {
        let mut gradients = Maps { of: vec![None; self.shapes.len()] };
        for (name, gradient) in by_outputs {
            let (_, value) = self.outputs.iter().find(|(output, _)| output == name).expect("it is an output's");
            let shape = self.shapes[*value];
            assert_eq!(gradient.len(), self.n * shape.values(), "a gradient has its output's shape");
            let mut map = self.buffers.take(self.n * shape.len());
            map::from_images(shape, gradient, &mut map);
            gradients.add(self.isa, *value, map, &mut self.buffers);
        }
        for i in (0..self.nodes.len()).rev() {
            let output = self.nodes[i].output;
            if let Some(dy) = gradients.of[output].take() {
                if self.reached[output] {
                    self.backward_through(i, dy, &mut gradients);
                } else {
                    self.buffers.give(dy);
                }
            }
            for value in 0..self.maps.len() {
                if self.kept_for[value] == Some(i) {
                    self.free(value);
                }
            }
        }
        gradients.of[0].take()
    }

    /// Adds to the gradients by the inputs of node `i`, given that by its output.
    fn backward_through(&mut self, i: usize, mut dy: Vec<f32>, gradients: &mut Maps) {
        let (isa, n) = (self.isa, self.n);
        let Self { nodes, shapes, maps, reached, buffers, .. } = self;
        let node = &mut nodes[i];
        let input = node.inputs[0];
        let map = |value: Value| maps[value].as_deref().expect("what the backward pass needs is kept");
        match &mut node.operation {
            Operation::Unfold(unfold) => {
                let mut dx = gradients.take_or_zeros(input, n * shapes[input].len(), buffers);
                unfold.backward(&dy, &mut dx);
                gradients.of[input] = Some(dx);
            }
            Operation::Conv(convolution) => {
                if let Some(function) = convolution.function {
                    activation::backward(isa, function, map(node.output), &mut dy);
                }
                if self.pass == Pass::Training {
                    convolution.by_parameters(isa, (n, map(input)), &dy, &node.layer, &mut self.gradients, buffers);
                }
                if let Some((transposed, weights)) = &convolution.transposed {
                    let conv = &convolution.conv;
                    let before = gradients.of[input].take();
                    let is_new = before.is_none();
                    let mut dx = before.unwrap_or_else(|| buffers.take(n * shapes[input].len()));
                    conv.gradient_by_x(isa, transposed, (n, convolution.by_output(&dy)), weights, is_new, &mut dx);
                    gradients.of[input] = Some(dx);
                }
            }
            Operation::BatchNorm(norm) => {
                if let Some(batch) = &norm.batch {
                    let by = batch_norm::backward(isa, batch, &norm.gamma, norm.epsilon, map(input), &mut dy);
                    for (part, values) in [("gamma", by.gamma), ("beta", by.beta)] {
                        let gradient = self.gradients.entry(format!("{}.{part}", node.layer)).or_default();
                        gradient.clear();
                        gradient.extend(&values[..shapes[input].c]);
                    }
                } else {
                    let scale = batch_norm::scale(&norm.gamma, &norm.moving.variance, norm.epsilon);
                    batch_norm::backward_of_inference(isa, &scale, &mut dy);
                }
                return gradients.add_if(reached[input], isa, input, dy, buffers);
            }
            Operation::Activation(function) => {
                activation::backward(isa, *function, map(node.output), &mut dy);
                return gradients.add_if(reached[input], isa, input, dy, buffers);
            }
            Operation::Pool(pool) => {
                let before = gradients.of[input].take();
                let (is_new, len) = (before.is_none(), n * shapes[input].len());
                let fresh = || if pool.tiles() { buffers.take(len) } else { buffers.take_zeros(len) };
                let mut dx = before.unwrap_or_else(fresh);
                let (x, y) =
                    if pool.kind == PoolKind::Max { (map(input), map(node.output)) } else { (&[][..], &[][..]) };
                pool.backward(isa, (x, y), &dy, is_new, &mut dx);
                gradients.of[input] = Some(dx);
            }
            Operation::Dropout { p } => {
                let mask = mask(self.mode, node.index, *p);
                match &mut gradients.of[input] {
                    Some(dx) => mask.add(isa, &dy, dx),
                    empty => {
                        let mut dx = buffers.take(dy.len());
                        mask.apply(isa, &dy, &mut dx);
                        *empty = Some(dx);
                    }
                }
            }
            Operation::Add => {
                let (&last, others) = node.inputs.split_last().expect("a sum has inputs");
                for &input in others.iter().filter(|&&input| reached[input]) {
                    let mut copy = buffers.take(dy.len());
                    elementwise::copy(&dy, &mut copy);
                    gradients.add(isa, input, copy, buffers);
                }
                return gradients.add_if(reached[last], isa, last, dy, buffers);
            }
            Operation::Concat => {
                let mut first = 0;
                for &input in &node.inputs {
                    if reached[input] {
                        let mut part = buffers.take(n * shapes[input].len());
                        map::slice(shapes[node.output].c, first, shapes[input].c, &dy, &mut part);
                        gradients.add(isa, input, part, buffers);
                    }
                    first += shapes[input].c;
                }
            }
            Operation::Flatten => {
                let mut dx = buffers.take(n * shapes[input].len());
                map::unflatten(shapes[input], &dy, &mut dx);
                gradients.add_if(reached[input], isa, input, dx, buffers);
            }
        }
        buffers.give(dy);
    }
}

/// Gradients by values, as far as they are known.
struct Maps {
    of: Vec<Option<Vec<f32>>>,
}

impl Maps {
    /// Adds `gradient` to that by `value`.
    fn add(&mut self, isa: Isa, value: Value, gradient: Vec<f32>, buffers: &mut Buffers) {
        match &mut self.of[value] {
            Some(sum) => {
                elementwise::add(isa, &gradient, sum);
                buffers.give(gradient);
            }
            empty => *empty = Some(gradient),
        }
    }

    /// Adds `gradient` to that by `value`, if it is to be known.
    fn add_if(&mut self, is_reached: bool, isa: Isa, value: Value, gradient: Vec<f32>, buffers: &mut Buffers) {
        if is_reached {
            self.add(isa, value, gradient, buffers);
        } else {
            buffers.give(gradient);
        }
    }

    fn take_or_zeros(&mut self, value: Value, len: usize, buffers: &mut Buffers) -> Vec<f32> {
        self.of[value].take().unwrap_or_else(|| buffers.take_zeros(len))
    }
}

impl Operation {
    fn has_parameters(&self) -> bool {
        matches!(self, Self::Conv(_) | Self::BatchNorm(_))
    }

    /// Whether the backward pass reads the (first) input.
    fn keeps_input(&self, pass: Pass) -> bool {
        match self {
            Self::Conv(_) | Self::BatchNorm(_) => pass == Pass::Training,
            Self::Pool(pool) => pool.kind == PoolKind::Max,
            _ => false,
        }
    }

    /// Whether the backward pass reads the output.
    fn keeps_output(&self) -> bool {
        match self {
            Self::Conv(convolution) => convolution.function.is_some(),
            Self::Activation(_) => true,
            Self::Pool(pool) => pool.kind == PoolKind::Max,
            _ => false,
        }
    }
}

impl Convolution {
    fn set_weights(&mut self, kernel: &[f32], bias: &[f32]) {
        let conv = &self.conv;
        self.weights.resize(conv.packed_len(), 0.0);
        self.bias.clear();
        self.bias.extend(bias);
        self.bias.resize(conv.y.padded(), 0.0);
        match (self.is_dense, &mut self.transposed) {
            (false, None) => conv.pack(kernel, &mut self.weights),
            (true, None) => conv.pack_dense(kernel, &mut self.weights),
            (false, Some((_, transposed))) => {
                conv.pack(kernel, &mut self.weights);
                transposed.resize(conv.packed_transposed_len(), 0.0);
                conv.pack_transposed(kernel, transposed);
            }
            (true, Some((_, transposed))) => {
                conv.pack_dense(kernel, &mut self.weights);
                transposed.resize(conv.packed_transposed_len(), 0.0);
                conv.pack_dense_transposed(kernel, transposed);
            }
        }
    }

    fn forward(&mut self, isa: Isa, n: usize, x: &[f32], y: &mut [f32]) {
        let weights = (self.weights.as_slice(), self.bias.as_slice());
        match &mut self.peaks {
            Some(peaks) => self.conv.forward_to_peaks(isa, (n, x), weights, self.function, peaks, y),
            None => self.conv.forward(isa, (n, x), weights, self.function, y),
        }
    }

    fn by_output<'a>(&'a self, dy: &'a [f32]) -> ByOutput<'a> {
        self.peaks.as_ref().map_or(ByOutput::Whole(dy), |peaks| ByOutput::Peaks(peaks, dy))
    }

    /// Writes the gradients by kernel and bias.
    fn by_parameters(
        &self,
        isa: Isa,
        (n, x): (usize, &[f32]),
        dy: &[f32],
        layer: &str,
        gradients: &mut BTreeMap<String, Vec<f32>>,
        buffers: &mut Buffers,
    ) {
        let conv = &self.conv;
        let (kernel, bias) = conv.gradient_by_kernel(isa, (n, x), self.by_output(dy), buffers);
        let gradient = gradients.entry(format!("{layer}.kernel")).or_default();
        gradient.resize(conv.kernel_len(), 0.0);
        if self.is_dense {
            conv.unpack_dense(&kernel, gradient)
        } else {
            conv.unpack(&kernel, gradient)
        }
        let gradient = gradients.entry(format!("{layer}.bias")).or_default();
        gradient.clear();
        gradient.extend(&bias[..conv.y.c]);
        buffers.give(kernel);
        buffers.give(bias);
    }
}

impl Node {
    /// Prepares for the backward pass of `pass`, with a gradient by the input if that `is_reached`.
    fn prepare(&mut self, pass: Pass, is_reached: bool) {
        if let Operation::Conv(convolution) = &mut self.operation
            && pass != Pass::Inference
            && is_reached
        {
            convolution.transposed = Some((convolution.conv.transposed(), Vec::new()));
        }
    }
}

fn mask(mode: Mode, layer: u32, p: f32) -> Mask {
    let Mode::Training { seed, step } = mode else { unreachable!("dropout is a node of training networks alone") };
    Mask::new(seed, step, layer, p)
}

fn padded(values: &[f32], width: usize) -> Vec<f32> {
    let mut padded = values.to_vec();
    padded.resize(width, 0.0);
    padded
}
