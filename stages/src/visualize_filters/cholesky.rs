//! The Cholesky factorisation of small symmetric matrices. Sums have a fixed order, so results are the same on every machine.

/// The lower triangle L of A = L * L^T, row by row.
pub(super) struct Cholesky {
    /// `[n * (n + 1) / 2]`: row i has i + 1 entries.
    rows: Vec<f64>,
}

impl Cholesky {
    /// Factors the `n` by `n` matrix with the lower triangle `entry(i, j)`, j <= i. Returns `None` if it is not positive definite
    /// up to rounding.
    pub(super) fn new(n: usize, entry: impl Fn(usize, usize) -> f64) -> Option<Self> {
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
        Some(Self { rows })
    }

    /// Returns row `i` of L, up to the diagonal.
    pub(super) fn row(&self, i: usize) -> &[f64] {
        &self.rows[i * (i + 1) / 2..(i + 1) * (i + 2) / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_times_its_transpose_is_the_matrix() {
        const A: [[f64; 4]; 4] =
            [[4.0, 1.0, 0.5, 0.0], [1.0, 3.0, 0.2, -0.7], [0.5, 0.2, 2.0, 0.3], [0.0, -0.7, 0.3, 1.5]];
        let factor = Cholesky::new(4, |i, j| A[i][j]).expect("it is positive definite");
        for (i, row) in A.iter().enumerate() {
            for (j, entry) in row.iter().enumerate() {
                let product: f64 = factor.row(i).iter().zip(factor.row(j)).map(|(a, b)| a * b).sum();
                assert!((product - entry).abs() < 1e-14);
            }
        }
        assert!(Cholesky::new(2, |_, _| 1.0).is_none());
    }
}
