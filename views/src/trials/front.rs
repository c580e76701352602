//! The front of a search with several objectives: the trials that no other trial is better than in all of them.

use std::collections::BTreeMap;

use pipe_engine::{pipeline::stages::search::SearchSpec, study::Study};
use pipe_stages::{params::Float, records::Best};
use pipe_store::Store;
use serde::Serialize;
use serde_json::Value;

use super::TrialRow;
use crate::{
    ViewError,
    outputs::Outputs,
    text::{Align, cell, columns, grouped, metric_value},
};

/// The front of a search.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Front {
    /// The search, a stage of the pipeline.
    pub search: String,
    /// The names of the objectives.
    pub objectives: Vec<String>,
    /// The trials, by the first objective, the best first.
    pub trials: Vec<FrontRow>,
}

/// A trial of a front.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FrontRow {
    /// The number of the trial in its search, from 0.
    pub trial: u32,
    /// Its value in each objective. If points are trained several times, the mean.
    pub values: Vec<Float>,
    /// active hyperparameter -> proposed value
    pub hyperparameters: BTreeMap<String, Value>,
}

/// Returns the front of every search that has several objectives. `rows` are the trials of the study.
///
/// # Errors
/// If a record of the study cannot be read.
pub fn fronts(store: &Store, study: &Study, rows: &[TrialRow]) -> Result<Vec<Front>, ViewError> {
    let stages = study.read_pipeline(store)?.stages;
    let mut fronts = Vec::new();
    for search in study.searches() {
        let Some(spec) = stages.get_as::<SearchSpec>(search).filter(|spec| !spec.others.is_empty()) else { continue };
        let select = study.selection(search);
        let outputs = select.map(|(name, node)| Outputs::of(store, name, node)).transpose()?.flatten();
        let best: Option<Best> = outputs.map(|outputs| outputs.record()).transpose()?.flatten();
        let Some(mut front) = best.and_then(|best| best.front) else { continue };
        front.sort_by(|a, b| a.losses[0].0.total_cmp(&b.losses[0].0).then(a.trial.cmp(&b.trial)));
        let row = |trial: &pipe_stages::records::FrontTrial| {
            let of_trial = rows.iter().find(|row| row.search == search && row.index == trial.trial);
            let values = trial.losses.iter().enumerate().map(|(at, loss)| Float(spec.value_of(at, loss.0)));
            FrontRow {
                trial: trial.trial,
                values: values.collect(),
                hyperparameters: of_trial.map(|row| row.labels.clone()).unwrap_or_default(),
            }
        };
        let objectives = spec.objectives().into_iter().map(str::to_owned).collect();
        let trials = front.iter().map(row).collect();
        fronts.push(Front { search: search.to_owned(), objectives, trials });
    }
    Ok(fronts)
}

/// Returns the value of an objective as text.
pub(crate) fn value(objective: &str, value: f64) -> String {
    match objective {
        "parameters" | "flops" if value >= 0.0 => grouped(value as u64),
        _ => metric_value(Some(objective), value),
    }
}

impl Front {
    /// Returns the names of the hyperparameters of its trials.
    pub(crate) fn labels(&self) -> Vec<&str> {
        let mut labels: Vec<&str> =
            self.trials.iter().flat_map(|row| row.hyperparameters.keys().map(String::as_str)).collect();
        labels.sort_unstable();
        labels.dedup();
        labels
    }

    /// Returns the front as aligned columns: the objectives, then the hyperparameters.
    pub fn render(&self) -> String {
        let labels = self.labels();
        let header: Vec<&str> =
            ["trial"].into_iter().chain(self.objectives.iter().map(String::as_str)).chain(labels.clone()).collect();
        let line = |row: &FrontRow| {
            let values = self.objectives.iter().zip(&row.values).map(|(name, x)| value(name, x.0));
            let own = labels.iter().map(|label| row.hyperparameters.get(*label).map(cell).unwrap_or_default());
            [format!("{:03}", row.trial)].into_iter().chain(values).chain(own).collect::<Vec<_>>()
        };
        let lines: Vec<Vec<String>> = self.trials.iter().map(line).collect();
        let n = self.objectives.len();
        let align = |at: usize| if (1..=n).contains(&at) { Align::Right } else { Align::Left };
        format!("{}: the front\n{}", self.search, columns(&header, &lines, &align)).replace('\u{a0}', " ")
    }
}
