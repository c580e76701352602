//! Makes several files durable together. This is cheaper than one by one: the file system commits together what waits for the disk
//! together, so each call of [`sync_all`] takes about as long as one sync.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::{
    disk::{self, Draft, Existing, Handle},
    error::Result,
};

/// Something to be made durable.
pub(crate) enum Unsynced<'a> {
    /// The bytes of a file.
    File(&'a Handle),
    /// The names in a folder.
    Folder(&'a Path),
}

impl Unsynced<'_> {
    fn sync(&self) -> Result<()> {
        match self {
            Self::File(file) => file.sync(),
            Self::Folder(path) => disk::sync_dir(path),
        }
    }
}

/// The most threads that sync at once. More would cost more time of the processor than they save of the disk.
const THREADS: usize = 8;

/// Makes all of them durable, in any order.
///
/// # Errors
/// If one cannot be synced. Then any of the others may not be durable either.
pub(crate) fn sync_all(unsynced: &[Unsynced<'_>]) -> Result<()> {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(one) = unsynced.get(next.fetch_add(1, Ordering::Relaxed)) {
            one.sync()?;
        }
        Ok(())
    };
    // Threads of their own, not the pool's: they only wait for the disk, and the more of them wait together, the better. A thread that
    // cannot be started costs only time.
    thread::scope(|scope| {
        let others = 1..unsynced.len().min(THREADS);
        let others: Vec<_> = others.map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
        let own = work();
        others.into_iter().fold(own, |result, other| result.and(other.join().expect("syncing does not panic")))
    })
}

/// Makes the names in several folders durable.
pub(crate) fn sync_folders(folders: &BTreeSet<PathBuf>) -> Result<()> {
    sync_all(&folders.iter().map(|folder| Unsynced::Folder(folder)).collect::<Vec<_>>())
}

/// Publishes several drafts and replaces what has their names.
pub(crate) fn publish_all(drafts: Vec<(Draft, PathBuf)>) -> Result<()> {
    let mut changed = BTreeSet::new();
    for (draft, path) in &drafts {
        draft.make_folder(path, &mut changed)?;
    }
    let files = drafts.iter().map(|(draft, _)| Unsynced::File(draft.file()));
    sync_all(&files.chain(changed.iter().map(|folder| Unsynced::Folder(folder))).collect::<Vec<_>>())?;
    let mut folders = BTreeSet::new();
    for (draft, path) in drafts {
        draft.name(&path, Existing::Replace)?;
        folders.insert(disk::folder(&path).to_owned());
    }
    sync_folders(&folders)
}
