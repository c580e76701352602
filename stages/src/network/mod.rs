//! Networks: an [`Architecture`] is plain data, a family builds one from a proposal, [`Network`] computes with it.

pub mod architecture;
mod backend;
mod cnn;
mod compute;
pub(crate) mod domain;
pub mod error;
mod etha_net;
mod family;
pub mod function;
pub mod hyper_cnn;
mod initialiser;
pub(crate) mod kernels;
pub mod layers;
mod mlp;
#[cfg(any(feature = "cuda", test))]
mod on_burn;
mod on_cpu;
pub mod padding;
mod pass;
mod predictor;
mod table;
#[cfg(test)]
mod tests;
pub mod training;
mod weights;
pub mod written_out;

pub use architecture::{Architecture, Builder, Layer};
pub use backend::{Backend, numerics};
pub use compute::Network;
pub use error::ModelError;
pub use family::{Family, Proposal};
pub use function::Function;
pub use hyper_cnn::HyperCnn;
pub use initialiser::Initialiser;
pub use layers::LayerKind;
pub use padding::Padding;
pub use pass::{Forward, Mode, Pass};
pub use predictor::Predictor;
pub use table::{Table, TableFamily};
pub use weights::{Weight, Weights};
pub use written_out::Layers;

/// Families that are tables of hyperparameters.
pub static TABLES: [&Table; 3] = [&mlp::MLP, &cnn::CNN, &etha_net::ETHA_NET];
