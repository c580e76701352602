//! The most probable hyperparameters of the covariance.

use super::{
    columns::Columns,
    factor::Factor,
    kernels::{self, Block, LANES},
    layout::Point,
    scales::Scales,
};
use crate::network::kernels::Isa;

/// The number of steps of the search for the hyperparameters.
const STEPS: usize = 12;
/// The number of steps that the approximation of the curvature remembers.
const MEMORY: usize = 6;

/// What the hyperparameters are fitted to.
pub(crate) struct Data<'a> {
    isa: Isa,
    /// `[label, blocks]`, of all pairs of trials i > j.
    squares: Vec<Block>,
    values: &'a [f64],
}

/// What is known at some hyperparameters, in memory that is used again.
struct Work {
    /// Of each pair: the scaled distance, which the covariance replaces.
    covariances: Vec<Block>,
    /// The slopes of the covariances with respect to the distance.
    slopes: Vec<Block>,
    factor: Factor,
    weights: Vec<f64>,
    lower: Vec<Block>,
    inverse: Vec<Block>,
}

impl<'a> Data<'a> {
    pub(crate) fn new(isa: Isa, ordered: &[bool], points: &[Point], values: &'a [f64]) -> Self {
        let squares = Columns::new(isa, ordered.to_vec(), points, 0).pairs(points);
        Self { isa, squares, values }
    }

    fn n_pairs(&self) -> usize {
        self.values.len() * self.values.len().saturating_sub(1) / 2
    }

    fn work(&self) -> Work {
        let empty = |n: usize| vec![[0.0; LANES]; n];
        let (n, pairs) = (self.values.len(), self.n_pairs().div_ceil(LANES));
        let factor = Factor::with_room(self.isa, n);
        let (lower, inverse) = (empty(n * factor.blocks()), empty(n * factor.blocks()));
        Work { covariances: empty(pairs), slopes: empty(pairs), factor, weights: Vec::new(), lower, inverse }
    }

    /// Returns the logarithm of the marginal likelihood (equation 2.30) times the prior of the hyperparameters, or `None` if the
    /// covariance is not positive definite.
    fn density(&self, scales: &Scales, work: &mut Work) -> Option<f64> {
        let n = self.values.len();
        let Scales { factors, variance, noise, .. } = scales;
        let Work { covariances, slopes, factor, weights, .. } = work;
        kernels::scaled(self.isa, &self.squares, factors, covariances);
        kernels::slopes(self.isa, covariances, slopes, *variance, *variance);
        let covariances = covariances.as_flattened();
        let write = |j: usize, row: &mut [f64]| {
            row[j] = variance + noise + 1e-8;
            // Pair (i, j) follows those of all rows before i.
            let mut pair = j * (j + 1) / 2 + j;
            for (i, x) in row.iter_mut().enumerate().skip(j + 1) {
                *x = covariances[pair];
                pair += i;
            }
        };
        if !factor.set(n, write) {
            return None;
        }
        *weights = factor.solve(self.values);
        let fit: f64 = self.values.iter().zip(&*weights).map(|(y, w)| y * w).sum();
        Some(scales.ln_prior() - 0.5 * fit - 0.5 * factor.ln_determinant())
    }

    /// Returns the gradient of the density (equation 5.9) at the hyperparameters for which it was computed last.
    fn gradient(&self, scales: &Scales, work: &mut Work) -> Vec<f64> {
        let n_labels = scales.factors.len();
        let Scales { factors, variance, noise, .. } = scales;
        let Work { covariances, slopes, factor, weights, lower, inverse } = work;
        let mut gradient = scales.slopes_of_prior();
        // d ln p / d theta = 1/2 tr((w w^T - A^-1) dK / d theta)
        factor.invert(lower, inverse);
        for (i, weight) in weights.iter().enumerate() {
            let own = 0.5 * (weight * weight - inverse[i * factor.blocks() + i / LANES][i % LANES]);
            gradient[n_labels] += own * variance;
            gradient[n_labels + 1] += own * noise;
        }
        let mut outer = vec![0.0; self.n_pairs()];
        kernels::outer(self.isa, factor.blocks(), weights, inverse, &mut outer);
        gradient[n_labels] += kernels::dot(self.isa, &outer, covariances.as_flattened());
        let slopes = &mut slopes.as_flattened_mut()[..outer.len()];
        kernels::multiply(self.isa, slopes, &outer);
        let mut sums = vec![0.0; n_labels];
        kernels::dots(self.isa, slopes, &self.squares, &mut sums);
        for ((slope, sum), factor) in gradient.iter_mut().zip(sums).zip(factors) {
            *slope += factor * sum;
        }
        gradient
    }

    /// Returns the most probable hyperparameters that a few steps of L-BFGS find from `start` (Nocedal and Wright, "Numerical
    /// optimization", 2006, algorithm 7.4).
    pub(crate) fn fitted(&self, start: Scales) -> Scales {
        let mut work = self.work();
        let mut scales = start;
        let Some(mut density) = self.density(&scales, &mut work) else { return scales };
        let mut gradient = self.gradient(&scales, &mut work);
        let mut memory: Vec<(Vec<f64>, Vec<f64>, f64)> = Vec::new();
        for step in 0..STEPS {
            let direction = ascent(&gradient, &memory);
            let slope: f64 = direction.iter().zip(&gradient).map(|(d, g)| d * g).sum();
            let longest = direction.iter().fold(0.0, |most: f64, d| most.max(d.abs()));
            if slope.is_nan() || slope <= 1e-6 {
                break;
            }
            let mut length = if memory.is_empty() { (0.5 / longest).min(1.0) } else { (2.0 / longest).min(1.0) };
            let mut taken = None;
            for _ in 0..8 {
                let ln = scales.ln.iter().zip(&direction).map(|(x, d)| (x + length * d).clamp(-14.0, 8.0)).collect();
                let next = Scales::new(ln);
                let enough = density + 1e-4 * length * slope;
                if let Some(there) = self.density(&next, &mut work).filter(|there| *there > enough) {
                    taken = Some((next, there));
                    break;
                }
                length *= 0.35;
            }
            let Some((next, there)) = taken else { break };
            let gained = there - density;
            let moved: Vec<f64> = next.ln.iter().zip(&scales.ln).map(|(a, b)| a - b).collect();
            (scales, density) = (next, there);
            // The gradient is not needed where the search ends.
            if gained < 1e-3 || step + 1 == STEPS {
                break;
            }
            let next_gradient = self.gradient(&scales, &mut work);
            // Of the function that is minimised.
            let change: Vec<f64> = gradient.iter().zip(&next_gradient).map(|(a, b)| a - b).collect();
            gradient = next_gradient;
            let curvature: f64 = moved.iter().zip(&change).map(|(s, y)| s * y).sum();
            if curvature > 1e-10 {
                memory.push((moved, change, curvature));
                if memory.len() > MEMORY {
                    memory.remove(0);
                }
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
        let data = Data::new(Isa::detect(), &[true; 2], &points, &values);
        let mut work = data.work();
        let likelihood = data.density(&scales, &mut work).unwrap() - scales.ln_prior();
        assert!((likelihood + 1.478_909_960_570_592_2).abs() < 1e-12, "{likelihood}");
        for (i, slope) in data.gradient(&scales, &mut work).iter().enumerate() {
            let moved = |by: f64| {
                let mut ln = scales.ln.clone();
                ln[i] += by;
                data.density(&Scales::new(ln), &mut data.work()).unwrap()
            };
            let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slope - difference).abs() < 1e-6, "{i}: {slope} instead of {difference}");
        }
    }

    #[test]
    fn the_fit_ends_where_the_gradient_is_zero() {
        let (points, values, _) = small();
        let data = Data::new(Isa::detect(), &[true; 2], &points, &values);
        let fitted = data.fitted(Scales::start(2));
        let mut work = data.work();
        let density = data.density(&fitted, &mut work).unwrap();
        let gradient = data.gradient(&fitted, &mut work);
        assert!(gradient.iter().all(|slope| slope.abs() < 0.05), "{gradient:?}");
        assert!(density > data.density(&Scales::start(2), &mut data.work()).unwrap());
    }
}
