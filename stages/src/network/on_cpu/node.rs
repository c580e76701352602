//! An operation with its place in a network.

use crate::network::layers::operation::{Operation, Value};

/// An operation with its input and output values.
pub(super) struct Node {
    /// The name of the layer, or of the first one if several are fused.
    pub(super) layer: String,
    pub(super) operation: Box<dyn Operation>,
    pub(super) inputs: Vec<Value>,
    pub(super) output: Value,
}
