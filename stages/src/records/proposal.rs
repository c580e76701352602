//! `proposal.json`: a configuration to train.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Record, Version};
use crate::params::record;

/// `proposal.json`. It has neither the trial's number nor anything else of the search, so that equal proposals have equal
/// bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// 1.
    pub format: Version<1>,
    /// The value of each active label. The value of a choice is its chosen option.
    pub labels: BTreeMap<String, Value>,
    /// The value of each key of the space. Nested expressions are replaced by their values.
    pub values: Map<String, Value>,
}

impl Proposal {
    /// Returns the bytes of the record.
    pub fn to_record(&self) -> Vec<u8> {
        record(self)
    }
}

impl Record for Proposal {
    const FILE: &'static str = "proposal.json";
    const FORMAT: u32 = 1;
}
