//! Views of a study: pure functions of a store and a study. A view reads only the objects that it shows, and writes nothing;
//! commands write.

pub mod comparison;
pub mod diff;
pub mod evaluation;
pub mod export;
pub mod findings;
pub mod importance;
mod natural;
pub mod node_network;
mod notation;
mod outputs;
pub mod plot;
pub mod predict;
mod provenance;
pub mod report;
pub mod show;
pub mod state;
#[cfg(test)]
mod testing;
mod text;
pub mod trials;

pub use text::{metric_value, moment};

use pipe_engine::{names::NameError, study::StudyError};
use pipe_store::{Digest, StoreError};

/// Why a view could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    #[error(transparent)]
    Study(#[from] StudyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An output cannot be read as the record that its stage writes.
    #[error("`{node}/{path}` ({digest}) cannot be read: {reason}")]
    Record { node: String, path: String, digest: Digest, reason: String },
    /// A name of no node, or of several.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The trials have no such column. `candidates` may be meant, and `known` are those that there are.
    #[error("trials have no column `{name}`{}", did_you_mean(.candidates))]
    UnknownColumn { name: String, candidates: Vec<String>, known: Vec<String> },
    /// There is nothing to show. The text says what is missing.
    #[error("{0}")]
    Nothing(String),
}

fn did_you_mean(candidates: &[String]) -> String {
    match candidates {
        [] => String::new(),
        some => format!(": did you mean {}?", pipe_stages::words::one_of(some.iter().map(String::as_str))),
    }
}
