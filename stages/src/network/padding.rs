//! What happens where a window leaves the image.

use crate::choices;

choices! {
    /// How a window that leaves the image is treated, as in TensorFlow.
    #[derive(Copy, Eq)]
    pub enum Padding {
        /// ceil(side / stride) outputs. Zeros surround the image, the odd one at the end; pooling ignores them.
        Same = "same",
        /// Only windows that lie within the image.
        Valid = "valid",
    }
}

impl Padding {
    /// Returns the zeros before and after `side`, and the number of outputs, for windows of `size` every `stride`.
    pub fn along(self, side: usize, size: usize, stride: usize) -> (usize, usize, usize) {
        match self {
            Self::Valid => (0, 0, (side + stride).saturating_sub(size) / stride),
            Self::Same => {
                let out = side.div_ceil(stride);
                let zeros = ((out - 1) * stride + size).saturating_sub(side);
                (zeros / 2, zeros - zeros / 2, out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_is_tensorflows() {
        // (side, size, stride) -> (before, after, outputs)
        for (side, size, stride, expected) in [
            (32, 3, 1, (1, 1, 32)),
            (32, 2, 1, (0, 1, 32)),
            (32, 4, 1, (1, 2, 32)),
            (32, 3, 2, (0, 1, 16)),
            (7, 3, 2, (1, 1, 4)),
            (1, 3, 2, (1, 1, 1)),
            (5, 1, 2, (0, 0, 3)),
        ] {
            assert_eq!(Padding::Same.along(side, size, stride), expected, "{side} {size} {stride}");
        }
        assert_eq!(Padding::Valid.along(7, 2, 2), (0, 0, 3));
        assert_eq!(Padding::Valid.along(1, 2, 2), (0, 0, 0));
    }
}
