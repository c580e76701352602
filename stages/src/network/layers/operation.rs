//! What a layer is on a CPU: operations that compute forward and back over maps.

use std::collections::BTreeMap;

use crate::network::{
    function::Function,
    kernels::{Isa, buffers::Buffers, elementwise, map::Shape, pool::Pool, unfold::Layout},
    pass::{Mode, Pass},
};

/// A value of a network: its input is 0, each operation gives the next one.
pub(crate) type Value = usize;

/// Returns a layer's array by its part's name.
pub(crate) type Arrays<'f, 'w> = &'f dyn Fn(&str) -> &'w [f32];

/// One step of a network on a CPU. It keeps its weights and what it needs between the passes, except for maps.
pub(crate) trait Operation: Send {
    /// Whether it has trained parameters.
    fn is_trained(&self) -> bool {
        false
    }

    /// Whether it can read images [n, c, h, w] in place of a map.
    fn reads_images(&self) -> bool {
        false
    }

    /// Returns the maps that the backward pass of `pass` reads.
    fn keeps(&self, _pass: Pass) -> Keeps {
        Keeps::default()
    }

    /// Prepares for a gradient with respect to the inputs. Called once, before there are weights.
    fn reach_inputs(&mut self) {}

    /// Does `follower`, the only reader of what this operation gives, as part of this operation if that is faster.
    fn join(&mut self, _follower: Follower) -> Joined {
        Joined::Not
    }

    /// Replaces the weights.
    fn set_weights(&mut self, _arrays: Arrays<'_, '_>) {}

    /// Computes the output `y`, whose numbers may be anything before.
    fn forward(&mut self, run: Run, inputs: &[Map<'_>], y: &mut [f32]);

    /// Adds to the gradients with respect to inputs and parameters, given that with respect to the output, `dy`.
    fn backward(&mut self, back: &mut Backward<'_>, dy: Vec<f32>);

    /// Returns the mean and the biased variance per channel of the last batch, if it was normalised with them.
    fn statistics(&self) -> Option<[&[f32]; 2]> {
        None
    }
}

/// Where a layer stands in a network.
pub(crate) struct Site<'a> {
    /// The shapes of what it reads.
    pub(crate) inputs: &'a [Shape],
    /// The shape of what it gives.
    pub(crate) output: Shape,
    /// What the network is for.
    pub(crate) pass: Pass,
    /// The layer's index in the architecture.
    pub(crate) index: u32,
}

/// How a layer is computed.
pub(crate) struct Plan {
    /// One behind the other, each with the shape of what it gives. None if the layer changes nothing.
    pub(crate) operations: Vec<(Box<dyn Operation>, Shape)>,
    /// What the operation before may do instead.
    pub(crate) follower: Option<Follower>,
}

impl Plan {
    /// The plan of a layer that changes nothing.
    pub(super) const NOTHING: Self = Self { operations: Vec::new(), follower: None };

    /// Returns the plan of one operation.
    pub(super) fn of(operation: impl Operation + 'static, site: &Site<'_>) -> Self {
        Self { operations: vec![(Box::new(operation), site.output)], follower: None }
    }

    /// Returns the plan of two operations, each with the shape of what it gives.
    pub(super) fn of_two<A: Operation + 'static, B: Operation + 'static>(first: (A, Shape), then: (B, Shape)) -> Self {
        Self { operations: vec![(Box::new(first.0), first.1), (Box::new(then.0), then.1)], follower: None }
    }

    /// Returns the plan with what the operation before may do instead.
    pub(super) fn or(self, follower: Follower) -> Self {
        Self { follower: Some(follower), ..self }
    }
}

/// What an operation may do for the layer behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Follower {
    /// Apply a function to what it gives.
    Function(Function),
    /// Give the largest numbers of windows alone.
    MaxPool(Pool),
}

/// What became of a follower.
pub(crate) enum Joined {
    /// It is an operation of its own.
    Not,
    /// It is done.
    Done,
    /// It is an operation of its own, and this one, given up by the operation before, comes behind it.
    Before(Box<dyn Operation>),
}

/// Which maps a backward pass reads.
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
    /// Images.
    pub(crate) n: usize,
    pub(crate) pass: Pass,
    pub(crate) mode: Mode,
}

/// What an operation reads.
#[derive(Clone, Copy)]
pub(crate) struct Map<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) shape: Shape,
    pub(crate) layout: Layout,
}

/// Where an operation finds what its backward pass needs, and leaves what it gives.
pub(crate) struct Backward<'a> {
    pub(crate) run: Run,
    /// The layer's name.
    pub(crate) layer: &'a str,
    pub(crate) inputs: &'a [Value],
    pub(crate) output: Value,
    /// Shape of each value.
    pub(crate) shapes: &'a [Shape],
    /// The maps that are kept.
    pub(crate) maps: &'a [Option<Vec<f32>>],
    /// Whether a gradient is wanted, for each value.
    pub(crate) reached: &'a [bool],
    /// Gradients with respect to values, as far as they are known.
    pub(crate) gradients: &'a mut [Option<Vec<f32>>],
    /// Gradients with respect to parameters, in their layout.
    pub(crate) of_parameters: &'a mut BTreeMap<String, Vec<f32>>,
    pub(crate) buffers: &'a mut Buffers,
}

impl<'a> Backward<'a> {
    /// Returns the first input of the forward pass, which the operation [`Keeps`].
    pub(super) fn x(&self) -> &'a [f32] {
        self.map(self.inputs[0])
    }

    /// Returns the output of the forward pass, which the operation [`Keeps`].
    pub(super) fn y(&self) -> &'a [f32] {
        self.map(self.output)
    }

    fn map(&self, value: Value) -> &'a [f32] {
        self.maps[value].as_deref().expect("what the backward pass needs is kept")
    }

    /// Returns the shape of input `i`.
    pub(super) fn shape(&self, i: usize) -> Shape {
        self.shapes[self.inputs[i]]
    }

    /// Returns whether a gradient with respect to input `i` is wanted.
    pub(super) fn wants(&self, i: usize) -> bool {
        self.reached[self.inputs[i]]
    }

    /// Adds `gradient` to that with respect to input `i`, if one is wanted.
    pub(super) fn add(&mut self, i: usize, gradient: Vec<f32>) {
        if !self.wants(i) {
            return self.buffers.give(gradient);
        }
        let slot = &mut self.gradients[self.inputs[i]];
        add(self.run.isa, slot, gradient, self.buffers);
    }

    /// Returns the gradient with respect to the first input, to be added to, and whether it is new, so that its numbers may be
    /// anything. Goes back by [`put`](Self::put).
    pub(super) fn take(&mut self) -> (Vec<f32>, bool) {
        match self.gradients[self.inputs[0]].take() {
            Some(gradient) => (gradient, false),
            None => (self.buffers.take(self.run.n * self.shape(0).len()), true),
        }
    }

    /// Returns the gradient with respect to the first input, to be added to. Goes back by [`put`](Self::put).
    pub(super) fn take_or_zeros(&mut self) -> Vec<f32> {
        let known = self.gradients[self.inputs[0]].take();
        known.unwrap_or_else(|| self.buffers.take_zeros(self.run.n * self.shape(0).len()))
    }

    /// Sets the gradient with respect to the first input.
    pub(super) fn put(&mut self, gradient: Vec<f32>) {
        self.gradients[self.inputs[0]] = Some(gradient);
    }

    /// Returns the gradient with respect to a parameter of the layer, to be written.
    pub(super) fn parameter(&mut self, part: &str) -> &mut Vec<f32> {
        self.of_parameters.entry(format!("{}.{part}", self.layer)).or_default()
    }
}

/// Adds `gradient` to the one in `slot`.
pub(crate) fn add(isa: Isa, slot: &mut Option<Vec<f32>>, gradient: Vec<f32>, buffers: &mut Buffers) {
    match slot {
        Some(sum) => {
            elementwise::add(isa, &gradient, sum);
            buffers.give(gradient);
        }
        empty => *empty = Some(gradient),
    }
}
