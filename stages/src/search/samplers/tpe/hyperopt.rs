//! `Tpe(mode: Hyperopt)`, exactly as in Hyperopt: for each label, the candidate whose density among good trials is greatest
//! relative to its density among bad trials.
//!
//! Sources: Bergstra, Bardenet, Bengio and Kégl, "Algorithms for hyper-parameter optimization", NIPS 2011; Hyperopt's `tpe.py`.
//! The only tree structure is that a choice comes before the labels of its chosen option.

use super::{
    super::{
        algorithm::{Past, TrialParameters},
        draws::{Chance, Draws},
        parzen::{Parzen, forgetting_weights},
    },
    settings::Tpe,
};
use crate::search::spaces::{Kind, Proposal, Space};

/// Returns the proposal that follows `past`. The order of its trials does not matter.
pub(crate) fn propose(space: &Space, params: &Tpe, chance: Chance, past: &Past) -> Proposal {
    let mut trials: Vec<&TrialParameters> = past.trials.iter().collect();
    trials.sort_by_key(|trial| trial.id);
    let (good, bad): (Vec<_>, Vec<_>) = trials.into_iter().partition(|trial| past.split.good.contains(&trial.id));
    space.settle(&mut |label, kind| {
        let observed = |trials: &[&TrialParameters]| -> Vec<f64> {
            trials.iter().filter_map(|trial| kind.coordinate(label, &trial.labels)).collect()
        };
        suggest(kind, &observed(&good), &observed(&bad), params, &mut chance.of(label))
    })
}

/// Returns the coordinate suggested for a label. `good` and `bad` are its coordinates in good and bad trials, in the order of
/// trials. Candidates are drawn from the model of the good ones. The first with the greatest ln good(x) - ln bad(x) is suggested.
pub(crate) fn suggest(kind: &Kind, good: &[f64], bad: &[f64], params: &Tpe, draws: &mut Draws) -> f64 {
    let forgetting = params.forgetting();
    match kind {
        Kind::Numeric(numeric) => {
            let good = Parzen::new(*numeric, good, params.prior_weight(), forgetting);
            let bad = Parzen::new(*numeric, bad, params.prior_weight(), forgetting);
            let candidates = (0..params.candidates()).map(|_| good.sample(draws));
            first_greatest(candidates.map(|x| (x, good.ln_density(x) - bad.ln_density(x))))
        }
        Kind::Choice { .. } | Kind::Randint { .. } => {
            let prior = kind.probabilities().expect("these kinds have options");
            let good = posterior(&prior, good, params.prior_weight(), forgetting);
            let bad = posterior(&prior, bad, params.prior_weight(), forgetting);
            let candidates = (0..params.candidates()).map(|_| draws.index(&good));
            first_greatest(candidates.map(|k| (k as f64, libm::log(good[k]) - libm::log(bad[k]))))
        }
    }
}

/// Returns the probability of each of K options. It is proportional to the sum of the weights of its observations plus a
/// pseudo-count of K * `prior_weight` * its prior probability (Hyperopt's `ap_categorical_sampler` and `ap_randint_sampler`).
pub(crate) fn posterior(prior: &[f64], observed: &[f64], prior_weight: f64, forgetting: usize) -> Vec<f64> {
    let mut counts: Vec<f64> = prior.iter().map(|p| prior.len() as f64 * prior_weight * p).collect();
    for (k, weight) in observed.iter().zip(forgetting_weights(observed.len(), forgetting)) {
        counts[*k as usize] += weight;
    }
    let sum: f64 = counts.iter().sum();
    counts.into_iter().map(|count| count / sum).collect()
}

/// Returns the first candidate with the greatest score. As in NumPy's `argmax`, NaN is greater than every number.
fn first_greatest(candidates: impl Iterator<Item = (f64, f64)>) -> f64 {
    let greater = |score: f64, best: f64| !best.is_nan() && (score.is_nan() || score > best);
    let best = candidates.reduce(|best, next| if greater(next.1, best.1) { next } else { best });
    best.expect("at least one candidate is drawn").0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_scores_wins_and_nan_is_the_greatest() {
        let check = |scores: &[f64], winner: f64| {
            assert_eq!(first_greatest((0..).map(f64::from).zip(scores.iter().copied())), winner, "{scores:?}");
        };
        check(&[1.0, 3.0, 3.0, 2.0], 1.0);
        check(&[1.0, f64::NAN, 3.0, f64::NAN], 1.0);
        check(&[f64::NEG_INFINITY, f64::NEG_INFINITY], 0.0);
    }
}
