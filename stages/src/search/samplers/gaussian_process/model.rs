//! A Gaussian process over the trials of a search, and the expected improvement under it.
//!
//! Equation numbers are those of Rasmussen and Williams, "Gaussian processes for machine learning", 2006.

use super::{
    factor::{Factor, dot},
    layout::{Point, distance},
    scales::{Scales, matern},
};

/// A Gaussian process with mean 0, conditioned on observations.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    ordered: Vec<bool>,
    points: Vec<Point>,
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

impl Model {
    /// Returns the model with these hyperparameters, or `None` if rounding makes its covariance indefinite. There is room for `more`
    /// observations.
    pub(crate) fn new(
        ordered: Vec<bool>,
        points: Vec<Point>,
        values: Vec<f64>,
        scales: Scales,
        more: usize,
    ) -> Option<Self> {
        let n = points.len();
        let mut matrix = vec![0.0; n * n];
        for (i, a) in points.iter().enumerate() {
            for (j, b) in points.iter().enumerate().skip(i) {
                let noise = if i == j { scales.noise + 1e-8 } else { 0.0 };
                matrix[i * n + j] = scales.variance * matern(square(&ordered, &scales, a, b)).0 + noise;
            }
        }
        let factor = Factor::new(n, &matrix, more)?;
        let weights = factor.solve(values.clone());
        Some(Self { ordered, points, values, scales, factor, weights })
    }

    /// Adds observations. Takes O(n^2) for each.
    pub(crate) fn observe(&mut self, point: Point, value: f64) {
        let covariances = self.covariances(&point);
        self.factor.push(covariances, self.scales.variance + self.scales.noise + 1e-8);
        self.points.push(point);
        self.values.push(value);
        self.weights = self.factor.solve(self.values.clone());
    }

    /// Returns the noise variance of an observation.
    pub(crate) fn noise(&self) -> f64 {
        self.scales.noise
    }

    fn covariances(&self, point: &[f64]) -> Vec<f64> {
        let mut covariances = self.squares(point);
        covariances.iter_mut().for_each(|square| *square = self.scales.variance * matern(*square).0);
        covariances
    }

    /// Returns the squared distances of the observations from a point, scaled.
    fn squares(&self, point: &[f64]) -> Vec<f64> {
        self.points.iter().map(|known| square(&self.ordered, &self.scales, known, point)).collect()
    }

    /// Returns the mean and the variance at a point (equations 2.25 and 2.26).
    pub(crate) fn expected(&self, point: &[f64]) -> Expected {
        let covariances = self.covariances(point);
        let mean = dot(&covariances, &self.weights);
        let half = self.factor.forward(covariances);
        Expected { mean, variance: (self.scales.variance - dot(&half, &half)).max(1e-12) }
    }

    /// Returns what [`expected`](Self::expected) does, and the slopes of the mean and the variance along each of `axes`, which are
    /// ordered and active.
    pub(crate) fn slopes(&self, point: &[f64], axes: &[usize]) -> (Expected, Vec<(f64, f64)>) {
        let mut covariances = self.squares(point);
        let mut steps = vec![0.0; covariances.len()];
        for (square, step) in covariances.iter_mut().zip(&mut steps) {
            let (value, slope) = matern(*square);
            (*square, *step) = (self.scales.variance * value, 2.0 * self.scales.variance * slope);
        }
        let mean = dot(&covariances, &self.weights);
        let solved = self.factor.solve(covariances.clone());
        let variance = (self.scales.variance - dot(&covariances, &solved)).max(1e-12);
        let along = |axis: &usize| {
            let factor = self.scales.factors[*axis];
            let (mut of_mean, mut of_variance) = (0.0, 0.0);
            for (i, known) in self.points.iter().enumerate() {
                // An inactive label is in the middle of its axis, at a distance.
                let other = if known[*axis].is_nan() { 0.5 } else { known[*axis] };
                let slope = steps[i] * factor * (point[*axis] - other);
                of_mean += slope * self.weights[i];
                of_variance -= 2.0 * slope * solved[i];
            }
            (of_mean, of_variance)
        };
        (Expected { mean, variance }, axes.iter().map(along).collect())
    }
}

/// Returns the squared distance of two points, scaled.
fn square(ordered: &[bool], scales: &Scales, a: &[f64], b: &[f64]) -> f64 {
    let labels = ordered.iter().zip(&scales.factors).zip(a.iter().zip(b));
    labels.map(|((ordered, factor), (a, b))| factor * distance(*ordered, *a, *b)).sum()
}

impl Expected {
    /// Returns the logarithm of the expected improvement over `least`, times the share of the deviation that an observation with this
    /// noise removes (Huang et al. 2006). Without that factor, trials repeat a point that noise made look good.
    pub(crate) fn ln_improvement(self, least: f64, noise: f64) -> f64 {
        let deviation = self.variance.sqrt();
        libm::log(deviation) + ln_improvement((least - self.mean) / deviation) + libm::log(self.removed(noise))
    }

    /// Returns the slope of [`ln_improvement`](Self::ln_improvement), given the slopes of the mean and the variance.
    pub(crate) fn slope(self, least: f64, noise: f64, (of_mean, of_variance): (f64, f64)) -> f64 {
        // ln EI = ln s + h(u) with u = (least - mean) / s.
        let deviation = self.variance.sqrt();
        let u = (least - self.mean) / deviation;
        let slope = slope_of_ln_improvement(u);
        let of_improvement = (-slope * of_mean + (1.0 - u * slope) * of_variance / (2.0 * deviation)) / deviation;
        let all = self.variance + noise;
        of_improvement + 0.5 * (noise / all).sqrt() / (all * self.removed(noise)) * of_variance
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
        Model::new(vec![true; 2], points, vec![1.0, -0.5, 0.3, -0.8], scales, 1).unwrap()
    }

    /// The expected numbers were computed with NumPy, by an explicit inverse.
    #[test]
    fn predictions_agree_with_numpy() {
        let Expected { mean, variance } = small().expected(&[0.6; 2]);
        assert!((mean + 0.648_735_899_945_312_4).abs() < 1e-12, "{mean}");
        assert!((variance - 0.065_852_625_279_782_86).abs() < 1e-12, "{variance}");
    }

    #[test]
    fn slopes_agree_with_finite_differences() {
        let model = small();
        for point in [[0.6, 0.45], [0.05, 0.95]] {
            let (expected, slopes) = model.slopes(&point, &[0, 1]);
            let there = model.expected(&point);
            assert!((there.mean - expected.mean).abs() < 1e-12 && (there.variance - expected.variance).abs() < 1e-12);
            for (least, noise) in [(-0.7, 0.0), (-0.7, 0.05), (-3.0, 0.4), (-20.0, 1e-6)] {
                for (axis, slopes) in slopes.iter().enumerate() {
                    let moved = |by: f64| {
                        let mut point = point;
                        point[axis] += by;
                        model.expected(&point).ln_improvement(least, noise)
                    };
                    let difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                    let slope = expected.slope(least, noise, *slopes);
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
        let before = model.expected(&at);
        model.observe(at.clone(), before.mean);
        let after = model.expected(&at);
        assert!((before.mean - after.mean).abs() < 0.05 && after.variance < 0.6 * before.variance);
    }
}
