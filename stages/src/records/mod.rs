//! What stages write and others read, one file per record: its type, the name of its file, the version of its format. The
//! writer and every reader use the type; nobody reads a record by its keys.
//!
//! A type that is more than a record implements [`Record`] where it lives: `Architecture` in `network`, `Policy` in `images`,
//! `FiltersRecord`, which holds a parameter of its stage, in `visualize_filters`.

mod best;
pub(crate) mod chain;
mod evaluation;
mod examples;
mod history_csv;
mod history_link;
mod imported_trials;
mod labels;
mod parameters_link;
mod predictions;
mod proposal;
mod score;
mod split;
mod statistics;
mod trial;
mod version;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::{
    best::{Best, Point},
    evaluation::{ClassFigures, EvaluateOn, Evaluation, HeadEvaluation},
    examples::{Example, ExamplesRecord, FilterExamples, LayerExamples},
    history_csv::{HistoryRow, TrainingHistory},
    history_link::HistoryLink,
    imported_trials::{Imported, ImportedTrials},
    labels::{Head, ImageShape, Labels},
    parameters_link::ParametersLink,
    predictions::{HeadPrediction, Predictions},
    proposal::Proposal,
    score::{Score, Status},
    split::SplitRecord,
    statistics::{Counts, Duplicates, Pixels, Statistics},
    trial::{Figure, Trained, TrialRecord},
    version::Version,
};

/// A file of JSON that a stage writes.
pub trait Record: Serialize + DeserializeOwned {
    /// The name of the file in the output tree.
    const FILE: &'static str;
    /// The version of the format, in the field `format`.
    const FORMAT: u32;
}

/// Why bytes are not the record that they should be.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is of another version.
    #[error("its format is {found}, this build reads format {known}")]
    Format {
        /// The version of the bytes.
        found: u32,
        /// The version that this build reads.
        known: u32,
    },
    /// A field is missing or has a value that does not fit.
    #[error("{}{reason}", in_field(.field))]
    Field {
        /// The path to the field, such as `figures.valid.loss.best`; `.` for the record itself.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
}

fn in_field(field: &str) -> String {
    if field == "." { String::new() } else { format!("`{field}`: ") }
}

/// Returns the record in `bytes`.
///
/// # Errors
/// If they are not a record of this type and format: which field is wrong.
pub fn read<R: Record>(bytes: &[u8]) -> Result<R, RecordError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let record = serde_path_to_error::deserialize(&mut deserializer);
    let error = match record.map(|record| (record, deserializer.end())) {
        Ok((record, Ok(()))) => return Ok(record),
        Ok((_, Err(error))) => RecordError::Field { field: ".".to_owned(), reason: error.to_string() },
        Err(error) => RecordError::Field { field: error.path().to_string(), reason: error.inner().to_string() },
    };
    // A record of another version may lack fields, too: its version says more.
    match serde_json::from_slice::<AnyVersion>(bytes) {
        Ok(AnyVersion { format }) if format != R::FORMAT => {
            Err(RecordError::Format { found: format, known: R::FORMAT })
        }
        _ => Err(error),
    }
}

/// All that records of every version have.
#[derive(Deserialize)]
struct AnyVersion {
    format: u32,
}

#[cfg(test)]
mod tests;
