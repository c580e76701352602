//! Sums over many numbers, always in the same order.

use burn::tensor::Tensor;
use cubecl::prelude::*;

use super::launch::{buffer, units};

/// The numbers that one unit sums.
const RUN: usize = 256;
/// The units that add the sums of runs.
const TEAM: u32 = 256;

/// Returns how many sums [`squares`] writes for an array of `n` numbers.
pub(crate) fn runs(n: usize) -> usize {
    n.div_ceil(RUN)
}

/// Writes the sums of the squares of `gradients + decay * weights`, one for each run of 256 numbers, to `sums`, from `at` on.
pub(crate) fn squares(gradients: Tensor<1>, weights: &Tensor<1>, decay: f32, sums: &Tensor<1>, at: usize) {
    let [gradients, weights, sums] = [gradients, weights.clone(), sums.clone()].map(buffer);
    let n = weights.meta.num_elements();
    let (count, dim) = units(runs(n), &weights);
    of_runs::launch(
        &weights.client.clone(),
        count,
        dim,
        gradients.into_buffer_arg(),
        weights.into_buffer_arg(),
        sums.into_buffer_arg(),
        decay,
        at as u32,
        n as u32,
    );
}

#[cube(launch)]
fn of_runs(gradients: &[f32], weights: &[f32], sums: &mut [f32], decay: f32, at: u32, n: u32) {
    let first = ABSOLUTE_POS as u32 * comptime!(RUN as u32);
    if first < n {
        let end = (first + comptime!(RUN as u32)).min(n);
        let mut sum = 0.0f32;
        for i in first..end {
            let x = gradients[i as usize] + decay * weights[i as usize];
            sum += x * x;
        }
        sums[at as usize + ABSOLUTE_POS] = sum;
    }
}

/// Writes the sum of all numbers in `from` to `to`, at `at`.
pub(crate) fn total(from: Tensor<1>, to: &Tensor<1>, at: usize) {
    let [from, to] = [from, to.clone()].map(buffer);
    add_up::launch(
        &to.client.clone(),
        CubeCount::Static(1, 1, 1),
        CubeDim::new_1d(TEAM),
        from.into_buffer_arg(),
        to.into_buffer_arg(),
        at as u32,
    );
}

/// One cube: each unit adds every 256th number, and the first one adds their sums.
#[cube(launch)]
fn add_up(from: &[f32], to: &mut [f32], at: u32) {
    let mut sums = Shared::<[f32]>::new_slice(comptime!(TEAM as usize));
    let mut sum = 0.0f32;
    let mut i = UNIT_POS as usize;
    while i < from.len() {
        sum += from[i];
        i += comptime!(TEAM as usize);
    }
    sums[UNIT_POS as usize] = sum;
    sync_cube();
    if UNIT_POS == 0 {
        let mut all = 0.0f32;
        for i in 0..comptime!(TEAM as usize) {
            all += sums[i];
        }
        to[at as usize] = all;
    }
}

/// Writes to `clip` `[1]` the factor that scales a norm down to `longest`, or 1 if it is not larger. `square` `[1]` is its square.
pub(crate) fn clip(square: &Tensor<1>, clip: &Tensor<1>, longest: f32) {
    let [square, clip] = [square.clone(), clip.clone()].map(buffer);
    let client = clip.client.clone();
    shorten::launch(
        &client,
        CubeCount::Static(1, 1, 1),
        CubeDim::new_1d(1),
        square.into_buffer_arg(),
        clip.into_buffer_arg(),
        longest,
    );
}

#[cube(launch)]
fn shorten(square: &[f32], clip: &mut [f32], longest: f32) {
    clip[0] = longest / square[0].sqrt().max(longest);
}

/// Writes 0 to `alive` `[1]` if one of the `n` numbers of `slots` from `at` on is not finite, and `alive` to `slots` after them.
pub(crate) fn check(slots: &Tensor<1>, at: usize, n: usize, alive: &Tensor<1>) {
    let [slots, alive] = [slots.clone(), alive.clone()].map(buffer);
    let client = alive.client.clone();
    are_finite::launch(
        &client,
        CubeCount::Static(1, 1, 1),
        CubeDim::new_1d(1),
        slots.into_buffer_arg(),
        alive.into_buffer_arg(),
        at as u32,
        n as u32,
    );
}

/// Looks at the bits, because a compiler may take for granted that every number is finite.
#[cube(launch)]
fn are_finite(slots: &mut [f32], alive: &mut [f32], at: u32, n: u32) {
    let mut all = alive[0];
    for i in at..at + n {
        let bits = u32::reinterpret(slots[i as usize]);
        if bits & 0x7f80_0000u32 == 0x7f80_0000u32 {
            all = 0.0f32;
        }
    }
    alive[0] = all;
    slots[(at + n) as usize] = all;
}
