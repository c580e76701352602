//! The lock file of a study: what its run gave, small and made for version control. A later run elsewhere is compared with it.

use std::{collections::BTreeMap, fmt, str::FromStr};

use pipe_store::{ActionKey, Digest, Store};
use serde::Serialize;

use crate::{
    action::Action,
    plan::Plan,
    run::why::{Difference, Differences, differences},
    study::{self, Study},
};

/// What the run of a study gave. Its text has a line for each node, sorted by name, so that a change of one node changes one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockFile {
    /// The study hash.
    pub study: Digest,
    /// The pipeline's record.
    pub pipeline: Short,
    /// The class of numerics, if a node computes with networks.
    pub numerics: Option<String>,
    /// The versions of the stages that were executed.
    pub stages: BTreeMap<String, u32>,
    /// The nodes by name.
    pub nodes: BTreeMap<String, LockedNode>,
}

/// One node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockedNode {
    /// The key of its action.
    pub key: Short,
    /// Its output tree.
    pub tree: Short,
}

/// The first 64 bits of a digest. Enough to notice a difference that nobody made on purpose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Short(u64);

/// How a node differs from the lock file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Deviation {
    /// The file does not have this node.
    Added,
    /// The study no longer has this node.
    Removed,
    /// Its action is another one.
    Key {
        /// The key in the file.
        expected: Short,
        /// The key now.
        found: Short,
        /// How the actions differ, as far as it is known.
        differences: Vec<Difference>,
        /// Whether the pipeline is the same.
        same_pipeline: bool,
    },
    /// Its action is the same, and its outputs are others.
    Output {
        /// The output tree in the file.
        expected: Short,
        /// The output tree now.
        found: Short,
    },
    /// It has no outputs.
    Nothing,
}

/// The first line, for people who find the file.
const HEADER: &str =
    "# What `pipe run` gave. `pipe run --locked` compares. One line for each node: its key, its output, its name.";

/// The number of the form of the file.
const FORMAT: u32 = 1;

impl LockFile {
    /// Returns the lock file of a complete study. Returns `None` if a node has no outputs, or its action cannot be read.
    pub fn of(store: &Store, hash: &Digest, study: &Study) -> Option<Self> {
        let (mut numerics, mut stages, mut nodes) = (None, BTreeMap::new(), BTreeMap::new());
        for (name, node) in &study.nodes {
            let (key, tree) = (node.key()?, node.tree()?);
            // A stage has one version in a build, so one of its actions says which.
            if !stages.contains_key(&node.stage) {
                let action = study::action(store, &key.0).ok()?;
                stages.insert(action.stage, action.version);
                numerics = numerics.or(action.numerics);
            }
            nodes.insert(name.clone(), LockedNode { key: key.0.into(), tree: tree.into() });
        }
        Some(Self { study: *hash, pipeline: study.pipeline.into(), numerics, stages, nodes })
    }

    /// Returns how the node at `index` of `plan` differs from the file, given its key and its output tree, if it has them.
    pub fn compare(
        &self,
        store: &Store,
        plan: &Plan,
        index: usize,
        key: Option<ActionKey>,
        tree: Option<Digest>,
    ) -> Option<Deviation> {
        let Some(expected) = self.nodes.get(&plan.nodes[index].name) else { return Some(Deviation::Added) };
        let Some(key) = key else { return Some(Deviation::Nothing) };
        let found = Short::from(key.0);
        if found != expected.key {
            let differences = self.differences(store, plan, index, expected.key, &key);
            let same_pipeline = self.pipeline == Digest::of(&plan.pipeline).into();
            return Some(Deviation::Key { expected: expected.key, found, differences, same_pipeline });
        }
        let Some(found) = tree.map(Short::from) else { return Some(Deviation::Nothing) };
        (found != expected.tree).then_some(Deviation::Output { expected: expected.tree, found })
    }

    /// Returns the nodes of the file that `plan` does not have.
    pub fn removed(&self, plan: &Plan) -> impl Iterator<Item = &str> {
        let names: std::collections::BTreeSet<_> = plan.nodes.iter().map(|node| node.name.as_str()).collect();
        self.nodes.keys().map(String::as_str).filter(move |name| !names.contains(name))
    }

    /// Returns how the action `key` of a node differs from the one in the file: exactly if the store still has that one, otherwise
    /// as far as the file says.
    fn differences(&self, store: &Store, plan: &Plan, index: usize, old: Short, key: &ActionKey) -> Vec<Difference> {
        let Ok(new) = study::action(store, &key.0) else { return Vec::new() };
        if let Some(old) = store.resolve_prefix(&old.to_string()).ok().and_then(|old| study::action(store, &old).ok()) {
            return differences(plan, index, &old, &new, &[]);
        }
        self.of_build(&new)
    }

    /// Returns what differs about the build: the version of the stage, and the class of numerics.
    fn of_build(&self, new: &Action) -> Vec<Difference> {
        let mut found = Vec::new();
        if let Some(old) = self.stages.get(&new.stage).filter(|old| **old != new.version) {
            found.push(Difference::Version { stage: new.stage.clone(), old: *old, new: new.version });
        }
        if new.numerics.is_some() && new.numerics != self.numerics {
            found.push(Difference::Numerics { old: self.numerics.clone(), new: new.numerics.clone() });
        }
        found
    }
}

impl fmt::Display for LockFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        writeln!(f, "format {FORMAT}")?;
        writeln!(f, "study {}", self.study)?;
        writeln!(f, "pipeline {}", self.pipeline)?;
        if let Some(numerics) = &self.numerics {
            writeln!(f, "numerics {numerics}")?;
        }
        for (stage, version) in &self.stages {
            writeln!(f, "stage {stage} {version}")?;
        }
        for (name, node) in &self.nodes {
            writeln!(f, "{} {} {name}", node.key, node.tree)?;
        }
        Ok(())
    }
}

/// Why a text is not a lock file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseLockError {
    /// A line has another form.
    #[error("line {line}: found `{found}`, expected {expected}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// The line.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A line is missing.
    #[error("it has no line `{0} ..`")]
    Missing(&'static str),
    /// A newer version wrote it.
    #[error("it has format {0}; this build reads format {FORMAT}")]
    Format(String),
}

impl FromStr for LockFile {
    type Err = ParseLockError;

    fn from_str(text: &str) -> Result<Self, ParseLockError> {
        let (mut format, mut study, mut pipeline, mut numerics) = (None, None, None, None);
        let (mut stages, mut nodes) = (BTreeMap::new(), BTreeMap::new());
        for (line, found) in (1..).zip(text.lines()) {
            let error = |expected| ParseLockError::Line { line, found: found.to_owned(), expected };
            let (word, rest) = found.split_once(' ').unwrap_or((found, ""));
            match word {
                _ if found.trim().is_empty() || found.starts_with('#') => {}
                "format" if rest == FORMAT.to_string() => format = Some(()),
                "format" => return Err(ParseLockError::Format(rest.to_owned())),
                "study" => study = Some(rest.parse().map_err(|_| error("a hash of 64 hexadecimal digits"))?),
                "pipeline" => pipeline = Some(rest.parse().map_err(error)?),
                "numerics" => numerics = Some(rest.to_owned()),
                "stage" => {
                    let parsed = rest.split_once(' ').and_then(|(name, n)| Some((name.to_owned(), n.parse().ok()?)));
                    stages.extend([parsed.ok_or_else(|| error("`stage NAME VERSION`"))?]);
                }
                key => {
                    let (tree, name) =
                        rest.split_once(' ').ok_or_else(|| error("the key, the output and the name of a node"))?;
                    let node = LockedNode { key: key.parse().map_err(error)?, tree: tree.parse().map_err(error)? };
                    if nodes.insert(name.to_owned(), node).is_some() {
                        return Err(error("each node once"));
                    }
                }
            }
        }
        format.ok_or(ParseLockError::Missing("format"))?;
        Ok(Self {
            study: study.ok_or(ParseLockError::Missing("study"))?,
            pipeline: pipeline.ok_or(ParseLockError::Missing("pipeline"))?,
            numerics,
            stages,
            nodes,
        })
    }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added => write!(f, "it is not in the file"),
            Self::Removed => write!(f, "it is no longer in the study"),
            Self::Key { expected, found, differences, same_pipeline } => {
                write!(f, "its key is {found} instead of {expected}: ")?;
                match differences.as_slice() {
                    [] if *same_pipeline => {
                        write!(f, "the pipeline is the same, so this build makes another action of it")
                    }
                    [] => write!(f, "its parameters, its seed, the device or the files that it reads are others"),
                    differences => write!(f, "{}", Differences(differences)),
                }
            }
            Self::Output { expected, found } => {
                write!(f, "its key is the same, and its output is {found} instead of {expected}")
            }
            Self::Nothing => write!(f, "it has no output"),
        }
    }
}

impl From<Digest> for Short {
    fn from(digest: Digest) -> Self {
        Self(u64::from_be_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 bytes")))
    }
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Short {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Short {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let is_short = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let parsed = u64::from_str_radix(text, 16).ok().filter(|_| is_short);
        parsed.map(Self).ok_or("16 hexadecimal digits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> LockFile {
        let node =
            |text: &str| LockedNode { key: Digest::of(text.as_bytes()).into(), tree: Digest::of(b"tree").into() };
        LockFile {
            study: Digest::of(b"study"),
            pipeline: Digest::of(b"pipeline").into(),
            numerics: Some("canonical f32, kernels-3".to_owned()),
            stages: [("augment".to_owned(), 1), ("train".to_owned(), 2)].into(),
            nodes: ["a data set", "search/train/000"].map(|name| (name.to_owned(), node(name))).into(),
        }
    }

    #[test]
    fn the_text_of_a_lock_file_does_not_change_and_is_read_back() {
        let expected = "\
# What `pipe run` gave. `pipe run --locked` compares. One line for each node: its key, its output, its name.
format 1
study 94c5c3b0a2fc3eab1f1dc54d5e10a1c15a2ff0a4d1b7eb5dba4e4a87b8d7ff0f
pipeline 0000000000000000
numerics canonical f32, kernels-3
stage augment 1
stage train 2
0000000000000000 0000000000000000 a data set
0000000000000000 0000000000000000 search/train/000
";
        let text = lock().to_string();
        let shape = |text: &str| -> String {
            let hex = |word: &str| word.len() >= 16 && word.bytes().all(|b| b.is_ascii_hexdigit());
            let word = |word: &str| if hex(word) { format!("<{}>", word.len()) } else { word.to_owned() };
            text.lines().map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" ") + "\n").collect()
        };
        assert_eq!(shape(&text), shape(expected));
        assert_eq!(text.parse(), Ok(lock()));
        // As some clients of version control check it out.
        assert_eq!(text.replace('\n', "\r\n").parse(), Ok(lock()));
        assert!(text.contains(&format!(
            "{} {} a data set\n",
            &Digest::of(b"a data set").to_string()[..16],
            &Digest::of(b"tree").to_string()[..16]
        )));
    }

    #[test]
    fn what_is_not_a_lock_file_is_refused_at_its_line() {
        let text = lock().to_string();
        let check = |text: &str, expected: &str| {
            assert_eq!(text.parse::<LockFile>().unwrap_err().to_string(), expected);
        };
        check("", "it has no line `format ..`");
        check(&text.replace("format 1", "format 2"), "it has format 2; this build reads format 1");
        check(
            &text.replace("stage train 2", "<<<<<<< HEAD"),
            "line 7: found `<<<<<<< HEAD`, expected the key, the output and the name of a node",
        );
        check(
            &text.replace("stage train 2", "stage train"),
            "line 7: found `stage train`, expected `stage NAME VERSION`",
        );
        let last = text.lines().last().unwrap();
        check(&format!("{text}{last}\n"), &format!("line 10: found `{last}`, expected each node once"));
        check(&format!("{text}0123 4567 x\n"), "line 10: found `0123 4567 x`, expected 16 hexadecimal digits");
    }
}
