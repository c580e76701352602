//! The Cholesky factorisation of small symmetric matrices. Sums have a fixed order, so results are the same on every machine.

/// The lower triangle L of A = L * L^T, row by row.
pub(crate) struct Cholesky {
    n: usize,
    /// `[n * (n + 1) / 2]`: row i has i + 1 entries.
    rows: Vec<f64>,
}

impl Cholesky {
    /// Factors the `n` by `n` matrix with the lower triangle `entry(i, j)`, j <= i. Returns `None` if it is not positive definite
    /// up to rounding.
    pub(crate) fn new(n: usize, entry: impl Fn(usize, usize) -> f64) -> Option<Self> {
        let mut rows: Vec<f64> = Vec::with_capacity(n * (n + 1) / 2);
        for i in 0..n {
            let start = i * (i + 1) / 2;
            for j in 0..=i {
                let other = j * (j + 1) / 2;
                let dot: f64 = (0..j).map(|k| rows[start + k] * rows[other + k]).sum();
                let rest = entry(i, j) - dot;
                if i == j && (rest <= 0.0 || rest.is_nan()) {
                    return None;
                }
                rows.push(if i == j { rest.sqrt() } else { rest / rows[other + j] });
            }
        }
        Some(Self { n, rows })
    }

    /// Returns row `i` of L, up to the diagonal.
    pub(crate) fn row(&self, i: usize) -> &[f64] {
        &self.rows[i * (i + 1) / 2..(i + 1) * (i + 2) / 2]
    }

    /// Solves L x = b.
    pub(crate) fn forward(&self, b: &[f64]) -> Vec<f64> {
        let mut x: Vec<f64> = Vec::with_capacity(self.n);
        for i in 0..self.n {
            let row = self.row(i);
            let dot: f64 = row.iter().zip(&x).map(|(l, x)| l * x).sum();
            x.push((b[i] - dot) / row[i]);
        }
        x
    }

    /// Solves A x = b.
    pub(crate) fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut x = self.forward(b);
        for i in (0..self.n).rev() {
            let (before, from) = x.split_at_mut(i);
            let row = self.row(i);
            from[0] /= row[i];
            before.iter_mut().zip(row).for_each(|(x, l)| *x -= l * from[0]);
        }
        x
    }

    /// Returns the logarithm of A's determinant.
    pub(crate) fn ln_determinant(&self) -> f64 {
        2.0 * (0..self.n).map(|i| libm::log(self.row(i)[i])).sum::<f64>()
    }

    /// Returns the inverse of A, row by row.
    pub(crate) fn inverse(&self) -> Vec<Vec<f64>> {
        let unit = |i: usize| (0..self.n).map(|j| f64::from(u8::from(i == j))).collect::<Vec<_>>();
        (0..self.n).map(|i| self.solve(&unit(i))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solutions_satisfy_the_equations() {
        const A: [[f64; 4]; 4] =
            [[4.0, 1.0, 0.5, 0.0], [1.0, 3.0, 0.2, -0.7], [0.5, 0.2, 2.0, 0.3], [0.0, -0.7, 0.3, 1.5]];
        let factor = Cholesky::new(4, |i, j| A[i][j]).expect("it is positive definite");
        let b = [1.0, -2.0, 0.25, 3.0];
        let x = factor.solve(&b);
        let inverse = factor.inverse();
        for i in 0..4 {
            let row: f64 = (0..4).map(|j| A[i][j] * x[j]).sum();
            assert!((row - b[i]).abs() < 1e-14);
            let by_inverse: f64 = (0..4).map(|j| inverse[i][j] * b[j]).sum();
            assert!((by_inverse - x[i]).abs() < 1e-14);
        }
        // `numpy.linalg.slogdet`
        assert!((factor.ln_determinant() - 3.296_632_845_424_936_5).abs() < 1e-14);
        assert!(Cholesky::new(2, |_, _| 1.0).is_none());
    }
}
