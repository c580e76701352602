//! Trials of another search, which are used as earlier trials of this one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::spaces::Space;
use crate::records::Imported;

impl Imported {
    /// Returns a trial of Hyperopt. `values` has the number that Hyperopt records for each label, which is the index of the
    /// option for a choice. `by_key` has the values of the space's keys, and is used for labels that `values` lacks.
    ///
    /// # Errors
    /// Names a label without a value that the space could propose.
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
                missing.get_or_insert(format!(
                    "it has no value for the hyperparameter `{label}` that the space could propose"
                ));
                kind.any()
            })
        });
        missing.map_or_else(|| Ok(Self::new(proposal.labels, loss)), Err)
    }

    /// Checks that `space` could have proposed the trial.
    ///
    /// # Errors
    /// Names a label that does not fit.
    pub fn fits(&self, space: &Space) -> Result<(), String> {
        self.proposed(space).map(|_| ())
    }

    /// Returns the trial with its labels as `space` proposes them: 16 becomes 16.0 for a kind that proposes floating-point numbers.
    ///
    /// # Errors
    /// As for [`fits`](Self::fits).
    pub fn of_space(self, space: &Space) -> Result<Self, String> {
        let labels = self.proposed(space)?;
        Ok(Self { labels, ..self })
    }

    fn proposed(&self, space: &Space) -> Result<BTreeMap<String, Value>, String> {
        let mut missing = None;
        let proposal = space.settle(&mut |label, kind| {
            let found = kind.coordinate(label, &self.labels).filter(|x| kind.contains(*x));
            found.unwrap_or_else(|| {
                let was = self.labels.get(label).map_or("is missing".to_owned(), |value| format!("is {value}"));
                missing.get_or_insert(format!("its hyperparameter `{label}` {was}, which the space never proposes"));
                // Any coordinate will do: the proposal is not used.
                kind.any()
            })
        });
        if let Some(missing) = missing {
            return Err(missing);
        }
        match self.labels.keys().find(|label| !proposal.labels.contains_key(*label)) {
            Some(label) => Err(format!("its hyperparameter `{label}` is not active with its others")),
            None => Ok(proposal.labels),
        }
    }
}
