//! The sampler `Tpe(mode: Joint)`, the default: a tree-structured Parzen estimator over all labels at once.
//!
//! The good trials and the bad ones are a mixture each. A mixture has one component per trial, a product of one kernel per
//! label, and the prior as one more; where a label is not active in a component's trial, its kernel is the prior. So
//! conditional spaces need no imputation and lose no trial, and what labels do together is modelled. Candidates are drawn
//! from the mixture of the good by walking the tree of choices; the one that is likeliest among the good as against the bad
//! is proposed.
//!
//! Sources: Bergstra et al., "Algorithms for hyper-parameter optimization", NIPS 2011; Watanabe, "Tree-structured Parzen
//! estimator: understanding its algorithm components", 2023 (kernels, weights, multivariate form). Two things are our own,
//! for spaces of many labels, where a product of kernels sees little beside its nearest trial: candidates cross over
//! between components, and the score is drawn to that of each label on its own ([`TOGETHER`]).

use std::collections::BTreeMap;

use super::{
    Past, Proposal, Tpe, TrialParameters,
    kind::{Axis, Kind, Numeric, Shape},
    parzen::{forgetting_weights, lift, normal_cdf},
    random::{self, Chance, Draws},
    space::Space,
};

/// So many labels can be modelled together from the trials of a search. Of a space with d labels, what they say together
/// has the weight `TOGETHER / d` in the score, at most 1; the rest is the sum of what each says on its own. The greater the
/// rest, the more of a candidate's labels take their kernel from another component than the candidate's ([`CROSSOVER`]).
const TOGETHER: f64 = 6.0;

/// See [`TOGETHER`].
const CROSSOVER: f64 = 0.7;

/// The share of a candidate's labels that are drawn from the prior, whatever the component.
const MUTATION: f64 = 0.05;

/// Below this no density is told from 0.
const TINY: f64 = 1e-300;

/// Returns the proposal after `past`. The order of its trials does not matter.
pub(super) fn propose(space: &Space, params: &Tpe, chance: Chance, past: &Past) -> Proposal {
    let mut trials: Vec<&TrialParameters> = past.trials.iter().collect();
    trials.sort_by_key(|trial| trial.id);
    let (good, bad): (Vec<_>, Vec<_>) = trials.into_iter().partition(|trial| past.good.contains(&trial.id));
    let axes = space.axes();
    let mixture = |trials: &[&TrialParameters]| Mixture::new(&axes, trials, params);
    let (mut good, mut bad) = (mixture(&good), mixture(&bad));

    // No label is called like this: its draws choose components.
    let mut components = chance.of("\0component");
    let mut streams: Vec<Draws> = axes.iter().map(|(label, _)| chance.of(label)).collect();
    let mut best: Option<(f64, Vec<(usize, f64)>)> = None;
    for _ in 0..params.candidates() {
        let component = components.index(&good.weights);
        let mut point = Vec::new();
        let mut from = 0;
        space.walk(&mut |label, kind| {
            // Labels are asked in the order of the axes, those of other options left out.
            let ahead = axes[from..].iter().position(|(known, _)| *known == label);
            let axis = from + ahead.expect("the axes are those of the space");
            from = axis + 1;
            let x = good.draw(axis, kind, component, &mut streams[axis]);
            point.push((axis, x));
            x
        });
        let score = good.score(&point) - bad.score(&point);
        if best.as_ref().is_none_or(|(greatest, _)| score > *greatest) {
            best = Some((score, point));
        }
    }
    let mut point = best.expect("at least one candidate is drawn").1.into_iter();
    space.settle(&mut |_, _| point.next().expect("the same labels are asked in the same order").1)
}

/// A mixture of one component per trial and, as the last, the prior.
struct Mixture {
    /// The weight of what labels say together: see [`TOGETHER`].
    together: f64,
    /// They sum to 1.
    weights: Vec<f64>,
    ln_weights: Vec<f64>,
    /// For each label of the space.
    kernels: Vec<Kernels>,
    /// (axis, bits of a coordinate) -> the logarithm of each component's density there, and of the whole mixture's.
    known: BTreeMap<(usize, u64), (Vec<f64>, f64)>,
}

impl Mixture {
    fn new(axes: &[(&str, &Kind)], trials: &[&TrialParameters], params: &Tpe) -> Self {
        let mut weights = forgetting_weights(trials.len(), params.forgetting());
        weights.push(params.prior_weight());
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        let ln_weights = weights.iter().map(|weight| libm::log(*weight)).collect();
        let kernels = axes.iter().map(|(label, kind)| {
            let observed: Vec<_> = trials.iter().map(|trial| kind.coordinate(label, &trial.labels)).collect();
            Kernels::new(kind, &observed)
        });
        let together = (TOGETHER / axes.len() as f64).min(1.0);
        Self { together, weights, ln_weights, kernels: kernels.collect(), known: BTreeMap::new() }
    }

    /// Returns a coordinate for the label at `axis` of a candidate of `component`.
    fn draw(&self, axis: usize, kind: &Kind, component: usize, draws: &mut Draws) -> f64 {
        let component =
            if draws.uniform() < CROSSOVER * (1.0 - self.together) { draws.index(&self.weights) } else { component };
        if draws.uniform() < MUTATION {
            random::prior(kind, draws)
        } else {
            self.kernels[axis].draw(kind, component, draws)
        }
    }

    /// Returns the logarithm of the density of these labels, (axis, coordinate), whatever the others are: in part of all
    /// together, in part of each on its own.
    fn score(&mut self, point: &[(usize, f64)]) -> f64 {
        let mut together = self.ln_weights.clone();
        let mut alone = 0.0;
        for (axis, x) in point {
            // Steps and options come again and again.
            let (terms, ln_sum) = self.known.entry((*axis, x.to_bits())).or_insert_with(|| {
                let terms = self.kernels[*axis].ln_densities(*x, self.ln_weights.len());
                let weighted: Vec<f64> =
                    terms.iter().zip(&self.ln_weights).map(|(term, weight)| term + weight).collect();
                (terms, ln_sum(&weighted))
            });
            alone += *ln_sum;
            together.iter_mut().zip(terms).for_each(|(sum, term)| *sum += *term);
        }
        (1.0 - self.together) * alone + self.together * ln_sum(&together)
    }
}

/// Returns ln(sum of exp(terms)).
fn ln_sum(terms: &[f64]) -> f64 {
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // What is lost in the rounding of a sum is not worth its exponential.
    let near = terms.iter().map(|term| term - largest).filter(|below| *below > -40.0);
    largest + libm::log(near.map(libm::exp).sum())
}

/// The kernels of one label, for each trial of a mixture: none where the label was not active.
enum Kernels {
    Numeric {
        numeric: Numeric,
        normals: Vec<Option<Normal>>,
    },
    Options {
        prior: Vec<f64>,
        observed: Vec<Option<usize>>,
        /// The share of a kernel that is the prior's; the rest is the observed option's.
        smoothing: f64,
    },
}

/// A normal distribution of z, truncated to the label's bounds.
#[derive(Debug, Clone, Copy)]
struct Normal {
    mu: f64,
    sigma: f64,
    /// Its mass within the bounds before it was truncated.
    mass: f64,
    /// Of the density at its middle.
    ln_peak: f64,
}

impl Kernels {
    /// Returns the kernels around what was `observed` in each trial.
    fn new(kind: &Kind, observed: &[Option<f64>]) -> Self {
        match kind.axis() {
            Axis::Options(prior) => {
                // As pseudo-counts: 1 / (n + 1) for each option beside the 1 that was observed.
                let n_observed = observed.iter().flatten().count() as f64;
                let pseudo = prior.len() as f64 / (n_observed + 1.0);
                let observed = observed.iter().map(|x| x.map(|x| x as usize)).collect();
                Self::Options { prior, observed, smoothing: pseudo / (1.0 + pseudo) }
            }
            Axis::Numeric(numeric) => {
                let (lo, hi) = numeric.bounds();
                let z = |x: &Option<f64>| x.map(|x| lift(&numeric, x).clamp(lo, hi));
                let zs: Vec<Option<f64>> = observed.iter().map(z).collect();
                let normals = widths(&numeric, &zs).into_iter().zip(&zs);
                let normal = |(sigma, mu): (f64, &Option<f64>)| mu.map(|mu| Normal::new(mu, sigma, lo, hi));
                Self::Numeric { numeric, normals: normals.map(normal).collect() }
            }
        }
    }

    fn draw(&self, kind: &Kind, component: usize, draws: &mut Draws) -> f64 {
        match self {
            Self::Numeric { numeric, normals } => {
                let Some(normal) = normals.get(component).copied().flatten() else { return random::prior(kind, draws) };
                let (lo, hi) = numeric.bounds();
                loop {
                    let z = normal.mu + normal.sigma * draws.normal();
                    if lo <= z && z < hi {
                        return numeric.value(z);
                    }
                }
            }
            Self::Options { observed, smoothing, .. } => match observed.get(component).copied().flatten() {
                Some(option) if draws.uniform() >= *smoothing => option as f64,
                _ => random::prior(kind, draws),
            },
        }
    }

    /// Returns the logarithm of the density at `x` of each of `n` components; the last is the prior's.
    fn ln_densities(&self, x: f64, n: usize) -> Vec<f64> {
        match self {
            Self::Numeric { numeric, normals } => {
                let (z, edges) = (lift(numeric, x), numeric.edges(x));
                let of_prior = ln_prior(numeric, z, edges);
                let normal = |i: usize| normals.get(i).copied().flatten();
                (0..n).map(|i| normal(i).map_or(of_prior, |normal| normal.ln_density(z, edges))).collect()
            }
            Self::Options { prior, observed, smoothing } => {
                let x = x as usize;
                let of_prior = libm::log(prior[x].max(TINY));
                let other = libm::log((smoothing * prior[x]).max(TINY));
                let same = libm::log(1.0 - smoothing + smoothing * prior[x]);
                let term = |option: Option<usize>| match option {
                    None => of_prior,
                    Some(option) if option == x => same,
                    Some(_) => other,
                };
                (0..n).map(|i| term(observed.get(i).copied().flatten())).collect()
            }
        }
    }
}

impl Normal {
    fn new(mu: f64, sigma: f64, lo: f64, hi: f64) -> Self {
        let mass = normal_cdf(hi, mu, sigma) - normal_cdf(lo, mu, sigma);
        let ln_peak = -libm::log(sigma * libm::sqrt(2.0 * std::f64::consts::PI) * mass);
        Self { mu, sigma, mass, ln_peak }
    }

    /// Returns the logarithm of the density at z, or of the mass between `edges` for a kind with steps.
    fn ln_density(&self, z: f64, edges: Option<(f64, f64)>) -> f64 {
        match edges {
            None => {
                let distance = (z - self.mu) / self.sigma;
                self.ln_peak - 0.5 * distance * distance
            }
            Some((below, above)) => {
                let mass = normal_cdf(above, self.mu, self.sigma) - normal_cdf(below, self.mu, self.sigma);
                libm::log((mass / self.mass).max(TINY))
            }
        }
    }
}

/// Returns the deviation of the kernel around each z: the wider of the gaps to its neighbours, the ends of the range being
/// neighbours too, but for the outermost the gap to the inner one; between R / min(100, n + 2) and R, the range.
fn widths(numeric: &Numeric, zs: &[Option<f64>]) -> Vec<f64> {
    let (middle, range) = numeric.prior();
    let (first, last) = match numeric.bounds() {
        (lo, hi) if lo.is_finite() => (lo, hi),
        // A normal prior has no ends: these hold nearly all of it.
        _ => (middle - 3.0 * range, middle + 3.0 * range),
    };
    let mut sorted: Vec<(f64, usize)> = zs.iter().enumerate().filter_map(|(i, z)| Some(((*z)?, i))).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let n = sorted.len();
    let narrowest = range / (n as f64 + 2.0).min(100.0);
    let mut widths = vec![range; zs.len()];
    for (i, (z, trial)) in sorted.iter().enumerate() {
        let left = z - if i > 0 { sorted[i - 1].0 } else { first };
        let right = if i + 1 < n { sorted[i + 1].0 } else { last } - z;
        let width = match i {
            0 if n > 1 => right,
            i if n > 1 && i == n - 1 => left,
            _ => left.max(right),
        };
        widths[*trial] = width.max(narrowest).min(range);
    }
    widths
}

/// Returns the logarithm of the prior's density at z, or of its mass between `edges`.
fn ln_prior(numeric: &Numeric, z: f64, edges: Option<(f64, f64)>) -> f64 {
    match (numeric.shape, edges) {
        (Shape::Uniform { lo, hi }, None) => -libm::log(hi - lo),
        (Shape::Uniform { lo, hi }, Some((below, above))) => libm::log(((above - below) / (hi - lo)).max(TINY)),
        (Shape::Normal { mu, sigma }, edges) => {
            Normal::new(mu, sigma, f64::NEG_INFINITY, f64::INFINITY).ln_density(z, edges)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn trial(id: u32, labels: Value) -> TrialParameters {
        TrialParameters { id, labels: serde_json::from_value(labels).expect("labels are an object") }
    }

    #[test]
    fn kernels_are_as_wide_as_the_gaps_to_their_neighbours() {
        let unit =
            Numeric { shape: Shape::Uniform { lo: 0.0, hi: 1.0 }, log: false, q: None, whole: false, range: None };
        let check = |zs: &[f64], expected: &[f64]| {
            let zs: Vec<_> = zs.iter().copied().map(Some).collect();
            let found = widths(&unit, &zs);
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        };
        check(&[0.3], &[0.7]);
        // The outermost have the inner gap; the narrowest is a fifth.
        check(&[0.7, 0.1, 0.15], &[0.55, 0.2, 0.55]);
        check(&[0.5; 4], &[1.0 / 6.0; 4]);
    }

    /// Against the sums and products of the definition, label by label and trial by trial.
    #[test]
    fn the_score_is_that_of_the_definition() {
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
        let mut mixture = Mixture::new(&axes, &trials.iter().collect::<Vec<_>>(), &Tpe::default());
        mixture.together = 0.25;

        let cdf = |z: f64, mu: f64, sigma: f64| normal_cdf(z, mu, sigma);
        let density = |z: f64, mu: f64, sigma: f64| {
            let scale = sigma * libm::sqrt(2.0 * std::f64::consts::PI) * (cdf(2.0, mu, sigma) - cdf(0.0, mu, sigma));
            libm::exp(-0.5 * ((z - mu) / sigma) * ((z - mu) / sigma)) / scale
        };
        // The point (k: option 1, deep: 2, x: 1), by component: the two trials, then the prior. Pseudo-counts of the
        // choice are 1/3 for each option; gaps of x are 0.75, the only `deep` is 3 from the far end.
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
    fn proposals_gather_around_the_good_trials() {
        let space: Space =
            serde_json::from_value(json!({"x": {"uniform": [0, 1]}, "c": {"choice": [1, 2, 3]}})).unwrap();
        let at = |i: u32| json!({"x": f64::from(i) / 40.0, "c": 1 + i % 3});
        let trials = (0..40).map(|i| trial(i, at(i))).collect();
        let past = Past { trials, good: [30, 33, 36].into(), losses: Vec::new() };
        let propose = |seed| propose(&space, &Tpe::default(), Chance { seed, trial_idx: 40, attempt: 0 }, &past);
        let near = |seed: &u64| {
            let labels = propose(*seed).labels;
            (0.65..1.0).contains(&labels["x"].as_f64().unwrap()) && labels["c"] == 1
        };
        assert!((0..100).filter(near).count() > 80);
    }
}
