//! The L2 penalty.

use rayon::prelude::*;

use super::settings::Settings;
use crate::network::{
    Weights,
    kernels::{
        Isa,
        lanes::{LANES, kernel},
    },
};

/// Returns the L2 penalty: `l2` times the sum of the squares of all kernels that are trained. It is not a number if such a sum is not
/// finite, also if `l2` is 0: then the training counts as diverged, even if an activation function hides it from the loss.
pub(super) fn penalty(settings: &Settings, weights: &Weights) -> f64 {
    let kernels = settings.trained().filter(|parameter| parameter.kernel.is_some());
    settings.rule.l2 * kernels.map(|parameter| sum_of_squares(&weights.0[&parameter.name].values)).sum::<f64>()
}

/// The number of numbers in a block.
const BLOCK: usize = 4096;
/// The number of blocks that are summed side by side, because each sum waits for its last addition.
const BLOCKS: usize = 4;

/// Returns the sum of squares. Each block is summed in sixteen f32 lanes, and their sums are added in order in f64, so that the result
/// does not depend on the machine.
fn sum_of_squares(values: &[f32]) -> f64 {
    let isa = Isa::detect();
    let blocks: Vec<_> = values.par_chunks(BLOCKS * BLOCK).map(|blocks| squares_in_lanes(isa, blocks)).collect();
    blocks.iter().flatten().map(|lanes| lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>()).sum()
}

kernel! {
    /// Returns the sums of the lanes of each block, at most [`BLOCKS`]. Those beyond the end are 0.
    fn squares_in_lanes(values: &[f32]) -> [[f32; LANES]; BLOCKS] {
        let mut sums = [[0.0f32; LANES]; BLOCKS];
        if values.len() == BLOCKS * BLOCK {
            for i in (0..BLOCK).step_by(LANES) {
                for (block, lanes) in sums.iter_mut().enumerate() {
                    let values: &[f32; LANES] = values[block * BLOCK + i..].first_chunk().expect("blocks are whole vectors");
                    lanes.iter_mut().zip(values).for_each(|(lane, x)| *lane += x * x);
                }
            }
        } else {
            for (lanes, block) in sums.iter_mut().zip(values.chunks(BLOCK)) {
                for values in block.chunks(LANES) {
                    lanes.iter_mut().zip(values).for_each(|(lane, x)| *lane += x * x);
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_that_is_not_finite_is_not_hidden_by_a_penalty_of_zero() {
        for bad in [f32::NAN, f32::INFINITY, 1e30] {
            let mut values = vec![0.5; 10_000];
            values[9_000] = bad;
            assert!((0.0 * sum_of_squares(&values)).is_nan(), "{bad}");
        }
        assert_eq!(sum_of_squares(&[0.5; 10_000]), 2_500.0);
    }

    #[test]
    fn blocks_are_summed_in_lanes_and_added_in_order() {
        // Blocks of very different size, so that another order gives another sum.
        let scale = |i: u32| [1e-4, 3e-4, 1e-3, 1e4, 2.0][(i / 4096 % 5) as usize];
        let values: Vec<f32> =
            (0..50_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 1e7 * scale(i)).collect();
        let block = |block: &[f32]| {
            let lane = |lane: usize| block.iter().skip(lane).step_by(LANES).fold(0.0f32, |sum, x| sum + x * x);
            (0..LANES).map(|i| f64::from(lane(i))).sum::<f64>()
        };
        for n in [0, 1, 17, 4096, 16_384, 16_385, 40_000, 50_000] {
            let expected: f64 = values[..n].chunks(4096).map(block).sum();
            assert_eq!(sum_of_squares(&values[..n]).to_bits(), expected.to_bits(), "{n}");
        }
    }
}
