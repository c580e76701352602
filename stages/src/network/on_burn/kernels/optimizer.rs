//! The optimizer: one launch for each array. The formulas are those of [`crate::network::training::optimizer`].

use burn::tensor::Tensor;
use cubecl::prelude::*;

use super::launch::{buffer, units};
use crate::network::training::optimizer::{EPSILON, Factors, OptimizerKind, REST_1, REST_2, RHO};

/// The moments of an array, as far as the optimizer has them.
pub(crate) struct Moments<'a> {
    pub(crate) first: Option<&'a Tensor<1>>,
    pub(crate) second: Option<&'a Tensor<1>>,
}

/// Updates `weights` and their moments in place from `gradients`. `clip` `[1]` scales the gradients. Does nothing if `alive` `[1]` is 0.
pub(crate) fn update(
    kind: OptimizerKind,
    weights: &Tensor<1>,
    gradients: Tensor<1>,
    moments: Moments<'_>,
    factors: &Factors,
    clip: &Tensor<1>,
    alive: &Tensor<1>,
) {
    let [weights, gradients, clip, alive] = [weights.clone(), gradients, clip.clone(), alive.clone()].map(buffer);
    let (count, dim) = units(weights.meta.num_elements(), &weights);
    let client = weights.client.clone();
    let moment = |of: Option<&Tensor<1>>| buffer(of.expect("the optimizer has this moment").clone()).into_buffer_arg();
    match kind {
        OptimizerKind::Sgd => descend::launch(
            &client,
            count,
            dim,
            weights.into_buffer_arg(),
            gradients.into_buffer_arg(),
            moment(moments.first),
            clip.into_buffer_arg(),
            alive.into_buffer_arg(),
            factors.decay,
            factors.rate,
            factors.momentum,
            u32::from(factors.nesterov),
        ),
        OptimizerKind::RmsProp => rms_prop::launch(
            &client,
            count,
            dim,
            weights.into_buffer_arg(),
            gradients.into_buffer_arg(),
            moment(moments.second),
            clip.into_buffer_arg(),
            alive.into_buffer_arg(),
            factors.decay,
            factors.rate,
        ),
        OptimizerKind::Adam | OptimizerKind::AdamW | OptimizerKind::Nadam => adaptive::launch(
            &client,
            count,
            dim,
            weights.into_buffer_arg(),
            gradients.into_buffer_arg(),
            moment(moments.first),
            moment(moments.second),
            clip.into_buffer_arg(),
            alive.into_buffer_arg(),
            factors.decay,
            factors.rate,
            factors.keep,
            factors.of_mean,
            factors.of_gradient,
            factors.of_square,
        ),
    }
}

#[cube(launch)]
fn descend(
    weights: &mut [f32],
    gradients: &[f32],
    velocities: &mut [f32],
    clip: &[f32],
    alive: &[f32],
    decay: f32,
    rate: f32,
    momentum: f32,
    nesterov: u32,
) {
    if ABSOLUTE_POS < weights.len() && alive[0] != 0.0f32 {
        let weight = weights[ABSOLUTE_POS];
        let change = 0.0f32 - rate * (clip[0] * (gradients[ABSOLUTE_POS] + decay * weight));
        let velocity = momentum * velocities[ABSOLUTE_POS] + change;
        velocities[ABSOLUTE_POS] = velocity;
        weights[ABSOLUTE_POS] = weight + select(nesterov != 0u32, momentum * velocity + change, velocity);
    }
}

#[cube(launch)]
fn rms_prop(
    weights: &mut [f32],
    gradients: &[f32],
    squares: &mut [f32],
    clip: &[f32],
    alive: &[f32],
    decay: f32,
    rate: f32,
) {
    if ABSOLUTE_POS < weights.len() && alive[0] != 0.0f32 {
        let weight = weights[ABSOLUTE_POS];
        let gradient = clip[0] * (gradients[ABSOLUTE_POS] + decay * weight);
        let square = comptime!(RHO) * squares[ABSOLUTE_POS] + comptime!(1.0 - RHO) * gradient * gradient;
        squares[ABSOLUTE_POS] = square;
        weights[ABSOLUTE_POS] = weight - rate * gradient / (square + comptime!(EPSILON)).sqrt();
    }
}

#[cube(launch)]
fn adaptive(
    weights: &mut [f32],
    gradients: &[f32],
    means: &mut [f32],
    squares: &mut [f32],
    clip: &[f32],
    alive: &[f32],
    decay: f32,
    rate: f32,
    keep: f32,
    of_mean: f32,
    of_gradient: f32,
    of_square: f32,
) {
    if ABSOLUTE_POS < weights.len() && alive[0] != 0.0f32 {
        let weight = weights[ABSOLUTE_POS];
        let gradient = clip[0] * (gradients[ABSOLUTE_POS] + decay * weight);
        let old_mean = means[ABSOLUTE_POS];
        let old_square = squares[ABSOLUTE_POS];
        let mean = old_mean + (gradient - old_mean) * comptime!(REST_1);
        let square = old_square + (gradient * gradient - old_square) * comptime!(REST_2);
        means[ABSOLUTE_POS] = mean;
        squares[ABSOLUTE_POS] = square;
        let step = of_mean * mean + of_gradient * gradient;
        weights[ABSOLUTE_POS] = keep * weight - rate * step / ((square * of_square).sqrt() + comptime!(EPSILON));
    }
}
