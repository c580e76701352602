//! The loops of the process that take time, compiled for each instruction set.
//!
//! Numbers are in blocks of eight. Each element is computed by itself, in the order of the textbook's loops, and a sum along a row has
//! eight partial sums, whatever the width of the registers. So results are equal bit for bit on every processor.

use super::scales::matern;
use crate::network::kernels::lanes::kernel;

/// The number of elements of a block.
pub(super) const LANES: usize = 8;

/// Consecutive elements. Rows are padded to whole blocks.
pub(super) type Block = [f64; LANES];

/// A place on an axis, as it is compared with those of the observations.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) ordered: bool,
    pub(super) at: f64,
    /// On an ordered axis what an inactive label is apart if this one is inactive, otherwise 0. On another axis the most that two
    /// places can be apart.
    pub(super) own: f64,
}

/// The squared distance between an inactive label and the middle of its axis.
pub(super) const APART: f64 = 0.25;
/// The place of an inactive label on an unordered axis. Options have indices from 0.
const NO_OPTION: f64 = -1.0;

/// Returns the place of a label, which is not a number if it is inactive.
#[inline(always)]
pub(super) fn place(ordered: bool, x: f64) -> Place {
    match (ordered, x.is_nan()) {
        (true, false) => Place { ordered, at: x, own: 0.0 },
        (true, true) => Place { ordered, at: 0.5, own: APART },
        (false, false) => Place { ordered, at: x, own: 1.0 },
        (false, true) => Place { ordered, at: NO_OPTION, own: APART },
    }
}

/// Returns the squared distance of a place on an ordered axis from that of an observation at `known`. `apart` is 0 if the observation's
/// label is active, and otherwise what it is apart.
#[inline(always)]
fn of_ordered(place: &Place, known: f64, apart: f64) -> f64 {
    (known - place.at) * (known - place.at) + (apart - place.own).abs()
}

/// Returns the same on another axis. `apart` is what the observation is apart from any other option.
#[inline(always)]
fn of_options(place: &Place, known: f64, apart: f64) -> f64 {
    let apart = if apart < place.own { apart } else { place.own };
    if known == place.at { 0.0 } else { apart }
}

kernel! {
    /// Writes the scaled squared distances of the observations from a point. `known` and `apart` are `[label, blocks]`.
    pub(super) fn squares(
        known: &[Block], apart: &[Block], ordered: &[bool], point: &[f64], factors: &[f64], squares: &mut [Block],
    ) {
        let mut at = 0;
        while at + 4 <= squares.len() {
            sum_of_squares::<4>(known, apart, ordered, point, factors, at, squares);
            at += 4;
        }
        while at < squares.len() {
            sum_of_squares::<1>(known, apart, ordered, point, factors, at, squares);
            at += 1;
        }
    }
}

/// Writes the squares of `W` blocks from block `at` on.
#[inline(always)]
fn sum_of_squares<const W: usize>(
    known: &[Block],
    apart: &[Block],
    ordered: &[bool],
    point: &[f64],
    factors: &[f64],
    at: usize,
    squares: &mut [Block],
) {
    let blocks = squares.len();
    let mut sums = [[0.0; LANES]; W];
    for (label, factor) in factors.iter().enumerate() {
        let place = &place(ordered[label], point[label]);
        let known = &known[label * blocks + at..][..W];
        let apart = &apart[label * blocks + at..][..W];
        if place.ordered {
            for k in 0..W {
                let (known, apart) = (known[k], apart[k]);
                for lane in 0..LANES {
                    sums[k][lane] += factor * of_ordered(place, known[lane], apart[lane]);
                }
            }
        } else {
            for k in 0..W {
                let (known, apart) = (known[k], apart[k]);
                for lane in 0..LANES {
                    sums[k][lane] += factor * of_options(place, known[lane], apart[lane]);
                }
            }
        }
    }
    squares[at..at + W].copy_from_slice(&sums);
}

kernel! {
    /// Writes the squared distances of one label for all pairs of observations i > j.
    pub(super) fn pairs(known: &[f64], apart: &[f64], places: &[Place], squares: &mut [f64]) {
        let mut rest = squares;
        for (i, place) in places.iter().enumerate() {
            let (row, more) = rest.split_at_mut(i);
            if place.ordered {
                for (square, (known, apart)) in row.iter_mut().zip(known.iter().zip(apart)) {
                    *square = of_ordered(place, *known, *apart);
                }
            } else {
                for (square, (known, apart)) in row.iter_mut().zip(known.iter().zip(apart)) {
                    *square = of_options(place, *known, *apart);
                }
            }
            rest = more;
        }
    }
}

kernel! {
    /// Replaces scaled squared distances by covariances.
    pub(super) fn covariances(squares: &mut [Block], variance: f64) {
        for squares in squares {
            for square in squares {
                *square = variance * matern(*square).0;
            }
        }
    }
}

kernel! {
    /// Replaces scaled squared distances by covariances, and writes their slopes with respect to the distance, times `by`.
    pub(super) fn slopes(squares: &mut [Block], slopes: &mut [Block], variance: f64, by: f64) {
        for (squares, slopes) in squares.iter_mut().zip(slopes) {
            for (square, slope) in squares.iter_mut().zip(slopes) {
                let (value, of_value) = matern(*square);
                (*square, *slope) = (variance * value, by * of_value);
            }
        }
    }
}

kernel! {
    /// Writes the scaled sums over the labels of `squares`, `[label, blocks]`.
    pub(super) fn scaled(squares: &[Block], factors: &[f64], sums: &mut [Block]) {
        let blocks = sums.len();
        for (at, sums) in sums.iter_mut().enumerate() {
            let mut all = [0.0; LANES];
            for (label, factor) in factors.iter().enumerate() {
                let squares = &squares[label * blocks + at];
                for lane in 0..LANES {
                    all[lane] += factor * squares[lane];
                }
            }
            *sums = all;
        }
    }
}

kernel! {
    /// Returns the sum of products, as eight partial sums that are added in order.
    pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
        sum_of_products(a, b)
    }
}

kernel! {
    /// Writes the sums of products of `a` with each row of `rows`, `[sum, blocks]`.
    pub(super) fn dots(a: &[f64], rows: &[Block], sums: &mut [f64]) {
        const GROUP: usize = 4;
        let blocks = a.len().div_ceil(LANES);
        let whole = a.len() / LANES;
        let (of_a, rest) = a.as_chunks::<LANES>();
        let mut done = 0;
        while done < sums.len() {
            let together = GROUP.min(sums.len() - done);
            // Rows beyond the last are the first again.
            let row = |k: usize| &rows[(done + if k < together { k } else { 0 }) * blocks..][..blocks];
            let group: [&[Block]; GROUP] = [row(0), row(1), row(2), row(3)];
            let mut partial = [[0.0; LANES]; GROUP];
            for at in 0..whole {
                for k in 0..GROUP {
                    for lane in 0..LANES {
                        partial[k][lane] += of_a[at][lane] * group[k][at][lane];
                    }
                }
            }
            for k in 0..together {
                sums[done + k] = total(partial[k], rest, &group[k].as_flattened()[whole * LANES..]);
            }
            done += together;
        }
    }
}

/// See [`dot`].
#[inline(always)]
pub(super) fn sum_of_products(a: &[f64], b: &[f64]) -> f64 {
    let ((left, left_rest), (right, right_rest)) = (a.as_chunks::<LANES>(), b[..a.len()].as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (x, y) in left.iter().zip(right) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    total(sums, left_rest, right_rest)
}

/// Returns the sum of partial sums, and of the products that are left.
#[inline(always)]
fn total(sums: Block, a: &[f64], b: &[f64]) -> f64 {
    let rest: f64 = a.iter().zip(b).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f64>() + rest
}

kernel! {
    /// Writes w_i w_j - A_ij for all pairs i > j, where A is the lower triangle of `inverse`, `[n, blocks]`.
    pub(super) fn outer(blocks: usize, weights: &[f64], inverse: &[Block], pairs: &mut [f64]) {
        let mut rest = pairs;
        for (i, weight) in weights.iter().enumerate() {
            let (row, more) = rest.split_at_mut(i);
            let inverse = inverse[i * blocks..(i + 1) * blocks].as_flattened();
            for (x, (other, inverse)) in row.iter_mut().zip(weights.iter().zip(inverse)) {
                *x = weight * other - inverse;
            }
            rest = more;
        }
    }
}

kernel! {
    /// Multiplies numbers by others.
    pub(super) fn multiply(numbers: &mut [f64], by: &[f64]) {
        for (x, y) in numbers.iter_mut().zip(by) {
            *x *= y;
        }
    }
}

/// What the slopes at a point take of each observation.
#[derive(Clone, Copy)]
pub(super) struct OfObservations<'a> {
    /// Twice the slope of the covariance with respect to the distance.
    pub(super) steps: &'a [f64],
    pub(super) weights: &'a [f64],
    /// The inverse of all covariances times those with the point.
    pub(super) solved: &'a [f64],
}

kernel! {
    /// Writes the slopes of the mean and of the variance along all axes. `known` is `[observation, blocks]`, the others are `[blocks]`.
    pub(super) fn along(
        known: &[Block], point: &[Block], factors: &[Block], all: OfObservations<'_>, slopes: &mut [(Block, Block)],
    ) {
        let OfObservations { steps, weights, solved } = all;
        let blocks = slopes.len();
        for (at, slopes) in slopes.iter_mut().enumerate() {
            let (point, factors) = (&point[at], &factors[at]);
            let (mut mean, mut variance) = ([0.0; LANES], [0.0; LANES]);
            for (i, weight) in weights.iter().enumerate() {
                let known = &known[i * blocks + at];
                for lane in 0..LANES {
                    let slope = steps[i] * factors[lane] * (point[lane] - known[lane]);
                    mean[lane] += slope * weight;
                    variance[lane] -= 2.0 * slope * solved[i];
                }
            }
            *slopes = (mean, variance);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::kernels::Isa;

    /// Returns numbers from 0 to 1.
    fn numbers(n: usize, by: f64) -> Vec<Block> {
        let number = |i: usize, lane: usize| (by * (i * LANES + lane) as f64).fract();
        (0..n).map(|i| std::array::from_fn(|lane| number(i, lane))).collect()
    }

    #[test]
    fn every_instruction_set_computes_the_same_bits() {
        let [a, b, c] = [(30, 0.618), (30, 0.755), (3, 0.414)].map(|(n, by)| numbers(n, by));
        let flat = a.as_flattened();
        let all = |isa: Isa| {
            let mut sums = numbers(5, 0.3);
            scaled(isa, &a, &[0.3, 1.7, 0.0, 2.2, 0.9, 40.0], &mut sums);
            let (mut of_distance, mut found) = (sums.clone(), sums.clone());
            slopes(isa, &mut found, &mut of_distance, 1.3, 2.6);
            covariances(isa, &mut sums, 1.3);
            let mut slopes = [([0.0; LANES], [0.0; LANES]); 3];
            let of_all = OfObservations { steps: &flat[..10], weights: &flat[10..20], solved: &flat[20..30] };
            along(isa, &b, &a[..3], &c, of_all, &mut slopes);
            let mut pairs = vec![0.0; 45];
            outer(isa, 2, &flat[10..20], &b, &mut pairs);
            multiply(isa, &mut pairs, &flat[..45]);
            let sum = dot(isa, &pairs, &b.as_flattened()[..45]);
            assert_eq!(found, sums);
            (sums, of_distance, slopes, sum)
        };
        let plain = all(Isa::available()[0]);
        // The textbook's sums.
        let mean = (0..10).fold(0.0, |sum, i| sum + flat[i] * c[1][2] * (a[1][2] - b[3 * i + 1][2]) * flat[10 + i]);
        assert_eq!(plain.2[1].0[2], mean);
        let factors = [0.3, 1.7, 0.0, 2.2, 0.9, 40.0];
        let distance = (0..6).fold(0.0, |sum, k| sum + factors[k] * a[5 * k + 4][3]);
        assert_eq!(plain.0[4][3], 1.3 * matern(distance).0);
        for isa in Isa::available() {
            assert_eq!(all(*isa), plain, "{isa}");
        }
    }
}
