//! The operations of the file system that the store needs. Their errors name the path.

use std::{
    collections::BTreeSet,
    fs::{self, File, Metadata, Permissions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    thread,
    time::SystemTime,
};

use tempfile::{Builder, NamedTempFile};

use crate::error::{At, Result};

/// Turns the error "not found" into `None`.
pub(crate) fn if_present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the bytes of a file, if there is such a file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    if_present(File::open(path).and_then(|file| read_up_to(&file, u64::MAX))).at("read", path)
}

/// The number of bytes that [`read_up_to`] reads before it allocates.
const SMALL: usize = 4 << 10;

/// Returns the next bytes of a file, at most `limit`. It is for thousands of small files: unlike [`fs::read`] it does
/// not ask for the length first, which would take as long as reading them.
pub(crate) fn read_up_to(mut file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let (mut buffer, mut length) = ([0; SMALL], 0);
    let room = SMALL.min(usize::try_from(limit).unwrap_or(SMALL));
    while length < room {
        match file.read(&mut buffer[length..room]) {
            Ok(0) => return Ok(buffer[..length].to_vec()),
            Ok(n) => length += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut bytes = buffer[..length].to_vec();
    file.take(limit - length as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the metadata of a file, if there is such a file.
pub(crate) fn metadata(path: &Path) -> Result<Option<Metadata>> {
    if_present(fs::metadata(path)).at("look at", path)
}

/// Returns when a file was last written or freshened.
pub(crate) fn modified(path: &Path, metadata: &Metadata) -> Result<SystemTime> {
    metadata.modified().at("read the time of", path)
}

/// Removes a file. Returns whether there was one.
pub(crate) fn remove(path: &Path) -> Result<bool> {
    Ok(if_present(fs::remove_file(path)).at("remove", path)?.is_some())
}

/// Makes a folder and its parents durably: a loss of power does not undo it.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_dir(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error).at("create folder", path),
        _ => sync_dir(parent.unwrap_or(Path::new("."))),
    }
}

/// Whether to wait for the disk. Unit tests do not: it would take most of their time, and they do not cut the power.
const DURABLE: bool = !cfg!(test);

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    if !DURABLE {
        return Ok(());
    }
    File::open(path).and_then(|dir| dir.sync_all()).at("sync folder", path)
}

/// The result of setting a file's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshened {
    Done,
    Absent,
    /// The file belongs to another user.
    Refused,
}

/// Sets a file's time to the present, so that a collection planned earlier spares it.
///
/// This is the only place where the store reads the clock.
pub(crate) fn freshen(path: &Path) -> Result<Freshened> {
    match File::open(path).and_then(|file| file.set_modified(SystemTime::now())) {
        Ok(()) => Ok(Freshened::Done),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Freshened::Absent),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Freshened::Refused),
        Err(error) => Err(error).at("set the time of", path),
    }
}

/// Returns whether `path` still names the file that is open as `file`.
pub(crate) fn still_names(path: &Path, file: &File) -> Result<bool> {
    let open = file.metadata().at("look at", path)?;
    Ok(metadata(path)?.is_some_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino())))
}

/// An entry of a folder.
pub(crate) struct Entry {
    /// Bytes that are not UTF-8 become replacement characters, which the store's own names do not have.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) is_dir: bool,
}

/// Returns the entries of a folder, sorted by name. There are none if there is no such folder.
pub(crate) fn list(path: &Path) -> Result<Vec<Entry>> {
    let Some(entries) = if_present(fs::read_dir(path)).at("list", path)? else { return Ok(Vec::new()) };
    let mut list = Vec::new();
    for entry in entries {
        let entry = entry.at("list", path)?;
        // If it is gone, it was removed since it was listed.
        let Some(kind) = if_present(entry.file_type()).at("look at", &entry.path())? else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        list.push(Entry { name, path: entry.path(), is_dir: kind.is_dir() });
    }
    list.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(list)
}

/// A file that is being written and does not have its final name yet. If it is dropped without being published it is removed. If the
/// process is killed it stays in `tmp/` until a collection removes it.
pub(crate) struct Draft(NamedTempFile);

/// What to do if the name of a draft is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Replace,
    Keep,
}

impl Draft {
    /// Creates an empty draft in `folder`, which must be in the file system in which it will be published. The file's permissions are
    /// `mode`, less the umask.
    pub(crate) fn new(folder: &Path, mode: u32) -> Result<Self> {
        make_dir(folder)?;
        let mut builder = Builder::new();
        builder.prefix("pipe-").permissions(Permissions::from_mode(mode));
        builder.tempfile_in(folder).map(Self).at("create a file in", folder)
    }

    pub(crate) fn file(&self) -> &File {
        self.0.as_file()
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes the bytes durable, then names the file `path`, then makes the name durable. Returns the open file, or nothing if `path` is
    /// taken and `existing` says to keep it.
    ///
    /// Invariant: no process ever sees an incomplete file under `path`.
    pub(crate) fn publish(self, path: &Path, existing: Existing) -> Result<Option<File>> {
        self.sync()?;
        let file = self.name(path, existing)?;
        if file.is_some() {
            sync_dir(folder(path))?;
        }
        Ok(file)
    }

    /// Makes the bytes durable.
    pub(crate) fn sync(&self) -> Result<()> {
        if !DURABLE {
            return Ok(());
        }
        self.file().sync_all().at("sync", self.path())
    }

    /// Names the file `path`. Its bytes must be durable already. The name is durable once its folder is synced.
    pub(crate) fn name(self, path: &Path, existing: Existing) -> Result<Option<File>> {
        make_dir(folder(path))?;
        let named = match existing {
            Existing::Replace => self.0.persist(path),
            Existing::Keep => self.0.persist_noclobber(path),
        };
        match named {
            Ok(file) => Ok(Some(file)),
            Err(error) if existing == Existing::Keep && error.error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error.error).at("create", path),
        }
    }
}

/// Publishes several drafts and replaces what has their names. This is cheaper than one by one: the file system commits together what
/// waits for the disk together, and syncing the first folder commits the names in all of them.
pub(crate) fn publish_all(drafts: Vec<(Draft, PathBuf)>) -> Result<()> {
    match &drafts[..] {
        [(draft, _)] => draft.sync()?,
        // Threads of their own, not the pool's: they only wait for the disk, and the more of them wait together, the better.
        several => thread::scope(|scope| {
            let syncs: Vec<_> = several.iter().map(|(draft, _)| scope.spawn(|| draft.sync())).collect();
            syncs.into_iter().try_for_each(|sync| sync.join().expect("syncing does not panic"))
        })?,
    }
    let mut folders = BTreeSet::new();
    for (draft, path) in drafts {
        draft.name(&path, Existing::Replace)?;
        folders.insert(folder(&path).to_owned());
    }
    folders.iter().try_for_each(|folder| sync_dir(folder))
}

fn folder(path: &Path) -> &Path {
    path.parent().expect("every path in a store has a parent")
}
