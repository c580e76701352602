//! Layers as operators of ONNX, in plain data.

/// An operator. It reads the layer's inputs and then the layer's arrays.
#[derive(Debug, Clone, PartialEq)]
pub struct Operator {
    /// The operator's name: `Conv`.
    pub name: &'static str,
    /// Its attributes, in the order in which they are written.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Parts of the layer's arrays: `kernel`.
    pub arrays: Vec<&'static str>,
}

/// A value of an attribute.
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
    /// Returns an operator without attributes and arrays.
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), arrays: Vec::new() }
    }

    /// Returns the operator with one more attribute.
    pub(super) fn with(mut self, name: &'static str, value: Attribute) -> Self {
        self.attributes.push((name, value));
        self
    }

    /// Returns the operator with these arrays.
    pub(super) fn reading(self, arrays: &[&'static str]) -> Self {
        Self { arrays: arrays.to_vec(), ..self }
    }
}
