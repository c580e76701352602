//! What happens where a window leaves the image.

use serde::{Deserialize, Serialize};

/// How a window that leaves the image is treated, as in TensorFlow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Padding {
    /// ceil(side / stride) outputs. Zeros surround the image, the odd one at the end; pooling ignores them.
    Same,
    /// Only windows that lie within the image.
    Valid,
}

impl Padding {
    /// The names of both, in the order of the variants.
    pub const NAMES: [&str; 2] = ["same", "valid"];

    /// Returns the name in records and pipelines.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

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

    #[test]
    fn names_are_those_that_are_read() {
        for name in Padding::NAMES {
            let padding: Padding = serde_json::from_value(name.into()).unwrap();
            assert_eq!(padding.name(), name);
        }
    }
}
