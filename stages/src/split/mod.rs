//! The stage `split`: decides which trials are good. `Tpe` reads the split and not the losses, so a loss that does not change the
//! split changes nothing downstream.

use serde::{Deserialize, Serialize};

use crate::{
    params::is_default,
    records::{HistoryLink, Imported, ImportedTrials, SplitRecord, Version, chain},
    search::{self, Rule, means},
    stage::{Context, Inputs, Outputs, Stage, StageError, StageId},
};

/// Splits the trials before `trial` into good and bad ones.
///
/// Slots:
/// - `history`: the `history.json` of the latest trial whose score may be seen. Not connected if there is none. Later trials are
///   pending. Trials that did not complete are the worst.
/// - `imported`: the trials of another search, which come before all others. Optional.
///
/// Output: `split.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The index of the trial to propose, from 0.
    pub trial: u32,
    /// The rule that decides which trials are good.
    pub rule: Rule,
    /// The number of the first trials, which are left out: they were trained for fewer epochs than the later ones.
    #[serde(default, skip_serializing_if = "is_default")]
    pub left_out: u32,
    /// The number of consecutive trials that train the same point. Their mean is a score, and they count as one trial. 0 stands
    /// for 1.
    #[serde(default, skip_serializing_if = "is_default")]
    pub repeats: u32,
}

impl Stage for Split {
    fn id(&self) -> StageId {
        StageId { name: "split", version: 3 }
    }

    fn run(&self, inputs: &Inputs<'_>, _: &Context<'_>) -> Result<Outputs, StageError> {
        let rows: Vec<HistoryLink> = chain::read(inputs, "history")?;
        if rows.len() > self.trial as usize {
            let message = format!("the split for trial {} was given the scores of {} trials", self.trial, rows.len());
            return Err(StageError::failed(message));
        }
        let mut losses: Vec<f64> = imported_trials(inputs)?.iter().map(Imported::loss_or_worst).collect();
        let trials = u32::try_from(losses.len()).ok().and_then(|n| n.checked_add(self.trial / self.repeats.max(1)));
        let trials = trials.ok_or_else(|| StageError::failed("there are more than 2^32 trials"))?;
        let repeats = self.repeats.max(1);
        let own: Vec<f64> = rows.iter().map(HistoryLink::loss_or_worst).collect();
        losses.extend(means(&own, repeats));
        let split = if rows.iter().all(|row| row.others.is_empty()) {
            // Imported trials come before the search's own, and were not trained in its rungs.
            let left_out = if self.left_out > 0 { trials - self.trial + self.left_out } else { 0 };
            self.rule.split(&losses, trials, left_out)
        } else {
            self.rule.split_of_several(&points_of(&rows, repeats), trials)
        };
        let search::Split { good, fair, pending, left_out } = split;
        Ok(Outputs::default().with_record(&SplitRecord { format: Version, trials, good, fair, pending, left_out }))
    }
}

/// Returns the losses of all objectives of each point: the means of its repetitions.
pub(crate) fn points_of(rows: &[HistoryLink], repeats: u32) -> Vec<Vec<f64>> {
    let losses: Vec<Vec<f64>> = rows.iter().map(HistoryLink::losses_or_worst).collect();
    let mean = |point: &[Vec<f64>]| {
        let of = |k: usize| point.iter().map(|losses| losses[k]).sum::<f64>() / point.len() as f64;
        (0..point[0].len()).map(of).collect()
    };
    losses.chunks_exact(repeats as usize).map(mean).collect()
}

/// Returns the trials in the slot `imported`. Empty if the slot is not connected.
pub(crate) fn imported_trials(inputs: &Inputs<'_>) -> Result<Vec<Imported>, StageError> {
    if inputs.digest("imported").is_none() {
        return Ok(Vec::new());
    }
    let ImportedTrials { trials, .. } = inputs.record("imported")?;
    Ok(trials)
}
