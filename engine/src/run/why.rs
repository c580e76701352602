//! Why a node runs, would run, or does not, compared with an earlier study of the same name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use pipe_stages::DeviceKind;
use pipe_stages::{
    records::{self, Listing},
    words::printable,
};
use pipe_store::{Digest, ObjectSource, Store};
use serde::Serialize;
use serde_json::Value;

use crate::{
    action::Action,
    leaves::{self, Change},
    plan::Plan,
    study::{self, Outcome, Study},
};

/// Why a node runs, would run, or does not. Its text is what `run`, `run --plan` and `why` print.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Why {
    /// No study of this name was run before.
    FirstRun,
    /// The latest study of this name has no such node.
    New,
    /// Its action is another one than in the latest study of this name.
    Changed {
        /// How the actions differ, causes before consequences. Empty if the earlier action cannot be read.
        differences: Vec<Difference>,
    },
    /// Its action is the same, and its result was removed from the store.
    Gone,
    /// Its action is the same, and it had no result: it crashed, or a node that it needs had no outputs.
    Unfinished,
    /// The user asked for it.
    Forced {
        /// How its result compares with the one before, once both are known.
        #[serde(skip_serializing_if = "Option::is_none")]
        compared: Option<Compared>,
    },
    /// It is executed to be compared with its committed result.
    Check,
    /// Its result, or something that it needs, is damaged.
    Damaged {
        /// What is damaged.
        message: String,
    },
    /// Its action and its result are those of the latest study of this name.
    Unchanged,
    /// Its result is known, though not from the latest study of this name.
    Known {
        /// How its action differs from the one in the latest study, if it has one there.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        differences: Vec<Difference>,
    },
    /// Another run executed it at the same time.
    Meanwhile,
    /// It failed.
    Failed {
        /// What went wrong.
        message: String,
        /// What the user can do about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A node that it needs has no outputs.
    Skipped {
        /// That node.
        needs: String,
    },
    /// It was stopped.
    Interrupted,
}

/// Whether two results of an action have the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compared {
    /// They have.
    Same,
    /// They have not.
    Different,
}

/// One difference between two actions of a node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "of", rename_all = "lowercase")]
pub enum Difference {
    /// It executes another stage.
    Stage {
        /// The stage before.
        old: String,
        /// The stage now.
        new: String,
    },
    /// Its stage computes something else than it did.
    Version {
        /// The stage.
        stage: String,
        /// Its version before.
        old: u32,
        /// Its version now.
        new: u32,
    },
    /// A parameter.
    Parameter(Change),
    /// The files of the folder that it fetches.
    Files(FileChanges),
    /// The seed.
    Seed {
        /// The seed before, if it had one.
        old: Option<String>,
        /// The seed now.
        new: Option<String>,
    },
    /// The kind of device.
    Device {
        /// The device before, if it computed on one.
        old: Option<DeviceKind>,
        /// The device now.
        new: Option<DeviceKind>,
    },
    /// The class of numerics.
    Numerics {
        /// The class before, if it had one.
        old: Option<String>,
        /// The class now.
        new: Option<String>,
    },
    /// An input file has other bytes.
    Input {
        /// The slot.
        slot: String,
        /// The node that wrote it, if there is an input now.
        #[serde(skip_serializing_if = "Option::is_none")]
        node: Option<String>,
        /// The file before, if there was one.
        old: Option<Digest>,
        /// The file now.
        new: Option<Digest>,
    },
    /// An input file is not known yet, so it may have other bytes.
    Pending {
        /// The slot.
        slot: String,
        /// The node that will write it.
        node: String,
    },
}

/// How the files of a folder differ from those of an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FileChanges {
    /// The number of files that were not there.
    pub new: usize,
    /// The number of files with other bytes.
    pub changed: usize,
    /// The number of files that are not there any more.
    pub gone: usize,
    /// Some of them.
    pub examples: Vec<String>,
}

/// The most files that an explanation names.
const EXAMPLES: usize = 3;

impl FileChanges {
    /// Returns how two listings differ. Both are sorted.
    pub fn of(old: &Listing, new: &Listing) -> Self {
        let mut found = Self::default();
        let before: BTreeMap<_, _> = old.files.iter().map(|file| (&file.path, file.digest)).collect();
        let after: BTreeMap<_, _> = new.files.iter().map(|file| (&file.path, file.digest)).collect();
        let mut note = |path: &String| {
            if found.examples.len() < EXAMPLES {
                found.examples.push(path.clone());
            }
        };
        let (mut n_new, mut n_changed, mut n_gone) = (0, 0, 0);
        for (path, digest) in &after {
            match before.get(path) {
                Some(known) if known == digest => continue,
                Some(_) => n_changed += 1,
                None => n_new += 1,
            }
            note(path);
        }
        for path in before.keys().filter(|path| !after.contains_key(*path)) {
            n_gone += 1;
            note(path);
        }
        Self { new: n_new, changed: n_changed, gone: n_gone, ..found }
    }
}

/// `3 files are new, 1 changed: cats/17.jpg ..`
impl fmt::Display for FileChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [(self.new, "new"), (self.changed, "changed"), (self.gone, "gone")];
        let counts: Vec<_> = counts.into_iter().filter(|(count, _)| *count > 0).collect();
        for (i, (count, what)) in counts.iter().enumerate() {
            match (i, *what, count) {
                (0, "changed", 1) => f.write_str("1 file changed")?,
                (0, "changed", _) => write!(f, "{count} files changed")?,
                (0, _, 1) => write!(f, "1 file is {what}")?,
                (0, ..) => write!(f, "{count} files are {what}")?,
                (_, "gone", _) => write!(f, ", {count} gone")?,
                _ => write!(f, ", {count} {what}")?,
            }
        }
        if counts.is_empty() {
            return f.write_str("empty folders, links or other entries changed");
        }
        let more = if self.new + self.changed + self.gone > self.examples.len() { " .." } else { "" };
        write!(f, ": {}{more}", self.examples.iter().map(|path| printable(path)).collect::<Vec<_>>().join(", "))
    }
}

impl Difference {
    /// Returns the node whose output differs, or may differ. `None` if the difference is in the node itself.
    pub fn source(&self) -> Option<&str> {
        match self {
            Self::Input { node, .. } => node.as_deref(),
            Self::Pending { node, .. } => Some(node),
            _ => None,
        }
    }
}

impl Why {
    /// Returns how the node's action differs from an earlier one, as far as this is the reason.
    pub fn differences(&self) -> &[Difference] {
        match self {
            Self::Changed { differences } | Self::Known { differences } => differences,
            _ => &[],
        }
    }
}

/// Returns why the node at `index` is reused if its result is `known`, and otherwise why it is executed. `action` is its
/// action without the inputs in the slots `pending`, which are not known yet.
pub(super) fn reason(
    store: &Store,
    plan: &Plan,
    previous: Option<&Study>,
    index: usize,
    action: &Action,
    pending: &[&str],
    known: bool,
) -> Why {
    let or_known = |why: Why| if known { Why::Known { differences: Vec::new() } } else { why };
    let Some(previous) = previous else { return or_known(Why::FirstRun) };
    let Some(before) = previous.nodes.get(&plan.nodes[index].name) else { return or_known(Why::New) };
    let Some(old_key) = before.key() else { return or_known(Why::Unfinished) };
    if pending.is_empty() && old_key == action.key() {
        return match before.outcome {
            _ if known => Why::Unchanged,
            Outcome::Tree(_) => Why::Gone,
            _ => Why::Unfinished,
        };
    }
    let old = study::action(store, &old_key.0);
    let differences = old.map(|old| named(store, plan, index, &old, action, pending)).unwrap_or_default();
    if known { Why::Known { differences } } else { Why::Changed { differences } }
}

/// Returns how two actions of the node at `index` differ, as [`differences`] does. For a folder, says which files differ, if both
/// listings can be read.
fn named(store: &Store, plan: &Plan, index: usize, old: &Action, new: &Action, pending: &[&str]) -> Vec<Difference> {
    let mut found = differences(plan, index, old, new, pending);
    let listing = |digest: &Option<Value>| -> Option<Listing> {
        let digest = digest.as_ref()?.as_str()?.parse().ok()?;
        records::read(&store.read(&digest).ok()?).ok()
    };
    for difference in &mut found {
        if let Difference::Parameter(Change { path, old, new }) = difference
            && path == "Folder.listing"
            && let Some(old) = listing(old)
            && let Some(new) = plan.nodes[index].stage.listing().cloned().or_else(|| listing(new))
        {
            *difference = Difference::Files(FileChanges::of(&old, &new));
        }
    }
    found
}

/// Returns how two actions of the node at `index` differ, causes before consequences. `pending` are the slots of `new` whose
/// inputs are not known yet.
pub fn differences(plan: &Plan, index: usize, old: &Action, new: &Action, pending: &[&str]) -> Vec<Difference> {
    if old.stage != new.stage {
        return vec![Difference::Stage { old: old.stage.clone(), new: new.stage.clone() }];
    }
    let mut found = Vec::new();
    if old.version != new.version {
        found.push(Difference::Version { stage: new.stage.clone(), old: old.version, new: new.version });
    }
    let mut changed = Vec::new();
    leaves::changes("", Some(&old.params), Some(&new.params), &mut changed);
    found.extend(changed.into_iter().map(Difference::Parameter));
    if old.seed != new.seed {
        found.push(Difference::Seed { old: old.seed.clone(), new: new.seed.clone() });
    }
    if old.device != new.device {
        found.push(Difference::Device { old: old.device, new: new.device });
    }
    if old.numerics != new.numerics {
        found.push(Difference::Numerics { old: old.numerics.clone(), new: new.numerics.clone() });
    }
    let source = |slot: &str| plan.nodes[index].inputs.get(slot).map(|edge| plan.nodes[edge.node].name.clone());
    let slots: BTreeSet<&str> =
        old.inputs.keys().chain(new.inputs.keys()).map(String::as_str).chain(pending.iter().copied()).collect();
    for slot in slots {
        let (before, after) = (old.inputs.get(slot).copied(), new.inputs.get(slot).copied());
        let node = source(slot);
        if let (true, Some(node)) = (pending.contains(&slot), &node) {
            found.push(Difference::Pending { slot: slot.to_owned(), node: node.clone() });
        } else if before != after {
            found.push(Difference::Input { slot: slot.to_owned(), node, old: before, new: after });
        }
    }
    found
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstRun => write!(f, "first run"),
            Self::New => write!(f, "new in this study"),
            Self::Changed { differences } if differences.is_empty() => {
                write!(f, "it changed, and what it was before is no longer in the store")
            }
            Self::Changed { differences } => write!(f, "{}", Differences(differences)),
            Self::Gone => write!(f, "its result is no longer in the store"),
            Self::Unfinished => write!(f, "it had no result"),
            Self::Forced { compared } => {
                write!(f, "asked for with --rerun")?;
                match compared {
                    None => Ok(()),
                    Some(Compared::Same) => write!(f, "; the same bytes as before"),
                    Some(Compared::Different) => write!(f, "; DIFFERENT BYTES than before"),
                }
            }
            Self::Check => write!(f, "asked for with --check"),
            Self::Damaged { message } => write!(f, "{message}"),
            Self::Unchanged => write!(f, "unchanged"),
            Self::Known { .. } => write!(f, "known from an earlier run"),
            Self::Meanwhile => write!(f, "executed meanwhile"),
            Self::Failed { message, hint: None } => write!(f, "{message}"),
            Self::Failed { message, hint: Some(hint) } => write!(f, "{message}\n  hint: {hint}"),
            Self::Skipped { needs } => write!(f, "it needs `{needs}`"),
            Self::Interrupted => write!(f, "the next run continues it"),
        }
    }
}

/// Differences as a text: `epochs 2 -> 3, input `proposal` changed`.
pub struct Differences<'a>(pub &'a [Difference]);

/// The most changed parameters that a text names.
const SHOWN: usize = 3;

impl fmt::Display for Differences<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut own, mut changed, mut pending) = (Vec::new(), Vec::new(), Vec::new());
        let parameters = self.0.iter().filter(|difference| matches!(difference, Difference::Parameter(_))).count();
        let mut parameter = 0;
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        let kind = |device: &Option<DeviceKind>| text(&device.map(|device| format!("{device:?}")));
        for difference in self.0 {
            match difference {
                Difference::Stage { old, new } => own.push(format!("stage {old} -> {new}")),
                Difference::Version { stage, old, new } => own.push(format!("version of {stage} {old} -> {new}")),
                Difference::Parameter(change) => {
                    parameter += 1;
                    if parameter <= SHOWN {
                        own.push(change.to_string());
                    } else if parameter == parameters {
                        own.push(format!("{} more parameters", parameters - SHOWN));
                    }
                }
                Difference::Files(changes) => own.push(changes.to_string()),
                Difference::Seed { old, new } => own.push(format!("seed {} -> {}", text(old), text(new))),
                Difference::Device { old, new } => own.push(format!("device {} -> {}", kind(old), kind(new))),
                Difference::Numerics { old, new } => own.push(format!("numerics {} -> {}", text(old), text(new))),
                Difference::Input { slot, .. } => changed.push(format!("`{slot}`")),
                Difference::Pending { slot, .. } => pending.push(format!("`{slot}`")),
            }
        }
        for (slots, what) in [(changed, "changed"), (pending, "may change")] {
            match slots.as_slice() {
                [] => {}
                [slot] => own.push(format!("input {slot} {what}")),
                slots => own.push(format!("inputs {} {what}", slots.join(", "))),
            }
        }
        write!(f, "{}", own.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use pipe_stages::records::ListedFile;

    use super::*;

    #[test]
    fn the_files_that_differ_are_counted_and_some_are_named() {
        let listing = |files: &[(&str, u8)]| Listing {
            files: files
                .iter()
                .map(|(path, byte)| ListedFile {
                    path: (*path).to_owned(),
                    digest: Digest::from_bytes([*byte; 32]),
                    size: 1,
                    executable: false,
                })
                .collect(),
            ..Listing::default()
        };
        let check = |old: &[(&str, u8)], new: &[(&str, u8)], expected: &str| {
            assert_eq!(FileChanges::of(&listing(old), &listing(new)).to_string(), expected);
        };
        check(&[("a", 1)], &[("a", 1), ("b", 1)], "1 file is new: b");
        check(&[("a", 1)], &[("a", 2)], "1 file changed: a");
        check(&[("a", 1), ("b", 1)], &[], "2 files are gone: a, b");
        let new = [("a", 2), ("c", 1), ("d", 1), ("e", 1)];
        check(&[("a", 1), ("b", 1)], &new, "3 files are new, 1 changed, 1 gone: a, c, d ..");
        check(&[("a", 1)], &[("a", 1)], "empty folders, links or other entries changed");
    }
}
