//! A Gaussian process over the trials of a search, and the expected improvement under it.
//!
//! Equation numbers are those of Rasmussen and Williams, "Gaussian processes for machine learning", 2006.

use super::{
    columns::{Columns, padded},
    factor::Factor,
    kernels::{self, Block, LANES, OfObservations, dot},
    layout::Point,
    scales::Scales,
};
use crate::network::kernels::Isa;

/// A Gaussian process with mean 0, conditioned on observations.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    isa: Isa,
    known: Columns,
    values: Vec<f64>,
    scales: Scales,
    factor: Factor,
    /// (K + noise)^-1 * values
    weights: Vec<f64>,
}

/// What the model expects at a point: the mean and the variance of the function without noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Expected {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

/// The number of points whose variances are computed together.
pub(crate) const TOGETHER: usize = 8;

impl Model {
    /// Returns the model with these hyperparameters, or `None` if rounding makes its covariance indefinite. There is room for `more`
    /// observations.
    pub(crate) fn new(
        isa: Isa,
        ordered: &[bool],
        points: &[Point],
        values: Vec<f64>,
        scales: Scales,
        more: usize,
    ) -> Option<Self> {
        let n = points.len();
        let known = Columns::new(isa, ordered.to_vec(), points, more);
        let mut factor = Factor::with_room(isa, n + more);
        let mut row = vec![[0.0; LANES]; known.blocks()];
        let write = |i: usize, to: &mut [f64]| {
            known.squares(&points[i], &scales.factors, &mut row);
            kernels::covariances(isa, &mut row, scales.variance);
            to[i..].copy_from_slice(&row.as_flattened()[i..n]);
            to[i] += scales.noise + 1e-8;
        };
        if !factor.set(n, write) {
            return None;
        }
        let weights = factor.solve(&values);
        Some(Self { isa, known, values, scales, factor, weights })
    }

    /// Adds observations. Takes O(n^2) for each.
    pub(crate) fn observe(&mut self, point: &[f64], value: f64) {
        let mut covariances = vec![[0.0; LANES]; self.known.blocks()];
        self.covariances(point, &mut covariances);
        let own = self.scales.variance + self.scales.noise + 1e-8;
        self.factor.push(covariances.as_flattened(), own);
        self.known.push(point);
        self.values.push(value);
        self.weights = self.factor.solve(&self.values);
    }

    /// Returns the noise variance of an observation.
    pub(crate) fn noise(&self) -> f64 {
        self.scales.noise
    }

    fn covariances(&self, point: &[f64], to: &mut [Block]) {
        self.known.squares(point, &self.scales.factors, to);
        kernels::covariances(self.isa, to, self.scales.variance);
    }

    /// Returns the mean and the variance at each point (equations 2.25 and 2.26).
    pub(crate) fn expected<'p>(&self, points: impl IntoIterator<Item = &'p Point>) -> Vec<Expected> {
        let (n, blocks) = (self.known.n(), self.known.blocks());
        let mut covariances = vec![[0.0; LANES]; TOGETHER * blocks];
        let mut halves = covariances.clone();
        let mut expected = Vec::new();
        let mut points = points.into_iter().peekable();
        while points.peek().is_some() {
            let mut means = [0.0; TOGETHER];
            let mut together = 0;
            for (point, to) in points.by_ref().take(TOGETHER).zip(covariances.chunks_exact_mut(blocks)) {
                self.covariances(point, to);
                means[together] = dot(self.isa, &self.weights, to.as_flattened());
                together += 1;
            }
            self.factor.forward_all(&mut covariances[..together * blocks], &mut halves[..together * blocks]);
            for (mean, half) in means.into_iter().take(together).zip(halves.chunks_exact(blocks)) {
                let half = &half.as_flattened()[..n];
                let variance = (self.scales.variance - dot(self.isa, half, half)).max(1e-12);
                expected.push(Expected { mean, variance });
            }
        }
        expected
    }

    /// Returns what [`expected`](Self::expected) does, and the slopes of the mean and the variance along each of `axes`, which are
    /// ordered and active.
    pub(crate) fn slopes(&self, point: &[f64], axes: &[usize]) -> (Expected, Vec<(f64, f64)>) {
        let n = self.known.n();
        let mut covariances = vec![[0.0; LANES]; self.known.blocks()];
        let mut steps = covariances.clone();
        let Scales { factors, variance, .. } = &self.scales;
        self.known.squares(point, factors, &mut covariances);
        kernels::slopes(self.isa, &mut covariances, &mut steps, *variance, 2.0 * variance);
        let covariances = &covariances.as_flattened()[..n];
        let mean = dot(self.isa, covariances, &self.weights);
        let solved = self.factor.solve(covariances);
        let variance = (variance - dot(self.isa, covariances, &solved)).max(1e-12);
        let (point, factors): (Vec<Block>, Vec<Block>) = (padded(point).collect(), padded(factors).collect());
        let mut slopes = vec![([0.0; LANES], [0.0; LANES]); point.len()];
        let all = OfObservations { steps: steps.as_flattened(), weights: &self.weights, solved: &solved };
        // An inactive label is in the middle of its axis, at a distance.
        kernels::along(self.isa, self.known.rows(), &point, &factors, all, &mut slopes);
        let along = |axis: &usize| {
            let (of_mean, of_variance) = slopes[axis / LANES];
            (of_mean[axis % LANES], of_variance[axis % LANES])
        };
        (Expected { mean, variance }, axes.iter().map(along).collect())
    }
}

impl Expected {
    /// Returns the logarithm of the expected improvement over `least`, times the share of the deviation that an observation with this
    /// noise removes (Huang et al. 2006). Without that factor, trials repeat a point that noise made look good.
    pub(crate) fn ln_improvement(self, least: f64, noise: f64) -> f64 {
        let deviation = self.variance.sqrt();
        libm::log(deviation) + ln_improvement((least - self.mean) / deviation) + libm::log(self.removed(noise))
    }

    /// Returns the slope of [`ln_improvement`](Self::ln_improvement) along each axis, given the slopes of the mean and the variance.
    pub(crate) fn slopes(self, least: f64, noise: f64, slopes: &[(f64, f64)]) -> Vec<f64> {
        // ln EI = ln s + h(u) with u = (least - mean) / s.
        let deviation = self.variance.sqrt();
        let u = (least - self.mean) / deviation;
        let slope = slope_of_ln_improvement(u);
        let all = self.variance + noise;
        let of_noise = 0.5 * (noise / all).sqrt() / (all * self.removed(noise));
        let along = |(of_mean, of_variance): &(f64, f64)| {
            (-slope * of_mean + (1.0 - u * slope) * of_variance / (2.0 * deviation)) / deviation
                + of_noise * of_variance
        };
        slopes.iter().map(along).collect()
    }

    /// Returns 1 - sqrt(noise / (variance + noise)), in a form in which nothing cancels.
    fn removed(self, noise: f64) -> f64 {
        let all = self.variance + noise;
        self.variance / (all * (1.0 + (noise / all).sqrt()))
    }
}

/// Returns the slope of [`ln_improvement`].
fn slope_of_ln_improvement(u: f64) -> f64 {
    if u < -20.0 {
        return -u - 2.0 / u;
    }
    libm::exp(libm::log(0.5 * libm::erfc(-u / std::f64::consts::SQRT_2)) - ln_improvement(u))
}

/// Returns ln(phi(u) + u * Phi(u)). Far below 0, where rounding would leave nothing of the sum, it uses the expansion
/// phi(u) / u^2.
fn ln_improvement(u: f64) -> f64 {
    let ln_phi = -0.5 * u * u - 0.5 * libm::log(2.0 * std::f64::consts::PI);
    if u < -20.0 {
        return ln_phi - 2.0 * libm::log(-u);
    }
    let below = 0.5 * libm::erfc(-u / std::f64::consts::SQRT_2);
    libm::log(libm::exp(ln_phi) + u * below).max(-300.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Model {
        let points = [[0.1, 0.2], [0.8, 0.3], [0.4, 0.9], [0.55, 0.5]].map(|point| point.to_vec()).to_vec();
        let scales = Scales::new([4.0, 1.5, 1.3, 0.05].map(libm::log).to_vec());
        Model::new(Isa::detect(), &[true; 2], &points, vec![1.0, -0.5, 0.3, -0.8], scales, 1).unwrap()
    }

    /// The expected numbers were computed with NumPy, by an explicit inverse.
    #[test]
    fn predictions_agree_with_numpy() {
        let Expected { mean, variance } = small().expected(&[vec![0.6; 2]])[0];
        assert!((mean + 0.648_735_899_945_312_4).abs() < 1e-12, "{mean}");
        assert!((variance - 0.065_852_625_279_782_86).abs() < 1e-12, "{variance}");
    }

    #[test]
    fn slopes_agree_with_finite_differences() {
        let model = small();
        for point in [[0.6, 0.45], [0.05, 0.95]] {
            let (expected, slopes) = model.slopes(&point, &[0, 1]);
            let there = model.expected(&[point.to_vec()])[0];
            assert!((there.mean - expected.mean).abs() < 1e-12 && (there.variance - expected.variance).abs() < 1e-12);
            for (least, noise) in [(-0.7, 0.0), (-0.7, 0.05), (-3.0, 0.4), (-20.0, 1e-6)] {
                for (axis, slope) in expected.slopes(least, noise, &slopes).into_iter().enumerate() {
                    let moved = |by: f64| {
                        let mut point = point;
                        point[axis] += by;
                        model.expected(&[point.to_vec()])[0].ln_improvement(least, noise)
                    };
                    let difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                    assert!((slope - difference).abs() < 1e-4 * slope.abs().max(1.0), "{slope}: {difference}");
                }
            }
        }
    }

    /// Compares with the integral of max(0, u - t) under the normal density, in small steps.
    #[test]
    fn expected_improvement_agrees_with_its_integral() {
        for u in [-4.0, -1.0, 0.0, 0.7, 3.0] {
            let density = |t: f64| libm::exp(-0.5 * t * t) / libm::sqrt(2.0 * std::f64::consts::PI);
            let steps = (0..120_000).map(|i| -12.0 + (f64::from(i) + 0.5) * 2e-4);
            let integral: f64 = steps.map(|t| (u - t).max(0.0) * density(t) * 2e-4).sum();
            assert!((libm::exp(ln_improvement(u)) / integral - 1.0).abs() < 1e-5, "{u}");
        }
        // The expansion continues the formula.
        assert!((ln_improvement(-20.001) - ln_improvement(-19.999)).abs() < 0.1);
        assert!(ln_improvement(-30.0) > ln_improvement(-31.0));
    }

    #[test]
    fn what_is_known_up_to_the_noise_promises_less() {
        let sure = Expected { mean: 0.0, variance: 0.01 };
        let ln_share = |noise: f64| sure.ln_improvement(-0.1, noise) - sure.ln_improvement(-0.1, 0.0);
        assert!((ln_share(0.01) - libm::log(1.0 - 0.5_f64.sqrt())).abs() < 1e-12);
        assert!(ln_share(1e-12).abs() < 1e-4 && ln_share(100.0) < -9.0);
    }

    #[test]
    fn a_pending_trial_keeps_the_mean_and_lowers_the_variance() {
        let at = vec![0.65, 0.45];
        let mut model = small();
        let before = model.expected([&at])[0];
        model.observe(&at, before.mean);
        let after = model.expected([&at])[0];
        assert!((before.mean - after.mean).abs() < 0.05 && after.variance < 0.6 * before.variance);
    }
}
