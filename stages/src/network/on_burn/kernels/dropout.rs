//! Masks of dropout: those of the CPU, bit for bit.

use burn::tensor::{Device, Tensor};
use cubecl::prelude::*;

use super::{
    launch::{buffer, empty, tensor, units},
    philox::number,
};
use crate::{
    network::kernels::{dropout::Mask, lanes::LANES},
    philox::Purpose,
};

/// Returns the factors by which `mask` multiplies a map of this shape, `[n, c, h, w]`.
pub(crate) fn factors(mask: &Mask, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let [n, channels, h, w] = shape;
    let place = buffer(Tensor::<1>::empty([1], device));
    let out = empty(shape, &place);
    let (count, dim) = units(n * channels * h * w, &out);
    let [key_0, key_1] = mask.stream().key();
    let [major, minor] = mask.stream().place();
    draw::launch(
        &place.client,
        count,
        dim,
        out.clone().into_buffer_arg(),
        (h * w) as u32,
        channels as u32,
        channels.next_multiple_of(LANES) as u32,
        key_0,
        key_1,
        major,
        minor,
        mask.threshold(),
        mask.scale(),
    );
    tensor(out)
}

/// The elements of a map are numbered as the CPU lays them out: `[n, pixels, padded channels]`.
#[cube(launch)]
fn draw(
    out: &mut [f32],
    pixels: u32,
    channels: u32,
    padded: u32,
    key_0: u32,
    key_1: u32,
    major: u32,
    minor: u32,
    threshold: u32,
    scale: f32,
) {
    if ABSOLUTE_POS < out.len() {
        let at = ABSOLUTE_POS as u32;
        let pixel = at % pixels;
        let channel = at / pixels % channels;
        let image = at / (pixels * channels);
        let element = (image * pixels + pixel) * padded + channel;
        let block = element / 64u32 * 16u32 + element % 16u32;
        let bits =
            number(comptime!(Purpose::Dropout as u32), major, minor, block, key_0, key_1, element / 16u32 % 4u32);
        out[ABSOLUTE_POS] = select(bits >= threshold, scale, 0.0f32);
    }
}
