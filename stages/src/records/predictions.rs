//! `predictions.csv`: what a network makes of each image of a split.

use super::history_csv::csv;

/// `predictions.csv`: a row per image with label, prediction and its probability, for each head.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// The heads' names.
    pub heads: Vec<String>,
    /// For each image, in order, what each head says.
    pub images: Vec<Vec<HeadPrediction>>,
}

/// What one head says of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadPrediction {
    /// The class that it is labelled with, by index.
    pub label: i32,
    /// The class that is predicted, by index.
    pub prediction: usize,
    /// The probability of that class.
    pub probability: f32,
}

impl Predictions {
    /// The name of the file in the output tree.
    pub const FILE: &str = "predictions.csv";

    /// Returns the file. Probabilities have six decimals.
    pub fn write(&self) -> Vec<u8> {
        let of_head = |head: &String| ["label", "prediction", "probability"].map(|what| format!("{head}_{what}"));
        let header = ["image".to_owned()].into_iter().chain(self.heads.iter().flat_map(of_head));
        let cells = |said: &HeadPrediction| {
            [said.label.to_string(), said.prediction.to_string(), format!("{:.6}", said.probability)]
        };
        let row = |(image, said): (usize, &Vec<HeadPrediction>)| {
            [image.to_string()].into_iter().chain(said.iter().flat_map(cells)).collect::<Vec<_>>()
        };
        csv([header.collect()].into_iter().chain(self.images.iter().enumerate().map(row)))
    }
}
