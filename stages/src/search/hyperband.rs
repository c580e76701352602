//! Successive halving: many trials are trained for a few epochs, the best of them for more, and so on.
//!
//! Sources: Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS
//! 2016; Li et al., "Hyperband", JMLR 18 (2018). The brackets are those of Keras Tuner 1.4.8 (`tuners/hyperband.py`); but
//! promotion waits for the whole rung, so that it is a function of results and not of their order of arrival.

use crate::{parameters, params::Domain};

parameters! {
    /// Settings of [`Sampler::Hyperband`](super::Sampler::Hyperband). The most epochs are those of the trial.
    #[derive(Copy, Eq)]
    pub struct Hyperband = defaults {
        /// From rung to rung epochs grow and trials shrink by this factor.
        factor: u32 [FACTOR] = 3,
    }
}

parameters! {
    /// Settings of [`Sampler::SuccessiveHalving`](super::Sampler::SuccessiveHalving). The most epochs are those of the trial.
    #[derive(Copy, Eq)]
    pub struct SuccessiveHalving = defaults {
        /// How many trials the first rung has.
        cohort: u32 [Domain::Whole(2..=100_000)] = 27,
        /// From rung to rung epochs grow and trials shrink by this factor.
        factor: u32 [FACTOR] = 3,
        /// Epochs of the first rung.
        min_epochs: u32 [Domain::Whole(1..=u32::MAX)] = 1,
    }
}

const FACTOR: Domain = Domain::Whole(2..=100);

/// Trials that are trained for as long as each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    pub trials: u32,
    /// In all, counted from the trial's first.
    pub epochs: u32,
}

/// The rungs of one cohort: the trials of each are the best of the one before.
pub type Bracket = Vec<Rung>;

impl Hyperband {
    /// Returns the brackets, the one with the most trials first.
    pub fn brackets(&self, max_epochs: u32) -> Vec<Bracket> {
        let (factor, max) = (u64::from(self.factor), u64::from(max_epochs));
        // Keras Tuner counts brackets while max / factor^k is at least 1, and sizes them by `ceil(1 + log(max, factor))`.
        let mut n_brackets: u32 = 0;
        while factor.checked_pow(n_brackets).is_some_and(|power| power <= max) {
            n_brackets += 1;
        }
        let exact = factor.pow(n_brackets - 1) == max;
        let end = u64::from(n_brackets) + u64::from(!exact);
        let rung = |bracket: u32, rung: u32| {
            let power = factor.pow(bracket - rung);
            let trials = (end * power).div_ceil(u64::from(bracket) + 1);
            Rung { trials: trials as u32, epochs: max.div_ceil(power) as u32 }
        };
        (0..n_brackets).rev().map(|bracket| (0..=bracket).map(|r| rung(bracket, r)).collect()).collect()
    }
}

impl SuccessiveHalving {
    /// Returns the only bracket. Its last rung has the most epochs.
    pub fn bracket(&self, max_epochs: u32) -> Bracket {
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

    fn pairs(bracket: &[Rung]) -> Vec<(u32, u32)> {
        bracket.iter().map(|rung| (rung.trials, rung.epochs)).collect()
    }

    #[test]
    fn the_brackets_are_keras_tuners() {
        let brackets = Hyperband::default().brackets(100);
        assert_eq!(pairs(&brackets[0]), [(98, 2), (33, 4), (11, 12), (4, 34), (2, 100)]);
        assert_eq!(pairs(&brackets[4]), [(6, 100)]);
        let rungs = |brackets: &[Bracket]| brackets.iter().flatten().copied().collect::<Vec<_>>();
        assert_eq!(rungs(&brackets).iter().map(|rung| rung.trials).sum::<u32>(), 254);
        // A trial goes on from its rung before.
        let epochs = |brackets: &[Bracket]| -> u32 {
            let of = |bracket: &Bracket| -> u32 {
                let before = std::iter::once(0).chain(bracket.iter().map(|rung| rung.epochs));
                bracket.iter().zip(before).map(|(rung, before)| rung.trials * (rung.epochs - before)).sum()
            };
            brackets.iter().map(of).sum()
        };
        assert_eq!(epochs(&brackets), 2672);
        let short = Hyperband::default().brackets(10);
        assert_eq!((rungs(&short).iter().map(|rung| rung.trials).sum::<u32>(), epochs(&short)), (30, 120));
    }

    #[test]
    fn a_cohort_is_halved_until_the_epochs_are_spent() {
        let halving = |cohort, factor, min_epochs| SuccessiveHalving { cohort, factor, min_epochs };
        assert_eq!(pairs(&halving(27, 3, 1).bracket(27)), [(27, 1), (9, 3), (3, 9), (1, 27)]);
        assert_eq!(pairs(&halving(16, 2, 1).bracket(4)), [(16, 1), (8, 2), (4, 4)]);
        assert_eq!(pairs(&halving(4, 3, 2).bracket(100)), [(4, 2), (1, 100)]);
        assert_eq!(pairs(&halving(5, 3, 9).bracket(3)), [(5, 3)]);
    }
}
