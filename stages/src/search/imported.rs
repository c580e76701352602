//! Trials of another search, from which this one goes on.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Space;
use crate::{
    records::{Imported, ImportedTrials},
    stage::{Inputs, StageError},
};

impl Imported {
    /// Returns a trial of Hyperopt: `values` are what it keeps of each label, of a choice the option's index; `by_key` are the
    /// settled values of the space's keys, for a label that is called otherwise there.
    ///
    /// # Errors
    /// If a label has no such value: which.
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
                missing.get_or_insert(format!("it has no value of label `{label}` that the space could propose"));
                kind.any()
            })
        });
        missing.map_or_else(|| Ok(Self::new(proposal.labels, loss)), Err)
    }

    /// Returns whether the trial is one that `space` could have proposed.
    ///
    /// # Errors
    /// If it is not: what does not fit.
    pub fn fits(&self, space: &Space) -> Result<(), String> {
        let mut missing = None;
        let proposal = space.settle(&mut |label, kind| {
            let found = kind.coordinate(label, &self.labels).filter(|x| kind.contains(*x));
            found.unwrap_or_else(|| {
                let was = self.labels.get(label).map_or("is missing".to_owned(), |value| format!("is {value}"));
                missing.get_or_insert(format!("its label `{label}` {was}, which the space never proposes"));
                // Any coordinate serves: what comes of it is thrown away.
                kind.any()
            })
        });
        if let Some(missing) = missing {
            return Err(missing);
        }
        match self.labels.keys().find(|label| !proposal.labels.contains_key(*label)) {
            Some(label) => Err(format!("its label `{label}` is none that the space has beside its others")),
            None => Ok(()),
        }
    }
}

/// Returns the trials in the slot `imported`; none if it is not connected.
pub(super) fn read(inputs: &Inputs<'_>) -> Result<Vec<Imported>, StageError> {
    if inputs.digest("imported").is_none() {
        return Ok(Vec::new());
    }
    let record: ImportedTrials = inputs.record("imported")?;
    Ok(record.trials)
}
