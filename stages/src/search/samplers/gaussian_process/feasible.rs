//! Where trials fail: a Gaussian process of its own, over all trials, of whether they failed. A trial at a point fails if the process is
//! below the middle of the two values there.

use super::{
    fit::Data,
    layout::Point,
    model::{Expected, Model},
    scales::Scales,
};
use crate::network::kernels::Isa;

/// The probability that a trial does not fail.
pub(crate) struct Feasible {
    /// How far the mean of the values is above their middle, in units of their deviation.
    above: f64,
    noise: f64,
    model: Model,
}

impl Feasible {
    /// Returns the model of the trials at `points`, or `None` if none of them or all of them failed.
    pub(crate) fn new(isa: Isa, ordered: &[bool], points: &[Point], failed: &[bool]) -> Option<Self> {
        let n = points.len() as f64;
        let share = failed.iter().filter(|failed| !**failed).count() as f64 / n;
        if share == 0.0 || share == 1.0 {
            return None;
        }
        let deviation = (share * (1.0 - share)).sqrt();
        let value = |failed: &bool| (if *failed { 0.0 } else { 1.0 } - share) / deviation;
        let values: Vec<f64> = failed.iter().map(value).collect();
        let scales = Data::new(isa, ordered, points, &values).fitted(Scales::start(ordered.len()));
        let noise = scales.noise;
        let model = Model::new(isa, ordered, points, values, scales, 0)?;
        Some(Self { above: (share - 0.5) / deviation, noise, model })
    }

    /// Returns the logarithm of the probability at each point.
    pub(crate) fn ln_probabilities(&self, points: &[Point]) -> Vec<f64> {
        let expected = self.model.expected(points).into_iter();
        expected.map(|expected| ln_below(self.distance(expected).0)).collect()
    }

    /// Returns the logarithm, and its slope along each of `axes`.
    pub(crate) fn slopes(&self, point: &[f64], axes: &[usize]) -> (f64, Vec<f64>) {
        let (expected, slopes) = self.model.slopes(point, axes);
        let (u, deviation) = self.distance(expected);
        let ln = ln_below(u);
        let density = libm::exp(-0.5 * u * u - 0.5 * libm::log(2.0 * std::f64::consts::PI) - ln);
        let slope =
            |(of_mean, of_variance): (f64, f64)| density * (of_mean - u * of_variance / (2.0 * deviation)) / deviation;
        (ln, slopes.into_iter().map(slope).collect())
    }

    /// Returns how far the mean is above the middle, in deviations, and the deviation.
    fn distance(&self, expected: Expected) -> (f64, f64) {
        let deviation = (expected.variance + self.noise).sqrt();
        (((expected.mean + self.above) / deviation).max(-30.0), deviation)
    }
}

/// Returns the logarithm of the standard normal distribution function.
fn ln_below(u: f64) -> f64 {
    libm::log(0.5 * libm::erfc(-u / std::f64::consts::SQRT_2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trials fail above 0.6 on the first axis.
    fn model() -> Feasible {
        let spread = |i: u32, by: f64| (f64::from(i) * by).fract();
        let points: Vec<Point> = (0..40).map(|i| vec![spread(i, 0.618), spread(i, 0.755)]).collect();
        let failed: Vec<bool> = points.iter().map(|point| point[0] > 0.6).collect();
        Feasible::new(Isa::detect(), &[true; 2], &points, &failed).unwrap()
    }

    #[test]
    fn trials_fail_where_others_did() {
        let probability = |x: f64, y: f64| libm::exp(model().ln_probabilities(&[vec![x, y]])[0]);
        assert!(probability(0.2, 0.5) > 0.95 && probability(0.95, 0.5) < 0.05);
        assert!(Feasible::new(Isa::detect(), &[true], &[vec![0.5]], &[true]).is_none());
    }

    #[test]
    fn slopes_agree_with_finite_differences() {
        let model = model();
        let (ln, slopes) = model.slopes(&[0.63, 0.33], &[0, 1]);
        let at = |x: f64, y: f64| model.ln_probabilities(&[vec![0.63 + x, 0.33 + y]])[0];
        assert!((ln - at(0.0, 0.0)).abs() < 1e-9);
        let difference = |x: f64, y: f64| (at(x, y) - at(-x, -y)) / 2e-5;
        for (slope, difference) in slopes.iter().zip([difference(1e-5, 0.0), difference(0.0, 1e-5)]) {
            assert!((slope - difference).abs() < 1e-4, "{slope}: {difference}");
        }
    }
}
