//! What a search proposes for one training.

use serde_json::{Map, Value};

use crate::records;

/// What a search proposes for one training.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Proposed {
    /// Hyperparameters of the family, by key.
    pub values: Map<String, Value>,
    /// The drawn values, by label. Includes the values that the search has fixed.
    pub labels: Map<String, Value>,
}

impl From<records::Proposal> for Proposed {
    /// A record lists a fixed label only in `values`, under its key. This adds it to `labels`.
    fn from(records::Proposal { values, mut labels, .. }: records::Proposal) -> Self {
        for (key, value) in &values {
            labels.entry(key.clone()).or_insert_with(|| value.clone());
        }
        Self { values, labels: labels.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_fixed_by_the_search_is_added_to_the_labels() {
        let record = json!({ "format": 1, "values": { "n": 8, "m": [1, 2] }, "labels": { "o": 2 } });
        let record: records::Proposal = serde_json::from_value(record).unwrap();
        assert_eq!(Value::from(Proposed::from(record).labels), json!({ "m": [1, 2], "n": 8, "o": 2 }));
        assert_eq!(Proposed::from(records::Proposal::default()), Proposed::default());
    }
}
