//! `split.json`: which trials of a search are good. Every other trial is bad.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Record, Version};

/// `split.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitRecord {
    /// 1.
    pub format: Version<1>,
    /// The number of trials. Imported trials have the first numbers.
    pub trials: u32,
    /// The numbers of the good trials.
    pub good: BTreeSet<u32>,
}

impl Record for SplitRecord {
    const FILE: &'static str = "split.json";
    const FORMAT: u32 = 1;
}
