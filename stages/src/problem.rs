//! Problems with values that a user wrote: where, what was found and what is allowed. A problem is made where it is found, and
//! is turned into a message with its place in the text at the end.

use std::fmt;

use serde_json::Value;

use crate::words::{closest, one_of};

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// A field of a struct, or the name of a variant.
    Name(String),
    /// An index in a list, from 0.
    Index(usize),
}

/// The path from a value to one inside it: `policy[0].RandomFlip`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Path(Vec<Step>);

/// Which part of the value at a [`Path`] is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The whole value.
    Value,
    /// The name that the value begins with: `Train` of `Train(..)`.
    Name,
    /// The name of the field that the path ends in.
    Key,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path from the value that was read.
    pub at: Path,
    /// The part that is wrong.
    pub part: Part,
    /// What was found, as a lower-case fragment: "found `1.5`", "unknown field `epoch`".
    pub found: String,
    /// What is allowed there: "a number of 0 to 1".
    pub expected: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Path {
    /// Returns the path to the value itself.
    pub fn here() -> Self {
        Self::default()
    }

    /// Returns the path to the field `name`, or to the content of the variant `name`, of the value at this path.
    #[must_use]
    pub fn name(&self, name: impl Into<String>) -> Self {
        self.then(Step::Name(name.into()))
    }

    /// Returns the path to the item `index` of the list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    /// Returns this path followed by `inner`, which starts at the value at this path.
    #[must_use]
    pub fn join(&self, inner: &Self) -> Self {
        Self(self.0.iter().chain(&inner.0).cloned().collect())
    }

    /// Returns the steps.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    fn then(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }
}

impl From<&Path> for Path {
    fn from(path: &Path) -> Self {
        path.clone()
    }
}

impl FromIterator<Step> for Path {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        Self(steps.into_iter().collect())
    }
}

/// `search.trial.keep[0]`
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Name(name) if i == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Problem {
    /// Returns a problem with the value at `at`. `found` is the message.
    pub fn new(at: impl Into<Path>, found: impl Into<String>) -> Self {
        Self { at: at.into(), part: Part::Value, found: found.into(), expected: None, help: None }
    }

    /// Returns a problem with the value at `at`. The message shows the value.
    pub fn found(at: &Path, value: &Value) -> Self {
        Self::new(at, format!("found {}", described(value)))
    }

    /// Returns a problem with the name of the value at `at`, which is not one of `known`.
    pub fn unknown_name<'a>(at: &Path, name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Self {
        let problem = Self { part: Part::Name, ..Self::new(at, format!("unknown name `{name}`")) };
        problem.expected(one_of(known.clone())).did_you_mean(name, known)
    }

    /// Returns a problem with the field `name` of the value at `at`, which is not one of `known`.
    pub fn unknown_field<'a>(at: &Path, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let mut known: Vec<_> = known.into_iter().collect();
        known.sort_unstable();
        let problem = Self { part: Part::Key, ..Self::new(at.name(name), format!("unknown field `{name}`")) };
        problem.expected(one_of(known.iter().copied())).did_you_mean(name, known)
    }

    /// Returns a problem with the value at `at`, which lacks the field `name`. `allowed` says what the field may be.
    pub fn missing_field(at: &Path, name: &str, allowed: &str) -> Self {
        let problem = Self { part: Part::Name, ..Self::new(at, format!("missing field `{name}`")) };
        problem.expected(format!("`{name}: ..` with {allowed}"))
    }

    /// Sets what is allowed.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Sets what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets the help to "did you mean" if one of `known` is close to `found`.
    #[must_use]
    pub fn did_you_mean<'a>(self, found: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match closest(found, known) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// Returns the problem with its path prefixed by `outer`.
    #[must_use]
    pub fn inside(mut self, outer: &Path) -> Self {
        self.at = outer.join(&self.at);
        self
    }
}

/// "`epochs`: found `0`, expected a whole number of 1 to 100000"
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.part == Part::Value && !self.at.steps().is_empty() {
            write!(f, "`{}`: ", self.at)?;
        }
        f.write_str(&self.found)?;
        if let Some(expected) = &self.expected {
            write!(f, ", expected {expected}")?;
        }
        self.help.iter().try_for_each(|help| write!(f, " ({help})"))
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns a short value as it is written, or a description of a long one.
fn described(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Array(items) if items.is_empty() => "an empty list".to_owned(),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(fields) => match fields.keys().next() {
            Some(name) if fields.len() == 1 && name.starts_with(char::is_uppercase) => format!("`{name}(..)`"),
            _ => "a set of fields".to_owned(),
        },
        // A word cannot be mistaken for a number, so it needs no quotes.
        Value::String(word) if word.starts_with(char::is_alphabetic) && word.chars().all(is_of_word) => {
            format!("`{word}`")
        }
        value => format!("`{value}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_as_a_user_would_write_it() {
        let path = Path::here().name("policy").index(0).name("RandomFlip");
        assert_eq!(path.to_string(), "policy[0].RandomFlip");
        assert_eq!(Path::here().name("flip").join(&path).to_string(), "flip.policy[0].RandomFlip");
    }
}
