//! The stage `known`: trials of an earlier study that a search starts from.

use serde::{Deserialize, Serialize};

use crate::{
    records::{Imported, ImportedTrials, Version},
    stage::{Context, Inputs, Outputs, Stage, StageError, StageId},
};

/// Writes down trials that are known from an earlier study. They are part of the action, so they are the same wherever the study
/// is made again.
///
/// Output: `trials.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The trials, in the order in which they were proposed.
    pub trials: Vec<Imported>,
}

impl Stage for Known {
    fn id(&self) -> StageId {
        StageId { name: "known", version: 1 }
    }

    fn run(&self, _: &Inputs<'_>, _: &Context<'_>) -> Result<Outputs, StageError> {
        let record = ImportedTrials { format: Version, source: None, trials: self.trials.clone() };
        Ok(Outputs::default().with_record(&record))
    }
}
