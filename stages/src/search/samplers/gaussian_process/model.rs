//! A Gaussian process over the trials of a search, and the expected improvement under it.
//!
//! Equation numbers are those of Rasmussen and Williams, "Gaussian processes for machine learning", 2006.

use super::{
    super::cholesky::Cholesky,
    layout::{Point, distances},
};

/// The number of steps of the search for the hyperparameters.
const STEPS: usize = 40;

/// The hyperparameters of the covariance.
#[derive(Debug, Clone, PartialEq)]
struct Scales {
    /// The logarithms of the other fields, which are searched.
    ln: Vec<f64>,
    /// 1 / length scale^2 for each label.
    factors: Vec<f64>,
    /// The signal variance.
    variance: f64,
    /// The noise variance.
    noise: f64,
}

impl Scales {
    fn new(ln: Vec<f64>) -> Self {
        let n_labels = ln.len() - 2;
        let factors = ln[..n_labels].iter().map(|ln| libm::exp(*ln)).collect();
        let (variance, noise) = (libm::exp(ln[n_labels]), libm::exp(ln[n_labels + 1]));
        Self { ln, factors, variance, noise }
    }

    /// Returns the mean of the prior, at which the search starts. The noise is small. Length scales grow with the number of
    /// labels, so that the typical distance of two trials does not.
    fn start(n_labels: usize) -> Self {
        let mut ln = vec![-libm::log(0.25 * n_labels as f64); n_labels];
        ln.extend([0.0, libm::log(1e-2)]);
        Self::new(ln)
    }

    /// Returns the logarithm of the prior density, up to a constant, and its gradient. The prior is a normal distribution around
    /// the start.
    fn prior(&self) -> (f64, Vec<f64>) {
        let n = self.ln.len();
        let start = Self::start(n - 2).ln;
        let width = |i: usize| {
            if i == n - 1 {
                2.0
            } else if i == n - 2 {
                1.0
            } else {
                1.5
            }
        };
        let off = |i: usize| (self.ln[i] - start[i]) / width(i);
        let density = (0..n).map(|i| -0.5 * off(i) * off(i)).sum();
        (density, (0..n).map(|i| -off(i) / width(i)).collect())
    }

    /// Returns the covariance of two trials, given their squared distance in each label.
    fn covariance(&self, squares: impl Iterator<Item = f64>) -> f64 {
        let square = squares.zip(&self.factors).map(|(square, factor)| square * factor).sum();
        self.variance * matern(square).0
    }
}

/// Returns the Matern covariance with nu = 5/2 (equation 4.17) for a squared distance, and its derivative with respect to the
/// squared distance.
fn matern(square: f64) -> (f64, f64) {
    let s = (5.0 * square).sqrt();
    let decay = libm::exp(-s);
    ((1.0 + s + s * s / 3.0) * decay, -5.0 / 6.0 * (1.0 + s) * decay)
}

/// A Gaussian process with mean 0, conditioned on observations.
pub(crate) struct Model {
    points: Vec<Point>,
    values: Vec<f64>,
    scales: Scales,
    factor: Cholesky,
    /// (K + noise)^-1 * values
    weights: Vec<f64>,
}

impl Model {
    fn new(points: Vec<Point>, values: Vec<f64>, scales: Scales) -> Option<Self> {
        let noise = scales.noise + 1e-8;
        let entry = |i: usize, j: usize| {
            scales.covariance(distances(&points[i], &points[j])) + if i == j { noise } else { 0.0 }
        };
        let factor = Cholesky::new(points.len(), entry)?;
        let weights = factor.solve(&values);
        Some(Self { points, values, scales, factor, weights })
    }

    /// Returns the model with the most probable hyperparameters that a few steps of Rprop find (Riedmiller and Braun, 1993). Each
    /// hyperparameter has its own step size, which grows while the gradient keeps its sign and shrinks when the sign changes.
    pub(crate) fn fitted(n_labels: usize, points: Vec<Point>, values: Vec<f64>) -> Self {
        // Pair of trials -> label -> squared distance.
        let squares: Vec<Vec<f64>> = (0..points.len())
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|(i, j)| distances(&points[i], &points[j]).collect())
            .collect();
        let start = Scales::start(n_labels);
        let mut model = Self::new(points, values, start).expect("the noise keeps the covariance positive definite");
        let mut greatest = model.evidence(&squares);
        let mut steps = vec![0.3; n_labels + 2];
        let mut ln = model.scales.ln.clone();
        let mut gradient = greatest.1.clone();
        for _ in 0..STEPS {
            for (ln, (slope, step)) in ln.iter_mut().zip(gradient.iter().zip(&steps)) {
                *ln += if *slope > 0.0 { *step } else { -step };
                *ln = ln.clamp(-12.0, 8.0);
            }
            let Some(next) = Self::new(model.points.clone(), model.values.clone(), Scales::new(ln.clone())) else {
                break;
            };
            let evidence = next.evidence(&squares);
            for (step, (before, now)) in steps.iter_mut().zip(gradient.iter().zip(&evidence.1)) {
                *step = if before * now > 0.0 { (*step * 1.2).min(1.0) } else { (*step * 0.5).max(1e-3) };
            }
            gradient.clone_from(&evidence.1);
            if evidence.0 > greatest.0 {
                (model, greatest) = (next, evidence);
            }
        }
        model
    }

    /// Returns the logarithm of the marginal likelihood times the prior of the hyperparameters, and its gradient (equations 2.30
    /// and 5.9). `squares` has the squared distances of each pair of trials, one for each label.
    fn evidence(&self, squares: &[Vec<f64>]) -> (f64, Vec<f64>) {
        let Scales { factors, variance, noise, .. } = &self.scales;
        let fit: f64 = self.values.iter().zip(&self.weights).map(|(y, w)| y * w).sum();
        let (prior, mut gradient) = self.scales.prior();
        let density = prior - 0.5 * fit - 0.5 * self.factor.ln_determinant();
        // d ln p / d theta = 1/2 tr((w w^T - A^-1) dK / d theta)
        let inverse = self.factor.inverse();
        let n_labels = factors.len();
        let mut pair = squares.iter();
        for (i, row) in inverse.iter().enumerate() {
            for (j, entry) in row[..i].iter().enumerate() {
                let square = pair.next().expect("there are distances for each pair");
                let outer = self.weights[i] * self.weights[j] - entry;
                let (value, slope) = matern(square.iter().zip(factors).map(|(square, factor)| square * factor).sum());
                for ((sum, square), factor) in gradient.iter_mut().zip(square).zip(factors) {
                    *sum += outer * variance * slope * square * factor;
                }
                gradient[n_labels] += outer * variance * value;
            }
            let own = 0.5 * (self.weights[i] * self.weights[i] - row[i]);
            gradient[n_labels] += own * variance;
            gradient[n_labels + 1] += own * noise;
        }
        (density, gradient)
    }

    /// Returns the model with these trials added, each with the value that the model predicts for it.
    pub(crate) fn with_pending(self, pending: &[Point]) -> Self {
        if pending.is_empty() {
            return self;
        }
        let expected: Vec<f64> = pending.iter().map(|point| self.predict(point).0).collect();
        let points = self.points.iter().chain(pending).cloned().collect();
        let values = self.values.iter().copied().chain(expected).collect();
        Self::new(points, values, self.scales.clone()).unwrap_or(self)
    }

    /// Returns the mean and the variance of the function without noise at a point (equations 2.25 and 2.26).
    fn predict(&self, point: &Point) -> (f64, f64) {
        let k: Vec<f64> = self.points.iter().map(|known| self.scales.covariance(distances(known, point))).collect();
        let mean = k.iter().zip(&self.weights).map(|(k, w)| k * w).sum();
        let known: f64 = self.factor.forward(&k).iter().map(|v| v * v).sum();
        (mean, (self.scales.variance - known).max(1e-12))
    }

    /// Returns the logarithm of the expected improvement over `least`.
    pub(crate) fn ln_expected_improvement(&self, point: &Point, least: f64) -> f64 {
        let (mean, variance) = self.predict(point);
        let deviation = variance.sqrt();
        libm::log(deviation) + ln_improvement((least - mean) / deviation)
    }
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
    use super::{super::layout::Coordinate, *};

    fn small() -> (Vec<Point>, Vec<f64>, Scales) {
        let points = [[0.1, 0.2], [0.8, 0.3], [0.4, 0.9], [0.55, 0.5]];
        let scales = Scales::new([4.0, 1.5, 1.3, 0.05].map(libm::log).to_vec());
        (
            points.map(|point| point.map(|x| Some(Coordinate::At(x))).to_vec()).to_vec(),
            vec![1.0, -0.5, 0.3, -0.8],
            scales,
        )
    }

    fn squares(points: &[Point]) -> Vec<Vec<f64>> {
        let pairs = (0..points.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        pairs.map(|(i, j)| distances(&points[i], &points[j]).collect()).collect()
    }

    /// The expected numbers were computed with NumPy, by an explicit inverse.
    #[test]
    fn predictions_agree_with_numpy() {
        let (points, values, scales) = small();
        let model = Model::new(points, values, scales).unwrap();
        let (mean, variance) = model.predict(&vec![Some(Coordinate::At(0.6)); 2]);
        assert!((mean + 0.648_735_899_945_312_4).abs() < 1e-12, "{mean}");
        assert!((variance - 0.065_852_625_279_782_86).abs() < 1e-12, "{variance}");
        let evidence = model.evidence(&squares(&model.points)).0 - model.scales.prior().0;
        assert!((evidence + 1.478_909_960_570_592_2).abs() < 1e-12, "{evidence}");
    }

    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        let (points, values, scales) = small();
        let squares = squares(&points);
        let at = |ln: Vec<f64>| Model::new(points.clone(), values.clone(), Scales::new(ln)).unwrap().evidence(&squares);
        let gradient = at(scales.ln.clone()).1;
        for (i, slope) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut ln = scales.ln.clone();
                ln[i] += by;
                at(ln).0
            };
            let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slope - difference).abs() < 1e-6, "{i}: {slope} instead of {difference}");
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
    fn a_pending_trial_keeps_the_mean_and_lowers_the_variance() {
        let (points, values, scales) = small();
        let at = vec![Some(Coordinate::At(0.65)), Some(Coordinate::At(0.45))];
        let model = || Model::new(points.clone(), values.clone(), scales.clone()).unwrap();
        let (mean, variance) = model().predict(&at);
        let (same, less) = model().with_pending(std::slice::from_ref(&at)).predict(&at);
        assert!((mean - same).abs() < 0.05 && less < 0.6 * variance, "{mean} {same}, {variance} {less}");
    }
}
