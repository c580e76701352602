//! `examples.json`: for each filter the images of the validation split that excite it most.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Record, Version};
use crate::params::Float;

/// `examples.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExamplesRecord {
    /// 1.
    pub format: Version<1>,
    /// How many images were looked at: those of the validation split.
    pub images: usize,
    /// In the order of the network.
    pub layers: Vec<LayerExamples>,
}

/// The examples of a layer's filters that are drawn, in the order of its sheet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerExamples {
    /// The layer's name.
    pub layer: String,
    /// The name of its sheet.
    pub sheet: String,
    /// The filters.
    pub filters: Vec<FilterExamples>,
}

/// The examples of one filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterExamples {
    /// Its index in the layer.
    pub filter: usize,
    /// The most exciting first.
    pub images: Vec<Example>,
}

/// An image that excites a filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// Index in `validation.safetensors`.
    pub image: usize,
    /// The filter's mean activation.
    pub activation: Float,
    /// head -> the class that the image is labelled with.
    pub labels: BTreeMap<String, String>,
}

impl Record for ExamplesRecord {
    const FILE: &'static str = "examples.json";
    const FORMAT: u32 = 1;
}
