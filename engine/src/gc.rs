//! Which contents of a store its studies need.

use std::collections::{BTreeMap, BTreeSet};

use pipe_store::{Digest, GcPlan, GcRoots, RefKind, Store, StoreError};

use crate::study::Study;

/// The entries of the studies' logs that are to be forgotten.
#[derive(Debug, Default)]
pub struct Forgotten {
    /// name -> how many of its newest entries stay
    keep: BTreeMap<String, usize>,
    /// (name, study)
    pub entries: Vec<(String, Digest)>,
}

/// Decides which entries go if the last `keep_last` of each name stay.
///
/// # Errors
/// If a log cannot be read.
pub fn forget(store: &Store, keep_last: Option<u32>) -> Result<Forgotten, StoreError> {
    let mut forgotten = Forgotten::default();
    let Some(keep_last) = keep_last else { return Ok(forgotten) };
    for name in store.ref_names(RefKind::Studies)? {
        let log = store.ref_log(RefKind::Studies, &name)?;
        let keep = log.len().min(keep_last as usize);
        forgotten.entries.extend(log[..log.len() - keep].iter().map(|entry| (name.clone(), entry.digest)));
        forgotten.keep.insert(name, keep);
    }
    Ok(forgotten)
}

impl Forgotten {
    /// Removes the entries from their logs.
    ///
    /// # Errors
    /// If a log cannot be read or written.
    pub fn carry_out(&self, store: &Store) -> Result<(), StoreError> {
        for name in self.keep.keys() {
            // The oldest ones, as many as were counted, so that a study that was added since stays.
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

/// Drops from the roots what only unfinished runs have made, unless a running one needs it too.
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

/// Adds to the roots what the studies that stay need.
///
/// # Errors
/// If a log or a study cannot be read: then it is not known what is needed, and nothing must be swept.
pub fn add_studies(store: &Store, roots: &mut GcRoots, forgotten: &Forgotten) -> Result<(), StoreError> {
    for name in store.ref_names(RefKind::Studies)? {
        let log = store.ref_log(RefKind::Studies, &name)?;
        let path = store.root().join("refs/studies").join(&name);
        if log.is_empty() && path.exists() {
            // The log had studies. Which ones is lost, and so is what they need.
            return Err(StoreError::Record { path, reason: "no study in it can be read".to_owned() });
        }
        let keep = forgotten.keep.get(&name).copied().unwrap_or(log.len());
        for entry in &log[log.len() - keep.min(log.len())..] {
            if !roots.objects.insert(entry.digest) {
                continue;
            }
            let study = match Study::load(store, &entry.digest) {
                Ok(study) => study,
                Err(crate::study::StudyError::Store(error)) => return Err(error),
                // Not a study. It stays, and nothing is known that it needs.
                Err(_) => continue,
            };
            roots.objects.insert(study.pipeline);
            roots.actions.extend(study.nodes.values().filter_map(|node| node.key()));
            roots.objects.extend(study.nodes.values().filter_map(|node| node.tree()));
        }
    }
    Ok(())
}

/// Returns the plan as text.
pub fn render(plan: &GcPlan, forgotten: &Forgotten, dry: bool) -> String {
    let mut text = String::new();
    for (name, study) in &forgotten.entries {
        text += &format!("{}  {name} {study}\n", if dry { "would forget" } else { "forgot" });
    }
    text += &plan.to_string();
    text
}
