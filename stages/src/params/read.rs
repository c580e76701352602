//! Reads parameters and reports each problem with its place, what was found and what is allowed.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Domain, LabelUse};
use crate::{
    problem::{Path, Problem},
    words::{closest, one_of},
};

/// A type of parameters.
pub trait Read: Sized + Clone {
    /// Reads `value`, whose place is `at`, and adds its problems to `problems`. A value of the right type that is out of range
    /// is returned too, so that more problems can be found. The value may be used only if there are no problems.
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self>;

    /// Returns the allowed values in words, for an error message.
    fn expected(domain: &Domain) -> String;

    /// Returns the allowed values in few words, for a table.
    fn brief(domain: &Domain) -> String {
        Self::expected(domain)
    }

    /// Returns the text in the parentheses of a name with this content, for the reference documentation.
    fn inside() -> String {
        "..".to_owned()
    }

    /// Returns whether the value may be `hp("label")`.
    fn takes_a_label() -> bool {
        false
    }

    /// Returns the names of the type's fields. Empty if it has none.
    fn fields() -> &'static [&'static str] {
        &[]
    }

    /// Returns the value of a field that is left out and is declared without a default. `None` if it is required.
    fn absent() -> Option<Self> {
        None
    }

    /// Returns the content of a name without parentheses: `Tpe` means `Tpe()`. `None` if the name needs content.
    fn bare() -> Option<Self> {
        None
    }

    /// Returns the value with each label replaced by the value proposed for it. `name` is the parameter's name, for messages.
    ///
    /// # Errors
    /// If `labels` has no value for a label, or the value is not allowed.
    fn settled(&self, _domain: &Domain, _name: &str, _labels: &Map<String, Value>) -> Result<Self, Unfilled> {
        Ok(self.clone())
    }

    /// Adds each `hp("label")` in the value to `uses`.
    fn uses(&self, _domain: &Domain, _uses: &mut Vec<LabelUse>) {}
}

/// Why a label could not be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfilled {
    /// The proposal has no such label. This is a mistake in the study.
    Missing(Problem),
    /// The proposed value is not allowed. This is a result of the trial.
    Refused(Problem),
}

/// Reads a value.
///
/// # Errors
/// Returns all problems of the value.
pub fn read<T: Read>(value: &Value) -> Result<T, Vec<Problem>> {
    read_in(value, &Domain::Any)
}

/// Reads a value that must be in the domain.
fn read_in<T: Read>(value: &Value, domain: &Domain) -> Result<T, Vec<Problem>> {
    let mut problems = Vec::new();
    match T::read(value, domain, &Path::here(), &mut problems) {
        Some(read) if problems.is_empty() => Ok(read),
        _ => Err(problems),
    }
}

/// Returns a function that reads a value, and returns `None` if it is not in the domain.
pub(super) fn accepted<T: Read>(domain: &Domain) -> impl Fn(&Value) -> Option<T> {
    move |value| read_in(value, domain).ok()
}

/// Reads a parameter for serde.
///
/// # Errors
/// Returns the first problem.
pub fn deserialize<'de, T: Read, D: serde::Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let value: Value = serde::Deserialize::deserialize(deserializer)?;
    read(&value).map_err(|problems| serde::de::Error::custom(&problems[0]))
}

/// Reads a value with `get`. Adds a problem if `get` finds none or the value is not in the domain.
fn scalar<T: Read>(
    value: &Value,
    domain: &Domain,
    at: &Path,
    problems: &mut Vec<Problem>,
    get: impl Fn(&Value) -> Option<T>,
) -> Option<T> {
    let read = get(value);
    if read.is_none() || !domain.has(value) {
        let problem = Problem::found(at, value).expected(T::expected(domain));
        problems.push(match domain {
            Domain::Each(n, each) if each.has(value) => repeated(problem, value, *n),
            _ => problem,
        });
    }
    read
}

/// Returns the problem that one number was written instead of `n` of them, `32` instead of `(32, 32)`.
fn repeated(problem: Problem, value: &Value, n: usize) -> Problem {
    problem.help(format!("did you mean `({})`?", vec![value.to_string(); n].join(", ")))
}

macro_rules! scalars {
    ($($type:ty, $words:literal, $brief:literal, $get:expr;)*) => { $(
        impl Read for $type {
            fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
                scalar(value, domain, at, problems, $get)
            }

            fn expected(domain: &Domain) -> String {
                if *domain == Domain::Any { $words.to_owned() } else { domain.expected() }
            }

            fn brief(domain: &Domain) -> String {
                if *domain == Domain::Any { $brief.to_owned() } else { domain.brief() }
            }
        }
    )* };
}

impl Read for bool {
    fn read(value: &Value, _: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let read = value.as_bool();
        if read.is_none() {
            // `False`, as in Python.
            let word = value.as_str().unwrap_or_default();
            let problem = Problem::found(at, value).expected("true or false");
            problems.push(problem.did_you_mean(word, ["true", "false"]));
        }
        read
    }

    fn expected(_: &Domain) -> String {
        "true or false".to_owned()
    }

    fn brief(_: &Domain) -> String {
        "`true` or `false`".to_owned()
    }
}

scalars! {
    u8, "a whole number of 0 to 255", "0 to 255", |value| u8::try_from(value.as_u64()?).ok();
    u32, "a whole number of 0 to 4294967295", "integer", |value| u32::try_from(value.as_u64()?).ok();
    u64, "a whole number of at least 0", "integer", Value::as_u64;
    f64, "a number", "number", Value::as_f64;
    String, "a string", "string", |value| value.as_str().map(str::to_owned);
    // Values of a table of hyperparameters, whose rows have domains.
    Value, "a value", "value", |value| Some(value.clone());
}

impl<T: Read> Read for Option<T> {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        if value.is_null() { Some(None) } else { T::read(value, domain, at, problems).map(Some) }
    }

    fn expected(domain: &Domain) -> String {
        T::expected(domain)
    }

    fn brief(domain: &Domain) -> String {
        T::brief(domain)
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

    fn uses(&self, domain: &Domain, uses: &mut Vec<LabelUse>) {
        self.iter().for_each(|value| value.uses(domain, uses));
    }
}

/// Reads each item of a list.
fn items<T: Read>(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Vec<T>> {
    let Some(items) = value.as_array() else {
        problems.push(Problem::found(at, value).expected(Vec::<T>::expected(domain)));
        return None;
    };
    // Collected first, because collecting into an `Option` would stop at the first wrong item.
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

    fn brief(domain: &Domain) -> String {
        format!("list, each {}", T::brief(domain))
    }

    fn settled(&self, domain: &Domain, name: &str, labels: &Map<String, Value>) -> Result<Self, Unfilled> {
        self.iter().map(|item| item.settled(domain, name, labels)).collect()
    }

    fn uses(&self, domain: &Domain, uses: &mut Vec<LabelUse>) {
        self.iter().for_each(|item| item.uses(domain, uses));
    }
}

/// Returns whether a number or a word was written instead of a list of such: `32` instead of `(32, 32)`.
fn alone<T: Read>(value: &Value, domain: &Domain) -> bool {
    (value.is_number() || value.is_boolean()) && read_in::<T>(value, domain).is_ok()
}

impl<T: Read, const N: usize> Read for [T; N] {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        if value.as_array().is_none_or(|items| items.len() != N) {
            let problem = Problem::found(at, value).expected(Self::expected(domain));
            problems.push(match alone::<T>(value, domain) {
                true => repeated(problem, value, N),
                false => problem,
            });
            return None;
        }
        items(value, domain, at, problems)?.try_into().ok()
    }

    fn expected(domain: &Domain) -> String {
        format!("a list of {N}, each {}", T::expected(domain))
    }

    fn brief(domain: &Domain) -> String {
        format!("list of {N}, each {}", T::brief(domain))
    }

    fn takes_a_label() -> bool {
        T::takes_a_label()
    }

    fn settled(&self, domain: &Domain, name: &str, labels: &Map<String, Value>) -> Result<Self, Unfilled> {
        let mut settled = self.clone();
        for item in &mut settled {
            *item = item.settled(domain, name, labels)?;
        }
        Ok(settled)
    }

    fn uses(&self, domain: &Domain, uses: &mut Vec<LabelUse>) {
        self.iter().for_each(|item| item.uses(domain, uses));
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

    fn brief(_: &Domain) -> String {
        "map: `{\"..\": ..}`".to_owned()
    }
}

/// Reads `Name` or `Name(content)`. Returns the index in `names` of the name, and the content if there is any. The value
/// `None` is read as a name if `names` contains it.
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

/// Reads the content of `Name(..)`. `Name` without parentheses has no content, and is read as [`Read::bare`].
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

/// Adds a problem and returns `None` if a name without content has some. Empty parentheses are allowed.
pub fn no_content(name: &str, content: Option<&Value>, at: &Path, problems: &mut Vec<Problem>) -> Option<()> {
    let content = content.filter(|content| match content {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    });
    if let Some(content) = content {
        problems.push(Problem::found(&at.name(name), content).expected(format!("`{name}` without parentheses")));
        return None;
    }
    Some(())
}

/// The fields of a value that is being read.
pub struct Fields<'v> {
    given: BTreeMap<&'v str, (Path, &'v Value)>,
    has_unknown: bool,
    /// Known fields that an unknown one is close to: probably misspelt.
    misspelt: Vec<&'v str>,
    at: Path,
}

impl<'v> Fields<'v> {
    /// Returns the fields of `value`, and adds a problem for each that is not in `known`. A list has the values of the known
    /// fields in their order.
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

    /// Returns whether there are unknown fields. If so, the value is not checked any further.
    pub fn has_unknown(&self) -> bool {
        self.has_unknown
    }

    /// Returns the place and the value of the field `name`, if it is given.
    pub fn get(&self, name: &str) -> Option<(&Path, &'v Value)> {
        self.given.get(name).map(|(at, value)| (at, *value))
    }

    /// Adds a problem that the field `name` is missing, unless it was reported as misspelt. `allowed` says what it may be.
    pub fn missing(&self, name: &str, allowed: &str, problems: &mut Vec<Problem>) {
        if !self.misspelt.contains(&name) {
            problems.push(Problem::missing_field(&self.at, name, allowed));
        }
    }

    /// Reads the field `name`. If it is left out, returns `default`.
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
