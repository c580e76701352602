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
    /// Its loss, or the mean loss of its repetitions.
    pub loss: Float,
    /// The epoch that gave the loss, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// The value of each active label.
    pub labels: BTreeMap<String, Value>,
    /// The number of trials.
    pub trials: usize,
    /// The number of trials that completed.
    pub completed: usize,
    /// Every point with its repetitions, the best first. Present only if points are trained several times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<Vec<Point>>,
    /// The trials that no other trial dominates, in order. Present only if there are several objectives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub front: Option<Vec<FrontTrial>>,
}

/// A trial of the front: no other trial is as good in all objectives and better in one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontTrial {
    /// The trial's number. If points are trained several times, that of the first repetition.
    pub trial: u32,
    /// Its losses, one for each objective, or the means of its repetitions.
    pub losses: Vec<Float>,
}

/// One point of a search with all its repetitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// The number of its first trial.
    pub trial: u32,
    /// The loss of each repetition, in order. Infinite if it did not complete.
    pub losses: Vec<Float>,
    /// The mean of the losses.
    pub mean: Float,
    /// The standard deviation of the losses, with n - 1 in the denominator.
    pub spread: Float,
    /// The 95 % confidence interval of the mean, from Student's t distribution.
    pub interval: [Float; 2],
    /// Whether its interval overlaps the best point's, so that it may be as good.
    pub rival: bool,
    /// What points are ordered by, if not by their means: the upper end of an interval that also reads the spread of other points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Float>,
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
