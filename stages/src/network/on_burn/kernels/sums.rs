//! Sums over many numbers, always in the same order, and what a step decides from them.

use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::tiles::{MOVING, TEAM, Tile, Tiles, number};

/// Where `control` has 1 until a loss is not finite, then 0.
pub(super) const ALIVE: usize = 0;
/// Where `control` has what gradients are multiplied by.
pub(super) const CLIP: usize = 1;
/// The numbers of `control` at first.
pub(crate) const CONTROL: [f32; 2] = [1.0, 1.0];

/// The buffers of [`squares`] besides the gradients.
pub(crate) const BUFFERS: usize = 3;

/// Writes the sum of the squares of `gradients + decay * weights` of each tile to `sums`, from `at` on. 0 for moving statistics.
pub(crate) fn squares(gradients: Vec<CubeTensor>, weights: &CubeTensor, tiles: &Tiles, sums: &CubeTensor, at: usize) {
    of_tiles::launch(
        &weights.client,
        tiles.cubes(),
        CubeDim::new_1d(TEAM),
        gradients.into_iter().map(CubeTensor::into_buffer_arg).collect(),
        weights.clone().into_buffer_arg(),
        tiles.words.clone().into_buffer_arg(),
        sums.clone().into_buffer_arg(),
        at as u32,
    );
}

/// Writes the sum of the squares of the weights of each tile to `sums`.
pub(crate) fn squares_of_weights(weights: &CubeTensor, tiles: &Tiles, sums: &CubeTensor) {
    let none = core::iter::empty().collect();
    of_tiles::launch(
        &weights.client,
        tiles.cubes(),
        CubeDim::new_1d(TEAM),
        none,
        weights.clone().into_buffer_arg(),
        tiles.words.clone().into_buffer_arg(),
        sums.clone().into_buffer_arg(),
        0,
    );
}

/// Without gradients, the squares are those of the factor of an array times its weights.
#[cube(launch)]
fn of_tiles(gradients: Sequence<Box<[f32]>>, weights: &[f32], tiles: &[u32], sums: &mut [f32], at: u32) {
    let tile = Tile::of_cube(tiles);
    let mut team = Shared::<[f32]>::new_slice(comptime!(TEAM as usize));
    let mut sum = 0.0f32;
    if tile.kind != comptime!(MOVING) {
        let mut i = UNIT_POS;
        while i < tile.n {
            let x = number(&gradients, &tile, i) + tile.factor * weights[(tile.at + i) as usize];
            sum += x * x;
            i += comptime!(TEAM);
        }
    }
    let sum = of_team(sum, &mut team, 1u32);
    if UNIT_POS == 0 && tile.n > 0 {
        sums[at as usize + CUBE_POS] = sum;
    }
}

/// Adds `own` of all units of a cube whose positions differ by a multiple of `lanes`. All of them get the sum.
#[cube]
pub(super) fn of_team(own: f32, team: &mut Shared<[f32]>, #[comptime] lanes: u32) -> f32 {
    // Whoever still reads the sum before this one has to end first.
    sync_cube();
    team[UNIT_POS as usize] = own;
    sync_cube();
    let mut step = comptime!(TEAM / 2).runtime();
    while step >= lanes {
        if UNIT_POS < step {
            let other = team[(UNIT_POS + step) as usize];
            team[UNIT_POS as usize] += other;
        }
        sync_cube();
        step /= 2;
    }
    team[(UNIT_POS % lanes) as usize]
}

/// Writes the sum of all numbers in `from` to `to`, at `at`.
pub(crate) fn total(from: CubeTensor, to: &CubeTensor, at: usize) {
    add_up::launch(
        &to.client,
        CubeCount::Static(1, 1, 1),
        CubeDim::new_1d(TEAM),
        from.into_buffer_arg(),
        to.clone().into_buffer_arg(),
        at as u32,
    );
}

/// One cube: each unit adds every 256th number.
#[cube(launch)]
fn add_up(from: &[f32], to: &mut [f32], at: u32) {
    let mut team = Shared::<[f32]>::new_slice(comptime!(TEAM as usize));
    let mut sum = 0.0f32;
    let mut i = UNIT_POS as usize;
    while i < from.len() {
        sum += from[i];
        i += comptime!(TEAM as usize);
    }
    let sum = of_team(sum, &mut team, 1u32);
    if UNIT_POS == 0 {
        to[at as usize] = sum;
    }
}

/// Writes to `control` the factor that scales a norm down to `longest`, or 1 if it is not larger. `square` `[1]` is its square.
pub(crate) fn clip(square: &CubeTensor, control: &CubeTensor, longest: f32) {
    shorten::launch(
        &control.client,
        CubeCount::Static(1, 1, 1),
        CubeDim::new_1d(1),
        square.clone().into_buffer_arg(),
        control.clone().into_buffer_arg(),
        longest,
    );
}

#[cube(launch)]
fn shorten(square: &[f32], control: &mut [f32], longest: f32) {
    control[comptime!(CLIP)] = longest / square[0].sqrt().max(longest);
}

/// Notes in `control` if one of the `n` numbers of `slots` from `at` on is not finite. Writes whether all were, so far, to `slots` after
/// them: 1 or 0.
pub(crate) fn check(slots: &CubeTensor, at: usize, n: usize, control: &CubeTensor) {
    are_finite::launch(
        &control.client,
        CubeCount::Static(1, 1, 1),
        CubeDim::new_1d(1),
        slots.clone().into_buffer_arg(),
        control.clone().into_buffer_arg(),
        at as u32,
        n as u32,
    );
}

/// Looks at the bits, because a compiler may take for granted that every number is finite.
#[cube(launch)]
fn are_finite(slots: &mut [f32], control: &mut [f32], at: u32, n: u32) {
    let mut all = control[comptime!(ALIVE)];
    for i in at..at + n {
        let bits = u32::reinterpret(slots[i as usize]);
        if bits & 0x7f80_0000u32 == 0x7f80_0000u32 {
            all = 0.0f32;
        }
    }
    control[comptime!(ALIVE)] = all;
    slots[(at + n) as usize] = all;
}
