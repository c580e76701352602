//! The stage `split`: which trials are good. `Tpe` reads this and no loss, so a loss that moves without changing the split changes
//! nothing downstream.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    history::Row,
    records::chain::{self, FORMAT},
    search::{Imported, ImportedTrials, Rule},
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

/// split.json. A trial that is not good is bad. Imported trials are numbered first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SplitRecord {
    pub(crate) format: u32,
    pub(crate) trials: u32,
    pub(crate) good: BTreeSet<u32>,
}

impl Stage for Split {
    fn id(&self) -> StageId {
        StageId { name: "split", version: 2 }
    }

    fn run(&self, inputs: &Inputs<'_>, _: &Context<'_>) -> Result<Outputs, StageError> {
        let rows: Vec<Row> = chain::read(inputs, "history")?;
        if rows.len() > self.trial as usize {
            let message = format!("the split for trial {} is given the scores of {} trials", self.trial, rows.len());
            return Err(StageError::failed(message));
        }
        let mut losses: Vec<f64> = imported_trials(inputs)?.iter().map(Imported::loss_or_worst).collect();
        let trials = losses.len() as u32 + self.trial;
        losses.extend(rows.iter().map(Row::loss_or_worst));
        let good = self.rule.good(&losses, trials);
        Ok(Outputs::default().with_json("split.json", &SplitRecord { format: FORMAT, trials, good }))
    }
}

/// Returns the trials in the slot `imported`; none if it is not connected.
pub(crate) fn imported_trials(inputs: &Inputs<'_>) -> Result<Vec<Imported>, StageError> {
    if inputs.digest("imported").is_none() {
        return Ok(Vec::new());
    }
    let ImportedTrials { format, trials, .. } = inputs.json("imported")?;
    if format != ImportedTrials::FORMAT {
        let expected = ImportedTrials::FORMAT;
        return Err(StageError::failed(format!("the imported trials have format {format}, not {expected}")));
    }
    Ok(trials)
}
