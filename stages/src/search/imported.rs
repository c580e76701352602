//! Trials of another search, which count as earlier trials of this one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{spaces::Space, status::Status};
use crate::params::Float;

/// One imported trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// active label -> its value
    pub labels: BTreeMap<String, Value>,
    /// What is minimised; not finite if the trial failed.
    pub loss: Float,
    #[serde(default = "completed", skip_serializing_if = "is_completed")]
    status: Status,
}

/// The record of imported trials, in the order in which they were proposed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedTrials {
    /// The version of the record: [`ImportedTrials::FORMAT`].
    pub format: u32,
    /// Where they come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The trials.
    pub trials: Vec<Imported>,
}

impl ImportedTrials {
    /// The version of the record.
    pub const FORMAT: u32 = 1;
}

fn completed() -> Status {
    Status::Completed
}

fn is_completed(status: &Status) -> bool {
    *status == Status::Completed
}

impl Imported {
    /// Returns a trial that completed with this loss, or failed if there is none.
    pub fn new(labels: BTreeMap<String, Value>, loss: Option<f64>) -> Self {
        let status = if loss.is_some() { Status::Completed } else { Status::Failed };
        Self { labels, loss: Float(loss.unwrap_or(f64::INFINITY)), status }
    }

    /// Returns a trial of Hyperopt. `values` is what Hyperopt records for each label, which for a choice is the option's index;
    /// `by_key` has the values of the space's keys, for labels that have another name there.
    ///
    /// # Errors
    /// Which label has no value that the space could propose.
    pub fn of_hyperopt(
        space: &Space,
        values: &BTreeMap<String, Value>,
        by_key: &BTreeMap<String, Value>,
        loss: Option<f64>,
    ) -> Result<Self, String> {
        let mut missing = None;
        let proposal = space.settle(&mut |label, kind| {
            let kept = values.get(label).and_then(Value::as_f64).map(|x| kind.coordinate_of_hyperopt(x));
            let found = kept.or_else(|| kind.coordinate(label, by_key)).filter(|x| kind.contains(*x));
            found.unwrap_or_else(|| {
                missing.get_or_insert(format!("it has no value for label `{label}` that the space could propose"));
                kind.any()
            })
        });
        missing.map_or_else(|| Ok(Self::new(proposal.labels, loss)), Err)
    }

    /// Returns the loss as samplers see it: see [`Status::loss_or_worst`].
    pub(crate) fn loss_or_worst(&self) -> f64 {
        self.status.loss_or_worst(self.loss.0)
    }

    /// Checks that `space` could have proposed the trial.
    ///
    /// # Errors
    /// What does not fit.
    pub fn fits(&self, space: &Space) -> Result<(), String> {
        let mut missing = None;
        let proposal = space.settle(&mut |label, kind| {
            let found = kind.coordinate(label, &self.labels).filter(|x| kind.contains(*x));
            found.unwrap_or_else(|| {
                let was = self.labels.get(label).map_or("is missing".to_owned(), |value| format!("is {value}"));
                missing.get_or_insert(format!("its label `{label}` {was}, which the space never proposes"));
                // Any coordinate will do: the proposal is not used.
                kind.any()
            })
        });
        if let Some(missing) = missing {
            return Err(missing);
        }
        match self.labels.keys().find(|label| !proposal.labels.contains_key(*label)) {
            Some(label) => Err(format!("its label `{label}` is not active with its other labels")),
            None => Ok(()),
        }
    }
}
