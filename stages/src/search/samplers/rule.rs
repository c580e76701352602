//! The rule that decides which trials are good.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The rule for the number of good trials. Its value is gamma, which must be above 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Rule {
    /// `min(ceil(gamma * n), 25)`, where n is the number of trials with a loss, as in Optuna. A trial without a loss is never
    /// good.
    Share(f64),
    /// `min(ceil(gamma * sqrt(n)), 25)`, where n is the number of all trials, as in Hyperopt (`ap_split_trials`). If too few
    /// trials have a loss, the first ones without a loss are good too.
    Root(f64),
}

impl Rule {
    /// Returns the number of good trials among `n`.
    pub(crate) fn n_good(self, n: u32) -> usize {
        let share = match self {
            Self::Share(gamma) => gamma * f64::from(n),
            Self::Root(gamma) => gamma * f64::from(n).sqrt(),
        };
        share.ceil().min(25.0) as usize
    }

    /// Returns the good trials among the trials `0..trials`. `losses` has the losses of the first trials; the others are
    /// pending. The earlier of two trials with equal losses is better.
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
