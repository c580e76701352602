//! How a layer is computed on a CPU: operations with a forward and a backward pass over maps.

use std::collections::BTreeMap;

use crate::network::{
    function::Function,
    kernels::{Isa, buffer::Buffer, buffers::Buffers, elementwise, map::Shape, pool::Pool, unfold::Layout},
    pass::{Mode, Pass},
};

/// The index of a value. The network's input is 0, and each operation adds one for its output.
pub(crate) type Value = usize;

/// Returns a layer's array by its name within the layer.
pub(crate) type Arrays<'f, 'w> = &'f dyn Fn(&str) -> &'w [f32];

/// One operation of a network on a CPU. It owns its weights and everything it needs between the passes, except for maps.
pub(crate) trait Operation: Send {
    /// Returns whether it has trained parameters.
    fn is_trained(&self) -> bool {
        false
    }

    /// Returns whether it can read images `[n, c, h, w]` instead of a map.
    fn reads_images(&self) -> bool {
        false
    }

    /// Returns which maps of the forward pass its backward pass reads.
    fn keeps(&self, _pass: Pass) -> Keeps {
        Keeps::default()
    }

    /// Prepares for gradients with respect to the inputs. Called at most once, before the weights are set.
    fn reach_inputs(&mut self) {}

    /// Fuses `follower`, the only reader of the output, into this operation if that is faster.
    fn join(&mut self, _follower: Follower) -> Joined {
        Joined::Not
    }

    /// Replaces the weights.
    fn set_weights(&mut self, _arrays: Arrays<'_, '_>) {}

    /// Computes the output `y`, which may hold any numbers before.
    fn forward(&mut self, run: Run, inputs: &[Map<'_>], y: &mut [f32]);

    /// Adds to the gradients with respect to the inputs, and sets those with respect to the parameters, given the gradient `dy`
    /// with respect to the output.
    fn backward(&mut self, back: &mut Backward<'_>, dy: Buffer);

    /// Returns the mean and the biased variance of each channel in the last batch, if it normalised with them.
    fn statistics(&self) -> Option<[&[f32]; 2]> {
        None
    }
}

/// The place of a layer in a network.
pub(crate) struct Site<'a> {
    /// The shapes of its inputs.
    pub(crate) inputs: &'a [Shape],
    /// The shape of its output.
    pub(crate) output: Shape,
    /// What the network is used for.
    pub(crate) pass: Pass,
    /// The index of the layer in the architecture.
    pub(crate) index: u32,
}

/// How a layer is computed.
pub(crate) struct Plan {
    /// The operation with the shape of its output. `None` if the layer does nothing.
    pub(crate) operation: Option<(Box<dyn Operation>, Shape)>,
    /// The form in which the layer may be fused into the operation before, instead of the `operation`.
    pub(crate) follower: Option<Follower>,
}

impl Plan {
    /// The plan of a layer that does nothing.
    pub(super) const NOTHING: Self = Self { operation: None, follower: None };

    /// Returns the plan of an operation.
    pub(super) fn of(operation: impl Operation + 'static, site: &Site<'_>) -> Self {
        Self { operation: Some((Box::new(operation), site.output)), follower: None }
    }

    /// Allows the operation before to do `follower` instead.
    pub(super) fn or(self, follower: Follower) -> Self {
        Self { follower: Some(follower), ..self }
    }
}

/// A layer that the operation before it may do as part of its own work.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Follower {
    /// Apply an activation function to the output.
    Function(Function),
    /// Output only the maxima of windows.
    MaxPool(Pool),
}

/// The result of [`Operation::join`].
pub(crate) enum Joined {
    /// The follower is not fused.
    Not,
    /// The follower is fused.
    Done,
    /// The follower is not fused, and the operation no longer does one that it had fused before: this one, which must now come
    /// after the follower.
    Before(Box<dyn Operation>),
}

/// Which maps of the forward pass a backward pass reads.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Keeps {
    /// The first input.
    pub(crate) input: bool,
    /// The output.
    pub(crate) output: bool,
}

/// A pass in progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) isa: Isa,
    /// The number of images.
    pub(crate) n: usize,
    pub(crate) pass: Pass,
    pub(crate) mode: Mode,
}

/// An input of an operation.
#[derive(Clone, Copy)]
pub(crate) struct Map<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) shape: Shape,
    pub(crate) layout: Layout,
}

/// The context of a backward pass: what an operation reads, and the gradients that it computes.
pub(crate) struct Backward<'a> {
    pub(crate) run: Run,
    /// The name of the layer.
    pub(crate) layer: &'a str,
    pub(crate) inputs: &'a [Value],
    pub(crate) output: Value,
    /// The shape of each value.
    pub(crate) shapes: &'a [Shape],
    /// The map of each value, if it was kept.
    pub(crate) maps: &'a [Option<Buffer>],
    /// Whether the gradient with respect to each value is needed.
    pub(crate) reached: &'a [bool],
    /// The gradients with respect to each value, summed over the readers that have been visited.
    pub(crate) gradients: &'a mut [Option<Buffer>],
    /// The gradients with respect to parameters, by name and in the layout of the parameters.
    pub(crate) of_parameters: &'a mut BTreeMap<String, Buffer>,
    pub(crate) buffers: &'a mut Buffers,
}

impl<'a> Backward<'a> {
    /// Returns the first input of the forward pass. The operation must have asked for it with [`Keeps`].
    pub(super) fn x(&self) -> &'a [f32] {
        self.map(self.inputs[0])
    }

    /// Returns the output of the forward pass. The operation must have asked for it with [`Keeps`].
    pub(super) fn y(&self) -> &'a [f32] {
        self.map(self.output)
    }

    fn map(&self, value: Value) -> &'a [f32] {
        self.maps[value].as_deref().expect("the operation asked to keep the map")
    }

    /// Returns the shape of input `i`.
    pub(super) fn shape(&self, i: usize) -> Shape {
        self.shapes[self.inputs[i]]
    }

    /// Returns whether the gradient with respect to input `i` is needed.
    pub(super) fn wants(&self, i: usize) -> bool {
        self.reached[self.inputs[i]]
    }

    /// Adds `gradient` to the gradient with respect to input `i`, if that is needed.
    pub(super) fn add(&mut self, i: usize, gradient: Buffer) {
        if !self.wants(i) {
            return self.buffers.give(gradient);
        }
        let slot = &mut self.gradients[self.inputs[i]];
        add(self.run.isa, slot, gradient, self.buffers);
    }

    /// Takes out the gradient with respect to the first input, to be added to and returned with [`put`](Self::put). The flag says
    /// whether it is new: then it holds arbitrary numbers, which must be overwritten.
    pub(super) fn take(&mut self) -> (Buffer, bool) {
        match self.gradients[self.inputs[0]].take() {
            Some(gradient) => (gradient, false),
            None => (self.buffers.take(self.run.n * self.shape(0).len()), true),
        }
    }

    /// Takes out the gradient with respect to the first input, to be added to and returned with [`put`](Self::put). If it is new,
    /// it is zero.
    pub(super) fn take_or_zeros(&mut self) -> Buffer {
        let known = self.gradients[self.inputs[0]].take();
        known.unwrap_or_else(|| self.buffers.take_zeros(self.run.n * self.shape(0).len()))
    }

    /// Sets the gradient with respect to the first input.
    pub(super) fn put(&mut self, gradient: Buffer) {
        self.gradients[self.inputs[0]] = Some(gradient);
    }

    /// Returns the gradient with respect to the layer's parameter `part`, to be overwritten.
    pub(super) fn parameter(&mut self, part: &str) -> &mut Buffer {
        self.of_parameters.entry(format!("{}.{part}", self.layer)).or_default()
    }
}

/// Adds `gradient` to the gradient in `slot`, if there is one, or puts it there.
pub(crate) fn add(isa: Isa, slot: &mut Option<Buffer>, gradient: Buffer, buffers: &mut Buffers) {
    match slot {
        Some(sum) => {
            elementwise::add(isa, &gradient, sum);
            buffers.give(gradient);
        }
        empty => *empty = Some(gradient),
    }
}
