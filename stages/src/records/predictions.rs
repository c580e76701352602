//! `predictions.csv`: what a network predicts for each image of a split.

use std::{fmt::Display, str::FromStr};

use super::{RecordError, history_csv::csv};

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

impl HeadPrediction {
    /// Returns whether the predicted class is that of the label.
    pub fn is_right(&self) -> bool {
        usize::try_from(self.label) == Ok(self.prediction)
    }
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

    /// Reads the bytes of the file. Images are in the order of the rows.
    ///
    /// # Errors
    /// Returns the line and column of the first mistake.
    pub fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = ::csv::Reader::from_reader(bytes);
        let header: Vec<String> =
            reader.headers().map_err(|error| wrong("line 1", error))?.iter().map(str::to_owned).collect();
        let (first, columns) = header.split_first().ok_or_else(|| wrong("line 1", "there are no columns"))?;
        let mut heads = Vec::new();
        for of_head in columns.chunks(3) {
            let names = ["label", "prediction", "probability"].map(|what| format!("_{what}"));
            let head = of_head[0].strip_suffix(&names[0]).filter(|head| {
                of_head.len() == 3 && (1..3).all(|at| of_head[at].strip_prefix(head) == Some(names[at].as_str()))
            });
            heads.push(head.ok_or_else(|| wrong("line 1", unexpected(&of_head[0])))?.to_owned());
        }
        if first != "image" || heads.is_empty() {
            return Err(wrong("line 1", unexpected(first)));
        }
        let mut images = Vec::new();
        for (line, cells) in (2..).zip(reader.records()) {
            let cells = cells.map_err(|error| wrong(&format!("line {line}"), error))?;
            let mut said = Vec::with_capacity(heads.len());
            for at in (1..header.len()).step_by(3) {
                said.push(HeadPrediction {
                    label: cell(line, &header[at], &cells[at])?,
                    prediction: cell(line, &header[at + 1], &cells[at + 1])?,
                    probability: cell(line, &header[at + 2], &cells[at + 2])?,
                });
            }
            images.push(said);
        }
        Ok(Self { heads, images })
    }
}

fn unexpected(column: &str) -> String {
    format!("unexpected column `{column}`, expected `image`, and a label, a prediction and a probability for each head")
}

fn cell<T: FromStr<Err: Display>>(line: usize, column: &str, text: &str) -> Result<T, RecordError> {
    text.parse().map_err(|error| wrong(&format!("line {line}, {column}"), format!("`{text}`: {error}")))
}

fn wrong(field: &str, reason: impl ToString) -> RecordError {
    RecordError::Field { field: field.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let said = |label, prediction, probability| HeadPrediction { label, prediction, probability };
        let written = Predictions {
            heads: vec!["fine".into(), "a, b".into()],
            images: vec![vec![said(3, 4, 0.25), said(0, 0, 1.0)], vec![said(1, 1, 0.5), said(1, 0, 0.75)]],
        };
        assert_eq!(Predictions::read(&written.write()).unwrap(), written);
    }

    #[test]
    fn a_file_that_is_not_one_is_refused_at_its_place() {
        let error = |text: &str| Predictions::read(text.as_bytes()).unwrap_err().to_string();
        assert!(error("image,fine_label,fine_prediction\n").contains("unexpected column `fine_label`"));
        assert!(error("picture,fine_label,fine_prediction,fine_probability\n").contains("unexpected column `picture`"));
        let rows = "image,fine_label,fine_prediction,fine_probability\n0,1,-1,0.5\n";
        assert!(error(rows).starts_with("`line 2, fine_prediction`: `-1`: "), "{}", error(rows));
    }
}
