//! The moving statistics of batch normalisation.

use burn::tensor::Tensor;
use cubecl::prelude::*;

use super::launch::{buffer, units};

/// Moves `moving` `[c]` towards the statistics of a batch: moving * momentum + batch * (1 - momentum). Does nothing if `alive` `[1]`
/// is 0.
pub(crate) fn move_towards(moving: &Tensor<1>, batch: Tensor<1>, momentum: f32, alive: &Tensor<1>) {
    let [moving, batch, alive] = [moving.clone(), batch, alive.clone()].map(buffer);
    let (count, dim) = units(moving.meta.num_elements(), &moving);
    step::launch(
        &moving.client.clone(),
        count,
        dim,
        moving.into_buffer_arg(),
        batch.into_buffer_arg(),
        alive.into_buffer_arg(),
        momentum,
    );
}

#[cube(launch)]
fn step(moving: &mut [f32], batch: &[f32], alive: &[f32], momentum: f32) {
    if ABSOLUTE_POS < moving.len() && alive[0] != 0.0f32 {
        moving[ABSOLUTE_POS] = moving[ABSOLUTE_POS] * momentum + batch[ABSOLUTE_POS] * (1.0f32 - momentum);
    }
}
