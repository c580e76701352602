//! Why a search ended before its last trial.

use pipe_engine::{names::trial_number, pipeline::stages::search::SearchSpec, study::Study};
use pipe_stages::{StageName, records::StopRecord};
use pipe_store::Store;
use serde::{Deserialize, Serialize};

use crate::{ViewError, outputs::Outputs};

/// The end of a search that stopped before its last trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// The number of trials that it has.
    pub after: u32,
    /// The number of trials that it would have had.
    pub of: u32,
    /// Why it stopped.
    pub reason: String,
}

impl Stopped {
    /// Returns it as the end of a sentence: `stopped after 27 of 100 trials: ..`.
    pub fn text(&self) -> String {
        format!("stopped after {} of {} trials: {}", self.after, self.of, self.reason)
    }
}

/// Returns why a search stopped before its last trial, if it did.
///
/// # Errors
/// If the record of it, or that of the pipeline, cannot be read.
pub fn stopped(store: &Store, study: &Study, search: &str) -> Result<Option<Stopped>, ViewError> {
    let number = |name: &str| trial_number(name, search, StageName::Stop);
    let deciding = study.part(search).filter(|(_, node)| node.is(StageName::Stop));
    let last = deciding.filter_map(|(name, node)| Some((number(name)?, name, node))).max_by_key(|(after, ..)| *after);
    let Some((after, name, node)) = last else { return Ok(None) };
    let record = Outputs::of(store, name, node)?.map(|outputs| outputs.record::<StopRecord>()).transpose()?.flatten();
    let Some(record) = record.filter(|record| record.stop) else { return Ok(None) };
    let stages = study.read_pipeline(store)?.stages;
    let of = stages.get_as::<SearchSpec>(search).map_or(after, |search| search.n_trials().0);
    Ok(Some(Stopped { after, of, reason: record.reason.unwrap_or_default() }))
}
