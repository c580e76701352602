//! STAND-INS for what the store is getting: to be replaced by its functions of the same names.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use pipe_store::{ActionKey, Digest, ObjectSource, Store, StoreError};

pub(crate) struct WorkFolder(PathBuf);

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    move |source| StoreError::Io { action: "use", path: path.to_owned(), source }
}

pub(crate) fn work_folder(store: &Store, key: &ActionKey) -> Result<WorkFolder, StoreError> {
    let path = store.root().join("work").join(key.to_string());
    fs::create_dir_all(&path).map_err(at(&path))?;
    Ok(WorkFolder(path))
}

impl WorkFolder {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn clear_except(&self, names: &[&str]) -> Result<(), StoreError> {
        for entry in fs::read_dir(&self.0).map_err(at(&self.0))? {
            let path = entry.map_err(at(&self.0))?.path();
            if names.iter().any(|name| path.ends_with(name)) {
                continue;
            }
            let is_dir = path.symlink_metadata().is_ok_and(|entry| entry.is_dir());
            if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.map_err(at(&path))?;
        }
        Ok(())
    }

    pub(crate) fn remove(self) -> Result<(), StoreError> {
        fs::remove_dir_all(&self.0).map_err(at(&self.0))
    }
}

pub(super) fn lay(store: &Store, digest: &Digest, path: &Path, executable: bool) -> Result<(), StoreError> {
    let folder = path.parent().expect("it is in a folder");
    fs::create_dir_all(folder).map_err(at(folder))?;
    fs::write(path, &*store.read(digest)?).map_err(at(path))?;
    let mode = if executable { 0o555 } else { 0o444 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(at(path))
}

pub(super) fn save_checkpoint_files(
    store: &Store,
    trajectory: &Digest,
    step: u64,
    files: &BTreeMap<String, PathBuf>,
    keep: usize,
) -> Result<(), StoreError> {
    let mut parts = BTreeMap::new();
    for (name, path) in files {
        parts.insert(name.clone(), fs::read(path).map_err(at(path))?);
    }
    store.save_checkpoint(trajectory, step, &parts, keep)
}

pub(super) fn lay_latest_checkpoint(
    store: &Store,
    trajectory: &Digest,
    at_most: u64,
    folder: &Path,
) -> Result<Option<u64>, StoreError> {
    let Some((step, parts)) = store.latest_checkpoint(trajectory, at_most) else { return Ok(None) };
    for (name, bytes) in parts {
        let path = folder.join(name);
        let parent = path.parent().expect("it is in a folder");
        fs::create_dir_all(parent).map_err(at(parent))?;
        fs::write(&path, &*bytes).map_err(at(&path))?;
    }
    Ok(Some(step))
}
