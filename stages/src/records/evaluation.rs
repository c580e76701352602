//! `evaluation.json`: how well a network does on images that it was not trained on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Record, Version};
use crate::{choices, params::Float};

choices! {
    /// The split to evaluate on.
    #[derive(Copy, Eq)]
    pub enum EvaluateOn {
        /// The test split. Nothing else reads it.
        Test,
        /// The validation split, which trials are selected on.
        Validation,
    }
}

impl EvaluateOn {
    /// Returns the name of the split in records.
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
    /// The split that was evaluated.
    pub split: EvaluateOn,
    /// The number of images in the split.
    pub n: usize,
    /// The figures of each head, by name.
    pub heads: BTreeMap<String, HeadEvaluation>,
}

/// The figures of one head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadEvaluation {
    /// The mean loss of an image.
    pub loss: Float,
    /// The share of images whose class has the largest logit.
    pub accuracy: f64,
    /// The number of images whose class has the largest logit.
    pub correct: u64,
    /// The 95 % confidence interval of the accuracy.
    pub interval_95: [f64; 2],
    /// The accuracy of guessing.
    pub chance: f64,
    /// The share of images whose class has one of the five largest logits. Present only if there are at least ten classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_5_accuracy: Option<f64>,
    /// The figures of each class, in the order of the labels.
    pub classes: Vec<ClassFigures>,
}

/// The figures of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassFigures {
    /// The name of the class.
    pub name: String,
    /// The number of its images.
    pub n: u64,
    /// The share of its images whose class has the largest logit. `None` if it has no images.
    pub accuracy: Option<f64>,
}

impl Record for Evaluation {
    const FILE: &'static str = "evaluation.json";
    const FORMAT: u32 = 1;
}
