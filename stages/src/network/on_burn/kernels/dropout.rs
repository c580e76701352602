//! Dropout, by the masks of the CPU, bit for bit.

use burn::tensor::Tensor;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::{
    launch::{empty_like, units},
    layout::Layout,
    operation::{self, Kept},
    philox::number,
};
use crate::{
    network::kernels::{dropout::Mask, lanes::LANES},
    philox::Purpose,
};

/// Multiplies `x` `[n, c, h, w]` by the factors of `mask`. The gradient is multiplied by the same factors, which are drawn again.
pub(crate) fn drop(mask: &Mask, x: Tensor<4>) -> Tensor<4> {
    let dropped = Dropped(*mask);
    operation::apply(x, |x| (dropped.applied(x), dropped))
}

#[derive(Debug, Clone)]
struct Dropped(Mask);

impl Kept for Dropped {
    fn gradient(&self, dy: CubeTensor) -> CubeTensor {
        self.applied(dy)
    }
}

impl Dropped {
    fn applied(&self, x: CubeTensor) -> CubeTensor {
        let layout = Layout::of(&x);
        let x = layout.arranged(x);
        let y = empty_like(&x);
        let [_, channels, h, w] = x.meta.shape()[..] else { panic!("maps have four dimensions") };
        let (count, dim) = units(x.meta.num_elements(), &x);
        let [key_0, key_1] = self.0.stream().key();
        let [major, minor] = self.0.stream().place();
        multiply::launch(
            &x.client.clone(),
            count,
            dim,
            x.into_buffer_arg(),
            y.clone().into_buffer_arg(),
            (h * w) as u32,
            channels as u32,
            channels.next_multiple_of(LANES) as u32,
            key_0,
            key_1,
            major,
            minor,
            self.0.threshold(),
            self.0.scale(),
            layout == Layout::Pixels,
        );
        y
    }
}

/// The elements of a map are numbered as the CPU lays them out: `[n, pixels, padded channels]`.
#[cube(launch)]
fn multiply(
    x: &[f32],
    y: &mut [f32],
    pixels: u32,
    channels: u32,
    padded: u32,
    key_0: u32,
    key_1: u32,
    major: u32,
    minor: u32,
    threshold: u32,
    scale: f32,
    #[comptime] by_pixels: bool,
) {
    if ABSOLUTE_POS < y.len() {
        let at = ABSOLUTE_POS as u32;
        let image = at / (pixels * channels);
        let mut pixel = at % pixels;
        let mut channel = at / pixels % channels;
        if comptime!(by_pixels) {
            pixel = at / channels % pixels;
            channel = at % channels;
        }
        let element = (image * pixels + pixel) * padded + channel;
        let block = element / 64u32 * 16u32 + element % 16u32;
        let bits =
            number(comptime!(Purpose::Dropout as u32), major, minor, block, key_0, key_1, element / 16u32 % 4u32);
        y[ABSOLUTE_POS] = x[ABSOLUTE_POS] * select(bits >= threshold, scale, 0.0f32);
    }
}
