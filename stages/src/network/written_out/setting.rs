//! A setting of a step as somebody wrote it: a value, or the label of one that a search proposes.

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use crate::{
    network::{domain::Domain, layers::notation::Setting},
    params::Hyper,
};

/// A setting with what was written.
pub(super) struct Given<'a> {
    /// Its path inside the step: `Conv.filters`, `Dense`.
    pub(super) path: String,
    pub(super) setting: &'static Setting,
    pub(super) value: &'a Hyper<Value>,
}

/// A value that a setting cannot have.
pub(super) struct Wrong {
    pub(super) path: String,
    pub(super) found: String,
    pub(super) expected: String,
}

impl<'a> Given<'a> {
    /// Returns what the setting may be.
    pub(super) fn domain(&self) -> &'static Domain {
        &self.setting.domain
    }

    /// Returns the label of the value, if a search proposes it.
    pub(super) fn label(&self) -> Option<&'a str> {
        match self.value {
            Hyper::Value(_) => None,
            Hyper::Label(label) => Some(label),
        }
    }

    /// Returns the value, looked up among `labels` if it has a label.
    ///
    /// # Errors
    /// If the setting cannot have it.
    pub(super) fn settled(&self, labels: &Map<String, Value>) -> Result<Value, Wrong> {
        let found = match self.value {
            Hyper::Value(value) if self.domain().has(value) => return Ok(value.clone()),
            Hyper::Value(value) => value.to_string(),
            Hyper::Label(label) => match labels.get(label) {
                Some(value) if self.domain().has(value) => return Ok(value.clone()),
                Some(value) => format!("{value} by label `{label}`"),
                None => format!("label `{label}`, which is not proposed"),
            },
        };
        Err(Wrong { path: self.path.clone(), found, expected: self.domain().expected() })
    }
}

/// Reads what was written for a setting.
impl<'de> de::DeserializeSeed<'de> for &'static Setting {
    type Value = Hyper<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Hyper<Value>, D::Error> {
        match Hyper::deserialize(deserializer)? {
            Hyper::Value(value) => self.domain.read(value).map(Hyper::Value).map_err(de::Error::custom),
            label => Ok(label),
        }
    }
}
