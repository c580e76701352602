//! Networks: an [`Architecture`] is plain data, a family builds one from a proposal, [`Network`] computes with it.

pub mod architecture;
mod backend;
mod cnn;
pub mod device;
mod etha_net;
mod family;
pub mod hyper_cnn;
mod initialiser;
pub(crate) mod kernels;
pub mod layers;
mod mlp;
#[cfg(any(feature = "cuda", test))]
mod on_burn;
mod on_cpu;
mod predictor;
mod table;
#[cfg(test)]
mod tests;
pub mod training;
mod weights;

pub use architecture::{Architecture, Builder, Kind, Layer, Padding};
pub use backend::{Forward, Mode, Network, Pass};
pub use device::{Place, numerics};
pub use family::{Family, Proposal};
pub use hyper_cnn::HyperCnn;
pub use initialiser::Initialiser;
pub use layers::Layers;
pub use predictor::Predictor;
pub use table::{Table, TableFamily};
pub use weights::{Weight, Weights};

/// Families that are tables of hyperparameters.
pub static TABLES: [&Table; 3] = [&mlp::MLP, &cnn::CNN, &etha_net::ETHA_NET];

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
