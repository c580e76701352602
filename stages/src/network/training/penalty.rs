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

/// Returns the sum of squares. Each block of 4096 numbers is summed in sixteen f32 lanes, and their sums are added in order in f64,
/// so that the result does not depend on the machine.
fn sum_of_squares(values: &[f32]) -> f64 {
    let isa = Isa::detect();
    let blocks: Vec<_> = values.par_chunks(4096).map(|block| squares_in_lanes(isa, block)).collect();
    blocks.iter().map(|lanes| lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>()).sum()
}

kernel! {
    fn squares_in_lanes(values: &[f32]) -> [f32; LANES] {
        let mut lanes = [0.0f32; LANES];
        for values in values.chunks(LANES) {
            lanes.iter_mut().zip(values).for_each(|(lane, x)| *lane += x * x);
        }
        lanes
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
}
