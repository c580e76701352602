//! The sampler `SuccessiveHalving`: trains many trials for a few epochs, the best of them for more, and so on.
//!
//! Source: Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016.
//! Trials are promoted only when the whole rung has ended, so the order in which trials end does not matter.

use super::{
    algorithm::{Algorithm, Length},
    rungs::{Bracket, FACTOR, Rung},
};
use crate::{parameters, params::Domain};

parameters! {
    /// Settings of the sampler `SuccessiveHalving`. The last rung has the number of epochs of the search's trial.
    #[derive(Copy, Eq)]
    pub struct SuccessiveHalving = defaults {
        /// The number of trials of the first rung.
        cohort: u32 [Domain::Whole(2..=100_000)] = 27,
        /// The factor by which epochs grow and trials shrink from rung to rung.
        factor: u32 [FACTOR] = 3,
        /// The number of epochs of the first rung.
        min_epochs: u32 [Domain::Whole(1..=u32::MAX)] = 1,
    }
}

impl Algorithm for SuccessiveHalving {
    fn length(&self) -> Length {
        Length::Brackets
    }

    fn brackets(&self, max_epochs: u32) -> Vec<Bracket> {
        vec![self.bracket(max_epochs)]
    }
}

impl SuccessiveHalving {
    /// Returns the bracket. Its last rung has `max_epochs`.
    fn bracket(&self, max_epochs: u32) -> Bracket {
        let mut rungs = Vec::new();
        let (mut trials, mut epochs) = (self.cohort, self.min_epochs.min(max_epochs));
        loop {
            let last = trials < self.factor || epochs.saturating_mul(self.factor) > max_epochs;
            rungs.push(Rung { trials, epochs: if last { max_epochs } else { epochs } });
            if last {
                return rungs;
            }
            (trials, epochs) = (trials / self.factor, epochs * self.factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_shrink_until_the_last_has_all_epochs() {
        let rungs = |cohort, factor, min_epochs, max_epochs| {
            let bracket = SuccessiveHalving { cohort, factor, min_epochs }.bracket(max_epochs);
            bracket.into_iter().map(|rung| (rung.trials, rung.epochs)).collect::<Vec<_>>()
        };
        assert_eq!(rungs(27, 3, 1, 27), [(27, 1), (9, 3), (3, 9), (1, 27)]);
        assert_eq!(rungs(16, 2, 1, 4), [(16, 1), (8, 2), (4, 4)]);
        assert_eq!(rungs(4, 3, 2, 100), [(4, 2), (1, 100)]);
        assert_eq!(rungs(5, 3, 9, 3), [(5, 3)]);
    }
}
