//! The stage `split`: which trials are good. `Tpe` reads this and no loss, so a loss that moves without changing the split changes
//! nothing downstream.

use serde::{Deserialize, Serialize};

use crate::{
    records::{HistoryLink, Imported, ImportedTrials, SplitRecord, Version, chain},
    search::Rule,
    stage::{Context, Inputs, Outputs, Stage, StageError, StageId},
};

/// Splits the trials before `trial` into good and bad ones.
///
/// Slots: `history`, the history.json of the latest trial whose score may be seen, if there is one; `imported`, trials of another
/// search, which come before all others. Later trials are pending; they count as worst, as do trials that did not complete.
/// Output: split.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The index, from 0, of the trial that is to be proposed.
    pub trial: u32,
    /// How many trials are good.
    pub rule: Rule,
}

impl Stage for Split {
    fn id(&self) -> StageId {
        StageId { name: "split", version: 2 }
    }

    fn run(&self, inputs: &Inputs<'_>, _: &Context<'_>) -> Result<Outputs, StageError> {
        let rows: Vec<HistoryLink> = chain::read(inputs, "history")?;
        if rows.len() > self.trial as usize {
            let message = format!("the split for trial {} is given the scores of {} trials", self.trial, rows.len());
            return Err(StageError::failed(message));
        }
        let mut losses: Vec<f64> = imported_trials(inputs)?.iter().map(Imported::loss_or_worst).collect();
        let trials = losses.len() as u32 + self.trial;
        losses.extend(rows.iter().map(HistoryLink::loss_or_worst));
        let good = self.rule.good(&losses, trials);
        Ok(Outputs::default().with_record(&SplitRecord { format: Version, trials, good }))
    }
}

/// Returns the trials in the slot `imported`; none if it is not connected.
pub(crate) fn imported_trials(inputs: &Inputs<'_>) -> Result<Vec<Imported>, StageError> {
    if inputs.digest("imported").is_none() {
        return Ok(Vec::new());
    }
    let ImportedTrials { trials, .. } = inputs.record("imported")?;
    Ok(trials)
}
