//! Parameters whose values a search may propose.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Domain, LabelUse, Read, Unfilled};
use crate::problem::{Part, Path, Problem};

/// A parameter of a trial: a value, or `hp("label")`, which is replaced by the value that the search proposes for the label.
#[derive(Debug, Clone, PartialEq)]
pub enum Hyper<T> {
    /// A value.
    Value(T),
    /// A label of the search's space.
    Label(String),
}

impl<T: Serialize> Serialize for Hyper<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::Label(label) => serializer.collect_map([("hp", label)]),
        }
    }
}

impl<T: Read> Read for Hyper<T> {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        if let Some(label) = label(value) {
            return Some(Self::Label(label.to_owned()));
        }
        let before = problems.len();
        let read = T::read(value, domain, at, problems);
        // Labels are mentioned only if the value has the wrong type: a number out of range was not meant to be a label.
        if read.is_none() {
            for problem in problems[before..].iter_mut().filter(|problem| problem.at == *at) {
                if problem.part == Part::Value {
                    problem.expected = Some(format!("{}, or `hp(\"label\")` in a search", T::expected(domain)));
                }
            }
        }
        read.map(Self::Value)
    }

    fn expected(domain: &Domain) -> String {
        T::expected(domain)
    }

    fn brief(domain: &Domain) -> String {
        T::brief(domain)
    }

    fn takes_a_label() -> bool {
        true
    }

    fn inside() -> String {
        T::inside()
    }

    fn settled(&self, domain: &Domain, name: &str, labels: &Map<String, Value>) -> Result<Self, Unfilled> {
        match self {
            Self::Value(value) => value.settled(domain, name, labels).map(Self::Value),
            Self::Label(label) => proposed(label, domain, name, labels).map(Self::Value),
        }
    }

    fn uses(&self, domain: &Domain, uses: &mut Vec<LabelUse>) {
        match self {
            Self::Value(value) => value.uses(domain, uses),
            Self::Label(label) => {
                uses.push(LabelUse::new(label, domain, refusal::<T>));
            }
        }
    }
}

/// Returns what is expected of a parameter of this type, if `value` is not allowed.
fn refusal<T: Read>(value: &Value, domain: &Domain) -> Option<String> {
    if accepted::<T>(value, domain).is_some() {
        return None;
    }
    Some(if *domain == Domain::Any { T::expected(domain) } else { domain.expected() })
}

/// Returns a value that a search proposes, if it is allowed. Quantised kinds such as `quniform(16, 64, 16)` propose 32.0.
fn accepted<T: Read>(value: &Value, domain: &Domain) -> Option<T> {
    [whole(value).as_ref(), Some(value)].into_iter().flatten().find_map(super::read::accepted(domain))
}

impl<T: Clone> Hyper<T> {
    /// Returns the value.
    ///
    /// # Panics
    /// Panics if it is a label. [`Declared::filled_in`](super::Declared::filled_in) replaces labels.
    pub fn get(&self) -> T {
        match self {
            Self::Value(value) => value.clone(),
            Self::Label(label) => panic!("label `{label}` must be filled in before it is used"),
        }
    }
}

/// Returns the label if the value is `hp("label")`.
pub fn label(value: &Value) -> Option<&str> {
    value.as_object().filter(|map| map.len() == 1)?.get("hp")?.as_str()
}

/// Returns the value that is proposed under `label`. `name` is the parameter's name, for messages.
///
/// # Errors
/// If there is no such label, or the value is not in the domain.
pub fn proposed<T: Read>(label: &str, domain: &Domain, name: &str, labels: &Map<String, Value>) -> Result<T, Unfilled> {
    let missing = || {
        let found = format!("the proposal has no label `{label}`");
        Unfilled::Missing(Problem::new(Path::here().name(name), found))
    };
    let value = labels.get(label).ok_or_else(missing)?;
    accepted(value, domain).ok_or_else(|| {
        let expected = if *domain == Domain::Any { T::expected(domain) } else { domain.expected() };
        Unfilled::Refused(Problem::new(Path::here(), format!("label `{label}` proposes {value}")).expected(expected))
    })
}

/// Returns the value as an integer, if it is a whole number.
pub(crate) fn whole(value: &Value) -> Option<Value> {
    let x = value.as_f64()?;
    (x.fract() == 0.0 && x.abs() < 9e15).then(|| Value::from(x as i64))
}
