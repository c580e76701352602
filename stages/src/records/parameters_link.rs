//! `parameters.json`: what was proposed for one trial. It is a link of a chain.

use std::collections::BTreeMap;

use pipe_store::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Record, Version};

/// `parameters.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParametersLink {
    /// 1.
    pub format: Version<1>,
    /// The trial's number in the search, from 0.
    pub trial: u32,
    /// The value of each active label.
    pub labels: BTreeMap<String, Value>,
    /// The part of the sampler that proposed it, and how: `gaussian: expected improvement`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The digest of the trial's `proposal.json`.
    pub proposal: Digest,
    /// The digest of the `parameters.json` of the trial before it. `None` for trial 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
}

impl Record for ParametersLink {
    const FILE: &'static str = "parameters.json";
    const FORMAT: u32 = 1;
}
