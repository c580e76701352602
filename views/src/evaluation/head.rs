//! What an evaluation says of one head.

use pipe_stages::records::{HeadEvaluation, HeadPrediction};

use super::{confusion::Confusion, reliability::Reliability};

/// What an evaluation says of one head.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    pub name: String,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// The figures that the evaluation itself computed.
    pub figures: HeadEvaluation,
    /// What was said of each image, in the order of the split. Empty if the evaluation kept no predictions.
    pub said: Vec<HeadPrediction>,
    pub confusion: Confusion,
    pub reliability: Reliability,
}

impl Head {
    /// Returns whether image `image` was classified correctly.
    pub fn is_right(&self, image: usize) -> bool {
        self.said[image].is_right()
    }

    /// Returns the name of a class.
    pub fn class(&self, class: usize) -> &str {
        &self.classes[class]
    }
}
