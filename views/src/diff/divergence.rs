//! Nodes with equal keys but different results.

use pipe_engine::study::{Outcome, StudyNode};
use pipe_store::{ActionKey, Store};
use serde::Serialize;
use serde_json::Value;

use super::{
    answer::{FileChange, file_changes},
    pair::Pair,
};
use crate::ViewError;

/// A node with the same action but another result: the action is not deterministic, or kernels or builds differed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Divergence {
    pub node: String,
    pub key: ActionKey,
    /// The digest of the output tree, or the failure.
    pub old: String,
    pub new: String,
    pub files: Vec<FileChange>,
    /// The provenance of the result that the store holds now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Value>,
}

pub(super) fn find(store: &Store, pairs: &[Pair<'_>]) -> Result<Vec<Divergence>, ViewError> {
    let mut divergences = Vec::new();
    for pair in pairs.iter().filter(|pair| !pair.has_other_action()) {
        let Some((old, new)) = pair.both() else { continue };
        let Some(key) = old.key() else { continue };
        let result = |node: &StudyNode| match &node.outcome {
            Outcome::Tree(tree) => Some(tree.to_string()),
            Outcome::Failure(message) => Some(format!("failed: {message}")),
            Outcome::Crash | Outcome::Skipped(_) => None,
        };
        let (Some(old), Some(new)) = (result(old), result(new)) else { continue };
        let files = file_changes(store, pair, &pair.outputs(store)?)?;
        let provenance = store.provenance(&key)?;
        divergences.push(Divergence { node: pair.name.to_owned(), key, old, new, files, provenance });
    }
    Ok(divergences)
}
