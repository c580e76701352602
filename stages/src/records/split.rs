//! `split.json`: which trials of a search are good. Every other trial is bad.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Record, Version};
use crate::params::is_default;

/// `split.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitRecord {
    /// 2.
    pub format: Version<2>,
    /// The number of trials. Imported trials have the first numbers.
    pub trials: u32,
    /// The numbers of the good trials.
    pub good: BTreeSet<u32>,
    /// The numbers of the better half of the trials.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub fair: BTreeSet<u32>,
    /// The number of the last trials, whose scores are not known yet.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pending: u32,
    /// The number of the first trials, which are left out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub left_out: u32,
}

impl Record for SplitRecord {
    const FILE: &'static str = "split.json";
    const FORMAT: u32 = 2;
}
