//! Networks: an [`Architecture`] is plain data, a family builds one from a proposal, [`Network`] computes with it.

pub mod architecture;
mod backend;
pub mod device;
pub mod families;
mod initialiser;
pub(crate) mod kernels;
pub mod layers;
#[cfg(any(feature = "cuda", test))]
mod on_burn;
mod on_cpu;
mod predictor;
#[cfg(test)]
mod tests;
pub mod training;
mod weights;

pub use architecture::{Architecture, Builder, Kind, Layer, Padding};
pub use backend::{Forward, Mode, Network, Pass};
pub use device::{Place, numerics};
pub use families::{Family, Proposal, TABLES, Table, TableFamily};
pub use initialiser::Initialiser;
pub use layers::Layers;
pub use predictor::Predictor;
pub use weights::{Weight, Weights};

use crate::problem::{Path, Problem};

/// Why a network cannot be built from these hyperparameters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// A hyperparameter is missing its meaning: wrong type or out of range.
    #[error("`{key}` is {found}, expected {expected}")]
    Value { key: String, found: String, expected: String },
    /// The image has been halved too often for its size.
    #[error(
        "images of {width}x{height} pixels are too small for {depth} pooling layers: the one after `{layer}` would read {found_width}x{found_height}"
    )]
    TooSmall { width: usize, height: usize, depth: u32, layer: String, found_width: usize, found_height: usize },
    /// A window without padding is larger than what it is to read.
    #[error("a window of {size}x{size} does not fit the {width}x{height} pixels that `{layer}` gives")]
    Window { size: usize, layer: String, width: usize, height: usize },
    /// A layer cannot read the shapes of its inputs.
    #[error("`{layer}` cannot read {found}, expected {expected}")]
    Shape { layer: &'static str, found: String, expected: &'static str },
    /// A layer that was written out cannot be where it is.
    #[error("`{layer}`: {why}")]
    Layer { layer: String, why: Box<Self> },
    /// A head has the name of a layer, or of another head.
    #[error("the head `{0}` has the name of another layer")]
    Name(String),
    /// There is nothing to learn.
    #[error("the data has {found}, expected {expected}")]
    Data { found: String, expected: &'static str },
}

impl ModelError {
    /// Returns the problem for the user who wrote the network at `at`.
    pub fn problem(&self, at: &Path) -> Problem {
        match self {
            Self::Value { key, found, expected } => {
                Problem::new(&at.name(key), format!("found `{found}`")).expected(expected.as_str())
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
