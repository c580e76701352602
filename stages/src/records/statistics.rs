//! `statistics.json`: counts, pixel statistics and duplicates of a dataset.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Record, Version};

/// `statistics.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// 1.
    pub format: Version<1>,
    /// The counts of each split, by name.
    pub splits: BTreeMap<String, Counts>,
    /// The pixels of the training split, from 0 to 255.
    pub pixels: Pixels,
    /// The duplicates within and across the splits.
    pub duplicates: Duplicates,
    /// The duplicates within and across the publisher's `train` and `test`, before a subset or a validation split is taken.
    pub published_duplicates: Duplicates,
    /// The images that look like one of another split. `None` in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near_duplicates: Option<NearDuplicates>,
}

/// The numbers of images in a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// The number of all images.
    pub images: usize,
    /// The number of images of each class, for each head.
    pub classes: BTreeMap<String, Vec<usize>>,
}

/// The mean and the standard deviation of each channel, computed from exact sums. The deviation has n in the denominator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pixels {
    /// The mean of each channel.
    pub mean: Vec<f64>,
    /// The standard deviation of each channel.
    pub deviation: Vec<f64>,
}

/// The numbers of images that have the same pixels as another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Duplicates {
    /// For each split, the number of images that repeat an earlier image.
    pub within: BTreeMap<String, usize>,
    /// For each split, the number of distinct images that occur with different labels of the main head.
    pub conflicting: BTreeMap<String, usize>,
    /// For each pair of splits, such as "test/train", the number of distinct images that are in both.
    pub across: BTreeMap<String, usize>,
}

/// The images that look like one of another split without having its pixels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NearDuplicates {
    /// For each pair of splits, such as "test/train", the number of images of the first that look like one of the second.
    pub images: BTreeMap<String, usize>,
    /// The nearest pairs, at most 8, in the order of the sheet `near_duplicates.png`.
    pub pairs: Vec<Near>,
}

/// A pair of images that look the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Near {
    /// The split of the one image.
    pub split: String,
    /// Its index, from 0.
    pub image: usize,
    /// The split of the other.
    pub of: String,
    /// Its index, from 0.
    pub other: usize,
    /// How many of the 64 bits of their hashes differ.
    pub bits: u32,
}

impl Record for Statistics {
    const FILE: &'static str = "statistics.json";
    const FORMAT: u32 = 1;
}
