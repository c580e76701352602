//! An operation in its place.

use crate::network::layers::operation::{Operation, Value};

/// An operation with the values that it reads and gives.
pub(super) struct Node {
    /// The layer's name. Of joined layers, the first one's.
    pub(super) layer: String,
    pub(super) operation: Box<dyn Operation>,
    pub(super) inputs: Vec<Value>,
    pub(super) output: Value,
}
