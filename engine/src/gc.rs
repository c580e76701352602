//! Decides which contents of a store its studies need, and says why.

mod takes;
mod why;

use std::collections::{BTreeMap, BTreeSet};

use pipe_store::{Digest, GcPlan, GcRoots, RefKind, Store, StoreError};

pub use self::{
    takes::{Owner, Takes, takes},
    why::{Reason, Root, Step, why, why_work_folder},
};
use crate::{
    note, readings,
    study::{self, Outcome, Study},
};

/// The entries to be removed from the logs of the studies.
#[derive(Debug, Default)]
pub struct Forgotten {
    /// The number of newest entries that stay, by the study's name.
    keep: BTreeMap<String, usize>,
    /// The entries to remove: (name, study hash), the oldest first for each name.
    pub entries: Vec<(String, Digest)>,
}

/// Decides which entries to remove if the newest `keep_last` entries of each name stay. Without `keep_last`, all stay. A study in
/// which a node crashed does not count, and stays if it is newer than one that counts and stays: it may only have lacked memory.
///
/// # Errors
/// If a log or a study cannot be read.
pub fn forget(store: &Store, keep_last: Option<u32>) -> Result<Forgotten, StoreError> {
    let mut forgotten = Forgotten::default();
    let Some(keep_last) = keep_last else { return Ok(forgotten) };
    for name in store.ref_names(RefKind::Studies)? {
        let log = store.ref_log(RefKind::Studies, &name)?;
        let (mut counted, mut keep) = (0, 0);
        for entry in log.iter().rev() {
            if counted == keep_last {
                break;
            }
            counted += u32::from(!has_crashed(store, &entry.digest)?);
            keep += 1;
        }
        forgotten.entries.extend(log[..log.len() - keep].iter().map(|entry| (name.clone(), entry.digest)));
        forgotten.keep.insert(name, keep);
    }
    Ok(forgotten)
}

/// Returns whether a node of a study crashed, so that it has no result.
fn has_crashed(store: &Store, hash: &Digest) -> Result<bool, StoreError> {
    let study: Option<Study> = serde_json::from_slice(&store.read_record(hash)?).ok();
    Ok(study.is_some_and(|study| study.nodes.values().any(|node| node.outcome == Outcome::Crash)))
}

impl Forgotten {
    /// Removes the entries from their logs.
    ///
    /// # Errors
    /// If a log cannot be read or written.
    pub fn carry_out(&self, store: &Store) -> Result<(), StoreError> {
        for name in self.keep.keys() {
            // Removes as many of the oldest entries as were counted, so that a study recorded since then stays.
            let mut left = self.entries.iter().filter(|(entry, _)| entry == name).count();
            store.ref_retain(RefKind::Studies, name, |_| {
                let goes = left > 0;
                left -= usize::from(goes);
                !goes
            })?;
        }
        Ok(())
    }
}

/// Removes from the roots what only unfinished runs have made, unless a run in progress needs it too.
///
/// # Errors
/// If the logs of runs cannot be read.
pub fn leave_out_unfinished(store: &Store, roots: &mut GcRoots) -> Result<(), StoreError> {
    let (running, unfinished): (Vec<_>, Vec<_>) = store.runs()?.into_iter().partition(|run| run.running);
    let held: BTreeSet<_> = running.iter().flat_map(|run| &run.keys).collect();
    for key in unfinished.iter().flat_map(|run| &run.keys).filter(|key| !held.contains(key)) {
        roots.actions.remove(key);
    }
    roots.abandoned = unfinished.into_iter().map(|run| run.id).collect();
    Ok(())
}

/// Adds everything to the roots that the remaining studies need, those with a tag, the ledger of the test splits, and all notes.
///
/// # Errors
/// If a log or a study cannot be read. Then nothing must be removed from the store, because what it needs is unknown.
pub fn add_studies(store: &Store, roots: &mut GcRoots, forgotten: &Forgotten) -> Result<(), StoreError> {
    let names = |kind| store.ref_names(kind).map(|names| names.into_iter().map(move |name| (kind, name)));
    for entry in readings::entries(store)? {
        roots.objects.insert(entry);
    }
    // A note stays when its study goes: whoever runs the study again has it again.
    roots.objects.extend(note::entries(store)?.into_iter().map(|(_, entry)| entry));
    for (kind, name) in names(RefKind::Studies)?.chain(names(RefKind::Tags)?) {
        let log = store.ref_log(kind, &name)?;
        let keep = forgotten.keep.get(&name).copied().filter(|_| kind == RefKind::Studies).unwrap_or(log.len());
        for entry in &log[log.len() - keep.min(log.len())..] {
            if !roots.objects.insert(entry.digest) {
                continue;
            }
            // What is not a study stays, and names nothing else.
            if let Ok(named) = study::manifest(&store.read_record(&entry.digest)?) {
                roots.trees.extend(named.results.values().flatten());
                roots.actions.extend(named.results.into_keys());
                roots.trees.extend(named.trees);
                roots.objects.extend(named.objects);
            }
        }
    }
    Ok(())
}

/// Returns the plan as text. `dry` says that it is not carried out.
pub fn render(plan: &GcPlan, forgotten: &Forgotten, dry: bool) -> String {
    let mut text = String::new();
    for (name, study) in &forgotten.entries {
        text += &format!("{}  {name} {study}\n", if dry { "would forget" } else { "forgot" });
    }
    text += &plan.to_string();
    text
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::study::StudyNode;

    fn study(name: &str, outcome: Outcome) -> Study {
        let node = StudyNode { action: None, outcome, part_of: name.into(), stage: "train".into() };
        Study::new(Digest::of(name.as_bytes()), Vec::new(), [(name.to_owned(), node)].into())
    }

    #[test]
    fn studies_with_crashes_do_not_count_and_stay_if_they_are_newer() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let tree = || Outcome::Tree(Digest::of(b"tree"));
        let outcomes = [tree(), Outcome::Crash, tree(), Outcome::Failure("it is too small".into()), Outcome::Crash];
        let mut hashes = Vec::new();
        for (i, outcome) in outcomes.into_iter().enumerate() {
            let hash = store.put(&study(&i.to_string(), outcome).record()).unwrap();
            store.ref_append(RefKind::Studies, "s", &hash, SystemTime::now()).unwrap();
            hashes.push(hash);
        }
        let kept = |n| {
            let forgotten = forget(&store, Some(n)).unwrap();
            let forgotten: BTreeSet<_> = forgotten.entries.into_iter().map(|(_, hash)| hash).collect();
            (0..5).filter(|i| !forgotten.contains(&hashes[*i])).collect::<Vec<_>>()
        };
        assert_eq!(kept(1), [3, 4]);
        assert_eq!(kept(2), [2, 3, 4]);
        assert_eq!(kept(3), [0, 1, 2, 3, 4]);
        assert_eq!(kept(9), [0, 1, 2, 3, 4]);
        forget(&store, Some(1)).unwrap().carry_out(&store).unwrap();
        let left: Vec<_> = store.ref_log(RefKind::Studies, "s").unwrap().iter().map(|entry| entry.digest).collect();
        assert_eq!(left, hashes[3..]);
    }
}
