//! What the views of a study share: reading outputs when they are asked for, and writing values for people.
//!
//! A view is a pure function of a store and a study. It reads an object only if it shows something of it.

pub(crate) mod history;
pub(crate) mod notation;
pub(crate) mod outputs;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod text;

use pipe_store::{Digest, StoreError};

use crate::study::StudyError;

/// Why a view cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    #[error(transparent)]
    Study(#[from] StudyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An output is not what its stage writes.
    #[error("`{node}/{path}` ({digest}) is no record that this build reads: {reason}")]
    Record { node: String, path: String, digest: Digest, reason: String },
    /// The study has no such node.
    #[error("there is no node `{text}` in this study{}", did_you_mean(.candidates))]
    UnknownNode { text: String, candidates: Vec<String> },
    /// Several nodes end so.
    #[error("`{text}` can be {}", crate::pipeline::problem::one_of(.candidates.iter().map(String::as_str)))]
    AmbiguousNode { text: String, candidates: Vec<String> },
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
        some => format!(": did you mean {}?", crate::pipeline::problem::one_of(some.iter().map(String::as_str))),
    }
}
