//! The Cholesky factor of a covariance, to which rows can be added.
//!
//! It is kept as the upper triangle U of A = U^T * U. All inner loops run along rows and change each element by itself, so that they
//! are compiled to vector instructions without changing the order of a sum. Sums along a row have eight partial sums, in a fixed order.

/// The upper triangle U of A = U^T * U.
#[derive(Debug, Clone)]
pub(crate) struct Factor {
    n: usize,
    /// The number of elements that a row has room for.
    stride: usize,
    /// `[stride, stride]`. Row i has its elements from i on; those before are not used.
    rows: Vec<f64>,
}

impl Factor {
    /// Factors the `n` by `n` matrix with the upper triangle `rows`, `[n, n]`. Returns `None` if it is not positive definite up to
    /// rounding. There is room for `more` rows that [`push`](Self::push) adds.
    pub(crate) fn new(n: usize, matrix: &[f64], more: usize) -> Option<Self> {
        let stride = n + more;
        let mut rows = vec![0.0; stride * stride];
        for (row, from) in rows.chunks_exact_mut(stride).zip(matrix.chunks_exact(n)) {
            row[..n].copy_from_slice(from);
        }
        for k in 0..n {
            let (done, rest) = rows.split_at_mut((k + 1) * stride);
            let pivot = &mut done[k * stride + k..k * stride + n];
            if pivot[0] <= 0.0 || pivot[0].is_nan() {
                return None;
            }
            let root = pivot[0].sqrt();
            pivot.iter_mut().for_each(|x| *x /= root);
            for (i, row) in (k + 1..n).zip(rest.chunks_exact_mut(stride)) {
                subtract(&mut row[i..n], pivot[i - k], &pivot[i - k..]);
            }
        }
        Some(Self { n, stride, rows })
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.rows[i * self.stride + i..i * self.stride + self.n]
    }

    /// Adds a row and a column to A: the covariances with the rows before, and the variance. Takes O(n^2).
    ///
    /// # Panics
    /// If there is no room.
    pub(crate) fn push(&mut self, covariances: Vec<f64>, variance: f64) {
        assert!(self.n < self.stride, "the factor has no room for another row");
        let column = self.forward(covariances);
        let rest = variance - dot(&column, &column);
        for (i, x) in column.into_iter().enumerate() {
            self.rows[i * self.stride + self.n] = x;
        }
        // Rounding may leave nothing of a variance that is known exactly.
        self.rows[self.n * self.stride + self.n] = rest.max(1e-10).sqrt();
        self.n += 1;
    }

    /// Solves U^T x = b.
    pub(crate) fn forward(&self, mut b: Vec<f64>) -> Vec<f64> {
        for k in 0..self.n {
            let row = self.row(k);
            b[k] /= row[0];
            let (before, rest) = b.split_at_mut(k + 1);
            subtract(rest, before[k], &row[1..]);
        }
        b
    }

    /// Solves U x = b.
    pub(crate) fn backward(&self, mut b: Vec<f64>) -> Vec<f64> {
        for k in (0..self.n).rev() {
            let row = self.row(k);
            let (before, rest) = b.split_at_mut(k + 1);
            before[k] = (before[k] - dot(&row[1..], rest)) / row[0];
        }
        b
    }

    /// Solves A x = b.
    pub(crate) fn solve(&self, b: Vec<f64>) -> Vec<f64> {
        self.backward(self.forward(b))
    }

    /// Returns the logarithm of A's determinant.
    pub(crate) fn ln_determinant(&self) -> f64 {
        2.0 * (0..self.n).map(|i| libm::log(self.row(i)[0])).sum::<f64>()
    }

    /// Returns the lower triangle of A's inverse, `[n, n]`.
    pub(crate) fn inverse(&self) -> Vec<f64> {
        let n = self.n;
        // The inverse of U^T, whose row k has its elements up to k.
        let mut lower = vec![0.0; n * n];
        (0..n).for_each(|k| lower[k * n + k] = 1.0);
        for k in 0..n {
            let row = self.row(k);
            let (done, rest) = lower.split_at_mut((k + 1) * n);
            let pivot = &mut done[k * n..=k * n + k];
            pivot.iter_mut().for_each(|x| *x /= row[0]);
            for (factor, other) in row[1..].iter().zip(rest.chunks_exact_mut(n)) {
                subtract(&mut other[..=k], *factor, pivot);
            }
        }
        let mut inverse = vec![0.0; n * n];
        for pivot in lower.chunks_exact(n).enumerate().map(|(k, row)| &row[..=k]) {
            for (i, row) in inverse.chunks_exact_mut(n).enumerate().take(pivot.len()) {
                subtract(&mut row[..=i], -pivot[i], &pivot[..=i]);
            }
        }
        inverse
    }
}

/// Subtracts `factor * other` from `row`.
fn subtract(row: &mut [f64], factor: f64, other: &[f64]) {
    row.iter_mut().zip(other).for_each(|(x, y)| *x -= factor * y);
}

/// Returns the sum of products, as eight partial sums that are added in order.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (left, right) = (a.chunks_exact(8), b[..a.len()].chunks_exact(8));
    let rest: f64 = left.remainder().iter().zip(right.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in left.zip(right) {
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [[f64; 4]; 4] = [[4.0, 1.0, 0.5, 0.0], [1.0, 3.0, 0.2, -0.7], [0.5, 0.2, 2.0, 0.3], [0.0, -0.7, 0.3, 1.5]];

    fn flat(n: usize) -> Vec<f64> {
        A[..n].iter().flat_map(|row| row[..n].iter().copied()).collect()
    }

    #[test]
    fn solutions_satisfy_the_equations_also_after_rows_were_added() {
        let whole = Factor::new(4, &flat(4), 0).expect("it is positive definite");
        let mut grown = Factor::new(2, &flat(2), 2).expect("it is positive definite");
        grown.push(A[2][..2].to_vec(), A[2][2]);
        grown.push(A[3][..3].to_vec(), A[3][3]);
        let b = vec![1.0, -2.0, 0.25, 3.0];
        for factor in [whole, grown] {
            let x = factor.solve(b.clone());
            let inverse = factor.inverse();
            for i in 0..4 {
                let row: f64 = (0..4).map(|j| A[i][j] * x[j]).sum();
                assert!((row - b[i]).abs() < 1e-14);
                let by_inverse: f64 = (0..4).map(|j| inverse[i.max(j) * 4 + i.min(j)] * b[j]).sum();
                assert!((by_inverse - x[i]).abs() < 1e-14);
            }
            // `numpy.linalg.slogdet`
            assert!((factor.ln_determinant() - 3.296_632_845_424_936_5).abs() < 1e-14);
        }
        assert!(Factor::new(2, &[1.0; 4], 0).is_none());
    }

    #[test]
    fn a_sum_of_products_has_all_of_them() {
        let numbers: Vec<f64> = (0..21).map(f64::from).collect();
        assert_eq!(dot(&numbers, &numbers), 2870.0);
    }
}
