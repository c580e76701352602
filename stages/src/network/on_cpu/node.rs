//! An operation with its place in a network.

use crate::network::{
    layers::operation::{Operation, Value},
    pass::Pass,
};

/// An operation with its input and output values.
pub(super) struct Node {
    /// The name of the layer, or of the first one if several are fused.
    pub(super) layer: String,
    pub(super) operation: Box<dyn Operation>,
    pub(super) inputs: Vec<Value>,
    pub(super) output: Value,
    /// Whether the layer's weights stay as they are in training.
    pub(super) is_frozen: bool,
}

impl Node {
    /// Returns the purpose of the operation in a pass through the network. A frozen layer computes as in inference, and its gradients
    /// with respect to its inputs are those with respect to images.
    pub(super) fn pass(&self, pass: Pass) -> Pass {
        if self.is_frozen && pass == Pass::Training { Pass::ImageGradients } else { pass }
    }
}
