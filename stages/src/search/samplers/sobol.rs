//! The sampler `Sobol`: evenly spread draws from the prior, by a scrambled Sobol sequence.
//!
//! Sources: Sobol's sequence (1967) with the direction numbers of Joe and Kuo, "Constructing Sobol sequences with better
//! two-dimensional projections", SIAM J. Sci. Comput. 30, 2008 (file `new-joe-kuo-6.21201`). Owen's scrambling by hashing
//! (Burley, "Practical hash-based Owen scrambling", JCGT 9, 2020).

use super::{
    algorithm::{A_DRAW, Algorithm, Proposed, Request},
    draws::{hash, quantile},
};
use crate::{
    parameters,
    philox::{Purpose, Stream},
    problem::{Path, Problem},
    search::spaces::{Kind, Proposal, Space},
};

parameters! {
    /// The sampler `Sobol`. It has no settings, and searches spaces of at most 64 labels.
    #[derive(Copy, Eq)]
    pub struct Sobol;
}

/// The most labels that a space may have.
const DIMENSIONS: usize = DIRECTIONS.len();

impl Algorithm for Sobol {
    fn misfits(&self, _: &Space, searched: &Space) -> Vec<Problem> {
        let n = searched.labels().len();
        let problem = || Problem::new(Path::here(), format!("{n} labels")).expected(format!("at most {DIMENSIONS}"));
        (n > DIMENSIONS).then(problem).into_iter().collect()
    }

    fn draw(&self, request: &Request<'_>, attempt: u32) -> Proposed {
        // The sequence has only one point for each trial.
        if attempt == 0 {
            let proposal = point(request.space, request.seed, request.trial_idx);
            Proposed { proposal, by: "sobol: the next point" }
        } else {
            request.draw_of_prior(attempt, A_DRAW)
        }
    }
}

/// Returns point `trial_idx` of the sequence. Each label has a dimension, even if it is not active.
fn point(space: &Space, seed: u64, trial_idx: u32) -> Proposal {
    let axes = space.axes();
    let dimension = |label: &str| axes.iter().position(|(known, _)| *known == label).expect("the space has the label");
    space.settle(&mut |label: &str, kind: &Kind| {
        // Each label has one number for all trials, so it comes from a stream that no trial uses.
        let scramble = Stream::new(seed, Purpose::Propose, u32::MAX, hash(label)).u32(0);
        let x = owen(sobol(trial_idx, dimension(label) % DIMENSIONS), scramble);
        quantile(kind, (f64::from(x) + 0.5) / 4_294_967_296.0)
    })
}

/// Returns coordinate `dimension` of point `index`, multiplied by 2^32.
fn sobol(index: u32, dimension: usize) -> u32 {
    let (polynomial, initial) = DIRECTIONS[dimension];
    let degree = 31 - u32::leading_zeros(polynomial).min(31);
    let mut directions = [0_u32; 32];
    for i in 0..32 {
        directions[i] = match (initial.get(i), degree as usize) {
            // The first dimension is van der Corput's sequence.
            (_, 0) => 1 << (31 - i),
            (Some(m), _) => m << (31 - i),
            (None, degree) => {
                let mut v = directions[i - degree] ^ (directions[i - degree] >> degree);
                for k in 1..degree {
                    if polynomial >> (degree - k) & 1 == 1 {
                        v ^= directions[i - k];
                    }
                }
                v
            }
        };
    }
    let gray = index ^ (index >> 1);
    (0..32).filter(|bit| gray >> bit & 1 == 1).fold(0, |x, bit| x ^ directions[bit])
}

/// Returns `x` with some bits flipped. The seed and the bits above a bit decide whether it is flipped.
fn owen(x: u32, seed: u32) -> u32 {
    let mut x = x.reverse_bits().wrapping_add(seed);
    for factor in [0x6c50_b47c, 0xb82f_1e52, 0xc7af_e638, 0x8d22_f6e6_u32] {
        x ^= x.wrapping_mul(factor);
    }
    x.reverse_bits()
}

/// The polynomial of each dimension, with its coefficients as bits, and its first direction numbers.
#[rustfmt::skip]
const DIRECTIONS: [(u32, &[u32]); 64] = [
    (1, &[1]),
    (3, &[1]),
    (7, &[1, 3]),
    (11, &[1, 3, 1]),
    (13, &[1, 1, 1]),
    (19, &[1, 1, 3, 3]),
    (25, &[1, 3, 5, 13]),
    (37, &[1, 1, 5, 5, 17]),
    (41, &[1, 1, 5, 5, 5]),
    (47, &[1, 1, 7, 11, 19]),
    (55, &[1, 1, 5, 1, 1]),
    (59, &[1, 1, 1, 3, 11]),
    (61, &[1, 3, 5, 5, 31]),
    (67, &[1, 3, 3, 9, 7, 49]),
    (91, &[1, 1, 1, 15, 21, 21]),
    (97, &[1, 3, 1, 13, 27, 49]),
    (103, &[1, 1, 1, 15, 7, 5]),
    (109, &[1, 3, 1, 15, 13, 25]),
    (115, &[1, 1, 5, 5, 19, 61]),
    (131, &[1, 3, 7, 11, 23, 15, 103]),
    (137, &[1, 3, 7, 13, 13, 15, 69]),
    (143, &[1, 1, 3, 13, 7, 35, 63]),
    (145, &[1, 3, 5, 9, 1, 25, 53]),
    (157, &[1, 3, 1, 13, 9, 35, 107]),
    (167, &[1, 3, 1, 5, 27, 61, 31]),
    (171, &[1, 1, 5, 11, 19, 41, 61]),
    (185, &[1, 3, 5, 3, 3, 13, 69]),
    (191, &[1, 1, 7, 13, 1, 19, 1]),
    (193, &[1, 3, 7, 5, 13, 19, 59]),
    (203, &[1, 1, 3, 9, 25, 29, 41]),
    (211, &[1, 3, 5, 13, 23, 1, 55]),
    (213, &[1, 3, 7, 3, 13, 59, 17]),
    (229, &[1, 3, 1, 3, 5, 53, 69]),
    (239, &[1, 1, 5, 5, 23, 33, 13]),
    (241, &[1, 1, 7, 7, 1, 61, 123]),
    (247, &[1, 1, 7, 9, 13, 61, 49]),
    (253, &[1, 3, 3, 5, 3, 55, 33]),
    (285, &[1, 3, 1, 15, 31, 13, 49, 245]),
    (299, &[1, 3, 5, 15, 31, 59, 63, 97]),
    (301, &[1, 3, 1, 11, 11, 11, 77, 249]),
    (333, &[1, 3, 1, 11, 27, 43, 71, 9]),
    (351, &[1, 1, 7, 15, 21, 11, 81, 45]),
    (355, &[1, 3, 7, 3, 25, 31, 65, 79]),
    (357, &[1, 3, 1, 1, 19, 11, 3, 205]),
    (361, &[1, 1, 5, 9, 19, 21, 29, 157]),
    (369, &[1, 3, 7, 11, 1, 33, 89, 185]),
    (391, &[1, 3, 3, 3, 15, 9, 79, 71]),
    (397, &[1, 3, 7, 11, 15, 39, 119, 27]),
    (425, &[1, 1, 3, 1, 11, 31, 97, 225]),
    (451, &[1, 1, 1, 3, 23, 43, 57, 177]),
    (463, &[1, 3, 7, 7, 17, 17, 37, 71]),
    (487, &[1, 3, 1, 5, 27, 63, 123, 213]),
    (501, &[1, 1, 3, 5, 11, 43, 53, 133]),
    (529, &[1, 3, 5, 5, 29, 17, 47, 173, 479]),
    (539, &[1, 3, 3, 11, 3, 1, 109, 9, 69]),
    (545, &[1, 1, 1, 5, 17, 39, 23, 5, 343]),
    (557, &[1, 3, 1, 5, 25, 15, 31, 103, 499]),
    (563, &[1, 1, 1, 11, 11, 17, 63, 105, 183]),
    (601, &[1, 1, 5, 11, 9, 29, 97, 231, 363]),
    (607, &[1, 1, 5, 15, 19, 45, 41, 7, 383]),
    (617, &[1, 3, 7, 7, 31, 19, 83, 137, 221]),
    (623, &[1, 1, 1, 3, 23, 15, 111, 223, 83]),
    (631, &[1, 1, 5, 13, 31, 15, 55, 25, 161]),
    (637, &[1, 1, 3, 13, 25, 47, 39, 87, 257]),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected points are those of SciPy 1.17.1's `scipy.stats.qmc.Sobol(64, scramble=False)`.
    #[test]
    fn points_agree_with_scipy() {
        let check = |dimension, expected: &[f64]| {
            let found: Vec<f64> = (0..).map(|i| f64::from(sobol(i, dimension)) / 4_294_967_296.0).take(12).collect();
            assert_eq!(found, expected, "{dimension}");
        };
        check(0, &[0.0, 0.5, 0.75, 0.25, 0.375, 0.875, 0.625, 0.125, 0.1875, 0.6875, 0.9375, 0.4375]);
        check(1, &[0.0, 0.5, 0.25, 0.75, 0.375, 0.875, 0.125, 0.625, 0.3125, 0.8125, 0.0625, 0.5625]);
        check(2, &[0.0, 0.5, 0.25, 0.75, 0.625, 0.125, 0.875, 0.375, 0.9375, 0.4375, 0.6875, 0.1875]);
        check(5, &[0.0, 0.5, 0.75, 0.25, 0.125, 0.625, 0.875, 0.375, 0.3125, 0.8125, 0.5625, 0.0625]);
        check(21, &[0.0, 0.5, 0.75, 0.25, 0.125, 0.625, 0.875, 0.375, 0.6875, 0.1875, 0.4375, 0.9375]);
        check(63, &[0.0, 0.5, 0.75, 0.25, 0.125, 0.625, 0.875, 0.375, 0.6875, 0.1875, 0.4375, 0.9375]);
    }

    #[test]
    fn every_interval_has_one_scrambled_point() {
        for seed in [0, 1, 99] {
            let mut cells: Vec<u32> = (0..64).map(|i| owen(sobol(i, 5), seed) >> 26).collect();
            cells.sort_unstable();
            assert_eq!(cells, (0..64).collect::<Vec<_>>());
        }
        assert_ne!(owen(1 << 31, 1), owen(1 << 31, 2));
    }
}
