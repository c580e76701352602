//! The stage `history`: one row per trial, each naming the row before it.

use pipe_store::Digest;
use serde::{Deserialize, Serialize};

use super::{FORMAT, chain::Link};
use crate::{
    params::Float,
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
    /// Why the training gave no score, where it failed as a result: then the slot `score` is not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Completed,
    Diverged,
    Failed,
}

/// What is read of score.json.
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
pub(super) struct Row {
    format: u32,
    pub(super) trial: u32,
    pub(super) status: Status,
    /// To be minimised.
    pub(super) loss: Float,
    /// The epoch that gave the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) epoch: Option<u32>,
    /// Why it did not complete, in short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Digest>,
}

/// Letters of a reason that a row keeps.
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
    /// Returns the loss as samplers see it: no number, or no completed trial, counts as worst. The one deviation from
    /// Hyperopt, which drops NaN and believes the loss of a failed trial.
    pub(super) fn loss_or_worst(&self) -> f64 {
        match self.status {
            Status::Completed if !self.loss.0.is_nan() => self.loss.0,
            _ => f64::INFINITY,
        }
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
