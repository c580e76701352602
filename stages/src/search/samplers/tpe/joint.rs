//! `Tpe(mode: Joint)`, the default: a multivariate tree-structured Parzen estimator.
//!
//! One Parzen estimator models the good trials, another the bad ones. Each is a mixture with a component for each trial and one
//! for the prior. A component is a product of kernels, one for each label. The kernel of a label that is not active in the trial
//! is the prior. This models interactions between labels, and needs no imputation in conditional spaces. Candidates are drawn
//! from the estimator of the good trials. The one with the greatest ratio of good to bad density, the acquisition function, is
//! proposed.
//!
//! Sources: Bergstra et al., "Algorithms for hyper-parameter optimization", NIPS 2011; Watanabe, "Tree-structured Parzen
//! estimator: understanding its algorithm components", 2023 (kernels, weights, the multivariate form).
//!
//! Two things are not from the literature. In a space of many labels, the nearest trial dominates a product of kernels. So a
//! candidate mixes kernels from several components ([`CROSSOVER`]), and the density is a compromise between the joint density and
//! the product of the marginal ones ([`JOINT_LABELS`]).

use std::collections::BTreeMap;

use super::{
    super::{
        algorithm::{Past, Proposed, TrialParameters},
        branches,
        draws::{self, Chance, Draws},
        parzen::forgetting_weights,
        rule::Split,
    },
    kernels::Kernels,
    settings::Tpe,
};
use crate::search::spaces::{Kind, Space};

/// The number of labels that the trials of a search are enough to model jointly. In a space with d labels, the joint log-density
/// has the weight `min(1, JOINT_LABELS / d)`, and the sum of the marginal ones has the remaining weight.
const JOINT_LABELS: f64 = 6.0;

/// The share of a candidate's labels that are drawn from another component. It is multiplied by the weight of the marginal
/// densities.
const CROSSOVER: f64 = 0.7;

/// The least share that an estimator has of a trial, so that it has a logarithm.
const LEAST_SHARE: f64 = 1e-6;

/// A branch that is due with fewer good trials than this is modelled by its better half.
const FEW: usize = 2;

/// The share of a candidate's labels that are drawn from the prior.
const MUTATION: f64 = 0.05;

/// Returns the proposal that follows `past`. The order of its trials does not matter.
pub(super) fn propose(space: &Space, params: &Tpe, chance: Chance, past: &Past) -> Proposed {
    let Split { good, fair, pending, left_out } = &past.split;
    let mut trials: Vec<&TrialParameters> = past.trials.iter().filter(|trial| trial.id >= *left_out).collect();
    trials.sort_by_key(|trial| trial.id);
    let axes = space.axes();
    let due = branches::due(space, &trials);
    if !due.is_empty() {
        let kind = |label: &str| axes.iter().find(|(known, _)| *known == label).expect("the space has the label").1;
        let within = |trial: &&TrialParameters| {
            due.iter().all(|(label, x)| kind(label).coordinate(label, &trial.labels) == Some(*x))
        };
        trials.retain(within);
    }
    // A branch without good trials is modelled by its better half.
    let few = trials.iter().filter(|trial| good.contains(&trial.id)).count() < FEW;
    let good = if !due.is_empty() && few { fair } else { good };
    let n_known = past.trials.len() as u32 - (*pending).min(past.trials.len() as u32);
    let (known, pending): (Vec<_>, Vec<_>) = trials.into_iter().partition(|trial| trial.id < n_known);
    let (good, bad): (Vec<_>, Vec<_>) = known.into_iter().partition(|trial| good.contains(&trial.id));
    let (mut good, mut bad) = mixtures(&axes, &good, &bad, &pending, params);

    // The stream that chooses components. Its name cannot be a label's.
    let mut components = chance.of("\0component");
    let mut streams: Vec<Draws> = axes.iter().map(|(label, _)| chance.of(label)).collect();
    let mut best: Option<(f64, Vec<(usize, f64)>)> = None;
    for _ in 0..params.candidates() {
        let component = components.index(&good.weights);
        let mut point = Vec::new();
        let mut from = 0;
        space.walk(&mut |label, kind| {
            // Labels come in the order of the axes, but those of options that are not chosen are skipped.
            let ahead = axes[from..].iter().position(|(known, _)| *known == label);
            let axis = from + ahead.expect("the axes are those of the space");
            from = axis + 1;
            let drawn = good.draw(axis, kind, component, &mut streams[axis]);
            let x = due.get(label).copied().unwrap_or(drawn);
            point.push((axis, x));
            x
        });
        let score = good.score(&point) - bad.score(&point);
        if best.as_ref().is_none_or(|(greatest, _)| score > *greatest) {
            best = Some((score, point));
        }
    }
    let mut point = best.expect("at least one candidate is drawn").1.into_iter();
    let proposal = space.settle(&mut |_, _| point.next().expect("the same labels are asked in the same order").1);
    let by = if due.is_empty() {
        "tpe: good over bad density"
    } else {
        "tpe: good over bad density in a branch that is due"
    };
    Proposed { proposal, by }
}

/// Returns the estimators of the good and of the bad trials. A pending trial is bad to the extent that the estimators without pending
/// trials expect it to be, so that its neighbourhood is left alone unless it is promising.
fn mixtures(
    axes: &[(&str, &Kind)],
    good: &[&TrialParameters],
    bad: &[&TrialParameters],
    pending: &[&TrialParameters],
    params: &Tpe,
) -> (Mixture, Mixture) {
    let whole = |trials: &[&TrialParameters]| Mixture::new(axes, trials, &vec![1.0; trials.len()], params);
    let (mut of_good, mut of_bad) = (whole(good), whole(bad));
    if pending.is_empty() {
        return (of_good, of_bad);
    }
    // Half a trial is added to both, so that there are odds without any.
    let prior = libm::log((good.len() as f64 + 0.5) / (bad.len() as f64 + 0.5));
    let is_bad = |trial: &&TrialParameters| {
        let coordinate =
            |(axis, (label, kind)): (usize, &(&str, &Kind))| Some((axis, kind.coordinate(label, &trial.labels)?));
        let point: Vec<(usize, f64)> = axes.iter().enumerate().filter_map(coordinate).collect();
        let ln_odds = prior + of_good.score(&point) - of_bad.score(&point);
        (1.0 / (1.0 + libm::exp(ln_odds))).max(LEAST_SHARE)
    };
    let pending_shares: Vec<f64> = pending.iter().map(is_bad).collect();
    let all: Vec<&TrialParameters> = bad.iter().chain(pending).copied().collect();
    let shares: Vec<f64> = std::iter::repeat_n(1.0, bad.len()).chain(pending_shares).collect();
    (of_good, Mixture::new(axes, &all, &shares, params))
}

/// A Parzen estimator: a component for each trial, and the prior as the last component.
struct Mixture {
    /// The weight of the joint density: see [`JOINT_LABELS`].
    joint_weight: f64,
    /// The weights of the components. They sum to 1.
    weights: Vec<f64>,
    ln_weights: Vec<f64>,
    /// The kernels of each label, by axis.
    kernels: Vec<Kernels>,
    /// (axis, bits of a coordinate) -> the log-densities of the components at that coordinate, and of the whole mixture.
    known: BTreeMap<(usize, u64), (Vec<f64>, f64)>,
}

impl Mixture {
    /// Returns the estimator of `trials`, of which it has these shares.
    fn new(axes: &[(&str, &Kind)], trials: &[&TrialParameters], shares: &[f64], params: &Tpe) -> Self {
        let mut weights = forgetting_weights(trials.len(), params.forgetting());
        weights.iter_mut().zip(shares).for_each(|(weight, share)| *weight *= share);
        weights.push(params.prior_weight());
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        let ln_weights = weights.iter().map(|weight| libm::log(*weight)).collect();
        let kernels = axes.iter().map(|(label, kind)| {
            let observed: Vec<_> = trials.iter().map(|trial| kind.coordinate(label, &trial.labels)).collect();
            Kernels::new(kind, &observed)
        });
        let joint_weight = (JOINT_LABELS / axes.len() as f64).min(1.0);
        Self { joint_weight, weights, ln_weights, kernels: kernels.collect(), known: BTreeMap::new() }
    }

    /// Returns a coordinate for the label at `axis`, for a candidate of `component`.
    fn draw(&self, axis: usize, kind: &Kind, component: usize, draws: &mut Draws) -> f64 {
        let component = if draws.uniform() < CROSSOVER * (1.0 - self.joint_weight) {
            draws.index(&self.weights)
        } else {
            component
        };
        if draws.uniform() < MUTATION {
            draws::prior(kind, draws)
        } else {
            self.kernels[axis].draw(kind, component, draws)
        }
    }

    /// Returns the log-density at a point, which is given as (axis, coordinate) of its active labels. It is the weighted mean of
    /// the joint log-density and the sum of the marginal ones.
    fn score(&mut self, point: &[(usize, f64)]) -> f64 {
        let mut joint = self.ln_weights.clone();
        let mut marginal = 0.0;
        for (axis, x) in point {
            // Options and steps occur more than once, so their densities are kept.
            let (terms, ln_sum) = self.known.entry((*axis, x.to_bits())).or_insert_with(|| {
                let terms = self.kernels[*axis].ln_densities(*x, self.ln_weights.len());
                let weighted: Vec<f64> =
                    terms.iter().zip(&self.ln_weights).map(|(term, weight)| term + weight).collect();
                (terms, ln_sum(&weighted))
            });
            marginal += *ln_sum;
            joint.iter_mut().zip(terms).for_each(|(sum, term)| *sum += *term);
        }
        (1.0 - self.joint_weight) * marginal + self.joint_weight * ln_sum(&joint)
    }
}

/// Returns ln(sum of exp(terms)).
fn ln_sum(terms: &[f64]) -> f64 {
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // Much smaller terms would be lost to rounding.
    let near = terms.iter().map(|term| term - largest).filter(|below| *below > -40.0);
    largest + libm::log(near.map(libm::exp).sum())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::search::samplers::normal::normal_cdf;

    fn trial(id: u32, labels: Value) -> TrialParameters {
        TrialParameters { id, labels: serde_json::from_value(labels).expect("labels are an object") }
    }

    /// Compares with the definition, written out for each label and trial.
    #[test]
    fn the_score_agrees_with_the_definition() {
        let space: Space = serde_json::from_value(json!({
            "k": {"choice": ["a", {"deep": {"quniform": [0, 4, 1]}}]},
            "x": {"uniform": [0, 2]},
        }))
        .unwrap();
        let trials =
            [trial(0, json!({"k": "a", "x": 0.5})), trial(1, json!({"k": {"deep": 3.0}, "deep": 3.0, "x": 1.25}))];
        let axes = space.axes();
        let labels: Vec<&str> = axes.iter().map(|(label, _)| *label).collect();
        assert_eq!(labels, ["k", "deep", "x"]);
        let mut mixture = Mixture::new(&axes, &trials.iter().collect::<Vec<_>>(), &[1.0; 2], &Tpe::default());
        mixture.joint_weight = 0.25;

        let cdf = |z: f64, mu: f64, sigma: f64| normal_cdf(z, mu, sigma);
        let density = |z: f64, mu: f64, sigma: f64| {
            let scale = sigma * libm::sqrt(2.0 * std::f64::consts::PI) * (cdf(2.0, mu, sigma) - cdf(0.0, mu, sigma));
            libm::exp(-0.5 * ((z - mu) / sigma) * ((z - mu) / sigma)) / scale
        };
        // The densities at the point (k: option 1, deep: 2, x: 1) of the three components: the two trials and the prior. Each
        // option of the choice has a pseudo-count of 1/3. The bandwidth of `x` is 0.75, the gap between the trials. The bandwidth
        // of `deep` is 3, the distance of its only value from the farther bound.
        let (k, deep, x) = (
            [1.0 / 3.0 / (5.0 / 3.0), 4.0 / 3.0 / (5.0 / 3.0), 0.5],
            [0.25, (cdf(2.5, 3.0, 3.0) - cdf(1.5, 3.0, 3.0)) / (cdf(4.0, 3.0, 3.0) - cdf(0.0, 3.0, 3.0)), 0.25],
            [density(1.0, 0.5, 0.75), density(1.0, 1.25, 0.75), 0.5],
        );
        let together: f64 = (0..3).map(|j| k[j] * deep[j] * x[j] / 3.0).sum();
        let alone: f64 = [k, deep, x].iter().map(|label| libm::log(label.iter().sum::<f64>() / 3.0)).sum();
        let expected = 0.75 * alone + 0.25 * libm::log(together);
        let found = mixture.score(&[(0, 1.0), (1, 2.0), (2, 1.0)]);
        assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
    }

    #[test]
    fn proposals_are_near_the_good_trials() {
        let space: Space =
            serde_json::from_value(json!({"x": {"uniform": [0, 1]}, "c": {"choice": [1, 2, 3]}})).unwrap();
        let at = |i: u32| json!({"x": f64::from(i) / 40.0, "c": 1 + i % 3});
        let trials = (0..40).map(|i| trial(i, at(i))).collect();
        let split = Split { good: [30, 33, 36].into(), ..Split::default() };
        let past = Past { trials, split, losses: Vec::new() };
        let propose = |seed| propose(&space, &Tpe::default(), Chance { seed, trial_idx: 40, attempt: 0 }, &past);
        let near = |seed: &u64| {
            let labels = propose(*seed).proposal.labels;
            (0.65..1.0).contains(&labels["x"].as_f64().unwrap()) && labels["c"] == 1
        };
        assert!((0..100).filter(near).count() > 80);
    }
}
