//! What is wrong with a value that a user wrote, where, and what would be right. Whoever sees a problem makes one; it is given
//! its place in the text, and worded, once.

use std::fmt;

use crate::words::closest;

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// A field of a struct, or the name of a variant.
    Name(String),
    /// A place in a list, from 0.
    Index(usize),
}

/// The way from a value to one inside it: `policy[0].RandomFlip`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Path(Vec<Step>);

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, from the value that was read.
    pub at: Path,
    /// Whether the name at `at` is wrong, and not the value behind it.
    pub is_name: bool,
    /// What was found: `1.5`, `unknown field epoch`.
    pub found: String,
    /// What is allowed there: `0 to 1`.
    pub expected: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Path {
    /// Returns the path to the value itself.
    pub fn here() -> Self {
        Self::default()
    }

    /// Returns the path to the field, or into the variant, `name` of the value at this path.
    #[must_use]
    pub fn name(&self, name: impl Into<String>) -> Self {
        self.then(Step::Name(name.into()))
    }

    /// Returns the path to the item `index` of the list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    /// Returns this path with `inner`, a path from the value at its end, behind it.
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
    /// Returns a problem with the value at `at`.
    pub fn new(at: Path, found: impl Into<String>) -> Self {
        Self { at, is_name: false, found: found.into(), expected: None, help: None }
    }

    /// Returns a problem with the name at `at`.
    pub fn with_name(at: Path, found: impl Into<String>) -> Self {
        Self { is_name: true, ..Self::new(at, found) }
    }

    /// Returns the problem with what is allowed.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Returns the problem with what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Returns the problem with "did you mean" if one of `known` is close to `found`.
    #[must_use]
    pub fn did_you_mean<'a>(self, found: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match closest(found, known) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// Returns the problem as seen from a value that holds the one that was read at `outer`.
    #[must_use]
    pub fn inside(mut self, outer: &Path) -> Self {
        self.at = outer.join(&self.at);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_a_user_would() {
        let path = Path::here().name("policy").index(0).name("RandomFlip");
        assert_eq!(path.to_string(), "policy[0].RandomFlip");
        assert_eq!(Path::here().name("flip").join(&path).to_string(), "flip.policy[0].RandomFlip");
    }
}
