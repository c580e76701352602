//! Turns an architecture into the operations that compute it. Layers that do nothing are left out, and some layers are fused into
//! the operation before them.

use std::collections::{BTreeMap, BTreeSet};

use super::node::Node;
use crate::network::{
    architecture::{Architecture, Layer},
    kernels::map::Shape,
    layers::operation::{Joined, Operation, Plan, Site, Value},
    pass::Pass,
};

/// The operations of an architecture.
pub(super) struct Built {
    pub(super) nodes: Vec<Node>,
    /// The output of each layer, by the layer's name. Fused layers share one.
    pub(super) values: BTreeMap<String, Value>,
    /// The shape of each value.
    pub(super) shapes: Vec<Shape>,
}

/// Returns the nodes that compute the outputs of the layers named `outputs`. The layers named `frozen` keep their weights.
///
/// # Panics
/// If a layer reads a layer that does not exist or comes after it.
pub(super) fn build(architecture: &Architecture, pass: Pass, outputs: &[&str], frozen: &BTreeSet<String>) -> Built {
    let is_output = |layer: &Layer| outputs.contains(&layer.name.as_str());
    let n_layers = architecture.layers.iter().rposition(is_output).map_or(0, |last| last + 1);
    let mut builder = Builder {
        outputs,
        frozen,
        layers: &architecture.layers[..n_layers],
        values: BTreeMap::from([("input", 0)]),
        shapes: vec![Shape::of(&architecture.input)],
        nodes: Vec::new(),
    };
    builder.build(pass);
    let values = builder.values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Built { nodes: builder.nodes, values, shapes: builder.shapes }
}

/// Turns layers into nodes.
struct Builder<'a> {
    outputs: &'a [&'a str],
    frozen: &'a BTreeSet<String>,
    layers: &'a [Layer],
    values: BTreeMap<&'a str, Value>,
    shapes: Vec<Shape>,
    nodes: Vec<Node>,
}

impl Builder<'_> {
    fn build(&mut self, pass: Pass) {
        for (index, layer) in (0..).zip(self.layers) {
            let inputs: Vec<Value> = layer.inputs.iter().map(|name| self.values[name.as_str()]).collect();
            let shapes: Vec<_> = inputs.iter().map(|&input| self.shapes[input]).collect();
            let output = Shape::of(&layer.shape);
            let plan = layer.kind.definition().on_cpu(&Site { inputs: &shapes, output, pass, index });
            let value = self.take(layer, plan, inputs, output);
            self.values.insert(&layer.name, value);
        }
    }

    /// Adds the nodes of a layer, or fuses it into the node before. Returns its output.
    fn take(&mut self, layer: &Layer, plan: Plan, inputs: Vec<Value>, output: Shape) -> Value {
        let before = inputs[0];
        let joined = match plan.follower {
            Some(follower) if self.is_read_once(before) => {
                let node = self.nodes.iter_mut().find(|node| node.output == before);
                node.map_or(Joined::Not, |node| node.operation.join(follower))
            }
            _ => Joined::Not,
        };
        if let Joined::Done = joined {
            self.shapes[before] = output;
            return before;
        }
        let mut inputs = inputs;
        if let Some((operation, shape)) = plan.operation {
            inputs = vec![self.add(layer, operation, inputs, shape)];
        }
        if let Joined::Before(operation) = joined {
            inputs = vec![self.add(layer, operation, inputs, output)];
        }
        inputs[0]
    }

    /// Adds a node, and returns its output.
    fn add(&mut self, layer: &Layer, operation: Box<dyn Operation>, inputs: Vec<Value>, shape: Shape) -> Value {
        self.shapes.push(shape);
        let output = self.shapes.len() - 1;
        let is_frozen = self.frozen.contains(&layer.name);
        self.nodes.push(Node { layer: layer.name.clone(), operation, inputs, output, is_frozen });
        output
    }

    /// Returns whether exactly one layer reads `value`, under any of its names, and it is not an output.
    fn is_read_once(&self, value: Value) -> bool {
        let readers = |name| self.layers.iter().flat_map(|layer| &layer.inputs).filter(|input| *input == name).count();
        let mut names = self.values.iter().filter(|entry| *entry.1 == value).map(|(&name, _)| name);
        names.all(|name| readers(name) == 1 && !self.outputs.contains(&name))
    }
}
