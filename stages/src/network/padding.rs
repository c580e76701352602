//! Padding at the edges of an image.

use crate::choices;

choices! {
    /// The padding at the edges of an image, as in TensorFlow.
    #[derive(Copy, Eq)]
    pub enum Padding {
        /// Pads with zeros, so that there are ceil(side / stride) outputs along each side. If their number is odd, the extra zero is
        /// at the end. Pooling ignores them.
        Same = "same",
        /// No padding: all windows lie within the image.
        Valid = "valid",
    }
}

impl Padding {
    /// Returns the padding before and after a side of `side` pixels, and the number of outputs along it, for windows of `size`
    /// pixels every `stride` pixels.
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
    fn same_padding_agrees_with_tensorflow() {
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
