//! The sampler `SuccessiveHalving`: many trials are trained for a few epochs, the best of them for more, and so on.
//!
//! Source: Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016.
//! Promotion waits for the whole rung, so that it does not depend on the order in which trials end.

use serde::{Deserialize, Serialize};

use super::{
    algorithm::{Algorithm, Length, out_of_range},
    rungs::{Bracket, Rung},
};
use crate::problem::Problem;

/// Settings of the sampler `SuccessiveHalving`. Its last rung has the epochs of the search's trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuccessiveHalving {
    /// How many trials the first rung has. 2 to 100,000; default 27.
    #[serde(default = "cohort::value", skip_serializing_if = "cohort::is")]
    pub cohort: u32,
    /// From rung to rung, epochs grow and trials shrink by this factor. 2 to 100; default 3.
    #[serde(default = "factor::value", skip_serializing_if = "factor::is")]
    pub factor: u32,
    /// Epochs of the first rung. At least 1; default 1.
    #[serde(default = "min_epochs::value", skip_serializing_if = "min_epochs::is")]
    pub min_epochs: u32,
}

crate::defaults! {
    cohort: u32 = 27;
    factor: u32 = 3;
    min_epochs: u32 = 1;
}

impl Default for SuccessiveHalving {
    fn default() -> Self {
        Self { cohort: cohort::value(), factor: factor::value(), min_epochs: min_epochs::value() }
    }
}

impl Algorithm for SuccessiveHalving {
    fn problems(&self) -> Vec<Problem> {
        let Self { cohort, factor, min_epochs } = *self;
        let problems = [
            out_of_range("cohort", cohort, (2..=100_000).contains(&cohort), "2 to 100000"),
            out_of_range("factor", factor, (2..=100).contains(&factor), "2 to 100"),
            out_of_range("min_epochs", min_epochs, min_epochs >= 1, "at least 1"),
        ];
        problems.into_iter().flatten().collect()
    }

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
