//! Triangular matrices, in blocks as in [`kernels`](super::kernels): they are factored, solved and inverted.
//!
//! A row is computed as a whole, with its blocks in registers, from the rows that come before. Each element sees the same operations in
//! the same order as in the textbook's loops.

use super::kernels::{Block, LANES, sum_of_products};
use crate::network::kernels::lanes::kernel;

/// The most blocks that are handled together, so that more than one addition is under way.
const WIDEST: usize = 8;

/// Calls a function that is generic over the number of blocks, for `$n` blocks from block `$first` on.
macro_rules! in_groups {
    ($first:expr, $n:expr, $at:ident, $width:ident => $call:expr) => {{
        let (mut $at, end) = ($first, $first + $n);
        while $at < end {
            let groups = (end - $at).div_ceil(WIDEST);
            let width = (end - $at).div_ceil(groups);
            in_groups!(@ width, $width, $call, 1 2 3 4 5 6 7 8);
            $at += width;
        }
    }};
    (@ $n:ident, $width:ident, $call:expr, $($one:literal)*) => {
        match $n {
            $($one => {
                const $width: usize = $one;
                $call
            })*
            _ => unreachable!("there are at most 8 blocks"),
        }
    };
}

kernel! {
    /// Factors the matrix with the upper triangle `rows`, `[n, blocks]`, into U^T * U. Leaves U in `rows` without its diagonal, which it
    /// divides by itself and writes to `diagonal`. Elements before the diagonal become 0. Returns whether the matrix is positive definite
    /// up to rounding.
    pub(super) fn decompose(n: usize, blocks: usize, rows: &mut [Block], diagonal: &mut [f64]) -> bool {
        for i in 0..n {
            let (done, rest) = rows.split_at_mut(i * blocks);
            let row = &mut rest[..n.div_ceil(LANES)];
            in_groups!(i / LANES, row.len() - i / LANES, at, W => eliminate::<W>(done, blocks, i, at, row));
            let pivot = row[i / LANES][i % LANES];
            if pivot <= 0.0 || pivot.is_nan() {
                return false;
            }
            let root = pivot.sqrt();
            for block in &mut row[i / LANES..] {
                for x in block {
                    *x /= root;
                }
            }
            diagonal[i] = pivot / root;
            for x in &mut row[i / LANES][..=i % LANES] {
                *x = 0.0;
            }
        }
        true
    }
}

/// Subtracts from `W` blocks of row i, from block `at` on, the multiples of the rows above. The factors are the elements of column i.
#[inline(always)]
fn eliminate<const W: usize>(done: &[Block], blocks: usize, i: usize, at: usize, row: &mut [Block]) {
    let mut sums = [[0.0; LANES]; W];
    sums.copy_from_slice(&row[at..at + W]);
    for above in done.chunks_exact(blocks) {
        subtract(&mut sums, above[i / LANES][i % LANES], &above[at..at + W]);
    }
    row[at..at + W].copy_from_slice(&sums);
}

#[inline(always)]
fn subtract<const W: usize>(sums: &mut [Block; W], factor: f64, other: &[Block]) {
    for k in 0..W {
        for lane in 0..LANES {
            sums[k][lane] -= factor * other[k][lane];
        }
    }
}

kernel! {
    /// Solves U^T x = b for each `[blocks]` of `b`, and writes the solutions to `x`. What is left in `b` means nothing. There are rows and
    /// a diagonal for whole blocks.
    pub(super) fn forward(n: usize, blocks: usize, rows: &[Block], diagonal: &[f64], b: &mut [Block], x: &mut [Block]) {
        let used = n.div_ceil(LANES);
        for (at, (rows, diagonal)) in
            rows.chunks_exact(LANES * blocks).zip(diagonal.as_chunks::<LANES>().0).enumerate().take(used)
        {
            let mut triangle = [[0.0; LANES]; LANES];
            for k in 0..LANES {
                triangle[k] = rows[k * blocks + at];
            }
            for (b, x) in b.chunks_exact(blocks).zip(x.chunks_exact_mut(blocks)) {
                let mut block = b[at];
                let mut solved = [0.0; LANES];
                for k in 0..LANES {
                    solved[k] = block[k] / diagonal[k];
                    for lane in 0..LANES {
                        block[lane] -= solved[k] * triangle[k][lane];
                    }
                }
                x[at] = solved;
            }
            for later in at + 1..used {
                let mut above = [[0.0; LANES]; LANES];
                for k in 0..LANES {
                    above[k] = rows[k * blocks + later];
                }
                for (b, x) in b.chunks_exact_mut(blocks).zip(x.chunks_exact(blocks)) {
                    let mut block = b[later];
                    let solved = &x[at];
                    for k in 0..LANES {
                        for lane in 0..LANES {
                            block[lane] -= solved[k] * above[k][lane];
                        }
                    }
                    b[later] = block;
                }
            }
        }
    }
}

kernel! {
    /// Solves U x = b in place.
    pub(super) fn backward(n: usize, blocks: usize, rows: &[Block], diagonal: &[f64], b: &mut [f64]) {
        for k in (0..n).rev() {
            let row = rows[k * blocks..(k + 1) * blocks].as_flattened();
            b[k] = (b[k] - sum_of_products(&row[k + 1..n], &b[k + 1..n])) / diagonal[k];
        }
    }
}

kernel! {
    /// Writes the inverse of U^T to `lower`, and the lower triangle of the inverse of U^T * U to `inverse`. All are `[n, blocks]`. The
    /// upper triangle of `lower` must be 0. That of `inverse` means nothing.
    pub(super) fn invert(
        n: usize, blocks: usize, rows: &[Block], diagonal: &[f64], lower: &mut [Block], inverse: &mut [Block],
    ) {
        for i in 0..n {
            let (done, rest) = lower.split_at_mut(i * blocks);
            let row = &mut rest[..blocks];
            in_groups!(0, i / LANES + 1, at, W => of_lower::<W>(rows, done, blocks, i, at, row));
            for block in &mut row[..=i / LANES] {
                for x in block {
                    *x /= diagonal[i];
                }
            }
        }
        for i in 0..n {
            let row = &mut inverse[i * blocks..(i + 1) * blocks];
            in_groups!(0, i / LANES + 1, at, W => of_inverse::<W>(lower, n, blocks, i, at, row));
        }
    }
}

/// Writes `W` blocks of row i of the inverse of U^T, but for the division.
#[inline(always)]
fn of_lower<const W: usize>(rows: &[Block], done: &[Block], blocks: usize, i: usize, at: usize, row: &mut [Block]) {
    let mut sums = [[0.0; LANES]; W];
    if (at * LANES..(at + W) * LANES).contains(&i) {
        sums[i / LANES - at][i % LANES] = 1.0;
    }
    for k in at * LANES..i {
        subtract(&mut sums, rows[k * blocks + i / LANES][i % LANES], &done[k * blocks + at..][..W]);
    }
    row[at..at + W].copy_from_slice(&sums);
}

/// Writes `W` blocks of row i of the inverse.
#[inline(always)]
fn of_inverse<const W: usize>(lower: &[Block], n: usize, blocks: usize, i: usize, at: usize, row: &mut [Block]) {
    let mut sums = [[0.0; LANES]; W];
    for k in i..n {
        subtract(&mut sums, -lower[k * blocks + i / LANES][i % LANES], &lower[k * blocks + at..][..W]);
    }
    row[at..at + W].copy_from_slice(&sums);
}
