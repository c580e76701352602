//! The sampler `Hyperband`: successive halving with several trade-offs between many trials and many epochs.
//!
//! Sources: Li et al., "Hyperband: a novel bandit-based approach to hyperparameter optimization", JMLR 18, 2018; Falkner, Klein and
//! Hutter, "BOHB: robust and efficient hyperparameter optimization at scale", ICML 2018, for the model of the first rungs. The brackets
//! are those of Keras Tuner 1.4.8 (`tuners/hyperband.py`). Trials are promoted only when the whole rung has ended, so the order
//! in which trials end does not matter.

use super::{
    algorithm::{A_DRAW, Algorithm, Length, Proposed, Request},
    rule::Rule,
    rungs::{Bracket, FACTOR, Rung},
    tpe::Tpe,
};
use crate::{choices, parameters};

parameters! {
    /// Settings of the sampler `Hyperband`. The last rung of each bracket has the number of epochs of the search's trial.
    #[derive(Copy, Eq)]
    pub struct Hyperband = defaults {
        /// The factor by which epochs grow and trials shrink from rung to rung.
        factor: u32 [FACTOR] = 3,
        /// What proposes the first rung of each bracket after the first.
        first_rungs: FirstRungs = FirstRungs::Tpe,
    }
}

choices! {
    /// What proposes the first rung of a bracket.
    #[derive(Copy, Eq)]
    pub enum FirstRungs = Tpe {
        /// `Tpe`, from the scores of the first rung of the bracket before. Every third trial is drawn from the prior. All are while there
        /// are no more scores than labels.
        Tpe,
        /// Draws from the prior.
        Random,
    }
}

/// One in this many trials of a first rung is drawn from the prior, as in BOHB.
const FROM_PRIOR: u32 = 3;

impl Algorithm for Hyperband {
    fn rule_of_brackets(&self) -> Option<Rule> {
        (self.first_rungs == FirstRungs::Tpe).then(|| Tpe::default().rule())
    }

    fn draw(&self, request: &Request<'_>, attempt: u32) -> Proposed {
        let split = &request.past.split;
        let n_known = (request.past.trials.len() as u32).saturating_sub(split.left_out + split.pending);
        let few = split.good.is_empty() || n_known as usize <= request.space.labels().len();
        if few || request.trial_idx.is_multiple_of(FROM_PRIOR) {
            return request.draw_of_prior(attempt, A_DRAW);
        }
        Tpe { startup: Some(0), ..Tpe::default() }.draw(request, attempt)
    }

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
    use crate::search::{By, Past, Sampler, Space, TrialParameters};

    fn pairs(bracket: &[Rung]) -> Vec<(u32, u32)> {
        bracket.iter().map(|rung| (rung.trials, rung.epochs)).collect()
    }

    #[test]
    fn a_first_rung_learns_from_the_one_before() {
        let keys: serde_json::Value = serde_json::json!({"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}});
        let space: Space = serde_json::from_value(keys).unwrap();
        let sampler = Sampler::Hyperband(Hyperband::default());
        let mut past = Past::default();
        let mut propose = |trial: u32, losses: &[f64], left_out: u32| {
            past.split = Tpe::default().rule().split(losses, trial, left_out);
            let Proposed { proposal, by } = sampler.propose(&space, &[], 1, trial, &past).unwrap();
            let x = proposal.labels["x"].as_f64().unwrap();
            past.trials.push(TrialParameters { id: trial, labels: proposal.labels });
            (x, by)
        };
        let xs: Vec<f64> =
            (0..27).map(|trial| propose(trial, &[], 0)).map(|(x, by)| (by == A_DRAW).then_some(x).unwrap()).collect();
        let losses: Vec<f64> = xs.iter().map(|x| (x - 0.8) * (x - 0.8)).collect();
        let second: Vec<(f64, By)> = (27..39).map(|trial| propose(trial, &losses, 0)).collect();
        assert!(second.iter().zip(27..).all(|((_, by), trial)| (*by == A_DRAW) == (trial % 3 == 0)), "{second:?}");
        let near = second.iter().filter(|(x, by)| *by != A_DRAW && (x - 0.8).abs() < 0.2).count();
        assert!(near >= 6, "{second:?}");
        // Two scores are too few for two labels.
        assert_eq!(propose(40, &losses, 25).1, A_DRAW);
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
