//! Reading parameters: every problem at its place, with what was found and what is allowed.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Domain;
use crate::{
    problem::{Path, Problem},
    words::{closest, one_of},
};

/// A type that parameters have.
pub trait Read: Sized + Clone {
    /// Reads `value`, which stands at `at`, and adds what is wrong with it to `problems`. A value that is only out of range is
    /// returned, so that more can be told about it; it may be used if there are no problems.
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self>;

    /// Returns what is allowed, in words.
    fn expected(domain: &Domain) -> String;

    /// Returns what is allowed, for a page of reference, which has more room.
    fn documented(domain: &Domain) -> String {
        Self::expected(domain)
    }

    /// Returns what stands in the parentheses of a name with this content, for a page of reference.
    fn inside() -> String {
        "..".to_owned()
    }

    /// Returns whether `hp("label")` may stand for it.
    fn takes_a_label() -> bool {
        false
    }

    /// Returns the names of its fields, if it has any.
    fn fields() -> &'static [&'static str] {
        &[]
    }

    /// Returns the value of a field that is left out and has no default of its own.
    fn absent() -> Option<Self> {
        None
    }

    /// Returns what a name without parentheses stands for: `Tpe` for `Tpe()`.
    fn bare() -> Option<Self> {
        None
    }

    /// Returns the value with what is proposed under its labels filled in. `name` is the parameter's, for messages.
    ///
    /// # Errors
    /// If the label is not proposed, or its value is not allowed.
    fn settled(&self, _domain: &Domain, _name: &str, _labels: &Map<String, Value>) -> Result<Self, Unfilled> {
        Ok(self.clone())
    }
}

/// Why a parameter has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfilled {
    /// The proposal has no such label: a mistake of the study.
    Missing(String),
    /// The proposed value is not allowed: a result of the trial.
    Refused(String),
}

/// Returns the value, if nothing is wrong with it.
///
/// # Errors
/// With everything that is wrong with it.
pub fn read<T: Read>(value: &Value) -> Result<T, Vec<Problem>> {
    read_in(value, &Domain::Any)
}

/// Returns the value, if nothing is wrong with it and it is of the domain.
fn read_in<T: Read>(value: &Value, domain: &Domain) -> Result<T, Vec<Problem>> {
    let mut problems = Vec::new();
    match T::read(value, domain, &Path::here(), &mut problems) {
        Some(read) if problems.is_empty() => Ok(read),
        _ => Err(problems),
    }
}

/// Returns a function that reads values of the domain, and none for others.
pub(super) fn accepted<T: Read>(domain: &Domain) -> impl Fn(&Value) -> Option<T> {
    move |value| read_in(value, domain).ok()
}

/// Reads a parameter for serde, which takes one problem: the first.
///
/// # Errors
/// If anything is wrong with it.
pub fn deserialize<'de, T: Read, D: serde::Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let value: Value = serde::Deserialize::deserialize(deserializer)?;
    read(&value).map_err(|problems| serde::de::Error::custom(&problems[0]))
}

/// Reads a value that `get` finds, and complains about it if there is none or it is out of range.
fn scalar<T: Read>(
    value: &Value,
    domain: &Domain,
    at: &Path,
    problems: &mut Vec<Problem>,
    get: impl Fn(&Value) -> Option<T>,
) -> Option<T> {
    let read = get(value);
    if read.is_none() || !domain.has(value) {
        problems.push(Problem::found(at, value).expected(T::expected(domain)));
    }
    read
}

/// Returns the domain in words, or what the type says where any value is allowed.
fn words(domain: &Domain, otherwise: &str) -> String {
    if *domain == Domain::Any { otherwise.to_owned() } else { domain.expected() }
}

macro_rules! scalars {
    ($($type:ty, $words:literal, $get:expr;)*) => { $(
        impl Read for $type {
            fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
                scalar(value, domain, at, problems, $get)
            }

            fn expected(domain: &Domain) -> String {
                words(domain, $words)
            }
        }
    )* };
}

scalars! {
    bool, "true or false", Value::as_bool;
    u32, "a whole number of 0 to 4294967295", |value| u32::try_from(value.as_u64()?).ok();
    u64, "a whole number of at least 0", Value::as_u64;
    f64, "a number", Value::as_f64;
    String, "a string", |value| value.as_str().map(str::to_owned);
    // Of a table, whose domains say what is allowed.
    Value, "a value", |value| Some(value.clone());
}

impl<T: Read> Read for Option<T> {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        if value.is_null() { Some(None) } else { T::read(value, domain, at, problems).map(Some) }
    }

    fn expected(domain: &Domain) -> String {
        T::expected(domain)
    }

    fn documented(domain: &Domain) -> String {
        T::documented(domain)
    }

    fn inside() -> String {
        T::inside()
    }

    fn takes_a_label() -> bool {
        T::takes_a_label()
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn settled(&self, domain: &Domain, name: &str, labels: &Map<String, Value>) -> Result<Self, Unfilled> {
        self.as_ref().map(|value| value.settled(domain, name, labels)).transpose()
    }
}

/// Reads each item of a list.
fn items<T: Read>(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Vec<T>> {
    let Some(items) = value.as_array() else {
        problems.push(Problem::found(at, value).expected(Vec::<T>::expected(domain)));
        return None;
    };
    // Not `collect` on options right away: every item is read, also behind one that is wrong.
    let read: Vec<_> =
        items.iter().enumerate().map(|(i, item)| T::read(item, domain, &at.index(i), problems)).collect();
    read.into_iter().collect()
}

impl<T: Read> Read for Vec<T> {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        items(value, domain, at, problems)
    }

    fn expected(_: &Domain) -> String {
        "a list: `[..]`".to_owned()
    }

    fn documented(domain: &Domain) -> String {
        format!("a list of {}", T::documented(domain))
    }
}

impl<T: Read, const N: usize> Read for [T; N] {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        if value.as_array().is_none_or(|items| items.len() != N) {
            problems.push(Problem::found(at, value).expected(Self::expected(domain)));
            return None;
        }
        items(value, domain, at, problems)?.try_into().ok()
    }

    fn expected(domain: &Domain) -> String {
        format!("a list of {N}, each {}", T::expected(domain))
    }
}

impl<T: Read> Read for BTreeMap<String, T> {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let Some(fields) = value.as_object() else {
            problems.push(Problem::found(at, value).expected(Self::expected(domain)));
            return None;
        };
        let read: Vec<_> = fields
            .iter()
            .map(|(key, value)| Some((key.clone(), T::read(value, domain, &at.name(key), problems)?)))
            .collect();
        read.into_iter().collect()
    }

    fn expected(_: &Domain) -> String {
        "a map: `{\"..\": ..}`".to_owned()
    }
}

/// Returns which of `names` the value begins with, and what stands in its parentheses if it has any. `None` is a name like
/// others where it is one of them.
pub fn named<'v>(
    value: &'v Value,
    names: &[&str],
    at: &Path,
    problems: &mut Vec<Problem>,
) -> Option<(usize, Option<&'v Value>)> {
    let (name, content) = match value {
        Value::Null if names.contains(&"None") => ("None", None),
        Value::String(name) => (name.as_str(), None),
        Value::Object(fields) if fields.len() == 1 => {
            let (name, content) = fields.iter().next()?;
            (name.as_str(), Some(content))
        }
        value => {
            problems.push(Problem::found(at, value).expected(one_of(names.iter().copied())));
            return None;
        }
    };
    let known = names.iter().position(|known| *known == name);
    if known.is_none() {
        problems.push(Problem::unknown_name(at, name, names.iter().copied()));
    }
    Some((known?, content))
}

/// Reads what stands in the parentheses of `Name(..)`; of `Name` alone there is no content.
pub fn content<T: Read>(
    name: &str,
    content: Option<&Value>,
    domain: &Domain,
    at: &Path,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let Some(content) = content else {
        let bare = T::bare();
        if bare.is_none() {
            problems.push(Problem::new(at, format!("found `{name}`")).expected(format!("`{name}(..)`")));
        }
        return bare;
    };
    T::read(content, domain, &at.name(name), problems)
}

/// Complains about content in the parentheses of a name that takes none.
pub fn no_content(name: &str, content: Option<&Value>, at: &Path, problems: &mut Vec<Problem>) -> Option<()> {
    let content = content.filter(|content| match content {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    });
    if let Some(content) = content {
        problems.push(Problem::found(&at.name(name), content).expected(format!("`{name}` alone")));
        return None;
    }
    Some(())
}

/// The fields of a value while they are read.
pub struct Fields<'v> {
    given: BTreeMap<&'v str, (Path, &'v Value)>,
    /// Whether there are unknown fields.
    has_unknown: bool,
    /// Fields that are not given, but misspelt.
    misspelt: Vec<&'v str>,
    at: Path,
}

impl<'v> Fields<'v> {
    /// Returns the fields of `value`, which may have the `known` ones, and complains about others. A list gives the fields in
    /// their order.
    pub fn of(value: &'v Value, known: &[&'v str], at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let mut given = BTreeMap::new();
        let (mut has_unknown, mut misspelt) = (false, Vec::new());
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if known.contains(&name.as_str()) {
                        given.insert(name.as_str(), (at.name(name), value));
                    } else {
                        problems.push(Problem::unknown_field(at, name, known.iter().copied()));
                        has_unknown = true;
                        misspelt.extend(closest(name, known.iter().copied()));
                    }
                }
            }
            Value::Array(items) if items.len() <= known.len() => {
                let items = items.iter().enumerate().map(|(i, value)| (at.index(i), value));
                given.extend(known.iter().copied().zip(items));
            }
            value => {
                problems.push(Problem::found(at, value).expected("fields: `(..)`"));
                return None;
            }
        }
        Some(Self { given, has_unknown, misspelt, at: at.clone() })
    }

    /// Returns whether there are unknown fields. Of what they were meant to say nothing more can be told.
    pub fn has_unknown(&self) -> bool {
        self.has_unknown
    }

    /// Returns the field `name` with its place, if it is given.
    pub fn get(&self, name: &str) -> Option<(&Path, &'v Value)> {
        self.given.get(name).map(|(at, value)| (at, *value))
    }

    /// Complains that the field `name` is missing, unless it is only misspelt, which was said.
    pub fn missing(&self, name: &str, allowed: &str, problems: &mut Vec<Problem>) {
        if !self.misspelt.contains(&name) {
            problems.push(Problem::missing_field(&self.at, name, allowed));
        }
    }

    /// Reads the field `name`; where it is left out, it is `default`.
    pub fn read<T: Read>(
        &self,
        name: &str,
        domain: &Domain,
        default: Option<T>,
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        let Some((at, value)) = self.get(name) else {
            let default = default.or_else(T::absent);
            if default.is_none() {
                self.missing(name, &T::expected(domain), problems);
            }
            return default;
        };
        T::read(value, domain, at, problems)
    }
}
