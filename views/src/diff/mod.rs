//! Compares two studies: their pipelines, their results, and nodes whose results differ although their actions are equal.
//!
//! Objects are read only where digests differ.

mod answer;
mod divergence;
mod folders;
mod pair;
mod question;
mod render;

use std::collections::BTreeSet;

use pipe_engine::study::Study;
use pipe_store::Store;
use serde::Serialize;

use self::pair::Pair;
pub use self::{
    answer::{Answer, BestChange, CurveChange, FileChange, MetricChange, OutcomeChange},
    divergence::Divergence,
    question::{Cause, Follow, Question},
    render::render,
};
use crate::ViewError;

/// The differences between two studies.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Diff {
    pub question: Question,
    pub answer: Answer,
    /// Nodes with equal action keys but different results.
    pub divergences: Vec<Divergence>,
}

impl Diff {
    /// Returns whether nothing differs, which is the case exactly if the study hashes are equal.
    pub fn is_same(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares two studies of one store.
///
/// # Errors
/// If a record that differs cannot be read.
pub fn compare(store: &Store, old: &Study, new: &Study) -> Result<Diff, ViewError> {
    let names: BTreeSet<&String> = old.nodes.keys().chain(new.nodes.keys()).collect();
    let pairs: Vec<_> = names.into_iter().filter_map(|name| Pair::of_different(name, old, new)).collect();
    Ok(Diff {
        question: question::compare(store, old, new, &pairs)?,
        answer: answer::compare(store, &pairs)?,
        divergences: divergence::find(store, &pairs)?,
    })
}

#[cfg(test)]
mod tests;
