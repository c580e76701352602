//! Families of networks: what builds an [`Architecture`] from the hyperparameters of a search, or from fixed ones.

use serde_json::{Map, Value};

use super::{Architecture, ModelError, architecture::Head, domain::Domain, table::Row};
use crate::records;

/// What a search proposes for one training.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Proposal {
    /// Hyperparameters of the family, by key.
    pub values: Map<String, Value>,
    /// What was drawn, by label; of a search that has fixed one, its value.
    pub labels: Map<String, Value>,
}

impl From<records::Proposal> for Proposal {
    /// A label that is fixed is no label of the proposal, but its key has the value.
    fn from(records::Proposal { values, mut labels, .. }: records::Proposal) -> Self {
        for (key, value) in &values {
            labels.entry(key.clone()).or_insert_with(|| value.clone());
        }
        Self { values, labels: labels.into_iter().collect() }
    }
}

/// A family of networks with the user's settings.
pub trait Family {
    /// Returns every hyperparameter of the family: a label of a search with another name reaches nothing by itself.
    fn keys(&self) -> Vec<&str>;

    /// Returns the value that the user gave the hyperparameter `key`.
    fn fixed(&self, key: &str) -> Option<&Value>;

    /// Returns the value of `key` where nobody gave one; none for those of the training, whose defaults are the training's
    /// parameters.
    fn default_of(&self, key: &str) -> Option<Value>;

    /// Returns the network for images of shape [channels, height, width], with the values of `proposal` before the fixed
    /// ones, and those before the defaults.
    ///
    /// # Errors
    /// If a hyperparameter is no sense, or the network does not fit the images.
    fn architecture(&self, proposal: &Proposal, input: [usize; 3], heads: &[Head]) -> Result<Architecture, ModelError>;

    /// Returns what is wrong with the settings and the fixed values: (path inside the settings, message).
    fn problems(&self) -> Vec<(String, String)>;

    /// Returns what is expected of `key` instead of `value`, if no network of the family can have it.
    fn refusal(&self, key: &str, value: &Value) -> Option<String>;

    /// Returns whether a search's bounds of `key` are values that a network must be able to have.
    fn is_bounded(&self, key: &str) -> bool;

    /// Returns what cannot be in any network of the family for images of shape `input`, whatever is proposed, as far as that can
    /// be told beforehand: its path inside the settings, and why.
    fn misfit(&self, _input: [usize; 3]) -> Option<(String, ModelError)> {
        None
    }

    /// Returns the hyperparameter `key`: of the proposal's `values`, else the user's, else the family's default.
    fn value(&self, values: &Map<String, Value>, key: &str) -> Option<Value> {
        values.get(key).or_else(|| self.fixed(key)).cloned().or_else(|| self.default_of(key))
    }
}

/// The hyperparameters of every family that steer the training. Their defaults are the training's parameters.
pub const TRAINING: &[Row] = &[
    Row::new(&["batch_size"], Domain::Whole(1..=65_536), || Value::Null),
    Row::new(&["coarse_labels_weight"], Domain::NotNegative, || Value::Null),
    Row::new(&["l2_weight_reg_mult"], Domain::NotNegative, || Value::Null),
    Row::new(&["lr_rate_mult"], Domain::Positive, || Value::Null),
    Row::new(&["optimizer"], Domain::Word(&["Adam", "AdamW", "Nadam", "RMSprop", "SGD"]), || Value::Null),
];

/// Returns the value that stands for all that mean the same as `value`: `1` and `1.0` are one hyperparameter.
pub(super) fn canonical(default: Option<Value>, value: Value) -> Value {
    let Some(x) = value.as_f64() else { return value };
    match default {
        Some(default) if default.as_f64() == Some(x) => default,
        _ if x.fract() == 0.0 && x.abs() < 9e15 => Value::from(x as i64),
        _ => value,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::network::{
        architecture::Output,
        table::{Table, TableFamily},
    };

    /// Returns the network that a family proposes for images of shape `input` with one head.
    pub(in crate::network) fn built(
        table: &'static Table,
        values: Value,
        input: [usize; 3],
        classes: usize,
    ) -> Result<Architecture, ModelError> {
        let values = values.as_object().expect("values by key").clone();
        let proposal = Proposal { values, labels: Map::new() };
        let head = Head { name: "class".into(), classes, output: Output::Softmax };
        TableFamily::new(table).architecture(&proposal, input, &[head])
    }

    #[test]
    fn what_a_search_has_fixed_stands_for_its_label() {
        let record = json!({ "format": 1, "values": { "n": 8, "m": [1, 2] }, "labels": { "o": 2 } });
        let record: records::Proposal = serde_json::from_value(record).unwrap();
        assert_eq!(Value::from(Proposal::from(record).labels), json!({ "m": [1, 2], "n": 8, "o": 2 }));
        assert_eq!(Proposal::from(records::Proposal::default()), Proposal::default());
    }
}
