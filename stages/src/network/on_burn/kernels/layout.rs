//! How the numbers of a map `[n, c, h, w]` lie in memory.

use burn::tensor::Tensor;
use burn_cubecl::{Cube, tensor::CubeTensor};

use super::launch::{buffer, in_order};

/// The order of the numbers of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Layout {
    /// Image by image, channel by channel: `[n, c, h, w]`.
    Planes,
    /// Image by image, pixel by pixel: `[n, h, w, c]`, which convolutions write.
    Pixels,
}

impl Layout {
    /// Returns the layout of `x`, or the one that is cheap to bring it into.
    pub(super) fn of(x: &CubeTensor) -> Self {
        if !x.is_contiguous() && is_by_pixels(x) { Self::Pixels } else { Self::Planes }
    }

    /// Returns `x` with its numbers in this layout, without gaps.
    pub(super) fn arranged(self, x: CubeTensor) -> CubeTensor {
        match self {
            Self::Planes => in_order(x),
            Self::Pixels if is_by_pixels(&x) => x,
            Self::Pixels => {
                let x: Tensor<4> = Tensor::from_primitive::<Cube>(x);
                let by_pixels: Tensor<4> = Tensor::from_primitive::<Cube>(buffer(x.permute([0, 2, 3, 1])));
                by_pixels.permute([0, 3, 1, 2]).try_into_primitive::<Cube>().expect("it came from there")
            }
        }
    }
}

fn is_by_pixels(x: &CubeTensor) -> bool {
    let (shape, strides) = (x.meta.shape(), x.meta.strides());
    let [c, h, w] = [shape[1], shape[2], shape[3]];
    strides[1] == 1 && strides[3] == c && strides[2] == w * c && strides[0] == h * w * c
}
