//! The most probable hyperparameters of the covariance.

use super::{
    factor::{Factor, dot},
    layout::{Point, distance},
    scales::{Scales, matern},
};

/// The number of steps of the search for the hyperparameters.
const STEPS: usize = 12;
/// The number of steps that the approximation of the curvature remembers.
const MEMORY: usize = 6;

/// What the hyperparameters are fitted to.
pub(crate) struct Data<'a> {
    /// [label, pair of trials i > j]
    squares: Vec<Vec<f64>>,
    values: &'a [f64],
}

/// The logarithm of the marginal likelihood times the prior of the hyperparameters, and its gradient.
struct Evidence {
    density: f64,
    gradient: Vec<f64>,
}

impl<'a> Data<'a> {
    pub(crate) fn new(ordered: &[bool], points: &[Point], values: &'a [f64]) -> Self {
        let of_label = |(label, ordered): (usize, &bool)| {
            let row = |i: usize| points[..i].iter().map(move |b| distance(*ordered, points[i][label], b[label]));
            (0..points.len()).flat_map(row).collect()
        };
        Self { squares: ordered.iter().enumerate().map(of_label).collect(), values }
    }

    /// Returns the evidence (equations 2.30 and 5.9), or `None` if the covariance is not positive definite.
    fn evidence(&self, scales: &Scales) -> Option<Evidence> {
        let n = self.values.len();
        let Scales { factors, variance, noise, .. } = scales;
        let n_labels = factors.len();
        // Of each pair of trials: the scaled distance, which the covariance replaces, and the slope of the covariance.
        let mut covariances = vec![0.0; n * n.saturating_sub(1) / 2];
        for (squares, factor) in self.squares.iter().zip(factors) {
            covariances.iter_mut().zip(squares).for_each(|(sum, square)| *sum += factor * square);
        }
        let mut slopes = vec![0.0; covariances.len()];
        for (square, slope) in covariances.iter_mut().zip(&mut slopes) {
            let (value, of_value) = matern(*square);
            (*square, *slope) = (variance * value, variance * of_value);
        }
        let mut matrix = vec![0.0; n * n];
        let mut pairs = covariances.iter();
        for i in 0..n {
            for (j, covariance) in (0..i).zip(&mut pairs) {
                matrix[j * n + i] = *covariance;
            }
            matrix[i * n + i] = variance + noise + 1e-8;
        }
        let factor = Factor::new(n, &matrix, 0)?;
        let weights = factor.solve(self.values.to_vec());
        let fit: f64 = self.values.iter().zip(&weights).map(|(y, w)| y * w).sum();
        let (prior, mut gradient) = scales.prior();
        let density = prior - 0.5 * fit - 0.5 * factor.ln_determinant();
        // d ln p / d theta = 1/2 tr((w w^T - A^-1) dK / d theta)
        let inverse = factor.inverse();
        let mut outer = Vec::with_capacity(covariances.len());
        for i in 0..n {
            outer.extend((0..i).map(|j| weights[i] * weights[j] - inverse[i * n + j]));
            let own = 0.5 * (weights[i] * weights[i] - inverse[i * n + i]);
            gradient[n_labels] += own * variance;
            gradient[n_labels + 1] += own * noise;
        }
        gradient[n_labels] += dot(&outer, &covariances);
        slopes.iter_mut().zip(&outer).for_each(|(slope, outer)| *slope *= outer);
        for ((slope, squares), factor) in gradient.iter_mut().zip(&self.squares).zip(factors) {
            *slope += factor * dot(&slopes, squares);
        }
        Some(Evidence { density, gradient })
    }

    /// Returns the most probable hyperparameters that a few steps of L-BFGS find from `start` (Nocedal and Wright, "Numerical
    /// optimization", 2006, algorithm 7.4).
    pub(crate) fn fitted(&self, start: Scales) -> Scales {
        let mut scales = start;
        let Some(mut found) = self.evidence(&scales) else { return scales };
        let mut memory: Vec<(Vec<f64>, Vec<f64>, f64)> = Vec::new();
        for _ in 0..STEPS {
            let direction = ascent(&found.gradient, &memory);
            let slope: f64 = direction.iter().zip(&found.gradient).map(|(d, g)| d * g).sum();
            let longest = direction.iter().fold(0.0, |most: f64, d| most.max(d.abs()));
            if slope.is_nan() || slope <= 1e-6 {
                break;
            }
            let mut length = if memory.is_empty() { (0.5 / longest).min(1.0) } else { (2.0 / longest).min(1.0) };
            let mut taken = None;
            for _ in 0..8 {
                let ln = scales.ln.iter().zip(&direction).map(|(x, d)| (x + length * d).clamp(-14.0, 8.0)).collect();
                let next = Scales::new(ln);
                let evidence = self.evidence(&next).filter(|next| next.density > found.density + 1e-4 * length * slope);
                if let Some(evidence) = evidence {
                    taken = Some((next, evidence));
                    break;
                }
                length *= 0.35;
            }
            let Some((next, evidence)) = taken else { break };
            let step: Vec<f64> = next.ln.iter().zip(&scales.ln).map(|(a, b)| a - b).collect();
            // Of the function that is minimised.
            let change: Vec<f64> = found.gradient.iter().zip(&evidence.gradient).map(|(a, b)| a - b).collect();
            let curvature: f64 = step.iter().zip(&change).map(|(s, y)| s * y).sum();
            if curvature > 1e-10 {
                memory.push((step, change, curvature));
                if memory.len() > MEMORY {
                    memory.remove(0);
                }
            }
            let gained = evidence.density - found.density;
            (scales, found) = (next, evidence);
            if gained < 1e-3 {
                break;
            }
        }
        scales
    }
}

/// Returns the direction of ascent: the gradient times the approximate inverse curvature.
fn ascent(gradient: &[f64], memory: &[(Vec<f64>, Vec<f64>, f64)]) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut direction = gradient.to_vec();
    let mut shares = Vec::new();
    for (step, change, curvature) in memory.iter().rev() {
        let share = dot(step, &direction) / curvature;
        direction.iter_mut().zip(change).for_each(|(d, y)| *d -= share * y);
        shares.push(share);
    }
    if let Some((_, change, curvature)) = memory.last() {
        let scale = curvature / dot(change, change);
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for ((step, change, curvature), share) in memory.iter().zip(shares.iter().rev()) {
        let back = dot(change, &direction) / curvature;
        direction.iter_mut().zip(step).for_each(|(d, s)| *d += (share - back) * s);
    }
    direction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> (Vec<Point>, Vec<f64>, Scales) {
        let points = [[0.1, 0.2], [0.8, 0.3], [0.4, 0.9], [0.55, 0.5]];
        let scales = Scales::new([4.0, 1.5, 1.3, 0.05].map(libm::log).to_vec());
        (points.map(|point| point.to_vec()).to_vec(), vec![1.0, -0.5, 0.3, -0.8], scales)
    }

    /// The expected number was computed with NumPy, by an explicit inverse.
    #[test]
    fn the_evidence_agrees_with_numpy_and_its_gradient_with_finite_differences() {
        let (points, values, scales) = small();
        let data = Data::new(&[true; 2], &points, &values);
        let at = |ln: Vec<f64>| data.evidence(&Scales::new(ln)).unwrap();
        let found = at(scales.ln.clone());
        let likelihood = found.density - scales.prior().0;
        assert!((likelihood + 1.478_909_960_570_592_2).abs() < 1e-12, "{likelihood}");
        for (i, slope) in found.gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut ln = scales.ln.clone();
                ln[i] += by;
                at(ln).density
            };
            let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slope - difference).abs() < 1e-6, "{i}: {slope} instead of {difference}");
        }
    }

    #[test]
    fn the_fit_ends_where_the_gradient_is_zero() {
        let (points, values, _) = small();
        let data = Data::new(&[true; 2], &points, &values);
        let fitted = data.fitted(Scales::start(2));
        let found = data.evidence(&fitted).unwrap();
        assert!(found.gradient.iter().all(|slope| slope.abs() < 0.05), "{:?}", found.gradient);
        assert!(found.density > data.evidence(&Scales::start(2)).unwrap().density);
    }
}
