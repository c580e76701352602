//! `proposal.json`: one configuration to be trained.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Record, Version};
use crate::params::record;

/// `proposal.json`. It holds neither the trial's index nor anything of the search, so that equal proposals are equal bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// 1.
    pub format: Version<1>,
    /// active label -> its value; for a choice that of the chosen option
    pub labels: BTreeMap<String, Value>,
    /// key of the space -> its value, with nested expressions settled
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
