//! The sampler `SuccessiveHalving`: many trials are trained for a few epochs, the best of them for more, and so on.
//!
//! Source: Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016.
//! Promotion waits for the whole rung, so that it does not depend on the order in which trials end.

use super::{
    algorithm::{Algorithm, Length},
    rungs::{Bracket, FACTOR, Rung},
};
use crate::{parameters, params::Domain};

parameters! {
    /// Settings of the sampler `SuccessiveHalving`. Its last rung has the epochs of the search's trial.
    #[derive(Copy, Eq)]
    pub struct SuccessiveHalving = defaults {
        /// How many trials the first rung has.
        cohort: u32 [Domain::Whole(2..=100_000)] = 27,
        /// From rung to rung, epochs grow and trials shrink by this factor.
        factor: u32 [FACTOR] = 3,
        /// Epochs of the first rung.
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
    fn a_cohort_is_halved_until_the_epochs_are_spent() {
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
