//! The importance of each hyperparameter of a study's searches, with the number of trials that it is based on.

use std::collections::BTreeMap;

use pipe_engine::{pipeline::stages::search::SearchSpec, study::Study};
use pipe_stages::search::{self, Importance};
use pipe_store::Store;
use serde::Serialize;

use crate::{
    ViewError,
    text::{Align, columns, counted, significant},
    trials::{self, TrialRow},
};

/// The fewest trials with a score for which there are importances. PED-ANOVA compares the best tenth of the trials with all of them,
/// and of fewer the best tenth is a single trial, which says nothing.
pub const FEWEST: usize = 11;

/// The importances of one search.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SearchImportances {
    pub search: String,
    /// The number of trials with a score, and of all trials.
    pub scored: usize,
    pub trials: usize,
    /// The most important first. Empty if there are too few trials.
    #[serde(rename = "hyperparameters")]
    pub labels: Vec<Importance>,
}

/// Returns the importances for each search of a study.
///
/// # Errors
/// If the study's records cannot be read.
pub fn table(store: &Store, study: &Study) -> Result<Vec<SearchImportances>, ViewError> {
    let mut of_search: BTreeMap<String, Vec<TrialRow>> = BTreeMap::new();
    for row in trials::table(store, study)? {
        of_search.entry(row.search.clone()).or_default().push(row);
    }
    of_search.into_iter().map(|(search, rows)| of_trials(store, study, &search, &rows)).collect()
}

/// Returns the importances for a search, based on the trials `rows`.
///
/// # Errors
/// If the pipeline's record cannot be read, or has no such search.
pub fn of_trials(
    store: &Store,
    study: &Study,
    search: &str,
    rows: &[TrialRow],
) -> Result<SearchImportances, ViewError> {
    let pipeline = study.read_pipeline(store)?;
    let none = || ViewError::Nothing(format!("`{search}` is not a search of this study's pipeline"));
    let space = pipeline.stages.get_as::<SearchSpec>(search).ok_or_else(none)?.space();
    // Samplers ignore the loss of a trial that did not complete.
    let loss = |row: &TrialRow| row.loss.filter(|_| row.is_completed()).map_or(f64::NAN, |loss| loss.0);
    let judged: Vec<_> = rows.iter().map(|row| (&row.labels, loss(row))).collect();
    let scored = judged.iter().filter(|(_, loss)| loss.is_finite()).count();
    let labels = if scored < FEWEST { Vec::new() } else { search::importances(&space, &judged) };
    Ok(SearchImportances { search: search.to_owned(), scored, trials: rows.len(), labels })
}

impl SearchImportances {
    /// Returns why there are no importances, if there are too few trials for them.
    pub fn too_few(&self) -> Option<String> {
        let found = match self.scored {
            1 => "1 has one".to_owned(),
            n => format!("{n} have one"),
        };
        (self.scored < FEWEST).then(|| format!("importances need at least {FEWEST} trials with a score, and {found}"))
    }

    /// Returns each hyperparameter with its share of the sum of all importances, the largest first. Shares are 0 if the sum is 0.
    pub fn shares(&self) -> impl Iterator<Item = (&Importance, f64)> {
        let sum: f64 = self.labels.iter().map(|label| label.importance).sum();
        self.labels.iter().map(move |label| (label, if sum > 0.0 { label.importance / sum } else { 0.0 }))
    }
}

/// Returns the importances as text: for each hyperparameter its share of the sum and the number of trials.
pub fn render_text(searches: &[SearchImportances]) -> String {
    let mut text = String::new();
    for found in searches {
        let trials = counted(found.trials, "trial");
        text += &format!("{}: {} of {trials} have a score\n", found.search, found.scored);
        if let Some(why) = found.too_few() {
            text += &format!("{why}\n");
            continue;
        }
        let line = |(label, share): (&Importance, f64)| {
            vec![
                label.label.clone(),
                format!("{} %", significant(100.0 * share, 3)),
                "█".repeat((30.0 * share).round() as usize),
                label.trials.to_string(),
                label.best.to_string(),
            ]
        };
        let lines: Vec<_> = found.shares().map(line).collect();
        text += &columns(&["hyperparameter", "share", "", "trials", "of the best"], &lines, &|at| match at {
            0 | 2 => Align::Left,
            _ => Align::Right,
        });
    }
    text
}
