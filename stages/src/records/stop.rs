//! `stop.json`: whether a search goes on.

use serde::{Deserialize, Serialize};

use super::{Record, Version};

/// `stop.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopRecord {
    /// 1.
    pub format: Version<1>,
    /// Whether the search stops: no further trial is proposed.
    pub stop: bool,
    /// Why it stops, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Record for StopRecord {
    const FILE: &'static str = "stop.json";
    const FORMAT: u32 = 1;
}
