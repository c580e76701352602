//! The stage `split`: which trials are good. All that a proposal reads of scores, so that a loss which moves without
//! changing the order changes nothing downstream.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{chain, imported};
use crate::{
    records::{HistoryLink, Imported, SplitRecord, Version},
    stage::{Context, Inputs, Outputs, Stage, StageError, StageId},
};

/// Splits the trials before `trial` into good and bad ones.
///
/// Slots: `history`, the history.json of the latest trial that may be seen (none if no trial may); `imported`, trials of
/// another search, which come before all others. Later ones are pending and count as worst, as do trials that did not
/// complete. Output: split.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The trial to be proposed: so many there are before it in this search.
    pub trial: u32,
    pub rule: Rule,
}

/// How many trials are good.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Rule {
    /// Of n trials with a loss, `min(ceil(gamma * n), 25)`, as in Optuna. Never one without a loss.
    Share(f64),
    /// Of n trials in all, `min(ceil(gamma * sqrt(n)), 25)`, as in Hyperopt (`ap_split_trials`). Trials without a loss fill
    /// up where there are too few with one.
    Root(f64),
}

impl Rule {
    /// Returns how many of `n` trials are good.
    pub(super) fn n_good(self, n: u32) -> usize {
        let share = match self {
            Self::Share(gamma) => gamma * f64::from(n),
            Self::Root(gamma) => gamma * f64::from(n).sqrt(),
        };
        share.ceil().min(25.0) as usize
    }

    /// Returns the good ones of `trials` trials, of which the first have these losses and the others are pending. Ties go
    /// to the lower index.
    pub fn good(self, losses: &[f64], trials: u32) -> BTreeSet<u32> {
        let loss = |trial: u32| losses.get(trial as usize).copied().filter(|x| !x.is_nan()).unwrap_or(f64::INFINITY);
        let mut order: Vec<u32> = (0..trials).collect();
        if let Self::Share(_) = self {
            order.retain(|trial| loss(*trial) < f64::INFINITY);
        }
        let n = match self {
            Self::Share(_) => order.len() as u32,
            Self::Root(_) => trials,
        };
        order.sort_by(|a, b| loss(*a).total_cmp(&loss(*b)).then(a.cmp(b)));
        order.into_iter().take(self.n_good(n)).collect()
    }
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
        let mut losses: Vec<f64> = imported::read(inputs)?.iter().map(Imported::loss_or_worst).collect();
        let trials = losses.len() as u32 + self.trial;
        losses.extend(rows.iter().map(HistoryLink::loss_or_worst));
        let good = self.rule.good(&losses, trials);
        Ok(Outputs::default().with_record(&SplitRecord { format: Version, trials, good }))
    }
}
