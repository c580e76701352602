//! `predictions.csv`: what a network predicts for each image of a split.

use super::history_csv::csv;

/// `predictions.csv`: a row for each image with the label, the prediction and its probability, for each head.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// The heads' names.
    pub heads: Vec<String>,
    /// The predictions of each image, one for each head, in the order of `heads`.
    pub images: Vec<Vec<HeadPrediction>>,
}

/// The prediction of one head for an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadPrediction {
    /// The index of the class that the image is labelled with.
    pub label: i32,
    /// The index of the predicted class.
    pub prediction: usize,
    /// The probability of the predicted class.
    pub probability: f32,
}

impl Predictions {
    /// The name of the file in the output tree.
    pub const FILE: &str = "predictions.csv";

    /// Returns the bytes of the file. Probabilities have six decimals.
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
