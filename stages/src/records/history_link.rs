//! `history.json`: how one trial of a search ended. It is a link of a chain, so its size does not grow with the search.

use pipe_store::Digest;
use serde::{Deserialize, Serialize};

use super::{Record, Status, Version};
use crate::params::Float;

/// `history.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryLink {
    /// 1.
    pub format: Version<1>,
    /// The trial's number in the search, from 0.
    pub trial: u32,
    /// How it ended.
    pub status: Status,
    /// The loss, which the search minimises.
    pub loss: Float,
    /// The losses of the other objectives, if there are several. Infinite if the trial did not complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Float>,
    /// The epoch that gave the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// A short reason if it did not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The digest of the `history.json` of the trial before it. `None` for trial 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
}

impl Record for HistoryLink {
    const FILE: &'static str = "history.json";
    const FORMAT: u32 = 1;
}

impl HistoryLink {
    /// Returns the losses of all objectives that samplers see.
    pub fn losses_or_worst(&self) -> Vec<f64> {
        let others = self.others.iter().map(|loss| self.status.loss_or_worst(loss.0));
        [self.loss_or_worst()].into_iter().chain(others).collect()
    }

    /// Returns the loss that samplers see. See [`Status::loss_or_worst`].
    pub fn loss_or_worst(&self) -> f64 {
        self.status.loss_or_worst(self.loss.0)
    }
}
