//! Results that are written and have no names yet, and how several of them get their names together.
//!
//! A result waits for the disk three times, however many others wait with it:
//!
//! 1. All files are synced under temporary names, and the log of the run.
//! 2. The objects get their names, and the folders of these are synced.
//! 3. The results get their names, and the folders of these are synced. Then the provenance, on which nothing depends.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    disk::{self, Draft, Existing, Handle},
    error::Result,
    together::{Unsynced, sync_all, sync_folders},
};

/// A result, and what is stored with it.
pub(crate) struct DraftedEnding {
    pub(crate) objects: Vec<DraftedObject>,
    /// The files of the objects that are stored already.
    pub(crate) found: Vec<PathBuf>,
    pub(crate) record: (Draft, PathBuf),
    /// What happens to the result that there may be.
    pub(crate) existing: Existing,
    pub(crate) provenance: (Draft, PathBuf),
    /// The log of the run that names the action.
    pub(crate) log: Option<Arc<Handle>>,
    /// Whether this was tried before. Then names that are there already may not be durable.
    pub(crate) is_again: bool,
}

/// An object, and the files that are removed once it has its name.
pub(crate) struct DraftedObject {
    pub(crate) draft: Draft,
    pub(crate) path: PathBuf,
    pub(crate) outdated: Vec<PathBuf>,
}

/// What became of an ending.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Concluded {
    Stored,
    /// Another result has its place.
    IsTaken,
}

/// Names the files of several endings, and makes everything durable. Returns for each what became of it.
///
/// Invariant: everything that a result names is durable before the result has its name.
///
/// # Errors
/// If a file cannot be synced or named. Then each of them may be stored or not.
pub(crate) fn publish(mut group: Vec<DraftedEnding>) -> Result<Vec<Concluded>> {
    sync_files(&group)?;
    let mut folders = BTreeSet::new();
    for ending in &mut group {
        let objects = mem::take(&mut ending.objects);
        let mut outdated = Vec::new();
        for object in objects {
            object.draft.name(&object.path, Existing::Replace)?;
            folders.insert(disk::folder(&object.path).to_owned());
            outdated.extend(object.outdated);
        }
        outdated.iter().try_for_each(|path| disk::remove(path).map(drop))?;
        if ending.is_again {
            folders.extend(ending.found.iter().map(|path| disk::folder(path).to_owned()));
        }
    }
    sync_folders(&folders)?;
    let (mut concluded, mut provenances) = (Vec::new(), Vec::new());
    folders.clear();
    for DraftedEnding { record: (draft, path), provenance, existing, is_again, .. } in group {
        let is_named = draft.name(&path, existing)?.is_some();
        if is_named || is_again {
            folders.insert(disk::folder(&path).to_owned());
        }
        if is_named {
            provenances.push(provenance);
        }
        concluded.push(if is_named { Concluded::Stored } else { Concluded::IsTaken });
    }
    sync_folders(&folders)?;
    for (draft, path) in provenances {
        // A loss of power may lose this name. Nothing depends on it.
        draft.name(&path, Existing::Replace)?;
    }
    Ok(concluded)
}

/// Makes durable what must be before anything has its name: the bytes, the log, and the folders of the names.
fn sync_files(group: &[DraftedEnding]) -> Result<()> {
    let mut changed = BTreeSet::new();
    let mut files = Vec::new();
    for ending in group {
        let objects = ending.objects.iter().map(|object| (&object.draft, &object.path));
        let records = [&ending.record, &ending.provenance].map(|(draft, path)| (draft, path));
        for (draft, path) in objects.chain(records) {
            draft.make_folder(path, &mut changed)?;
            if ending.is_again {
                changed.extend(disk::folder(path).parent().map(Path::to_owned));
            }
            files.push(Unsynced::File(draft.file()));
        }
    }
    let logs: BTreeMap<_, _> =
        group.iter().filter_map(|ending| ending.log.as_deref()).map(|log| (log.path(), log)).collect();
    files.extend(logs.into_values().map(Unsynced::File));
    files.extend(changed.iter().map(|folder| Unsynced::Folder(folder)));
    sync_all(&files)
}
