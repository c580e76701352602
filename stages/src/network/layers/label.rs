//! The settings of a layer as a diagram shows them.

/// One setting in a label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LabelPart {
    /// A word that needs no name: `same`.
    Word(&'static str),
    /// A number with its name: `kernel 3`.
    Number(&'static str, f64),
}
