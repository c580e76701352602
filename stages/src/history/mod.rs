//! The stage `history`: one row per trial. Each names the row before it.

use pipe_store::Digest;
use serde::{Deserialize, Serialize};

use crate::{
    params::Float,
    records::chain::{FORMAT, Link},
    search::Status,
    stage::{Context, Inputs, Outputs, Stage, StageError, StageId},
};

/// Adds the row of one trial to the chain of scores.
///
/// Slots: `score`, the trial's score.json; `previous`, the history.json of the trial before it (none for trial 0).
/// Output: history.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// The trial's index, from 0.
    pub trial: u32,
    /// Why the training failed, if it did: then the slot `score` is not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// The part of score.json that is read.
#[derive(Deserialize)]
struct Score {
    format: u32,
    status: Status,
    loss: Float,
    epoch: Option<u32>,
    reason: Option<String>,
}

/// history.json: of constant size, a link of a chain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    format: u32,
    pub(crate) trial: u32,
    pub(crate) status: Status,
    /// What is minimised.
    pub(crate) loss: Float,
    /// The epoch that gave the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<u32>,
    /// In short, why it did not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Digest>,
}

/// How many characters of a reason a row keeps.
const REASON_LENGTH: usize = 200;

impl Link for Row {
    fn format(&self) -> u32 {
        self.format
    }

    fn trial(&self) -> u32 {
        self.trial
    }

    fn previous(&self) -> Option<Digest> {
        self.previous
    }
}

impl Row {
    /// Returns the loss as samplers see it: see [`Status::loss_or_worst`].
    pub(crate) fn loss_or_worst(&self) -> f64 {
        self.status.loss_or_worst(self.loss.0)
    }
}

impl Stage for History {
    fn id(&self) -> StageId {
        StageId { name: "history", version: 1 }
    }

    fn run(&self, inputs: &Inputs<'_>, _: &Context<'_>) -> Result<Outputs, StageError> {
        let score = match &self.failure {
            Some(failure) => Score {
                format: FORMAT,
                status: Status::Failed,
                loss: Float(f64::INFINITY),
                epoch: None,
                reason: Some(failure.clone()),
            },
            None => inputs.json::<Score>("score")?,
        };
        if score.format != FORMAT {
            return Err(StageError::failed(format!("the score's format is {}, not {FORMAT}", score.format)));
        }
        let previous = inputs.digest("previous");
        if previous.is_some() != (self.trial > 0) {
            return Err(StageError::failed("the slot `previous` is for all trials but the first"));
        }
        let shorten = |reason: String| reason.chars().take(REASON_LENGTH).collect();
        let row = Row {
            format: FORMAT,
            trial: self.trial,
            status: score.status,
            loss: score.loss,
            epoch: score.epoch,
            reason: score.reason.filter(|_| score.status != Status::Completed).map(shorten),
            previous,
        };
        Ok(Outputs::default().with_json("history.json", &row))
    }
}
