//! The adaptive Parzen estimator of Hyperopt: a mixture of one normal distribution per observed value and one for the prior.
//!
//! Sources: Bergstra, Bardenet, Bengio and Kégl, "Algorithms for hyper-parameter optimization", NIPS 2011, section 4. The
//! details are those of Hyperopt's `tpe.py` (`adaptive_parzen_normal`, `GMM1`, `LGMM1` and their `_lpdf`), except that equal
//! values keep the order of trials. Hyperopt uses an unstable sort.

use super::{draws::Draws, normal::normal_cdf};
use crate::search::spaces::{Numeric, Shape};

/// A mixture of normal distributions of z. The mixture as a whole is truncated to the label's bounds.
pub(crate) struct Parzen {
    numeric: Numeric,
    pub(crate) weights: Vec<f64>,
    pub(crate) mus: Vec<f64>,
    pub(crate) sigmas: Vec<f64>,
    /// The mass of the mixture within the bounds.
    accepted: f64,
}

/// Returns the weights of `n` observations, the oldest first. The `newest` newest have weight 1, and the weights of the older
/// ones rise linearly from 1/n to 1 (Hyperopt's `linear_forgetting_weights`).
pub(crate) fn forgetting_weights(n: usize, newest: usize) -> Vec<f64> {
    let old = n.saturating_sub(newest);
    let first = 1.0 / n as f64;
    let step = (1.0 - first) / (old.max(2) - 1) as f64;
    let ramp = (0..old).map(|i| first + step * i as f64);
    ramp.chain(std::iter::repeat_n(1.0, n - old)).collect()
}

impl Parzen {
    /// Returns the mixture of normal distributions around `values`, which are in the order of trials, and of the prior.
    pub(crate) fn new(numeric: Numeric, values: &[f64], prior_weight: f64, forgetting: usize) -> Self {
        let (prior_mu, prior_sigma) = numeric.prior();
        // (mu, weight), sorted by mu, then by trial: the sort is stable.
        let mut components: Vec<(f64, f64)> = values
            .iter()
            .map(|x| numeric.z(*x))
            .collect::<Vec<_>>()
            .into_iter()
            .zip(forgetting_weights(values.len(), forgetting))
            .collect();
        components.sort_by(|a, b| a.0.total_cmp(&b.0));
        // The prior is inserted before values that equal its mean, but after the only value if there is one.
        let prior_at = match components[..] {
            [(mu, _)] => usize::from(prior_mu >= mu),
            _ => components.partition_point(|(mu, _)| *mu < prior_mu),
        };
        components.insert(prior_at, (prior_mu, prior_weight));
        let (mus, mut weights): (Vec<f64>, Vec<f64>) = components.into_iter().unzip();

        let n = mus.len();
        let gap = |i: usize| mus[i + 1] - mus[i];
        let width = |i: usize| match (i, n) {
            (_, 1) => prior_sigma,
            (_, 2) => 0.5 * prior_sigma,
            (0, _) => gap(0),
            (i, _) if i == n - 1 => gap(n - 2),
            (i, _) => gap(i - 1).max(gap(i)),
        };
        let narrowest = prior_sigma / (1.0 + n as f64).min(100.0);
        let mut sigmas: Vec<f64> = (0..n).map(|i| width(i).max(narrowest).min(prior_sigma)).collect();
        sigmas[prior_at] = prior_sigma;

        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        let mut mixture = Self { numeric, weights, mus, sigmas, accepted: 1.0 };
        if let Shape::Uniform { lo, hi } = numeric.shape {
            mixture.accepted = mixture.sum(|mu, sigma| normal_cdf(hi, mu, sigma) - normal_cdf(lo, mu, sigma));
        }
        mixture
    }

    /// Returns a value x drawn from the mixture. If a draw is outside the bounds, the component is drawn again too.
    pub(crate) fn sample(&self, draws: &mut Draws) -> f64 {
        let (lo, hi) = self.numeric.bounds();
        loop {
            let component = draws.index(&self.weights);
            let z = self.mus[component] + self.sigmas[component] * draws.normal();
            if lo <= z && z < hi {
                return self.numeric.value(z);
            }
        }
    }

    /// Returns the logarithm of the density at x, or of the mass of x's step if there are steps. As in Hyperopt, the density on a
    /// logarithmic scale is not divided by the mass within the bounds, which is the same for all x.
    pub(crate) fn ln_density(&self, x: f64) -> f64 {
        match (self.numeric.q, self.numeric.log) {
            (None, false) => self.ln_sum(x, self.accepted),
            (None, true) => {
                let z = libm::log(x);
                self.ln_sum(z, 1.0) - z
            }
            (Some(_), _) => {
                let (below, above) = self.numeric.edges(x).expect("the kind has steps");
                let mass = self.sum(|mu, sigma| normal_cdf(above, mu, sigma) - normal_cdf(below, mu, sigma));
                libm::log(mass) - libm::log(self.accepted)
            }
        }
    }

    /// Returns the weighted sum of `f(mu, sigma)`.
    fn sum(&self, f: impl Fn(f64, f64) -> f64) -> f64 {
        let components = self.weights.iter().zip(&self.mus).zip(&self.sigmas);
        components.map(|((weight, mu), sigma)| weight * f(*mu, *sigma)).sum()
    }

    /// Returns ln(sum of weight * N(z; mu, sigma) / mass).
    fn ln_sum(&self, z: f64, mass: f64) -> f64 {
        let components = self.weights.iter().zip(&self.mus).zip(&self.sigmas);
        let terms: Vec<f64> = components
            .map(|((weight, mu), sigma)| {
                let distance = (z - mu) / sigma;
                let scale = libm::sqrt(2.0 * std::f64::consts::PI) * sigma;
                libm::log(weight / scale / mass) - 0.5 * distance * distance
            })
            .collect();
        let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        largest + libm::log(terms.iter().map(|term| libm::exp(term - largest)).sum())
    }
}
