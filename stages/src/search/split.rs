//! The stage `split`: which trials are good. All that a proposal reads of scores, so that a loss which moves without
//! changing the order changes nothing downstream.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{FORMAT, chain, gamma, history::Row};
use crate::stage::{Context, Inputs, Outputs, Stage, StageError, StageId};

/// Splits the trials before `trial` into good and bad ones.
///
/// Slot: `history`, the history.json of the latest trial that may be seen (none if no trial may). Later ones are pending
/// and count as worst, as do trials that did not complete. Output: split.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The trial to be proposed: so many there are before it.
    pub trial: u32,
    /// [`TpeParams::gamma`](super::TpeParams::gamma)
    #[serde(default = "gamma::value", skip_serializing_if = "gamma::is")]
    pub gamma: f64,
}

/// split.json: every trial that is not good is bad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SplitRecord {
    pub(super) format: u32,
    pub(super) trials: u32,
    pub(super) good: BTreeSet<u32>,
}

/// Returns how many of `n` trials are good: `min(ceil(gamma * sqrt(n)), 25)` (Hyperopt's `ap_split_trials`).
pub(super) fn n_below(n: u32, gamma: f64) -> usize {
    (gamma * f64::from(n).sqrt()).ceil().min(25.0) as usize
}

/// Returns the good ones of `trials` trials, of which the first have these losses and the others are pending. Ties go to
/// the lower index. As in Hyperopt, trials without a loss fill up where there are too few with one.
pub(super) fn good(losses: &[f64], trials: u32, gamma: f64) -> BTreeSet<u32> {
    let loss = |trial: u32| losses.get(trial as usize).copied().filter(|loss| !loss.is_nan()).unwrap_or(f64::INFINITY);
    let mut order: Vec<u32> = (0..trials).collect();
    order.sort_by(|a, b| loss(*a).total_cmp(&loss(*b)).then(a.cmp(b)));
    order.into_iter().take(n_below(trials, gamma)).collect()
}

impl Stage for Split {
    fn id(&self) -> StageId {
        StageId { name: "split", version: 1 }
    }

    fn run(&self, inputs: &Inputs<'_>, _: &Context<'_>) -> Result<Outputs, StageError> {
        let rows: Vec<Row> = chain::read(inputs, "history")?;
        if rows.len() > self.trial as usize {
            let message = format!("the split for trial {} is given the scores of {} trials", self.trial, rows.len());
            return Err(StageError::failed(message));
        }
        let losses: Vec<f64> = rows.iter().map(Row::loss_or_worst).collect();
        let good = good(&losses, self.trial, self.gamma);
        Ok(Outputs::default().with_json("split.json", &SplitRecord { format: FORMAT, trials: self.trial, good }))
    }
}
