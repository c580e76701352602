//! The optimizer and the moving statistics: one launch for all arrays. The formulas are those of
//! [`crate::network::training::optimizer`].

use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::{
    sums::{ALIVE, CLIP},
    tiles::{MOVING, TEAM, Tile, Tiles, number},
};
use crate::network::training::optimizer::{EPSILON, Factors, OptimizerKind, REST_1, REST_2, RHO};

/// The buffers of a launch besides the gradients.
pub(crate) const BUFFERS: usize = 5;

/// All arrays of a network, one after the other, and their moments as far as the optimizer has them.
pub(crate) struct Arrays<'a> {
    pub(crate) weights: &'a CubeTensor,
    pub(crate) first: Option<&'a CubeTensor>,
    pub(crate) second: Option<&'a CubeTensor>,
}

/// Changes `arrays` in place. `news` has the gradient or the statistics of the batch for each array of `tiles`. `control` says how gradients
/// are scaled, and whether to do anything: see [`sums::check`](super::sums::check).
pub(crate) fn update(
    kind: OptimizerKind,
    arrays: &Arrays<'_>,
    tiles: &Tiles,
    news: Vec<CubeTensor>,
    factors: &Factors,
    control: &CubeTensor,
) {
    let client = &arrays.weights.client;
    let dim = CubeDim::new_1d(TEAM);
    let news = news.into_iter().map(CubeTensor::into_buffer_arg).collect();
    let moment = |of: Option<&CubeTensor>| of.expect("the optimizer has this moment").clone().into_buffer_arg();
    let [weights, words, control] =
        [arrays.weights, &tiles.words, control].map(|buffer| buffer.clone().into_buffer_arg());
    match kind {
        OptimizerKind::Sgd => descend::launch(
            client,
            tiles.cubes(),
            dim,
            weights,
            moment(arrays.first),
            news,
            words,
            control,
            factors.rate,
            factors.momentum,
            u32::from(factors.nesterov),
        ),
        OptimizerKind::RmsProp => rms_prop::launch(
            client,
            tiles.cubes(),
            dim,
            weights,
            moment(arrays.second),
            news,
            words,
            control,
            factors.rate,
        ),
        OptimizerKind::Adam | OptimizerKind::AdamW | OptimizerKind::Nadam => adaptive::launch(
            client,
            tiles.cubes(),
            dim,
            weights,
            moment(arrays.first),
            moment(arrays.second),
            news,
            words,
            control,
            factors.rate,
            factors.keep,
            factors.of_mean,
            factors.of_gradient,
            factors.of_square,
        ),
    }
}

/// Returns the gradient of number `i` of the tile, whose weight is `weight`.
#[cube]
fn gradient(gradients: &Sequence<Box<[f32]>>, tile: &Tile, i: u32, weight: f32, control: &[f32]) -> f32 {
    control[comptime!(CLIP)] * (number(gradients, tile, i) + tile.factor * weight)
}

/// Moves the moving statistics of a tile.
#[cube]
fn move_towards(moving: &mut [f32], batch: &Sequence<Box<[f32]>>, tile: &Tile) {
    let mut i = UNIT_POS;
    while i < tile.n {
        let at = (tile.at + i) as usize;
        moving[at] = moving[at] * tile.factor + number(batch, tile, i) * (1.0f32 - tile.factor);
        i += comptime!(TEAM);
    }
}

#[cube(launch)]
fn descend(
    weights: &mut [f32],
    velocities: &mut [f32],
    news: Sequence<Box<[f32]>>,
    tiles: &[u32],
    control: &[f32],
    rate: f32,
    momentum: f32,
    nesterov: u32,
) {
    let tile = Tile::of_cube(tiles);
    if control[comptime!(ALIVE)] != 0.0f32 {
        if tile.kind == comptime!(MOVING) {
            move_towards(weights, &news, &tile);
        } else {
            let mut i = UNIT_POS;
            while i < tile.n {
                let at = (tile.at + i) as usize;
                let weight = weights[at];
                let change = 0.0f32 - rate * gradient(&news, &tile, i, weight, control);
                let velocity = momentum * velocities[at] + change;
                velocities[at] = velocity;
                weights[at] = weight + select(nesterov != 0u32, momentum * velocity + change, velocity);
                i += comptime!(TEAM);
            }
        }
    }
}

#[cube(launch)]
fn rms_prop(
    weights: &mut [f32],
    squares: &mut [f32],
    news: Sequence<Box<[f32]>>,
    tiles: &[u32],
    control: &[f32],
    rate: f32,
) {
    let tile = Tile::of_cube(tiles);
    if control[comptime!(ALIVE)] != 0.0f32 {
        if tile.kind == comptime!(MOVING) {
            move_towards(weights, &news, &tile);
        } else {
            let mut i = UNIT_POS;
            while i < tile.n {
                let at = (tile.at + i) as usize;
                let weight = weights[at];
                let gradient = gradient(&news, &tile, i, weight, control);
                let square = comptime!(RHO) * squares[at] + comptime!(1.0 - RHO) * gradient * gradient;
                squares[at] = square;
                weights[at] = weight - rate * gradient / (square + comptime!(EPSILON)).sqrt();
                i += comptime!(TEAM);
            }
        }
    }
}

#[cube(launch)]
fn adaptive(
    weights: &mut [f32],
    means: &mut [f32],
    squares: &mut [f32],
    news: Sequence<Box<[f32]>>,
    tiles: &[u32],
    control: &[f32],
    rate: f32,
    keep: f32,
    of_mean: f32,
    of_gradient: f32,
    of_square: f32,
) {
    let tile = Tile::of_cube(tiles);
    if control[comptime!(ALIVE)] != 0.0f32 {
        if tile.kind == comptime!(MOVING) {
            move_towards(weights, &news, &tile);
        } else {
            let mut i = UNIT_POS;
            while i < tile.n {
                let at = (tile.at + i) as usize;
                let weight = weights[at];
                let gradient = gradient(&news, &tile, i, weight, control);
                let old_mean = means[at];
                let old_square = squares[at];
                let mean = old_mean + (gradient - old_mean) * comptime!(REST_1);
                let square = old_square + (gradient * gradient - old_square) * comptime!(REST_2);
                means[at] = mean;
                squares[at] = square;
                let step = of_mean * mean + of_gradient * gradient;
                weights[at] = keep * weight - rate * step / ((square * of_square).sqrt() + comptime!(EPSILON));
                i += comptime!(TEAM);
            }
        }
    }
}
