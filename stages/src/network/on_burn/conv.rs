//! Convolution.

use burn::tensor::{Tensor, module, ops::ConvOptions};

use crate::network::Padding;

/// Returns the convolution of `x` `[n, c, h, w]` with `kernel` `[o, c, k, k]`, plus `bias` `[o]`: `[n, o, oh, ow]`.
pub fn conv2d(x: Tensor<4>, kernel: Tensor<4>, bias: Tensor<1>, stride: usize, padding: Padding) -> Tensor<4> {
    let [_, _, h, w] = x.dims();
    let [_, _, k, _] = kernel.dims();
    let (top, bottom, _) = padding.along(h, k, stride);
    let (left, right, _) = padding.along(w, k, stride);
    let options = ConvOptions::new([stride, stride], [0, 0], [1, 1], 1);
    let options = ConvOptions { padding: [(top, bottom), (left, right)], ..options };
    module::conv2d(x, kernel, Some(bias), options)
}
