//! The stage `select`: the best trial.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    FORMAT, chain,
    history::{Row, Status},
    propose::Parameters,
};
use crate::{
    params::Float,
    stage::{Context, Inputs, Outputs, Stage, StageError, StageId},
};

/// Picks the completed trial with the least loss; ties go to the lower index.
///
/// Slots: `history` and `parameters`, the history.json and parameters.json of the last trial. Outputs: best.json;
/// proposal.json, byte for byte that of the best trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Select {}

/// best.json
#[derive(Serialize)]
struct Best<'a> {
    format: u32,
    trial: u32,
    loss: Float,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u32>,
    labels: &'a BTreeMap<String, Value>,
    /// How many trials there were, and how many of them completed.
    trials: usize,
    completed: usize,
}

impl Stage for Select {
    fn id(&self) -> StageId {
        StageId { name: "select", version: 1 }
    }

    fn run(&self, inputs: &Inputs<'_>, _: &Context<'_>) -> Result<Outputs, StageError> {
        let rows: Vec<Row> = chain::read(inputs, "history")?;
        let parameters: Vec<Parameters> = chain::read(inputs, "parameters")?;
        if rows.len() != parameters.len() {
            let message = format!("there are scores of {} trials and parameters of {}", rows.len(), parameters.len());
            return Err(StageError::failed(message));
        }
        let completed = || rows.iter().filter(|row| row.status == Status::Completed);
        // Of equal losses `min_by` takes the first: rows are in the order of trials.
        let best = completed()
            .filter(|row| !row.loss.0.is_nan())
            .min_by(|a, b| a.loss.0.total_cmp(&b.loss.0))
            .ok_or_else(|| no_best(&rows))?;
        let link = &parameters[best.trial as usize];
        let record = Best {
            format: FORMAT,
            trial: best.trial,
            loss: best.loss,
            epoch: best.epoch,
            labels: &link.labels,
            trials: rows.len(),
            completed: completed().count(),
        };
        let proposal = inputs.object(&link.proposal)?.to_vec();
        Ok(Outputs::default().with_json("best.json", &record).with("proposal.json", proposal))
    }
}

/// Names the first trials with what became of them.
fn no_best(rows: &[Row]) -> StageError {
    let fate = |row: &Row| {
        let ended = match row.status {
            Status::Completed => "ended without a number as its loss",
            Status::Diverged => "diverged",
            Status::Failed => "failed",
        };
        let reason = row.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!("trial {} {ended}{reason}", row.trial)
    };
    let fates: Vec<_> = rows.iter().take(3).map(fate).collect();
    let message = format!("none of {} trials completed with a score: {}", rows.len(), fates.join("; "));
    StageError::failed_with_hint(message, "run the first of them on its own to see why, or narrow the space")
}
