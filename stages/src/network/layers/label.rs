//! The settings of a layer, as shown in a diagram.

/// One setting in the label of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LabelPart {
    /// A word that needs no name: `same`.
    Word(&'static str),
    /// A number with its name: `kernel 3`.
    Number(&'static str, f64),
}
