//! `best.json`: the best trial of a search.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Record, Version};
use crate::params::Float;

/// `best.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// 1.
    pub format: Version<1>,
    /// The trial's number in the search, from 0.
    pub trial: u32,
    /// Its loss; of several repetitions the mean.
    pub loss: Float,
    /// The epoch that gave the loss, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// active label -> its value
    pub labels: BTreeMap<String, Value>,
    /// How many trials there were.
    pub trials: usize,
    /// How many of them completed.
    pub completed: usize,
    /// Every point with its repetitions, the best first, if points are trained several times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<Vec<Point>>,
}

/// One point of a grid with all its repetitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Its first trial.
    pub trial: u32,
    /// The loss of each repetition, in order; infinite for one that did not complete.
    pub losses: Vec<Float>,
    /// The mean of the losses.
    pub mean: Float,
    /// Standard deviation of the repetitions (of n - 1).
    pub spread: Float,
    /// Within it is the mean of many repetitions, at 95 %, if they are normal (Student's t).
    pub interval: [Float; 2],
    /// Whether its interval meets that of the best point: then they cannot be told apart.
    pub rival: bool,
}

impl Point {
    /// Returns whether all repetitions completed.
    pub fn is_complete(&self) -> bool {
        self.mean.0.is_finite()
    }
}

impl Record for Best {
    const FILE: &'static str = "best.json";
    const FORMAT: u32 = 1;
}
