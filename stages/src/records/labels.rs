//! `labels.json`: what the labels of a dataset mean, and the shape of its images.

use serde::{Deserialize, Serialize};

use super::{Record, Version};

/// `labels.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// 1.
    pub format: Version<1>,
    /// At least one; the first is the main one.
    pub heads: Vec<Head>,
    /// The shape of every image.
    pub image: ImageShape,
}

/// One way in which images are labelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Its name, such as `fine`.
    pub name: String,
    /// The classes' names; label `i` means `classes[i]`.
    pub classes: Vec<String>,
}

/// The shape of every image of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageShape {
    /// 1 (gray) or 3 (red, green, blue).
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
}

impl ImageShape {
    /// Returns how many bytes an image takes.
    pub fn bytes(&self) -> usize {
        self.channels * self.height * self.width
    }
}

impl Record for Labels {
    const FILE: &'static str = "labels.json";
    const FORMAT: u32 = 1;
}
