//! Families of networks: each builds an [`Architecture`](super::Architecture) from its hyperparameters, which a search
//! proposes or a user fixes.

mod cnn;
mod etha_net;
mod family;
mod hyper_cnn;
mod mlp;
mod proposal;
mod table;

pub use self::{
    family::{Family, TRAINING},
    proposal::Proposal,
    table::{Chain, Row, Table, TableFamily, Values},
};

/// The families.
pub static TABLES: [&Table; 4] = [&hyper_cnn::HYPER_CNN, &mlp::MLP, &cnn::CNN, &etha_net::ETHA_NET];
