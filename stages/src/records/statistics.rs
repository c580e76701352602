//! `statistics.json`: what is worth knowing of a dataset.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Record, Version};

/// `statistics.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// 1.
    pub format: Version<1>,
    /// By split.
    pub splits: BTreeMap<String, Counts>,
    /// Of the training split, in units of a byte (0 to 255).
    pub pixels: Pixels,
    /// Within and across the splits as they are here.
    pub duplicates: Duplicates,
    /// Within and across `train` and `test` as the publisher divides them, before a subset or a validation split is taken.
    pub published_duplicates: Duplicates,
}

/// How many images a split has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// In all.
    pub images: usize,
    /// head -> for each class, its images.
    pub classes: BTreeMap<String, Vec<usize>>,
}

/// Mean and deviation (of the whole, not of a sample: divided by n) of each channel, computed from whole sums.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pixels {
    /// By channel.
    pub mean: Vec<f64>,
    /// By channel.
    pub deviation: Vec<f64>,
}

/// Pictures whose pixels are all equal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Duplicates {
    /// split -> images beyond the first of each picture.
    pub within: BTreeMap<String, usize>,
    /// split -> pictures that are in it with different labels of the main head.
    pub conflicting: BTreeMap<String, usize>,
    /// "test/train" -> pictures that are in both.
    pub across: BTreeMap<String, usize>,
}

impl Record for Statistics {
    const FILE: &'static str = "statistics.json";
    const FORMAT: u32 = 1;
}
