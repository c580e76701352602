//! The sampler `Hyperband`: successive halving with several trade-offs between many trials and many epochs.
//!
//! Source: Li et al., "Hyperband: a novel bandit-based approach to hyperparameter optimization", JMLR 18, 2018. The brackets
//! are those of Keras Tuner 1.4.8 (`tuners/hyperband.py`). Trials are promoted only when the whole rung has ended, so the order
//! in which trials end does not matter.

use super::{
    algorithm::{Algorithm, Length},
    rungs::{Bracket, FACTOR, Rung},
};
use crate::parameters;

parameters! {
    /// Settings of the sampler `Hyperband`. The last rung of each bracket has the number of epochs of the search's trial.
    #[derive(Copy, Eq)]
    pub struct Hyperband = defaults {
        /// The factor by which epochs grow and trials shrink from rung to rung.
        factor: u32 [FACTOR] = 3,
    }
}

impl Algorithm for Hyperband {
    fn length(&self) -> Length {
        Length::Brackets
    }

    /// Returns the brackets, the one with the most trials first.
    fn brackets(&self, max_epochs: u32) -> Vec<Bracket> {
        let (factor, max) = (u64::from(self.factor), u64::from(max_epochs));
        // As in Keras Tuner: there is a bracket for each k with max / factor^k >= 1, and `ceil(1 + log(max, factor))` sets their
        // sizes.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(bracket: &[Rung]) -> Vec<(u32, u32)> {
        bracket.iter().map(|rung| (rung.trials, rung.epochs)).collect()
    }

    #[test]
    fn brackets_are_those_of_keras_tuner() {
        let brackets = Hyperband::default().brackets(100);
        assert_eq!(pairs(&brackets[0]), [(98, 2), (33, 4), (11, 12), (4, 34), (2, 100)]);
        assert_eq!(pairs(&brackets[4]), [(6, 100)]);
        let rungs = |brackets: &[Bracket]| brackets.iter().flatten().copied().collect::<Vec<_>>();
        assert_eq!(rungs(&brackets).iter().map(|rung| rung.trials).sum::<u32>(), 254);
        // A promoted trial trains only for the epochs that its rung has beyond the one before.
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
}
