//! The provenance of a result: when and where it was computed.

use pipe_engine::study::StudyNode;
use pipe_store::{Store, StoreError};
use serde::Deserialize;
use serde_json::Value;

/// When a node was executed.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Times {
    /// Seconds since 1970.
    pub(crate) started: f64,
    pub(crate) seconds: f64,
}

impl Times {
    /// Returns when a node was executed. None if its provenance has no times, as for a crash or an imported result.
    pub(crate) fn of(store: &Store, node: &StudyNode) -> Result<Option<Self>, StoreError> {
        let provenance = node.key().map(|key| store.provenance(&key)).transpose()?.flatten();
        Ok(provenance.and_then(|provenance| Self::deserialize(provenance).ok()))
    }
}

/// The facts on which the bits of a result can depend, where they were noted.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Origin {
    pub(crate) instruction_set: Option<String>,
    pub(crate) device: Option<String>,
    /// The version of `pipe`.
    pub(crate) pipe: Option<String>,
}

impl Origin {
    /// Returns the origin of the result with this provenance.
    pub(crate) fn of(provenance: &Value) -> Option<Self> {
        Self::deserialize(provenance).ok()
    }
}
