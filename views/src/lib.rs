//! What a study shows of itself: pure functions of a store and a study. A view reads an object only if it shows something of
//! it, and writes nothing: what writes is a command.

pub mod diff;
pub mod export;
pub mod importance;
pub mod node_network;
mod notation;
mod outputs;
pub mod plot;
pub mod predict;
mod provenance;
pub mod report;
pub mod show;
#[cfg(test)]
mod testing;
mod text;
pub mod trials;

use pipe_engine::{names::NameError, study::StudyError};
use pipe_store::{Digest, StoreError};

/// Why a view cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    #[error(transparent)]
    Study(#[from] StudyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An output is not what its stage writes.
    #[error("`{node}/{path}` ({digest}) cannot be read: {reason}")]
    Record { node: String, path: String, digest: Digest, reason: String },
    /// A name that no node has, or several.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The trials have no such column.
    #[error("trials have no column `{name}`{}", did_you_mean(.candidates))]
    UnknownColumn { name: String, candidates: Vec<String> },
    /// There is nothing to be seen: what is missing.
    #[error("{0}")]
    Nothing(String),
}

fn did_you_mean(candidates: &[String]) -> String {
    match candidates {
        [] => String::new(),
        some => format!(": did you mean {}?", pipe_stages::words::one_of(some.iter().map(String::as_str))),
    }
}
