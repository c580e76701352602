//! `labels.json`: what the labels of a dataset mean, and the shape of its images.

use serde::{Deserialize, Serialize};

use super::{Record, Version};

/// `labels.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// 1.
    pub format: Version<1>,
    /// The heads, at least one. The first is the main one.
    pub heads: Vec<Head>,
    /// The shape of every image.
    pub image: ImageShape,
}

/// One set of labels of the images, such as fine or coarse classes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The head's name, such as `fine`.
    pub name: String,
    /// The names of the classes. Label `i` means `classes[i]`.
    pub classes: Vec<String>,
}

/// The shape of every image of a dataset. One that is read has no side of 0, and [`bytes`](Self::bytes) does not overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Sides")]
pub struct ImageShape {
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// The number of rows of pixels.
    pub height: usize,
    /// The number of columns of pixels.
    pub width: usize,
}

/// The most bytes of an image. `decode` makes at most 50 million: 3 x 4096 x 4096.
const BYTES: usize = 1 << 31;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sides {
    channels: usize,
    height: usize,
    width: usize,
}

impl TryFrom<Sides> for ImageShape {
    type Error = String;

    fn try_from(Sides { channels, height, width }: Sides) -> Result<Self, String> {
        Self::of([channels, height, width])
    }
}

impl ImageShape {
    /// Returns the shape `[channels, height, width]`.
    ///
    /// # Errors
    /// If a side is 0, or an image is too large.
    pub(crate) fn of(sides: [usize; 3]) -> Result<Self, String> {
        let [channels, height, width] = sides;
        match sides.iter().try_fold(1_usize, |product, side| product.checked_mul(*side)) {
            Some(1..=BYTES) => Ok(Self { channels, height, width }),
            _ => Err(format!("an image has the shape {channels} x {height} x {width}, expected 1 to {BYTES} bytes")),
        }
    }

    /// Returns the number of bytes of an image.
    pub fn bytes(&self) -> usize {
        self.channels * self.height * self.width
    }
}

impl Record for Labels {
    const FILE: &'static str = "labels.json";
    const FORMAT: u32 = 1;
}
