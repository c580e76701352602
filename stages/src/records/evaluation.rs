//! `evaluation.json`: how good a network is on images it was not trained on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Record, Version};
use crate::{choices, params::Float};

choices! {
    /// A split that is not trained on.
    #[derive(Copy, Eq)]
    pub enum EvaluateOn {
        /// Read by nothing else.
        Test,
        /// What trials are chosen on.
        Validation,
    }
}

impl EvaluateOn {
    /// Returns the word that records have for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Test => "Test",
            Self::Validation => "Validation",
        }
    }
}

/// `evaluation.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// 1.
    pub format: Version<1>,
    /// The split it was measured on.
    pub split: EvaluateOn,
    /// How many images that split has.
    pub n: usize,
    /// head -> its figures
    pub heads: BTreeMap<String, HeadEvaluation>,
}

/// The figures of one head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadEvaluation {
    /// Mean loss of an image.
    pub loss: Float,
    /// Share of the images whose largest logit is that of their class.
    pub accuracy: f64,
    /// How many images those are.
    pub correct: u64,
    /// The 95 % interval of the accuracy.
    pub interval_95: [f64; 2],
    /// The accuracy of guessing.
    pub chance: f64,
    /// Share of the images whose class is among the five largest logits, if there are at least ten classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_5_accuracy: Option<f64>,
    /// Each class by itself, in the order of the labels.
    pub classes: Vec<ClassFigures>,
}

/// The figures of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassFigures {
    /// The class.
    pub name: String,
    /// How many images it has.
    pub n: u64,
    /// Share of them that are found; nothing if it has none.
    pub accuracy: Option<f64>,
}

impl Record for Evaluation {
    const FILE: &'static str = "evaluation.json";
    const FORMAT: u32 = 1;
}
