//! `filters.json`: the activation of each filter before and after its climb.

use serde::{Deserialize, Serialize};

use super::Method;
use crate::{
    params::Float,
    records::{Record, Version},
};

/// `filters.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FiltersRecord {
    /// 1.
    pub format: Version<1>,
    /// How the images were found. Left out if classic.
    #[serde(default, skip_serializing_if = "Method::is_classic")]
    pub method: Method,
    /// The layers, in the order of the network.
    pub layers: Vec<LayerFilters>,
}

/// The filters of one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerFilters {
    /// The layer's name.
    pub layer: String,
    /// The layer's kind.
    pub kind: String,
    /// The number of its filters.
    pub filters: usize,
    /// The number of filters whose activation ends above 0: `filters - dead`.
    pub kept: usize,
    /// The number of filters whose activation does not end above 0.
    pub dead: usize,
    /// The number of filters on the sheet.
    pub drawn: usize,
    /// The file name of the sheet, if there is one.
    pub sheet: Option<String>,
    /// The activations of each filter.
    pub activations: Vec<FilterActivation>,
}

/// A filter's mean activation for its first and its last image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterActivation {
    /// The filter's index in the layer.
    pub filter: usize,
    /// The mean activation for the start image.
    pub start: Float,
    /// The mean activation for the last image.
    pub end: Float,
}

impl Record for FiltersRecord {
    const FILE: &'static str = "filters.json";
    const FORMAT: u32 = 1;
}
