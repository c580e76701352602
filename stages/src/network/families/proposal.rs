//! What a search proposes for one training.

use serde::Deserialize;
use serde_json::{Map, Value};

/// What a search proposes for one training.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(from = "Record")]
pub struct Proposal {
    /// Hyperparameters of the family, by key.
    pub values: Map<String, Value>,
    /// What was drawn, by label; a label that the search has fixed has its value.
    pub labels: Map<String, Value>,
}

/// proposal.json
#[derive(Default, Deserialize)]
#[serde(default)]
struct Record {
    values: Map<String, Value>,
    labels: Map<String, Value>,
}

impl From<Record> for Proposal {
    /// The record does not list a fixed label, but has a value under its key.
    fn from(Record { values, mut labels }: Record) -> Self {
        for (key, value) in &values {
            labels.entry(key.as_str()).or_insert_with(|| value.clone());
        }
        Self { values, labels }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_search_has_fixed_stands_for_its_label() {
        let record = json!({ "format": 1, "values": { "n": 8, "m": [1, 2] }, "labels": { "o": 2 } });
        let proposal: Proposal = serde_json::from_value(record).unwrap();
        assert_eq!(Value::from(proposal.labels), json!({ "m": [1, 2], "n": 8, "o": 2 }));
        assert_eq!(serde_json::from_value::<Proposal>(json!({})).unwrap(), Proposal::default());
    }
}
