//! `filters.json`: how far each filter was excited.

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
    /// How images climbed. Left out if classic.
    #[serde(default, skip_serializing_if = "Method::is_classic")]
    pub method: Method,
    /// In the order of the network.
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
    /// How many filters it has.
    pub filters: usize,
    /// Filters whose activation ends above 0: `filters - dead`.
    pub kept: usize,
    /// Filters that nothing excites.
    pub dead: usize,
    /// Filters on the sheet.
    pub drawn: usize,
    /// The name of the sheet, if there is one.
    pub sheet: Option<String>,
    /// Each filter.
    pub activations: Vec<FilterActivation>,
}

/// A filter's mean activation by its start image and by its last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterActivation {
    /// Its index in the layer.
    pub filter: usize,
    /// By the start image.
    pub start: Float,
    /// By the last image.
    pub end: Float,
}

impl Record for FiltersRecord {
    const FILE: &'static str = "filters.json";
    const FORMAT: u32 = 1;
}
