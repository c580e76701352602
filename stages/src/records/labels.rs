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

/// The shape of every image of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageShape {
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// The number of rows of pixels.
    pub height: usize,
    /// The number of columns of pixels.
    pub width: usize,
}

impl ImageShape {
    /// Returns the number of bytes of an image.
    pub fn bytes(&self) -> usize {
        self.channels * self.height * self.width
    }
}

impl Record for Labels {
    const FILE: &'static str = "labels.json";
    const FORMAT: u32 = 1;
}
