//! A setting of a step as the user wrote it: a value, or the label of a value that a search proposes.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    network::layers::notation::Setting,
    params::{Domain, Hyper, Read, label, named},
    problem::{Path, Problem},
};

/// A setting with the value that the user gave it.
pub(super) struct Given<'a> {
    /// Its path inside the step: `Conv.filters`, `Dense`.
    pub(super) path: Path,
    pub(super) setting: &'static Setting,
    pub(super) value: &'a Hyper<Value>,
}

impl<'a> Given<'a> {
    /// Returns the allowed values.
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
    /// If the value is not allowed.
    pub(super) fn settled(&self, labels: &Map<String, Value>) -> Result<Value, Problem> {
        let found = match self.value {
            Hyper::Value(value) if self.domain().has(value) => return Ok(value.clone()),
            Hyper::Value(value) => value.to_string(),
            Hyper::Label(label) => match labels.get(label) {
                Some(value) if self.domain().has(value) => return Ok(value.clone()),
                Some(value) => format!("{value} by label `{label}`"),
                None => format!("label `{label}`, which is not proposed"),
            },
        };
        Err(Problem::new(&self.path, found).expected(self.domain().expected()))
    }
}

/// Reads the value of a setting. Numbers are read as integers if the setting takes whole numbers, otherwise as floating point.
pub(super) fn read(setting: &Setting, value: &Value, at: &Path, problems: &mut Vec<Problem>) -> Option<Hyper<Value>> {
    match &setting.domain {
        Domain::Word(_) if label(value).is_some() => typed::<String>(setting, value, at, problems),
        Domain::Word(words) => named(value, words, at, problems).map(|(word, _)| Hyper::Value(json!(words[word]))),
        Domain::Whole(_) => typed::<u32>(setting, value, at, problems),
        _ => typed::<f64>(setting, value, at, problems),
    }
}

fn typed<T: Read + Serialize>(
    setting: &Setting,
    value: &Value,
    at: &Path,
    problems: &mut Vec<Problem>,
) -> Option<Hyper<Value>> {
    Some(match Hyper::<T>::read(value, &setting.domain, at, problems)? {
        Hyper::Value(value) => Hyper::Value(json!(value)),
        Hyper::Label(label) => Hyper::Label(label),
    })
}

/// Returns the allowed values of a setting in words.
pub(super) fn expected(setting: &Setting) -> String {
    Hyper::<Value>::expected(&setting.domain)
}
