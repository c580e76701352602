//! The rule that decides which trials are good.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::search::front::best;

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

/// Which trials of a search are good.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    /// The ids of the good trials. All others are bad.
    pub good: BTreeSet<u32>,
    /// The ids of the better half, which has the good ones: what counts as good in a branch that has no good trial. Empty for
    /// [`Rule::Root`].
    pub fair: BTreeSet<u32>,
    /// The number of the last trials, whose scores are not known yet. 0 for [`Rule::Root`], to which they are bad.
    pub pending: u32,
    /// The number of the first trials, which are left out: they were trained for fewer epochs than the others.
    pub left_out: u32,
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

    /// Returns the split of the trials `0..trials` by several objectives: `points` has the losses of the first trials, one for each
    /// objective. The others are pending. There are as many good ones as by one objective.
    pub(crate) fn split_of_several(self, points: &[Vec<f64>], trials: u32) -> Split {
        let completed = points.iter().filter(|point| point.iter().all(|loss| loss.is_finite())).count() as u32;
        let first = |n: usize| best(points, n).into_iter().map(|trial| trial as u32).collect();
        match self {
            Self::Share(_) => Split {
                good: first(self.n_good(completed)),
                fair: first(completed.div_ceil(2) as usize),
                pending: trials - points.len() as u32,
                left_out: 0,
            },
            Self::Root(_) => Split { good: first(self.n_good(trials)), ..Split::default() },
        }
    }

    /// Returns the split of the trials `0..trials`. `losses` has the losses of the first trials; the others are pending. The earlier
    /// of two trials with equal losses is better. The first `left_out` trials are neither good nor bad.
    pub fn split(self, losses: &[f64], trials: u32, left_out: u32) -> Split {
        let loss = |trial: u32| losses.get(trial as usize).copied().filter(|x| !x.is_nan()).unwrap_or(f64::INFINITY);
        let mut order: Vec<u32> = (left_out..trials).collect();
        if let Self::Share(_) = self {
            order.retain(|trial| loss(*trial) < f64::INFINITY);
        }
        order.sort_by(|a, b| loss(*a).total_cmp(&loss(*b)).then(a.cmp(b)));
        let n = match self {
            Self::Share(_) => order.len() as u32,
            Self::Root(_) => trials,
        };
        let first = |n: usize| order.iter().take(n).copied().collect();
        let good = first(self.n_good(n));
        match self {
            Self::Share(_) => {
                let pending = trials - (losses.len() as u32).min(trials);
                Split { good, fair: first(order.len().div_ceil(2)), pending, left_out }
            }
            Self::Root(_) => Split { good, left_out, ..Split::default() },
        }
    }
}
