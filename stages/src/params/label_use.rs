//! The places in parameters where the value is `hp("label")`.

use serde_json::Value;

use super::Domain;

/// A parameter whose value is `hp("label")`.
#[derive(Debug, Clone)]
pub struct LabelUse {
    /// The label.
    pub label: String,
    domain: Domain,
    refusal: fn(&Value, &Domain) -> Option<String>,
}

impl LabelUse {
    /// Returns the use of `label` where values of the domain are expected. `refusal` says what is expected, if a value is not allowed.
    pub(super) fn new(label: &str, domain: &Domain, refusal: fn(&Value, &Domain) -> Option<String>) -> Self {
        Self { label: label.to_owned(), domain: domain.clone(), refusal }
    }

    /// Returns what is expected of the label, if `value` is not allowed.
    pub fn refusal(&self, value: &Value) -> Option<String> {
        (self.refusal)(value, &self.domain)
    }
}
