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
    /// The mean over the classes that have images of their accuracy. `None` in records of version 1 of the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balanced_accuracy: Option<f64>,
    /// The mean of the classes' F1. A class with neither images nor predictions is left out, and one with only one of the two has
    /// F1 0. `None` in records of version 1 of the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub macro_f1: Option<f64>,
    /// The figures of each class, in the order of the labels.
    pub classes: Vec<ClassFigures>,
    /// The top-k accuracies. No other fields are known.
    #[serde(flatten)]
    pub top: TopAccuracies,
}

/// The share of images whose class has one of the k largest logits, by k: `top_5_accuracy` and so on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TopAccuracies(pub BTreeMap<u32, f64>);

/// Returns the name of the accuracy with the k largest logits: `top_5_accuracy`.
pub fn top_accuracy(k: u32) -> String {
    format!("top_{k}_accuracy")
}

/// Returns the k of such a name.
pub fn top_accuracy_k(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("top_")?.strip_suffix("_accuracy")?;
    digits.parse().ok().filter(|k: &u32| *k > 0 && top_accuracy(*k) == name)
}

impl Serialize for TopAccuracies {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(k, share)| (top_accuracy(*k), share)))
    }
}

impl<'de> Deserialize<'de> for TopAccuracies {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields: BTreeMap<String, f64> = BTreeMap::deserialize(deserializer)?;
        let field = |(name, share): (String, f64)| match top_accuracy_k(&name) {
            Some(k) => Ok((k, share)),
            None => Err(serde::de::Error::custom(format!("unknown field `{name}`"))),
        };
        fields.into_iter().map(field).collect::<Result<_, _>>().map(Self)
    }
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
