//! The stage `history`: adds a trial's score to the history of its search.

use serde::{Deserialize, Serialize};

use crate::{
    network::training::AnyObjective,
    params::{Float, is_default},
    records::{HistoryLink, Score, Status, TrialRecord, Version},
    stage::{Context, Inputs, Outputs, Stage, StageError, StageId},
};

/// Adds one trial to the chain of scores.
///
/// Slots:
/// - `score`: the trial's `score.json`. Not connected if the training failed.
/// - `trial`: the trial's `trial.json`. Only if there are `others`.
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
    /// The other objectives, if there are several. `parameters` and `flops` are those of the network.
    #[serde(default, skip_serializing_if = "is_default")]
    pub others: Vec<AnyObjective>,
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
        let others = self.others(inputs, status)?;
        let link = HistoryLink { format: Version, trial: self.trial, status, loss, others, epoch, reason, previous };
        Ok(Outputs::default().with_record(&link))
    }
}

impl History {
    /// Returns the losses of the other objectives.
    fn others(&self, inputs: &Inputs<'_>, status: Status) -> Result<Vec<Float>, StageError> {
        if self.others.is_empty() {
            return Ok(Vec::new());
        }
        let trained = match status {
            Status::Completed => inputs.record::<TrialRecord>("trial")?.trained,
            Status::Diverged | Status::Failed => None,
        };
        let Some(trained) = trained else { return Ok(vec![Float(f64::INFINITY); self.others.len()]) };
        let loss = |AnyObjective(objective): &AnyObjective| {
            let name = objective.metric();
            let of_metric = || {
                let figure = trained.figures.get(name)?;
                Some(if objective.is_last() { figure.end.0 } else { figure.best.0 })
            };
            let value = match name {
                "parameters" => trained.parameters.map(|n| n as f64),
                "flops" => trained.flops.map(|n| n as f64),
                _ => of_metric(),
            };
            let value = value.ok_or_else(|| {
                let known: Vec<_> = trained.figures.keys().map(String::as_str).collect();
                StageError::failed(format!("the trial has no `{name}`: it has {}", known.join(", ")))
            })?;
            Ok(Float(objective.loss(value)))
        };
        self.others.iter().map(loss).collect()
    }
}
