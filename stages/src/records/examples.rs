//! `examples.json`: for each filter, the images of the validation split that excite it most.

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
    /// The number of images in the validation split.
    pub images: usize,
    /// The layers, in the order of the network.
    pub layers: Vec<LayerExamples>,
}

/// The examples of the filters on a layer's sheet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerExamples {
    /// The layer's name.
    pub layer: String,
    /// The file name of the sheet of examples.
    pub sheet: String,
    /// The filters, in the order of the sheet.
    pub filters: Vec<FilterExamples>,
}

/// The examples of one filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterExamples {
    /// The filter's index in the layer.
    pub filter: usize,
    /// Its images, the most exciting first.
    pub images: Vec<Example>,
}

/// An image that excites a filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The image's index in `validation.safetensors`.
    pub image: usize,
    /// The filter's mean activation for the image.
    pub activation: Float,
    /// The class that the image is labelled with, for each head.
    pub labels: BTreeMap<String, String>,
}

impl Record for ExamplesRecord {
    const FILE: &'static str = "examples.json";
    const FORMAT: u32 = 1;
}
