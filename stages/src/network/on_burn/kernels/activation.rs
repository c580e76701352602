//! Activation functions, and their gradients, which are computed from the output: the formulas of
//! [`crate::network::kernels::activation`].

use burn::tensor::Tensor;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::{
    launch::{empty_like, units},
    layout::Layout,
    operation::{self, Kept},
};
use crate::network::{
    function::Function,
    kernels::activation::{SELU_LIMIT, SELU_SCALE},
};

/// Applies `function` to each number of `x` `[n, c, h, w]`.
pub(crate) fn activate(function: Function, x: Tensor<4>) -> Tensor<4> {
    operation::apply(x, |x| {
        let layout = Layout::of(&x);
        let x = layout.arranged(x);
        let y = empty_like(&x);
        let (count, dim) = units(x.meta.num_elements(), &x);
        forward::launch(&x.client.clone(), count, dim, x.into_buffer_arg(), y.clone().into_buffer_arg(), function);
        (y.clone(), Activated { function, layout, y })
    })
}

#[derive(Debug, Clone)]
struct Activated {
    function: Function,
    layout: Layout,
    y: CubeTensor,
}

impl Kept for Activated {
    fn gradient(&self, dy: CubeTensor) -> CubeTensor {
        let dy = self.layout.arranged(dy);
        let dx = empty_like(&self.y);
        let (count, dim) = units(dx.meta.num_elements(), &dx);
        backward::launch(
            &dx.client,
            count,
            dim,
            self.y.clone().into_buffer_arg(),
            dy.into_buffer_arg(),
            dx.clone().into_buffer_arg(),
            self.function,
        );
        dx
    }
}

#[cube(launch)]
fn forward(x: &[f32], y: &mut [f32], #[comptime] function: Function) {
    if ABSOLUTE_POS < y.len() {
        let value = x[ABSOLUTE_POS];
        // What is not a number is not below 0, and stays what it is.
        if comptime!(function == Function::Relu) {
            y[ABSOLUTE_POS] = select(value < 0.0f32, 0.0f32, value);
        } else if comptime!(function == Function::Elu) {
            y[ABSOLUTE_POS] = select(value < 0.0f32, value.exp() - 1.0f32, value);
        } else {
            let below = comptime!(SELU_LIMIT) * (value.exp() - 1.0f32);
            y[ABSOLUTE_POS] = select(value < 0.0f32, below, comptime!(SELU_SCALE) * value);
        }
    }
}

#[cube(launch)]
fn backward(y: &[f32], dy: &[f32], dx: &mut [f32], #[comptime] function: Function) {
    if ABSOLUTE_POS < dx.len() {
        let output = y[ABSOLUTE_POS];
        let gradient = dy[ABSOLUTE_POS];
        if comptime!(function == Function::Relu) {
            dx[ABSOLUTE_POS] = select(output > 0.0f32, gradient, 0.0f32);
        } else if comptime!(function == Function::Elu) {
            dx[ABSOLUTE_POS] = gradient * select(output > 0.0f32, 1.0f32, output + 1.0f32);
        } else {
            dx[ABSOLUTE_POS] =
                gradient * select(output > 0.0f32, comptime!(SELU_SCALE), output + comptime!(SELU_LIMIT));
        }
    }
}
