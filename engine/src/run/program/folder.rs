//! The working folder of a program: what is there before it starts, and what it leaves.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
};

use pipe_stages::{
    program::{FoundFile, OUT, Placed, Program, STATE, TMP},
    stage::StageError,
};
use pipe_store::{Digest, LaidFile, Store, StoreError, WorkFolder};

/// The folder that a checkpoint is laid out in before it becomes the state, so that a kill leaves no half of one.
const LAYING: &str = ".laying";

/// What a program starts from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    /// Whether it goes on from the state in the folder.
    pub(super) from_folder: bool,
    /// The trajectory whose checkpoints it may go on from.
    pub(super) trajectory: Option<Digest>,
}

/// Prepares the folder for a start: the files of `program`, empty folders for what it writes, and its state with its `report`.
///
/// # Errors
/// If an object cannot be read, or the disk cannot be written.
pub(super) fn prepare(
    folder: &WorkFolder,
    program: &Program,
    report: Option<&str>,
    start: Start,
    objects: &Store,
    checkpoints: &Store,
) -> Result<(), StageError> {
    let at = |name: &str| folder.path().join(name);
    let goes_on = program.state.is_some() && start.from_folder && has_state(folder.path());
    if goes_on {
        let first = report.and_then(|report| report.split('/').next());
        let kept: Vec<_> = [Some(STATE), first].into_iter().flatten().collect();
        folder.clear_except(&kept).map_err(store_error)?;
        if let Some(report) = report {
            keep_only(folder.path(), Path::new(report)).map_err(disk_error(folder.path()))?;
        }
        tracing::info!("the program goes on from the state that it left");
    } else {
        folder.clear_except(&[]).map_err(store_error)?;
        if let (Some(state), Some(trajectory)) = (&program.state, start.trajectory) {
            let laying = at(LAYING);
            let laid = checkpoints.lay_latest_checkpoint(&trajectory, state.epochs, &laying);
            if let Some(step) = laid.map_err(store_error)? {
                tracing::info!(step, "the program goes on from a checkpoint");
                let moved =
                    report.into_iter().chain([STATE]).try_for_each(|name| move_in(&laying, folder.path(), name));
                moved.and_then(|()| remove_dir(&laying)).map_err(disk_error(&laying))?;
            }
        }
    }
    let own = [Some(OUT), Some(TMP), program.state.is_some().then_some(STATE)];
    let of_report = report.and_then(|report| Path::new(report).parent()?.to_str());
    for name in own.into_iter().flatten().chain(of_report) {
        fs::create_dir_all(at(name)).map_err(disk_error(&at(name)))?;
    }
    let mut laid = Vec::new();
    for (name, placed) in &program.files {
        let path = at(name);
        if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(StageError::failed(format!("`{name}` is no path below the working folder")));
        }
        match placed {
            Placed::Object { digest, executable } => {
                laid.push(LaidFile { path, digest: *digest, executable: *executable });
            }
            Placed::Bytes(bytes) => write(&path, bytes).map_err(disk_error(&path))?,
        }
    }
    objects.lay_all(&laid).map_err(store_error)
}

/// Returns the files below `out`, and what else is there.
pub(super) fn outputs(folder: &Path) -> Result<(BTreeMap<String, FoundFile>, Vec<String>), StageError> {
    let out = folder.join(OUT);
    let mut found = (BTreeMap::new(), Vec::new());
    walk(&out, &mut String::new(), &mut |name, path, file| match file {
        Some(file) if path.to_str().is_some() => {
            let executable = file.permissions().mode() & 0o111 != 0;
            found.0.insert(name, FoundFile { path, size: file.len(), executable });
        }
        _ => found.1.push(name),
    })
    .map_err(disk_error(&out))?;
    found.1.sort();
    Ok(found)
}

/// Saves the state and the report as the checkpoint of a trajectory. A lost checkpoint costs time and no result, so an error is only a
/// warning.
pub(super) fn save_state(
    folder: &Path,
    report: Option<&str>,
    step: u64,
    store: &Store,
    trajectory: &Digest,
    keep: usize,
) {
    let mut parts = BTreeMap::new();
    let mut others = 0;
    let walked = walk(&folder.join(STATE), &mut STATE.to_owned(), &mut |name, path, file| match file {
        Some(_) if path.to_str().is_some() => drop(parts.insert(name, path)),
        _ => others += 1,
    });
    let report = report.map(|report| (report.to_owned(), folder.join(report)));
    parts.extend(report.filter(|(_, path)| is_file(path)));
    if others > 0 {
        tracing::warn!("{others} entries of `{STATE}` are neither files nor folders, and are not kept");
    }
    let saved = walked.map_err(|error| error.to_string()).and_then(|()| {
        let saved = store.save_checkpoint_files(trajectory, step, &parts, keep);
        saved.map_err(|error| error.to_string())
    });
    if let Err(error) = saved {
        tracing::warn!("the state at step {step} was not saved: {error}");
    }
}

/// Returns the bytes of a file that a program writes, if there is one.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    // Anything else, such as a pipe, might never end.
    if !is_file(path) {
        return Ok(None);
    }
    fs::read(path).map(Some)
}

/// Returns the error of a disk that failed at `path`.
pub(super) fn disk_error(path: &Path) -> impl FnOnce(io::Error) -> StageError + '_ {
    move |error| {
        let message = format!("the working folder `{}` cannot be used", path.display());
        StageError::Environment { message, hint: None, source: Some(error.into()) }
    }
}

/// Returns the error of a store that failed.
pub(super) fn store_error(source: StoreError) -> StageError {
    StageError::Input { slot: "the working folder".to_owned(), source }
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|file| file.is_file())
}

/// Returns whether a program has left a state.
pub(super) fn has_state(folder: &Path) -> bool {
    fs::read_dir(folder.join(STATE)).is_ok_and(|mut entries| entries.next().is_some())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, bytes)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o444))
}

/// Moves `name` from one folder to another, if it is there.
fn move_in(from: &Path, to: &Path, name: &str) -> io::Result<()> {
    let (from, to) = (from.join(name), to.join(name));
    if from.symlink_metadata().is_err() {
        return Ok(());
    }
    to.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::rename(from, to)
}

fn remove_dir(path: &Path) -> io::Result<()> {
    if path.exists() { fs::remove_dir_all(path) } else { Ok(()) }
}

/// Removes everything from the folders above `kept`, below `folder`, but `kept`.
fn keep_only(folder: &Path, kept: &Path) -> io::Result<()> {
    let mut within = folder.to_owned();
    let parts: Vec<&OsStr> = kept.iter().collect();
    for pair in parts.windows(2) {
        within.push(pair[0]);
        // A program may have put something else there.
        if !within.symlink_metadata().is_ok_and(|entry| entry.is_dir()) {
            return if within.symlink_metadata().is_ok() { fs::remove_file(&within) } else { Ok(()) };
        }
        for entry in fs::read_dir(&within)? {
            let entry = entry?;
            if entry.file_name() == pair[1] {
                continue;
            }
            if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) }?;
        }
    }
    Ok(())
}

/// Calls `each` with the name, the path and, if it is a file, the metadata of everything below `folder` that is not a folder.
fn walk(
    folder: &Path,
    name: &mut String,
    each: &mut dyn FnMut(String, PathBuf, Option<fs::Metadata>),
) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let length = name.len();
        if !name.is_empty() {
            name.push('/');
        }
        name.push_str(&entry.file_name().to_string_lossy());
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            walk(&entry.path(), name, each)?;
        } else {
            each(name.clone(), entry.path(), Some(metadata).filter(fs::Metadata::is_file));
        }
        name.truncate(length);
    }
    Ok(())
}
