//! Convolution: own kernels on the CPU, burn's elsewhere.

use burn::{
    backend::{
        Flex,
        autodiff::{
            checkpoint::base::Checkpointer,
            grads::Gradients,
            ops::{Backward, Ops},
        },
        flex::FlexTensor,
    },
    tensor::{Tensor, module, ops::ConvOptions},
};

use super::{
    conv_kernels::{self, Geometry},
    flex,
};
use crate::model::Padding;

/// Returns the convolution of `x` `[n, c, h, w]` with `kernel` `[o, c, k, k]`, plus `bias` `[o]`: `[n, o, oh, ow]`.
pub fn conv2d(x: Tensor<4>, kernel: Tensor<4>, bias: Tensor<1>, stride: usize, padding: Padding) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let [o, _, k, _] = kernel.dims();
    let (top, bottom, oh) = padding.along(h, k, stride);
    let (left, right, ow) = padding.along(w, k, stride);
    let (Some(x_values), Some(kernel_values), Some(bias_values)) =
        (flex::plain(&x), flex::plain(&kernel), flex::plain(&bias))
    else {
        let options = ConvOptions::new([stride, stride], [0, 0], [1, 1], 1);
        let options = ConvOptions { padding: [(top, bottom), (left, right)], ..options };
        return module::conv2d(x, kernel, Some(bias), options);
    };
    let geometry = Geometry { n, c, h, w, o, k, stride, top, left, oh, ow };
    let values = flex::values;
    let y = conv_kernels::forward(&geometry, values(&x_values), values(&kernel_values), values(&bias_values));
    let y = flex::tensor(y, &[n, o, oh, ow]);
    if !x.is_autodiff() && !kernel.is_autodiff() && !bias.is_autodiff() {
        return Tensor::from_primitive::<Flex>(y);
    }
    let (x, kernel, bias) = (flex::tracked(x), flex::tracked(kernel), flex::tracked(bias));
    let state = State { geometry, x: x_values, kernel: kernel_values };
    flex::record(Conv, [x.node(), kernel.node(), bias.node()], state, y)
}

#[derive(Debug)]
struct Conv;

#[derive(Debug, Clone)]
struct State {
    geometry: Geometry,
    x: FlexTensor,
    kernel: FlexTensor,
}

impl Backward<Flex, 3> for Conv {
    type State = State;

    fn backward(self, ops: Ops<State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let State { geometry: g, x, kernel } = ops.state;
        let dy = grads.consume::<Flex>(&ops.node).to_contiguous();
        let [of_x, of_kernel, of_bias] = ops.parents;
        if let Some(node) = of_x {
            let dx = conv_kernels::gradient_by_x(&g, flex::values(&dy), flex::values(&kernel));
            grads.register::<Flex>(node.id, flex::tensor(dx, &[g.n, g.c, g.h, g.w]));
        }
        if of_kernel.is_none() && of_bias.is_none() {
            return;
        }
        let (dkernel, dbias) = conv_kernels::gradient_by_kernel(&g, flex::values(&x), flex::values(&dy));
        if let Some(node) = of_kernel {
            grads.register::<Flex>(node.id, flex::tensor(dkernel, &[g.o, g.c, g.k, g.k]));
        }
        if let Some(node) = of_bias {
            grads.register::<Flex>(node.id, flex::tensor(dbias, &[g.o]));
        }
    }
}
