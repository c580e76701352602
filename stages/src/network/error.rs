//! Errors in the construction of networks.

use crate::problem::{Path, Problem};

/// Why a network cannot be built from these hyperparameters.
///
/// The text is part of a failed trial's result, so a change to it changes the bytes of outputs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// A hyperparameter has the wrong type or is out of range.
    #[error("`{key}` is {found}, expected {expected}")]
    Value {
        /// The hyperparameter.
        key: String,
        /// Its value.
        found: String,
        /// The allowed values.
        expected: String,
    },
    /// The network halves the image too often for its size.
    #[error(
        "images of {width}x{height} pixels are too small for {depth} pooling layers: the one after `{layer}` would read {found_width}x{found_height}"
    )]
    TooSmall {
        /// The width of an image, in pixels.
        width: usize,
        /// The height of an image, in pixels.
        height: usize,
        /// The number of pooling layers of the network.
        depth: u32,
        /// The layer before the pooling layer that does not fit.
        layer: String,
        /// The width of that layer's output, in pixels.
        found_width: usize,
        /// The height of that layer's output, in pixels.
        found_height: usize,
    },
    /// A window without padding is larger than its input.
    #[error("a window of {size}x{size} does not fit the {width}x{height} pixels that `{layer}` gives")]
    Window {
        /// Height and width of the window, in pixels.
        size: usize,
        /// The layer whose output is the input.
        layer: String,
        /// The width of that layer's output, in pixels.
        width: usize,
        /// The height of that layer's output, in pixels.
        height: usize,
    },
    /// A layer cannot read the shapes of its inputs.
    #[error("`{layer}` cannot read {found}, expected {expected}")]
    Shape {
        /// The first part of such a layer's name: `conv2d`.
        layer: &'static str,
        /// The shapes of the inputs.
        found: String,
        /// The shapes that the layer can read.
        expected: &'static str,
    },
    /// A step of a network in `Layers([..])` does not fit at its place.
    #[error("`{layer}`: {why}")]
    Layer {
        /// The path of the step.
        layer: String,
        /// The reason.
        why: Box<Self>,
    },
    /// A head has the name of a layer or of another head, or is called `input`.
    #[error("the head `{0}` has the name of another layer")]
    Name(String),
    /// The data has no pixels, no labels, or labels with fewer than two classes.
    #[error("the data has {found}, expected {expected}")]
    Data {
        /// What the data has.
        found: String,
        /// What a network needs.
        expected: &'static str,
    },
}

impl ModelError {
    /// Returns the error as a problem of the network at the path `at` in the user's file.
    pub fn problem(&self, at: &Path) -> Problem {
        match self {
            Self::Value { key, found, expected } => {
                Problem::new(at.name(key), format!("found `{found}`")).expected(expected.as_str())
            }
            Self::Layer { why, .. } => why.problem(at),
            Self::Shape { layer, found, expected } => {
                Problem::new(at, format!("`{layer}` cannot read {found}")).expected(*expected)
            }
            Self::Data { found, expected } => Problem::new(at, format!("the data has {found}")).expected(*expected),
            Self::Window { .. } => Problem::new(at, self.to_string()).expected("a window that fits"),
            Self::TooSmall { .. } | Self::Name(_) => Problem::new(at, self.to_string()),
        }
    }
}
