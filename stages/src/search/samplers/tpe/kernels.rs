//! The kernels of a label. A kernel is what one trial contributes to the density of a mixture.

use super::super::{
    draws::{self, Draws},
    normal::normal_cdf,
};
use crate::search::spaces::{Axis, Kind, Numeric, Shape};

/// The least density. Smaller ones are raised to it.
const TINY: f64 = 1e-300;

/// The kernels of one label: one for each trial, or `None` if the label is not active in the trial.
pub(crate) enum Kernels {
    Numeric {
        numeric: Numeric,
        normals: Vec<Option<Normal>>,
    },
    Options {
        prior: Vec<f64>,
        observed: Vec<Option<usize>>,
        /// The share of a kernel's mass that is spread like the prior. The rest is at the observed option.
        smoothing: f64,
    },
}

/// A normal kernel over z, truncated to the label's bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Normal {
    mu: f64,
    sigma: f64,
    /// The mass within the bounds, before truncation.
    mass: f64,
    /// The logarithm of the density at mu.
    ln_peak: f64,
}

impl Kernels {
    /// Returns the kernels around the coordinates `observed`, one for each trial.
    pub(crate) fn new(kind: &Kind, observed: &[Option<f64>]) -> Self {
        match kind.axis() {
            Axis::Options(prior) => {
                // Each option has a pseudo-count of 1 / (n + 1). The observed option has 1 more.
                let n_observed = observed.iter().flatten().count() as f64;
                let pseudo = prior.len() as f64 / (n_observed + 1.0);
                let observed = observed.iter().map(|x| x.map(|x| x as usize)).collect();
                Self::Options { prior, observed, smoothing: pseudo / (1.0 + pseudo) }
            }
            Axis::Numeric(numeric) => {
                let (lo, hi) = numeric.bounds();
                let z = |x: &Option<f64>| x.map(|x| numeric.z(x).clamp(lo, hi));
                let zs: Vec<Option<f64>> = observed.iter().map(z).collect();
                let normals = bandwidths(&numeric, &zs).into_iter().zip(&zs);
                let normal = |(sigma, mu): (f64, &Option<f64>)| mu.map(|mu| Normal::new(mu, sigma, lo, hi));
                Self::Numeric { numeric, normals: normals.map(normal).collect() }
            }
        }
    }

    /// Returns a coordinate drawn from the kernel of `component`.
    pub(crate) fn draw(&self, kind: &Kind, component: usize, draws: &mut Draws) -> f64 {
        match self {
            Self::Numeric { numeric, normals } => {
                let Some(normal) = normals.get(component).copied().flatten() else { return draws::prior(kind, draws) };
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
                _ => draws::prior(kind, draws),
            },
        }
    }

    /// Returns the log-densities of `n` components at `x`. The last component is the prior.
    pub(crate) fn ln_densities(&self, x: f64, n: usize) -> Vec<f64> {
        match self {
            Self::Numeric { numeric, normals } => {
                let (z, edges) = (numeric.z(x), numeric.edges(x));
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

    /// Returns the logarithm of the density at z, or of the mass between the `edges` of a step.
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

/// Returns the bandwidth of the kernel around each z: the larger of the gaps to its two neighbours. The outermost values use the
/// gap to their only neighbour, and a single value uses the distance to the farther bound. The result is clamped to between
/// R / min(100, n + 2) and R, where R is the range of the prior and n the number of values.
fn bandwidths(numeric: &Numeric, zs: &[Option<f64>]) -> Vec<f64> {
    let (middle, range) = numeric.prior();
    let (first, last) = match numeric.bounds() {
        (lo, hi) if lo.is_finite() => (lo, hi),
        // A normal prior has no bounds. Nearly all of its mass is within three standard deviations.
        _ => (middle - 3.0 * range, middle + 3.0 * range),
    };
    let mut sorted: Vec<(f64, usize)> = zs.iter().enumerate().filter_map(|(i, z)| Some(((*z)?, i))).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let n = sorted.len();
    let narrowest = range / (n as f64 + 2.0).min(100.0);
    let mut bandwidths = vec![range; zs.len()];
    for (i, (z, trial)) in sorted.iter().enumerate() {
        let left = z - if i > 0 { sorted[i - 1].0 } else { first };
        let right = if i + 1 < n { sorted[i + 1].0 } else { last } - z;
        let gap = match i {
            0 if n > 1 => right,
            i if n > 1 && i == n - 1 => left,
            _ => left.max(right),
        };
        bandwidths[*trial] = gap.max(narrowest).min(range);
    }
    bandwidths
}

/// Returns the logarithm of the prior density at z, or of the prior mass between the `edges` of a step.
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
    use super::*;

    #[test]
    fn bandwidths_are_the_gaps_to_the_neighbours() {
        let unit =
            Numeric { shape: Shape::Uniform { lo: 0.0, hi: 1.0 }, log: false, q: None, whole: false, range: None };
        let check = |zs: &[f64], expected: &[f64]| {
            let zs: Vec<_> = zs.iter().copied().map(Some).collect();
            let found = bandwidths(&unit, &zs);
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        };
        check(&[0.3], &[0.7]);
        // The bandwidths of the outermost values are their only gaps, but at least a fifth of the range.
        check(&[0.7, 0.1, 0.15], &[0.55, 0.2, 0.55]);
        check(&[0.5; 4], &[1.0 / 6.0; 4]);
    }
}
