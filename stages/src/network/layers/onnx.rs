//! Layers as ONNX operators, in plain data.

/// An ONNX operator. Its inputs are those of the layer, followed by arrays of the layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Operator {
    /// The name of the operator: `Conv`.
    pub name: &'static str,
    /// Its attributes, in the order in which they are written.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// The names of the arrays within the layer: `kernel`.
    pub arrays: Vec<&'static str>,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// A whole number.
    Int(i64),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// A number.
    Float(f32),
}

impl Operator {
    /// Returns an operator without attributes or arrays.
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), arrays: Vec::new() }
    }

    /// Adds an attribute.
    pub(super) fn with(mut self, name: &'static str, value: Attribute) -> Self {
        self.attributes.push((name, value));
        self
    }

    /// Sets the arrays.
    pub(super) fn reading(self, arrays: &[&'static str]) -> Self {
        Self { arrays: arrays.to_vec(), ..self }
    }
}
