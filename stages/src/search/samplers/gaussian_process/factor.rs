//! The Cholesky factor of a covariance, to which rows can be added.
//!
//! It is kept as the upper triangle U of A = U^T * U.

use super::{
    columns::padded,
    kernels::{Block, LANES, dot},
    triangular,
};
use crate::network::kernels::Isa;

/// The upper triangle U of A = U^T * U.
#[derive(Debug, Clone)]
pub(crate) struct Factor {
    isa: Isa,
    n: usize,
    /// The number of blocks that a row has room for.
    blocks: usize,
    /// `[8 * blocks, blocks]`. Elements up to the diagonal are 0, and so are those from `n` on.
    rows: Vec<Block>,
    /// `[8 * blocks]`, 1 from `n` on.
    diagonal: Vec<f64>,
}

impl Factor {
    /// Returns the factor of nothing, with room for `most` rows.
    pub(crate) fn with_room(isa: Isa, most: usize) -> Self {
        let blocks = most.div_ceil(LANES);
        Self {
            isa,
            n: 0,
            blocks,
            rows: vec![[0.0; LANES]; LANES * blocks * blocks],
            diagonal: vec![1.0; LANES * blocks],
        }
    }

    /// Factors an `n` by `n` matrix. `write` writes the elements of row i from i on; it may write others from those in the diagonal's
    /// block to `n`. Returns whether the matrix is positive definite up to rounding. If it is not, the factor can only be set again.
    pub(crate) fn set(&mut self, n: usize, mut write: impl FnMut(usize, &mut [f64])) -> bool {
        self.n = n;
        for (i, row) in self.rows.chunks_exact_mut(self.blocks).enumerate().take(n) {
            write(i, &mut row.as_flattened_mut()[..n]);
        }
        triangular::decompose(self.isa, n, self.blocks, &mut self.rows, &mut self.diagonal)
    }

    /// Returns the number of blocks of a row.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Adds a row and a column to A: the covariances with the rows before, and the variance. Takes O(n^2).
    ///
    /// # Panics
    /// If there is no room.
    pub(crate) fn push(&mut self, covariances: &[f64], variance: f64) {
        assert!(self.n < self.diagonal.len(), "the factor has no room for another row");
        let column = self.forward(covariances);
        let rest = variance - dot(self.isa, &column, &column);
        for (row, x) in self.rows.chunks_exact_mut(self.blocks).zip(column) {
            row[self.n / LANES][self.n % LANES] = x;
        }
        // Rounding may leave nothing of a variance that is known exactly.
        self.diagonal[self.n] = rest.max(1e-10).sqrt();
        self.n += 1;
    }

    /// Solves U^T x = b for each `[blocks]` of `b`, and writes the solutions to `x`. What is left in `b` means nothing.
    pub(crate) fn forward_all(&self, b: &mut [Block], x: &mut [Block]) {
        triangular::forward(self.isa, self.n, self.blocks, &self.rows, &self.diagonal, b, x);
    }

    /// Solves U^T x = b.
    fn forward(&self, b: &[f64]) -> Vec<f64> {
        let mut b: Vec<Block> = padded(&b[..self.n]).collect();
        b.resize(self.blocks, [0.0; LANES]);
        let mut x = b.clone();
        self.forward_all(&mut b, &mut x);
        x.as_flattened()[..self.n].to_vec()
    }

    /// Solves A x = b.
    pub(crate) fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut x = self.forward(b);
        triangular::backward(self.isa, self.n, self.blocks, &self.rows, &self.diagonal, &mut x);
        x
    }

    /// Returns the logarithm of A's determinant.
    pub(crate) fn ln_determinant(&self) -> f64 {
        2.0 * self.diagonal[..self.n].iter().map(|x| libm::log(*x)).sum::<f64>()
    }

    /// Writes the lower triangle of A's inverse to `inverse`. It needs `lower`, whose upper triangle must be 0. Both are `[n, blocks]`.
    pub(crate) fn invert(&self, lower: &mut [Block], inverse: &mut [Block]) {
        triangular::invert(self.isa, self.n, self.blocks, &self.rows, &self.diagonal, lower, inverse);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::kernels::dots, *};

    const A: [[f64; 4]; 4] = [[4.0, 1.0, 0.5, 0.0], [1.0, 3.0, 0.2, -0.7], [0.5, 0.2, 2.0, 0.3], [0.0, -0.7, 0.3, 1.5]];

    /// Returns the factor of the first `n` rows and columns of `A`, with room for 4.
    fn factor(isa: Isa, n: usize) -> Factor {
        let mut factor = Factor::with_room(isa, 4);
        assert!(factor.set(n, |i, row| row[i..].copy_from_slice(&A[i][i..n])));
        factor
    }

    #[test]
    fn solutions_satisfy_the_equations_also_after_rows_were_added() {
        let whole = factor(Isa::detect(), 4);
        let mut grown = factor(Isa::detect(), 2);
        grown.push(&A[2][..2], A[2][2]);
        grown.push(&A[3][..3], A[3][3]);
        let b = [1.0, -2.0, 0.25, 3.0];
        for factor in [whole, grown] {
            let x = factor.solve(&b);
            let (mut lower, mut inverse) = ([[0.0; LANES]; 4], [[0.0; LANES]; 4]);
            factor.invert(&mut lower, &mut inverse);
            for i in 0..4 {
                let row: f64 = (0..4).map(|j| A[i][j] * x[j]).sum();
                assert!((row - b[i]).abs() < 1e-14);
                let by_inverse: f64 = (0..4).map(|j| inverse[i.max(j)][i.min(j)] * b[j]).sum();
                assert!((by_inverse - x[i]).abs() < 1e-14);
            }
            // `numpy.linalg.slogdet`
            assert!((factor.ln_determinant() - 3.296_632_845_424_936_5).abs() < 1e-14);
        }
        assert!(!Factor::with_room(Isa::detect(), 2).set(2, |_, row| row.fill(1.0)));
    }

    /// The textbook's loops. Blocks and instruction sets must not change a bit of what they compute.
    #[test]
    #[expect(clippy::needless_range_loop, reason = "the textbook's loops have indices")]
    fn factors_are_those_of_the_slow_loops_bit_for_bit() {
        let n = 45;
        let near = |i: usize, j: usize| libm::exp(-0.1 * (i as f64 - j as f64) * (i as f64 - j as f64));
        let element = |i: usize, j: usize| near(i, j) + if i == j { 9.0 } else { 0.01 * ((i * j) % 7) as f64 };
        let mut upper: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| element(i, j)).collect()).collect();
        for k in 0..n {
            let root = upper[k][k].sqrt();
            (k..n).for_each(|j| upper[k][j] /= root);
            for i in k + 1..n {
                for j in i..n {
                    upper[i][j] -= upper[k][i] * upper[k][j];
                }
            }
        }
        let mut x: Vec<f64> = (0..n).map(|i| (i % 5) as f64 - 1.7).collect();
        let b = x.clone();
        for k in 0..n {
            x[k] /= upper[k][k];
            for i in k + 1..n {
                x[i] -= x[k] * upper[k][i];
            }
        }
        let mut lower = vec![vec![0.0; n]; n];
        for k in 0..n {
            lower[k][k] = 1.0;
            for j in 0..=k {
                for i in j..k {
                    lower[k][j] -= upper[i][k] * lower[i][j];
                }
                lower[k][j] /= upper[k][k];
            }
        }
        for isa in Isa::available() {
            let mut factor = Factor::with_room(*isa, n + 5);
            assert!(factor.set(n, |i, row| (i..n).for_each(|j| row[j] = element(i, j))));
            let blocks = factor.blocks();
            for i in 0..n {
                let row = factor.rows[i * blocks..(i + 1) * blocks].as_flattened();
                assert!(row[..=i].iter().all(|x| *x == 0.0), "{isa}");
                assert_eq!((factor.diagonal[i], &row[i + 1..n]), (upper[i][i], &upper[i][i + 1..]), "{isa}");
            }
            assert_eq!(factor.forward(&b), x, "{isa}");
            let empty = vec![[0.0; LANES]; n * blocks];
            let (mut found, mut inverse) = (empty.clone(), empty);
            factor.invert(&mut found, &mut inverse);
            for i in 0..n {
                assert_eq!(found[i * blocks..(i + 1) * blocks].as_flattened()[..n], lower[i], "{isa}");
                for j in 0..=i {
                    let sum = (i..n).fold(0.0, |sum, k| sum + lower[k][i] * lower[k][j]);
                    assert_eq!(inverse[i * blocks..(i + 1) * blocks].as_flattened()[j], sum, "{isa}");
                }
            }
        }
    }

    #[test]
    fn a_sum_of_products_has_all_of_them() {
        let numbers: Vec<f64> = (0..21).map(f64::from).collect();
        for isa in Isa::available() {
            assert_eq!(dot(*isa, &numbers, &numbers), 2870.0);
            for n_rows in 1..=6 {
                let rows: Vec<Block> = (0..n_rows).flat_map(|_| padded(&numbers)).collect();
                let mut sums = vec![0.0; n_rows];
                dots(*isa, &numbers, &rows, &mut sums);
                assert_eq!(sums, vec![2870.0; n_rows]);
            }
        }
    }
}
