//! The records that stages write: the type, file name and format version of each. Writers and readers use the types, and never
//! the keys of the JSON.
//!
//! Some records are defined elsewhere, because their types do more: `Architecture` in `network`, `Policy` in `images`, and
//! `FiltersRecord` in `visualize_filters`.

mod best;
pub(crate) mod chain;
mod evaluation;
mod examples;
mod history_csv;
mod history_link;
mod imported_trials;
mod inventory;
mod labels;
mod listing;
mod parameters_link;
mod predictions;
mod proposal;
mod score;
mod split;
mod statistics;
mod stop;
mod transfer;
mod trial;
mod version;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::{
    best::{Best, FrontTrial, Point},
    evaluation::{ClassFigures, EvaluateOn, Evaluation, HeadEvaluation, TopAccuracies, top_accuracy, top_accuracy_k},
    examples::{Example, ExamplesRecord, FilterExamples, LayerExamples},
    history_csv::{HistoryRow, TrainingHistory},
    history_link::HistoryLink,
    imported_trials::{Imported, ImportedTrials},
    inventory::{Inventory, InventoryEntry, Verdict},
    labels::{Head, ImageShape, Labels},
    listing::{ListedFile, Listing},
    parameters_link::ParametersLink,
    predictions::{HeadPrediction, Predictions},
    proposal::Proposal,
    score::{Score, Status},
    split::SplitRecord,
    statistics::{Counts, Duplicates, Near, NearDuplicates, Pixels, Statistics},
    stop::StopRecord,
    transfer::Transfer,
    trial::{Figure, Trained, TrialRecord},
    version::Version,
};

/// A JSON file that a stage writes.
pub trait Record: Serialize + DeserializeOwned {
    /// The name of the file in the output tree.
    const FILE: &'static str;
    /// The version of the format, which the field `format` has.
    const FORMAT: u32;
}

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The record has another format version.
    #[error("its format is {found}, this build reads format {known}")]
    Format {
        /// The version of the record.
        found: u32,
        /// The version that this build reads.
        known: u32,
    },
    /// A field is missing, unknown or has a wrong value.
    #[error("{}{reason}", in_field(.field))]
    Field {
        /// The path to the field, such as `figures.valid.loss.best`, or `.` for the record itself.
        field: String,
        /// What is wrong.
        reason: String,
    },
}

fn in_field(field: &str) -> String {
    if field == "." { String::new() } else { format!("`{field}`: ") }
}

/// Reads a record.
///
/// # Errors
/// Returns the first wrong field, or the version if the record has another format.
pub fn read<R: Record>(bytes: &[u8]) -> Result<R, RecordError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let record = serde_path_to_error::deserialize(&mut deserializer);
    let error = match record.map(|record| (record, deserializer.end())) {
        Ok((record, Ok(()))) => return Ok(record),
        Ok((_, Err(error))) => RecordError::Field { field: ".".to_owned(), reason: error.to_string() },
        Err(error) => RecordError::Field { field: error.path().to_string(), reason: error.inner().to_string() },
    };
    // A record of another version may have other fields. The version is the better explanation.
    match serde_json::from_slice::<AnyVersion>(bytes) {
        Ok(AnyVersion { format }) if format != R::FORMAT => {
            Err(RecordError::Format { found: format, known: R::FORMAT })
        }
        _ => Err(error),
    }
}

/// What records of every version have in common.
#[derive(Deserialize)]
struct AnyVersion {
    format: u32,
}

#[cfg(test)]
mod tests;
