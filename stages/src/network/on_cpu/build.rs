//! From an architecture to the list of kernels that computes it: layers that do nothing are left out, activations join what is
//! before them.

use std::collections::BTreeMap;

use super::{BatchNorm, Convolution, Node, Operation, Value};
use crate::network::{
    Architecture, Kind, Layer,
    architecture::Padding,
    backend::Pass,
    kernels::{
        activation::Function,
        conv::Conv,
        map::Shape,
        peaks::Peaks,
        pool::{Pool, PoolKind},
        unfold::Unfold,
        window::Window,
    },
};

/// Returns how many layers have to be computed for `outputs`.
fn last_needed(architecture: &Architecture, outputs: &[&str]) -> usize {
    let is_output = |layer: &Layer| outputs.contains(&layer.name.as_str());
    architecture.layers.iter().rposition(is_output).map_or(0, |last| last + 1)
}

/// What an architecture becomes.
pub(super) struct Built {
    pub(super) nodes: Vec<Node>,
    /// The output of each layer, by name.
    pub(super) values: BTreeMap<String, Value>,
    pub(super) shapes: Vec<Shape>,
}

/// Returns the nodes that compute the outputs of the layers named `outputs`.
///
/// # Panics
/// If the layers read what is not there.
pub(super) fn build(architecture: &Architecture, pass: Pass, outputs: &[&str]) -> Built {
    let mut builder = Builder {
        pass,
        outputs,
        layers: &architecture.layers[..last_needed(architecture, outputs)],
        values: BTreeMap::from([("input", 0)]),
        shapes: vec![Shape::of(&architecture.input)],
        nodes: Vec::new(),
    };
    builder.build();
    let values = builder.values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Built { nodes: builder.nodes, values, shapes: builder.shapes }
}

/// Turns layers into nodes.
struct Builder<'a> {
    pass: Pass,
    outputs: &'a [&'a str],
    layers: &'a [Layer],
    values: BTreeMap<&'a str, Value>,
    shapes: Vec<Shape>,
    nodes: Vec<Node>,
}

impl<'a> Builder<'a> {
    fn build(&mut self) {
        for (index, layer) in self.layers.iter().enumerate() {
            let inputs: Vec<Value> = layer.inputs.iter().map(|name| self.values[name.as_str()]).collect();
            let (x, y) = (self.shapes[inputs[0]], Shape::of(&layer.shape));
            let output = match layer.kind {
                // What changes nothing is no node.
                Kind::Dropout { p } if p == 0.0 || self.pass != Pass::Training => inputs[0],
                Kind::Activation { function } if self.joins(layer) => {
                    let node = self.nodes.iter_mut().find(|node| node.output == inputs[0]);
                    let Some(Node { operation: Operation::Conv(convolution), .. }) = node else {
                        unreachable!("it joins a convolution")
                    };
                    convolution.function = Some(function);
                    inputs[0]
                }
                Kind::Conv { kernel, stride, padding, .. } => {
                    let window = window(x, kernel, stride, padding);
                    match Unfold::of(x, y, window) {
                        Some(unfold) => {
                            let windows = self.add(index, layer, Operation::Unfold(unfold), inputs, unfold.y);
                            self.add(index, layer, convolution(Conv::of_unfolded(&unfold), false), vec![windows], y)
                        }
                        None => self.add(index, layer, convolution(Conv::new(x, y, window), false), inputs, y),
                    }
                }
                Kind::MaxPool { size, stride, padding } if self.is_read_once(inputs[0]) => {
                    let pool = Pool { x, y, window: window(x, size, stride, padding), kind: PoolKind::Max };
                    self.pool_behind(index, layer, pool, inputs)
                }
                _ => self.add(index, layer, operation(&layer.kind, x, y), inputs, y),
            };
            self.values.insert(&layer.name, output);
        }
    }

    /// Adds a node and returns its output.
    fn add(&mut self, index: usize, layer: &Layer, operation: Operation, inputs: Vec<Value>, shape: Shape) -> Value {
        self.shapes.push(shape);
        let output = self.shapes.len() - 1;
        let index = u32::try_from(index).expect("few layers");
        self.nodes.push(Node { layer: layer.name.clone(), index, operation, inputs, output });
        output
    }

    /// Adds a max-pooling behind what it alone reads, and returns its output. The largest of rectified numbers is the largest
    /// rectified, so ReLU waits for it: there is less to rectify.
    fn pool_behind(&mut self, index: usize, layer: &Layer, pool: Pool, inputs: Vec<Value>) -> Value {
        let node = self.nodes.iter_mut().find(|node| node.output == inputs[0]);
        let (y, operation) = (pool.y, Operation::Pool(pool));
        let Some(Node { operation: Operation::Conv(convolution), .. }) = node else {
            return self.add(index, layer, operation, inputs, y);
        };
        match (convolution.function, Peaks::of(pool)) {
            (None | Some(Function::Relu), Some(peaks)) if convolution.peaks.is_none() => {
                convolution.peaks = Some(peaks);
                self.shapes[inputs[0]] = y;
                inputs[0]
            }
            (Some(Function::Relu), None) if convolution.peaks.is_none() => {
                convolution.function = None;
                let pooled = self.add(index, layer, operation, inputs, y);
                self.add(index, layer, Operation::Activation(Function::Relu), vec![pooled], y)
            }
            _ => self.add(index, layer, operation, inputs, y),
        }
    }

    /// Whether `value` has one reader, by whatever name layers know it.
    fn is_read_once(&self, value: Value) -> bool {
        let readers = |name| self.layers.iter().flat_map(|layer| &layer.inputs).filter(|input| *input == name).count();
        let mut names = self.values.iter().filter(|entry| *entry.1 == value).map(|(&name, _)| name);
        names.all(|name| readers(name) == 1 && !self.outputs.contains(&name))
    }

    /// Whether an activation is the only reader of a convolution or dense layer.
    fn joins(&self, activation: &Layer) -> bool {
        let name = &activation.inputs[0];
        let is_joinable =
            |layer: &Layer| layer.name == *name && matches!(layer.kind, Kind::Conv { .. } | Kind::Dense { .. });
        let readers = self.layers.iter().flat_map(|layer| &layer.inputs).filter(|input| *input == name).count();
        self.layers.iter().any(is_joinable) && readers == 1 && !self.outputs.contains(&name.as_str())
    }
}

fn window(x: Shape, size: usize, stride: usize, padding: Padding) -> Window {
    let (top, ..) = padding.along(x.h, size, stride);
    let (left, ..) = padding.along(x.w, size, stride);
    Window { size, stride, top, left }
}

fn convolution(conv: Conv, is_dense: bool) -> Operation {
    let (weights, bias) = (Vec::new(), Vec::new());
    Operation::Conv(Box::new(Convolution {
        conv,
        is_dense,
        peaks: None,
        function: None,
        weights,
        bias,
        transposed: None,
    }))
}

/// Returns the operation of any layer but a convolution.
fn operation(kind: &Kind, x: Shape, y: Shape) -> Operation {
    let pool = |kind, window| Operation::Pool(Pool { x, y, window, kind });
    match *kind {
        Kind::Dense { .. } => convolution(Conv::new(x, y, window(x, 1, 1, Padding::Valid)), true),
        Kind::BatchNorm { epsilon, .. } => Operation::BatchNorm(BatchNorm { epsilon, ..BatchNorm::default() }),
        Kind::Activation { function } => Operation::Activation(function),
        Kind::MaxPool { size, stride, padding } => pool(PoolKind::Max, window(x, size, stride, padding)),
        Kind::AvgPool { size, stride, padding } => pool(PoolKind::Mean, window(x, size, stride, padding)),
        Kind::Dropout { p } => Operation::Dropout { p },
        Kind::Add => Operation::Add,
        Kind::Concat => Operation::Concat,
        Kind::Flatten => Operation::Flatten,
        Kind::Conv { .. } => unreachable!("a convolution may be two operations"),
    }
}
