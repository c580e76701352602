//! The stage `history`: adds a trial's score to the history of its search.

use serde::{Deserialize, Serialize};

use crate::{
    params::Float,
    records::{HistoryLink, Score, Status, Version},
    stage::{Context, Inputs, Outputs, Stage, StageError, StageId},
};

/// Adds one trial to the chain of scores.
///
/// Slots:
/// - `score`: the trial's `score.json`. Not connected if the training failed.
/// - `previous`: the `history.json` of the trial before. Not connected for trial 0.
///
/// Output: `history.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// The trial's index, from 0.
    pub trial: u32,
    /// Why the training failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// The most characters of a reason that are kept.
const REASON_LENGTH: usize = 200;

impl Stage for History {
    fn id(&self) -> StageId {
        StageId { name: "history", version: 1 }
    }

    fn run(&self, inputs: &Inputs<'_>, _: &Context<'_>) -> Result<Outputs, StageError> {
        let (status, loss, epoch, reason) = match &self.failure {
            Some(failure) => (Status::Failed, Float(f64::INFINITY), None, Some(failure.clone())),
            None => {
                let Score { status, loss, epoch, reason, .. } = inputs.record("score")?;
                (status, loss, epoch, reason)
            }
        };
        let previous = inputs.digest("previous");
        if previous.is_some() != (self.trial > 0) {
            return Err(StageError::failed("the slot `previous` must be connected for every trial except the first"));
        }
        let shorten = |reason: String| reason.chars().take(REASON_LENGTH).collect();
        let reason = reason.filter(|_| status != Status::Completed).map(shorten);
        let link = HistoryLink { format: Version, trial: self.trial, status, loss, epoch, reason, previous };
        Ok(Outputs::default().with_record(&link))
    }
}
