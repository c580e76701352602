//! Why something is kept in a store: one path from a root to it.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use pipe_store::{ActionKey, ActionResult, Digest, RefKind, Store, StoreError};
use serde::Serialize;

use crate::{
    note,
    study::{Study, StudyError},
};

/// Why an object is kept, or that it is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kept")]
pub enum Reason {
    /// A root leads to it.
    #[serde(rename = "root")]
    Root {
        /// The root.
        root: Root,
        /// The way from there. The last step is the object.
        steps: Vec<Step>,
    },
    /// Nothing needs it, but it, or a result that leads to it, is younger than the grace period.
    Young {
        /// When it was last written or used, in seconds before now.
        age: u64,
        /// The seconds until it is no longer kept.
        left: u64,
        /// The result that is young, with the way from there, unless it is the object itself.
        steps: Vec<Step>,
    },
    /// It is newer than the start of a running run, which may need it.
    Beside {
        /// The id of the run.
        run: String,
    },
    /// Nothing needs it.
    #[serde(rename = "no")]
    Nothing,
}

/// What is kept for its own sake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "root")]
pub enum Root {
    /// A study.
    Study {
        /// The name.
        name: String,
        /// The number of studies of this name after it.
        back: usize,
        /// The study hash.
        study: Digest,
    },
    /// A tag.
    Tag {
        /// The tag.
        name: String,
        /// The study that it names.
        study: Digest,
    },
    /// A run that is not finished.
    Run {
        /// Its id.
        id: String,
        /// The study that it computes.
        name: String,
        /// Whether it is running.
        running: bool,
    },
    /// The ledger of the test splits.
    Ledger {
        /// The digest of the test split.
        test_split: String,
    },
    /// A note.
    Note {
        /// The hash of the study.
        study: String,
    },
}

/// A step from a root to an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "step")]
pub enum Step {
    /// The record of the study's pipeline.
    Pipeline,
    /// A node of a study.
    Node {
        /// Its name.
        name: String,
    },
    /// An action.
    Action {
        /// Its key.
        key: Digest,
    },
    /// An output tree.
    Tree {
        /// Its digest.
        tree: Digest,
    },
    /// A file in a tree.
    File {
        /// Its path.
        path: String,
    },
    /// An object that a repair keeps.
    Object,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way =
            |f: &mut fmt::Formatter<'_>, steps: &[Step]| steps.iter().try_for_each(|step| write!(f, " -> {step}"));
        match self {
            Self::Root { root, steps } => {
                write!(f, "{root}")?;
                way(f, steps)
            }
            Self::Young { age, left, steps } => {
                let (age, left) = (about(*age), about(*left));
                if steps.is_empty() {
                    return write!(f, "grace period: last written or used {age} ago, kept for another {left}");
                }
                write!(f, "grace period: a result that was last written or used {age} ago, kept for another {left}")?;
                way(f, steps)
            }
            Self::Beside { run } => write!(f, "it is newer than the start of the run {run}, which may need it"),
            Self::Nothing => write!(f, "nothing needs it: `pipe gc` removes it"),
        }
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Study { name, back: 0, study } => write!(f, "study {name} (latest) {}", study.short()),
            Self::Study { name, back, study } => write!(f, "study {name}~{back} {}", study.short()),
            Self::Tag { name, study } => write!(f, "tag {name} {}", study.short()),
            Self::Run { id, name, running: true } => write!(f, "run {id} of {name}, which is running"),
            Self::Run { id, name, .. } if name.is_empty() => write!(f, "what a repair keeps ({id})"),
            Self::Run { id, name, .. } => write!(f, "run {id} of {name}, which is not finished"),
            Self::Ledger { test_split } => {
                write!(f, "ledger of the test split {}", &test_split[..test_split.len().min(12)])
            }
            Self::Note { study } => write!(f, "note of the study {}", &study[..study.len().min(12)]),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pipeline => f.write_str("pipeline"),
            Self::Node { name } => write!(f, "node {name}"),
            Self::Action { key } => write!(f, "action {}", key.short()),
            Self::Tree { tree } => write!(f, "tree {}", tree.short()),
            Self::File { path } => f.write_str(path),
            Self::Object => f.write_str("object"),
        }
    }
}

/// Returns a time in its largest unit: `3 days`.
fn about(seconds: u64) -> String {
    let (n, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{n} {unit}{}", if n == 1 { "" } else { "s" })
}

/// Returns why the object `name` would be kept by a collection with this grace period. Of several roots that lead to it, takes the
/// first of: the latest studies, earlier ones, tags, runs, the ledger, and notes.
///
/// # Errors
/// If something that leads to it cannot be read.
pub fn why(store: &Store, name: &Digest, now: SystemTime, grace: Duration) -> Result<Reason, StudyError> {
    for (kind, of_ref, back, hash) in named_studies(store)? {
        let root = match kind {
            RefKind::Studies => Root::Study { name: of_ref, back, study: hash },
            _ => Root::Tag { name: of_ref, study: hash },
        };
        if hash == *name {
            return Ok(Reason::Root { root, steps: Vec::new() });
        }
        // What is not a study names nothing.
        let Ok(study) = serde_json::from_slice::<Study>(&store.read_record(&hash)?) else { continue };
        if let Some(steps) = in_study(store, &study, name)? {
            return Ok(Reason::Root { root, steps });
        }
    }
    let runs = store.runs()?;
    for run in &runs {
        let root = || Root::Run { id: run.id.clone(), name: run.study_name.clone(), running: run.running };
        if run.objects.contains(name) {
            return Ok(Reason::Root { root: root(), steps: vec![Step::Object] });
        }
        for key in &run.keys {
            if let Some(steps) = in_result(store, key, name)? {
                return Ok(Reason::Root { root: root(), steps });
            }
        }
    }
    for test_split in store.ref_names(RefKind::Readings)? {
        if store.ref_log(RefKind::Readings, &test_split)?.iter().any(|entry| entry.digest == *name) {
            return Ok(Reason::Root { root: Root::Ledger { test_split }, steps: vec![Step::Object] });
        }
    }
    if let Some((study, _)) = note::entries(store)?.into_iter().find(|(_, entry)| entry == name) {
        return Ok(Reason::Root { root: Root::Note { study }, steps: vec![Step::Object] });
    }
    young(store, name, now, grace)
}

/// Returns why the working folder of an action would be kept by a collection with this grace period: the first run that is not finished
/// and has the action, or the age of what is in it.
///
/// # Errors
/// If the log of a run is damaged or cannot be read, or the folders cannot be listed.
pub fn why_work_folder(store: &Store, key: &ActionKey, now: SystemTime, grace: Duration) -> Result<Reason, StoreError> {
    let runs = store.runs()?;
    if let Some(run) = runs.iter().find(|run| run.keys.contains(key)) {
        let root = Root::Run { id: run.id.clone(), name: run.study_name.clone(), running: run.running };
        return Ok(Reason::Root { root, steps: vec![Step::Action { key: key.0 }] });
    }
    let written = store.work_folders()?.into_iter().filter(|folder| folder.key == *key).map(|folder| folder.modified);
    let Some(written) = written.max() else { return Ok(Reason::Nothing) };
    let age = now.duration_since(written).unwrap_or_default();
    let left = grace.saturating_sub(age).as_secs();
    if left > 0 {
        Ok(Reason::Young { age: age.as_secs(), left, steps: Vec::new() })
    } else {
        beside(store, written, now, grace)
    }
}

/// Returns all values of the names of studies, the latest first, then those of tags: kind, name, the number of later values, study hash.
fn named_studies(store: &Store) -> Result<Vec<(RefKind, String, usize, Digest)>, StoreError> {
    let mut all = Vec::new();
    for kind in [RefKind::Studies, RefKind::Tags] {
        let mut of_kind = Vec::new();
        for name in store.ref_names(kind)? {
            let log = store.ref_log(kind, &name)?;
            of_kind.extend(log.iter().rev().enumerate().map(|(back, entry)| (kind, name.clone(), back, entry.digest)));
        }
        of_kind.sort_by_key(|(_, _, back, _)| *back);
        all.extend(of_kind);
    }
    Ok(all)
}

/// Returns why an object that no root leads to is kept for some time, if it is.
fn young(store: &Store, name: &Digest, now: SystemTime, grace: Duration) -> Result<Reason, StudyError> {
    let age = |written: SystemTime| now.duration_since(written).unwrap_or_default();
    let is_young = |written: SystemTime| age(written) < grace;
    let reason = |written, steps| Reason::Young {
        age: age(written).as_secs(),
        left: (grace.saturating_sub(age(written))).as_secs(),
        steps,
    };
    let results = store.results_written()?;
    for (key, written) in results.iter().filter(|(_, written)| is_young(*written)) {
        if let Some(steps) = in_result(store, key, name)? {
            return Ok(reason(*written, steps));
        }
    }
    let Some(written) = store.object_written(name)? else { return Ok(Reason::Nothing) };
    if is_young(written) {
        return Ok(reason(written, Vec::new()));
    }
    Ok(beside(store, written, now, grace)?)
}

/// Returns whether what was written at that time is kept for a running run.
fn beside(store: &Store, written: SystemTime, now: SystemTime, grace: Duration) -> Result<Reason, StoreError> {
    let roots = store.gc_roots()?;
    let plan = store.gc_plan(&roots, now, grace)?;
    Ok(match plan.held_back_by {
        Some(run) if written > plan.cutoff => Reason::Beside { run },
        _ => Reason::Nothing,
    })
}

/// Returns the way from a study to an object.
fn in_study(store: &Store, study: &Study, name: &Digest) -> Result<Option<Vec<Step>>, StoreError> {
    if study.pipeline == *name {
        return Ok(Some(vec![Step::Pipeline]));
    }
    for (node_name, node) in &study.nodes {
        let of_node = || Step::Node { name: node_name.clone() };
        if node.action == Some(*name) {
            return Ok(Some(vec![of_node(), Step::Action { key: *name }]));
        }
        let Some(tree) = node.tree() else { continue };
        if let Some(steps) = in_tree(store, &tree, name)? {
            return Ok(Some([of_node()].into_iter().chain(steps).collect()));
        }
    }
    Ok(None)
}

/// Returns the way from an action to an object: the action, its output tree, or a file of it.
fn in_result(store: &Store, key: &ActionKey, name: &Digest) -> Result<Option<Vec<Step>>, StoreError> {
    let step = Step::Action { key: key.0 };
    if key.0 == *name {
        return Ok(Some(vec![step]));
    }
    let Some(ActionResult::Tree(tree)) = store.result(key)? else { return Ok(None) };
    Ok(in_tree(store, &tree, name)?.map(|steps| [step].into_iter().chain(steps).collect()))
}

fn in_tree(store: &Store, tree: &Digest, name: &Digest) -> Result<Option<Vec<Step>>, StoreError> {
    let step = Step::Tree { tree: *tree };
    if tree == name {
        return Ok(Some(vec![step]));
    }
    let files = match store.tree(tree) {
        Ok(tree) => tree.files,
        Err(StoreError::Missing(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let path = files.into_iter().find(|(_, file)| file.digest == *name).map(|(path, _)| path);
    Ok(path.map(|path| vec![step, Step::File { path }]))
}

#[cfg(test)]
mod tests {
    use std::{fs, fs::File};

    use super::*;

    #[test]
    fn a_working_folder_is_kept_for_its_run_for_its_age_or_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let key = ActionKey(store.put(b"an action").unwrap());
        let (now, grace) = (SystemTime::now(), Duration::from_secs(7200));
        let why = |now| why_work_folder(&store, &key, now, grace).unwrap().to_string();
        assert_eq!(why(now), "nothing needs it: `pipe gc` removes it");
        let work = store.work_folder(&key).unwrap();
        let file = work.path().join("report.jsonl");
        fs::write(&file, "{}").unwrap();
        for path in [work.path(), &file] {
            File::open(path).unwrap().set_modified(now).unwrap();
        }
        let later = now + Duration::from_secs(3600);
        assert_eq!(why(later), "grace period: last written or used 1 hour ago, kept for another 1 hour");
        assert_eq!(why(now + grace), "nothing needs it: `pipe gc` removes it");
        let run = store.open_run("r", "s", now).unwrap();
        assert_eq!(why(now + grace), "it is newer than the start of the run r, which may need it");
        run.append(&key).unwrap();
        let action = format!(" -> action {}", key.0.short());
        assert_eq!(why(now + grace), format!("run r of s, which is running{action}"));
        drop(run);
        assert_eq!(why(now + grace), format!("run r of s, which is not finished{action}"));
    }
}
