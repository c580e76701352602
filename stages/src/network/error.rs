//! Why a network cannot be built.

use crate::problem::{Path, Problem};

/// Why a network cannot be built from these hyperparameters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// A hyperparameter has the wrong type or is out of range.
    #[error("`{key}` is {found}, expected {expected}")]
    Value {
        /// The hyperparameter.
        key: String,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// The image has been halved too often for its size.
    #[error(
        "images of {width}x{height} pixels are too small for {depth} pooling layers: the one after `{layer}` would read {found_width}x{found_height}"
    )]
    TooSmall {
        /// Of an image.
        width: usize,
        /// Of an image.
        height: usize,
        /// Pooling layers of the network.
        depth: u32,
        /// The layer before the one that does not fit.
        layer: String,
        /// Of what that layer gives.
        found_width: usize,
        /// Of what that layer gives.
        found_height: usize,
    },
    /// A window without padding is larger than what it reads.
    #[error("a window of {size}x{size} does not fit the {width}x{height} pixels that `{layer}` gives")]
    Window {
        /// Height and width of the window.
        size: usize,
        /// The layer that is read.
        layer: String,
        /// Of what that layer gives.
        width: usize,
        /// Of what that layer gives.
        height: usize,
    },
    /// A layer cannot read the shapes of its inputs.
    #[error("`{layer}` cannot read {found}, expected {expected}")]
    Shape {
        /// What names of such layers begin with.
        layer: &'static str,
        /// The shapes.
        found: String,
        /// What the layer reads.
        expected: &'static str,
    },
    /// A layer that was written out cannot be where it is.
    #[error("`{layer}`: {why}")]
    Layer {
        /// The step, by its place.
        layer: String,
        /// Why not.
        why: Box<Self>,
    },
    /// A head has the name of a layer, or of another head.
    #[error("the head `{0}` has the name of another layer")]
    Name(String),
    /// There is nothing to learn.
    #[error("the data has {found}, expected {expected}")]
    Data {
        /// What there is.
        found: String,
        /// What is needed.
        expected: &'static str,
    },
}

impl ModelError {
    /// Returns the problem for the user who wrote the network at `at`.
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
