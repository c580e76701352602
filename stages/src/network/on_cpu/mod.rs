//! Networks on a CPU: a list of operations that are called forward and backward. Their maps reuse the memory of the step before.

mod build;
mod node;

use std::collections::{BTreeMap, BTreeSet};

use self::{build::Built, node::Node};
use super::{
    architecture::Architecture,
    kernels::{
        Isa,
        buffer::Buffer,
        buffers::Buffers,
        elementwise,
        map::{self, Shape},
        unfold::Layout,
    },
    layers::operation::{self, Backward, Map, Run, Value},
    pass::{Forward, Mode, Pass},
    weights::Weights,
};

/// A network that is computed by our kernels. Unless a comment says otherwise, a vector has one item for each value.
pub(super) struct CpuNetwork {
    /// In the order of the forward pass.
    nodes: Vec<Node>,
    shapes: Vec<Shape>,
    /// The requested outputs, by the names of their layers.
    outputs: Vec<(String, Value)>,
    /// The number of nodes and outputs that read the value.
    readers: Vec<usize>,
    /// The first node whose backward pass reads the value, which is the last to run. The map is kept until then.
    kept_for: Vec<Option<usize>>,
    /// Whether the gradient with respect to the value is needed.
    reached: Vec<bool>,
    /// The layout of the input: images, if all nodes that read the input can read that layout, otherwise a map.
    input: Layout,
    /// The last forward pass.
    run: Run,
    /// The maps that the last forward pass kept.
    maps: Vec<Option<Buffer>>,
    /// The gradients with respect to the parameters, by name and in the layout of the parameters.
    gradients: BTreeMap<String, Buffer>,
    buffers: Buffers,
}

impl CpuNetwork {
    /// Returns the network that computes the outputs of the layers named `outputs`. The layers named `frozen` are not trained.
    ///
    /// # Panics
    /// If an output is not a layer.
    pub(super) fn new(
        architecture: &Architecture,
        pass: Pass,
        outputs: &[&str],
        frozen: &BTreeSet<String>,
        isa: Isa,
    ) -> Self {
        let Built { mut nodes, values, shapes } = build::build(architecture, pass, outputs, frozen);
        let outputs: Vec<_> = outputs.iter().map(|&name| (name.to_owned(), values[name])).collect();
        let mut readers = vec![0; shapes.len()];
        let read = nodes.iter().flat_map(|node| &node.inputs).chain(outputs.iter().map(|(_, value)| value));
        read.for_each(|&value| readers[value] += 1);
        let mut reached = vec![pass == Pass::ImageGradients; shapes.len()];
        let mut kept_for = vec![None; shapes.len()];
        for (i, node) in nodes.iter_mut().enumerate() {
            let own = node.pass(pass);
            let Node { operation, inputs, output, .. } = node;
            let reaches_inputs = inputs.iter().any(|&input| reached[input]);
            reached[*output] |= reaches_inputs || (own == Pass::Training && operation.is_trained());
            if pass == Pass::Inference || !reached[*output] {
                continue;
            }
            if reaches_inputs {
                operation.reach_inputs();
            }
            let keeps = operation.keeps(own);
            for value in keeps.input.then_some(inputs[0]).into_iter().chain(keeps.output.then_some(*output)) {
                kept_for[value].get_or_insert(i);
            }
        }
        let reads_images = |node: &Node| node.operation.reads_images() || !node.inputs.contains(&0);
        let all_read_images = nodes.iter().all(reads_images) && outputs.iter().all(|&(_, value)| value != 0);
        Self {
            input: if all_read_images { Layout::Images } else { Layout::Map },
            run: Run { isa, n: 0, pass, mode: Mode::Inference },
            maps: vec![None; shapes.len()],
            nodes,
            shapes,
            outputs,
            readers,
            kept_for,
            reached,
            gradients: BTreeMap::new(),
            buffers: Buffers::default(),
        }
    }

    /// Replaces the weights.
    ///
    /// # Panics
    /// If they do not fit the architecture.
    pub(super) fn set_weights(&mut self, weights: &Weights) {
        for Node { layer, operation, .. } in &mut self.nodes {
            operation.set_weights(&|part| weights.0[&format!("{layer}.{part}")].values.as_slice());
        }
    }

    /// Computes the outputs for `images` `[n, c, h, w]`.
    ///
    /// # Panics
    /// If the length of `images` is not a multiple of an image's.
    pub(super) fn forward(&mut self, images: &[f32], mode: Mode) -> Forward {
        let input = self.shapes[0];
        assert!(images.len().is_multiple_of(input.values()), "the length of `images` is a multiple of an image's");
        self.run = Run { n: images.len() / input.values(), mode, ..self.run };
        self.maps.fill(None);
        self.maps[0] = self.input_map(images);
        let mut left = self.readers.clone();
        for i in 0..self.nodes.len() {
            let y = self.compute(i, images);
            let node = &self.nodes[i];
            self.maps[node.output] = Some(y);
            for input in node.inputs.clone() {
                left[input] -= 1;
                if left[input] == 0 && self.kept_for[input].is_none() {
                    self.free(input);
                }
            }
        }
        let forward = Forward { outputs: self.read_outputs(), statistics: self.statistics() };
        for value in 0..self.maps.len() {
            if self.kept_for[value].is_none() {
                self.free(value);
            }
        }
        forward
    }

    /// Returns the map of `images`, unless nothing but the forward pass reads them, as they are.
    fn input_map(&mut self, images: &[f32]) -> Option<Buffer> {
        let shape = self.shapes[0];
        match self.input {
            Layout::Images if self.kept_for[0].is_none() => None,
            Layout::Images => {
                let mut copy = self.buffers.take(images.len());
                elementwise::copy(images, &mut copy);
                Some(copy)
            }
            Layout::Map => {
                let mut map = self.buffers.take(self.run.n * shape.len());
                map::from_images(shape, images, &mut map);
                Some(map)
            }
        }
    }

    /// Returns the output of node `i` in a forward pass for `images`.
    fn compute(&mut self, i: usize, images: &[f32]) -> Buffer {
        let run = Run { pass: self.nodes[i].pass(self.run.pass), ..self.run };
        let Node { operation, inputs, output, .. } = &mut self.nodes[i];
        let mut y = self.buffers.take(self.run.n * self.shapes[*output].len());
        let map = |&value: &Value| {
            let (kept, shape) = (self.maps[value].as_deref(), self.shapes[value]);
            if value == 0 {
                return Map { values: kept.unwrap_or(images), shape, layout: self.input };
            }
            let values = kept.expect("inputs are computed before and kept until they are read");
            Map { values, shape, layout: Layout::Map }
        };
        operation.forward(run, &inputs.iter().map(map).collect::<Vec<_>>(), &mut y);
        y
    }

    fn read_outputs(&self) -> BTreeMap<String, Vec<f32>> {
        let read = |(name, value): &(String, Value)| {
            let shape = self.shapes[*value];
            let mut output = vec![0.0; self.run.n * shape.values()];
            map::to_images(
                shape,
                self.maps[*value].as_ref().expect("outputs are kept until they are read"),
                &mut output,
            );
            (name.clone(), output)
        };
        self.outputs.iter().map(read).collect()
    }

    fn statistics(&self) -> BTreeMap<String, [Vec<f32>; 2]> {
        let of = |node: &Node| Some((node.layer.clone(), node.operation.statistics()?.map(<[f32]>::to_vec)));
        self.nodes.iter().filter_map(of).collect()
    }

    fn free(&mut self, value: Value) {
        if let Some(map) = self.maps[value].take() {
            self.buffers.give(map);
        }
    }

    /// Returns the gradients with respect to the trained parameters, by name and in the layout of the parameters, given the
    /// gradients `[n, c, h, w]` with respect to outputs of the last forward pass.
    ///
    /// # Panics
    /// If the last pass was not for training, or a gradient does not belong to an output.
    pub(super) fn weight_gradients(
        &mut self,
        output_gradients: &BTreeMap<String, Vec<f32>>,
    ) -> &BTreeMap<String, Buffer> {
        assert_eq!(self.run.pass, Pass::Training, "the network was built for training");
        self.backward(output_gradients);
        &self.gradients
    }

    /// Returns the gradient `[n, c, h, w]` with respect to the images, given the gradients `[n, c, h, w]` with respect to outputs
    /// of the last forward pass.
    ///
    /// # Panics
    /// If the last pass was not for gradients with respect to images, or a gradient does not belong to an output.
    pub(super) fn image_gradients(&mut self, output_gradients: &BTreeMap<String, Vec<f32>>) -> Vec<f32> {
        assert_eq!(self.run.pass, Pass::ImageGradients, "the network was built for gradients with respect to images");
        let input = self.shapes[0];
        let mut images = vec![0.0; self.run.n * input.values()];
        if let Some(gradient) = self.backward(output_gradients) {
            map::to_images(input, &gradient, &mut images);
            self.buffers.give(gradient);
        }
        images
    }

    /// Runs the backward pass. Returns the gradient with respect to the input if it is needed.
    fn backward(&mut self, output_gradients: &BTreeMap<String, Vec<f32>>) -> Option<Buffer> {
        let mut gradients = self.map_gradients(output_gradients);
        for i in (0..self.nodes.len()).rev() {
            let output = self.nodes[i].output;
            if let Some(dy) = gradients[output].take() {
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
        gradients[0].take()
    }

    /// Returns the gradients with respect to outputs as maps, one slot for each value.
    fn map_gradients(&mut self, output_gradients: &BTreeMap<String, Vec<f32>>) -> Vec<Option<Buffer>> {
        let mut gradients = vec![None; self.shapes.len()];
        for (name, gradient) in output_gradients {
            let output = self.outputs.iter().find(|(output, _)| output == name);
            let &(_, value) = output.expect("every gradient is with respect to an output");
            let shape = self.shapes[value];
            assert_eq!(gradient.len(), self.run.n * shape.values(), "a gradient has the shape of its output");
            let mut map = self.buffers.take(self.run.n * shape.len());
            map::from_images(shape, gradient, &mut map);
            operation::add(self.run.isa, &mut gradients[value], map, &mut self.buffers);
        }
        gradients
    }

    /// Runs the backward pass of node `i`, given the gradient `dy` with respect to its output.
    fn backward_through(&mut self, i: usize, dy: Buffer, gradients: &mut [Option<Buffer>]) {
        let run = Run { pass: self.nodes[i].pass(self.run.pass), ..self.run };
        let Node { layer, operation, inputs, output, .. } = &mut self.nodes[i];
        let mut back = Backward {
            run,
            layer,
            inputs,
            output: *output,
            shapes: &self.shapes,
            maps: &self.maps,
            reached: &self.reached,
            gradients,
            of_parameters: &mut self.gradients,
            buffers: &mut self.buffers,
        };
        operation.backward(&mut back, dy);
    }
}
