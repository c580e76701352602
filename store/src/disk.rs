//! The one place where the store touches the file system. Every operation is durable where it must be, its errors name the path, a
//! signal that interrupts it does not fail it, and tests can make it fail ([`faults`](crate::faults)).
//!
//! What the store owns is opened by [`open`] or looked at by [`look`]. They tell apart what is sound, what is absent, and what is
//! damaged: a folder, a link or a device in place of a file, or bytes that the disk no longer gives.

use std::{
    collections::BTreeSet,
    fs::{self, File, Metadata, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::SystemTime,
};

use tempfile::{Builder, NamedTempFile};

use crate::{
    Tally,
    error::{At, Result, StoreError},
    faults::{self, Operation},
    mapped::Mapped,
};

/// What is at a path at which the store keeps a file.
#[derive(Debug)]
pub(crate) enum Found<T> {
    /// A file that can be read.
    Sound(T),
    /// Nothing.
    Absent,
    /// Something else, or a file that the disk no longer gives. Says what is wrong, as in "it is a folder".
    Damaged(String),
}

impl<T> Found<T> {
    /// Returns what is there, if anything is.
    ///
    /// # Errors
    /// [`StoreError::Record`] if it is damaged.
    pub(crate) fn record(self, path: &Path) -> Result<Option<T>> {
        match self {
            Self::Sound(value) => Ok(Some(value)),
            Self::Absent => Ok(None),
            Self::Damaged(reason) => Err(StoreError::Record { path: path.to_owned(), reason }),
        }
    }

    /// Applies `read` to what is there. An error that says that the disk lost the bytes is damage.
    pub(crate) fn then<U>(self, path: &Path, read: impl FnOnce(T) -> io::Result<U>) -> Result<Found<U>> {
        Ok(match self {
            Self::Sound(value) => match read(value) {
                Ok(value) => Found::Sound(value),
                Err(error) => Found::Damaged(damage(error).at("read", path)?),
            },
            Self::Absent => Found::Absent,
            Self::Damaged(reason) => Found::Damaged(reason),
        })
    }
}

/// Returns what is wrong with a file or a folder of the store that gives this error, if the error is about what is there. Other
/// errors are passed on: too many open files, a missing permission.
fn damage(error: io::Error) -> io::Result<String> {
    match error.raw_os_error() {
        Some(libc::ELOOP) => Ok("it is a link".to_owned()),
        Some(libc::ENOTDIR) => Ok("a folder above it is not a folder".to_owned()),
        Some(libc::EISDIR) => Ok("it is a folder".to_owned()),
        Some(libc::ENXIO) => Ok("it is not a file".to_owned()),
        Some(libc::EIO | libc::EBADMSG | libc::EUCLEAN) => Ok(format!("it cannot be read: {error}")),
        _ => Err(error),
    }
}

/// Returns what is wrong with something that is not a regular file.
fn kind_of_damage(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("it is a folder"),
        () if kind.is_symlink() => Some("it is a link"),
        () => Some("it is not a file"),
    }
}

/// Does one operation, again if a signal interrupts it. A disk that fails to give something is asked again before that counts as
/// damage, because a repair sets aside what is damaged.
fn operate<T>(operation: Operation, path: &Path, mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let looks =
        matches!(operation, Operation::Open | Operation::Read | Operation::List | Operation::Look | Operation::Map);
    let mut attempts = if looks { 3 } else { 1 };
    loop {
        match faults::before(operation, path).and_then(|()| work()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error() == Some(libc::EIO) && attempts > 1 => attempts -= 1,
            result => return result,
        }
    }
}

/// Turns the error "not found" into `None`.
fn if_present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether no file system that this process has locked a file on was without locks.
static HAS_LOCKS: AtomicBool = AtomicBool::new(true);

/// Returns whether locks have worked in this process so far.
pub(crate) fn has_locks() -> bool {
    HAS_LOCKS.load(Ordering::Relaxed)
}

/// Returns whether an attempt to lock a file has failed because its file system has no locks, as some of clusters have not.
fn is_without_locks(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::ENOLCK))
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Handle {
    file: File,
    path: PathBuf,
}

impl Handle {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of bytes on the disk.
    pub(crate) fn length(&self) -> Result<u64> {
        Ok(self.metadata().at("look at", &self.path)?.len())
    }

    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        operate(Operation::Look, &self.path, || self.file.metadata())
    }

    /// Maps the whole file into memory.
    ///
    /// # Safety
    /// No process may write to the file while it is mapped.
    pub(crate) unsafe fn map(&self) -> io::Result<Option<Mapped>> {
        operate(Operation::Map, &self.path, || {
            // SAFETY: the caller promises it.
            unsafe { Mapped::new(&self.file, &self.path) }
        })
    }

    /// Makes the bytes durable.
    pub(crate) fn sync(&self) -> Result<()> {
        operate(Operation::Sync, &self.path, || {
            if DURABLE && !faults::synced(&self.path, &self.file) { self.file.sync_all() } else { Ok(()) }
        })
        .at("sync", &self.path)
    }

    /// Returns the next bytes, at most `limit`. It is for thousands of small files: unlike [`fs::read`] it does not ask for the length
    /// first, which would take as long as reading them.
    pub(crate) fn read_up_to(&self, limit: u64) -> io::Result<Vec<u8>> {
        let (mut buffer, mut length) = ([0; SMALL], 0);
        let room = SMALL.min(usize::try_from(limit).unwrap_or(SMALL));
        let mut reader = self;
        while length < room {
            match reader.read(&mut buffer[length..room])? {
                0 => return Ok(buffer[..length].to_vec()),
                n => length += n,
            }
        }
        let mut bytes = buffer[..length].to_vec();
        reader.take(limit - length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Cuts the file off, and moves to its new end.
    pub(crate) fn truncate(&self, length: u64) -> Result<()> {
        operate(Operation::Write, &self.path, || {
            self.file.set_len(length)?;
            (&self.file).seek(SeekFrom::Start(length)).map(drop)
        })
        .at("truncate", &self.path)
    }

    /// Takes the lock on the file, unless another open file has it. Returns whether it did. The lock ends when the file is closed. A file
    /// system without locks gives it to everybody: then [`has_locks`] says so.
    pub(crate) fn try_lock(&self, kind: Lock) -> Result<bool> {
        operate(Operation::Lock, &self.path, || {
            let tried = match kind {
                Lock::Shared => self.file.try_lock_shared(),
                Lock::Exclusive => self.file.try_lock(),
            };
            match tried {
                Ok(()) => Ok(true),
                Err(TryLockError::WouldBlock) => Ok(false),
                Err(TryLockError::Error(error)) if is_without_locks(&error) => {
                    if HAS_LOCKS.swap(false, Ordering::Relaxed) {
                        tracing::warn!(
                            "this file system has no locks ({error}): two processes may do the same work, which changes no result, and \
                             `pipe gc` waits until no run is unfinished"
                        );
                    }
                    Ok(true)
                }
                Err(TryLockError::Error(error)) => Err(error),
            }
        })
        .at("lock", &self.path)
    }

    /// Returns whether the file still has its path. If not, it has been removed or replaced.
    pub(crate) fn has_its_name(&self) -> Result<bool> {
        let open = self.metadata().at("look at", &self.path)?;
        let named = operate(Operation::Look, &self.path, || if_present(fs::symlink_metadata(&self.path)));
        Ok(named.at("look at", &self.path)?.is_some_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino())))
    }
}

/// The number of bytes that [`Handle::read_up_to`] reads before it allocates.
const SMALL: usize = 4 << 10;

/// Whether others may hold the same lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Others may, if they share it, too.
    Shared,
    /// Nobody else.
    Exclusive,
}

impl Read for &Handle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        operate(Operation::Read, &self.path, || {
            let room = faults::room(Operation::Read, &self.path, buffer.len());
            (&self.file).read(&mut buffer[..room])
        })
    }
}

impl Write for &Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        operate(Operation::Write, &self.path, || {
            let room = faults::room(Operation::Write, &self.path, bytes.len());
            let written = (&self.file).write(&bytes[..room])?;
            faults::wrote(&self.path, &self.file, written);
            Ok(written)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &Handle {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        (&self.file).seek(position)
    }
}

/// Opens a file that the store owns, to read it. Follows no link, and waits for nothing.
pub(crate) fn open(path: &Path) -> Result<Found<Handle>> {
    open_with(OpenOptions::new().read(true), path)
}

/// Opens a log that the store owns, to append to it.
pub(crate) fn open_log(path: &Path) -> Result<Found<Handle>> {
    open_with(OpenOptions::new().read(true).append(true), path)
}

fn open_with(options: &mut OpenOptions, path: &Path) -> Result<Found<Handle>> {
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = match operate(Operation::Open, path, || options.open(path)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
        Err(error) => return damage(error).at("open", path).map(Found::Damaged),
    };
    let metadata = file.metadata().at("look at", path)?;
    Ok(match kind_of_damage(&metadata) {
        Some(reason) => Found::Damaged(reason.to_owned()),
        None => Found::Sound(Handle { file, path: path.to_owned() }),
    })
}

/// Opens a lock file, and makes it if there is none. Another user's lock file is opened without the permission to write, which a
/// lock does not need.
pub(crate) fn open_lock(path: &Path, access: Access) -> Result<Handle> {
    let open = |create| {
        let mut options = OpenOptions::new();
        options.read(true).write(create).create(create).truncate(false);
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        operate(if create { Operation::Create } else { Operation::Open }, path, || options.open(path))
    };
    let (file, new) = match open(false) {
        Ok(file) => (file, false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_dir(folder(path), access)?;
            (open(true).at("create", path)?, true)
        }
        Err(error) => match damage(error) {
            Ok(reason) => return Err(StoreError::Record { path: path.to_owned(), reason }),
            Err(error) => return Err(error).at("open", path),
        },
    };
    if let Some(reason) = kind_of_damage(&file.metadata().at("look at", path)?) {
        return Err(StoreError::Record { path: path.to_owned(), reason: reason.to_owned() });
    }
    if new {
        access.apply(&file, access.lock).at("set the permissions of", path)?;
    }
    Ok(Handle { file, path: path.to_owned() })
}

/// Opens a file that the store does not own, to read it.
pub(crate) fn open_foreign(path: &Path) -> Result<Handle> {
    let file = operate(Operation::Open, path, || File::open(path)).at("open", path)?;
    Ok(Handle { file, path: path.to_owned() })
}

/// Returns the bytes of a file that the store owns.
pub(crate) fn read(path: &Path) -> Result<Found<Vec<u8>>> {
    open(path)?.then(path, |file| file.read_up_to(u64::MAX))
}

/// Looks at a file that the store owns.
pub(crate) fn look(path: &Path) -> Result<Found<Metadata>> {
    match operate(Operation::Look, path, || fs::symlink_metadata(path)) {
        Ok(metadata) => Ok(match kind_of_damage(&metadata) {
            Some(reason) => Found::Damaged(reason.to_owned()),
            None => Found::Sound(metadata),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Absent),
        Err(error) => damage(error).at("look at", path).map(Found::Damaged),
    }
}

/// Returns whether there is anything at a path, whatever it is.
pub(crate) fn exists(path: &Path) -> Result<bool> {
    match operate(Operation::Look, path, || if_present(fs::symlink_metadata(path))) {
        // Below something that is not a folder there is nothing.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        found => Ok(found.at("look at", path)?.is_some()),
    }
}

/// Returns whether there is a folder at a path. A link to a folder counts.
pub(crate) fn is_dir(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Returns when a file was last written or freshened.
pub(crate) fn modified(path: &Path, metadata: &Metadata) -> Result<SystemTime> {
    metadata.modified().at("read the time of", path)
}

/// Removes a file. Returns whether there was one.
pub(crate) fn remove(path: &Path) -> Result<bool> {
    let removed = operate(Operation::Remove, path, || {
        faults::removing(path)?;
        if_present(fs::remove_file(path))
    });
    Ok(removed.at("remove", path)?.is_some())
}

/// Removes a folder if it is empty and nobody is about to write there.
pub(crate) fn remove_empty_dir(path: &Path) -> Result<()> {
    match operate(Operation::Remove, path, || fs::remove_dir(path)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => Ok(()),
        removed => removed.at("remove", path),
    }
}

/// Renames whatever is at `from`, if anything is. Returns whether there was anything.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<bool> {
    let renamed = operate(Operation::Rename, from, || if_present(rename_noted(from, to)));
    let there = renamed.at("rename", from)?.is_some();
    sync_dir(folder(to))?;
    Ok(there)
}

/// Removes a folder with everything in it, if there is one. Follows no link.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    let remove = || operate(Operation::Remove, path, || if_present(fs::remove_dir_all(path)));
    let removed = match remove() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // A program may take the permission to write to a folder from itself.
            open_up(path);
            remove()
        }
        removed => removed,
    };
    removed.at("remove", path).map(drop)
}

/// Lets the owner do everything with a folder and those in it, as far as that is possible. Follows no link.
pub(crate) fn open_up(path: &Path) {
    let flags = libc::O_NOFOLLOW | libc::O_DIRECTORY | libc::O_PATH;
    // A folder that may not be read can be opened only for its path, and then its mode is set through that.
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    if let Ok(folder) = opened {
        let own = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        if let Ok(metadata) = folder.metadata() {
            let _ = fs::set_permissions(own, Permissions::from_mode(metadata.mode() & 0o7777 | 0o700));
        }
    }
    for entry in list(path).unwrap_or_default().iter().filter(|entry| entry.is_dir) {
        open_up(&entry.path);
    }
}

/// Returns the files in a folder and those in it, and when anything there was last written. `None` if there is no such folder. What
/// cannot be listed does not count.
pub(crate) fn measure(path: &Path) -> Result<Option<(Tally, SystemTime)>> {
    let look = |path: &Path| operate(Operation::Look, path, || if_present(fs::symlink_metadata(path)));
    let Some(root) = look(path).at("look at", path)? else { return Ok(None) };
    let (mut files, mut latest) = (Tally::default(), modified(path, &root)?);
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in list(&folder).unwrap_or_default() {
            let Ok(Some(metadata)) = look(&entry.path) else { continue };
            latest = latest.max(modified(&entry.path, &metadata)?);
            if metadata.is_dir() {
                folders.push(entry.path);
            } else {
                files.add(metadata.len());
            }
        }
    }
    Ok(Some((files, latest)))
}

/// Makes a folder and its parents durably: a loss of power does not undo it.
pub(crate) fn make_dir(path: &Path, access: Access) -> Result<()> {
    make_dirs(path, access, true, &mut sync_dir)
}

/// Makes a folder and its parents. They are durable once the folders in `changed` are synced, to which those are added that have a new
/// name.
pub(crate) fn make_dir_noting(path: &Path, access: Access, changed: &mut BTreeSet<PathBuf>) -> Result<()> {
    make_dirs(path, access, true, &mut |folder| {
        changed.insert(folder.to_owned());
        Ok(())
    })
}

/// Makes a folder and its parents. A loss of power may undo it.
pub(crate) fn make_passing_dir(path: &Path, access: Access) -> Result<()> {
    make_dirs(path, access, false, &mut |_| Ok(()))
}

/// Makes a folder and its parents. Calls `made_in` with each folder that has a new name in it.
fn make_dirs(path: &Path, access: Access, is_own: bool, made_in: &mut dyn FnMut(&Path) -> Result<()>) -> Result<()> {
    if is_dir(path) {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_dirs(parent, access, is_own, made_in)?;
    }
    let made = operate(Operation::MakeDir, path, || match access.folder {
        None => fs::create_dir(path),
        Some(mode) => make_shared_dir(path, mode),
    });
    match made {
        Err(error) if TAKEN.contains(&error.kind()) => {
            if !is_dir(path) && !is_own {
                // It is not the store's own, so it is no damage.
                return Err(io::Error::from(io::ErrorKind::NotADirectory)).at("create folder", path);
            }
            if !is_dir(path) {
                let reason = "it is in the place of a folder".to_owned();
                return Err(StoreError::Record { path: path.to_owned(), reason });
            }
        }
        made => made.at("create folder", path)?,
    }
    made_in(parent.unwrap_or(Path::new(".")))
}

/// The errors that say that something has the name already.
const TAKEN: [io::ErrorKind; 3] =
    [io::ErrorKind::AlreadyExists, io::ErrorKind::DirectoryNotEmpty, io::ErrorKind::NotADirectory];

/// Makes a folder with these permissions, whatever the umask is. It has them before it has its name, so that no other user finds it
/// closed.
fn make_shared_dir(path: &Path, mode: u32) -> io::Result<()> {
    let draft = Builder::new().prefix(DRAFT).disable_cleanup(true).tempdir_in(folder(path))?.keep();
    let made = fs::set_permissions(&draft, Permissions::from_mode(mode)).and_then(|()| fs::rename(&draft, path));
    if made.is_err() {
        fs::remove_dir(&draft)?;
    }
    made
}

/// Whether to wait for the disk. Unit tests do not: it would take most of their time, and they do not cut the power.
const DURABLE: bool = !cfg!(test);

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    operate(Operation::Sync, path, || {
        if !DURABLE || faults::synced_dir(path) { Ok(()) } else { File::open(path).and_then(|dir| dir.sync_all()) }
    })
    .at("sync folder", path)
}

/// The result of setting a file's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshened {
    Done,
    Absent,
    /// The file belongs to another user, or something else is in its place.
    Refused,
}

/// Sets a file's time to the present, so that a collection planned earlier spares it.
///
/// This is the only place where the store reads the clock.
pub(crate) fn freshen(path: &Path) -> Result<Freshened> {
    let handle = match open(path)? {
        Found::Sound(handle) => handle,
        Found::Absent => return Ok(Freshened::Absent),
        Found::Damaged(_) => return Ok(Freshened::Refused),
    };
    match operate(Operation::Touch, path, || handle.file.set_modified(SystemTime::now())) {
        Ok(()) => Ok(Freshened::Done),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Freshened::Refused),
        Err(error) => Err(error).at("set the time of", path),
    }
}

/// An entry of a folder.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Bytes that are not UTF-8 become replacement characters, which the store's own names do not have.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) is_dir: bool,
}

/// Returns the entries of a folder, sorted by name. There are none if there is no such folder.
///
/// # Errors
/// [`StoreError::Record`] if something else is in its place, or if the disk no longer gives it.
pub(crate) fn list(path: &Path) -> Result<Vec<Entry>> {
    let read = || -> io::Result<Option<Vec<Entry>>> {
        let Some(entries) = operate(Operation::List, path, || if_present(fs::read_dir(path)))? else { return Ok(None) };
        let mut list = Vec::new();
        for entry in entries {
            let entry = entry?;
            // If it is gone, it was removed since it was listed.
            let Some(kind) = if_present(entry.file_type())? else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            list.push(Entry { name, path: entry.path(), is_dir: kind.is_dir() });
        }
        Ok(Some(list))
    };
    let mut list = match read() {
        Ok(list) => list.unwrap_or_default(),
        Err(error) if error.raw_os_error() == Some(libc::ENOTDIR) => {
            let reason = "it is in the place of a folder".to_owned();
            // It may be a folder above it that is not one.
            let above = path.ancestors().take_while(|above| !is_dir(above)).last();
            return Err(StoreError::Record { path: above.unwrap_or(path).to_owned(), reason });
        }
        Err(error) => {
            let reason = damage(error).at("list", path)?;
            return Err(StoreError::Record { path: path.to_owned(), reason });
        }
    };
    list.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(list)
}

/// The permissions of what the store creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    /// Those of folders, if they do not depend on the umask.
    folder: Option<u32>,
    /// Those of objects and records, which are replaced but never changed.
    pub(crate) read_only: u32,
    /// Those of logs, to which lines are appended.
    pub(crate) appended: u32,
    /// Those of lock files.
    pub(crate) lock: u32,
}

impl Access {
    /// Those of a store that only its owner writes to, less the umask.
    pub(crate) const PRIVATE: Self = Self { folder: None, read_only: 0o444, appended: 0o644, lock: 0o644 };

    /// Returns the permissions of what is created in a store whose folder has these. If its group may write to it, then it may write
    /// to everything in it, whatever the umask is. The bit that passes the group on is passed on, too.
    pub(crate) fn of(root: &Path) -> Result<Self> {
        let mode = operate(Operation::Look, root, || fs::metadata(root)).at("look at", root)?.mode();
        if mode & 0o020 == 0 {
            return Ok(Self::PRIVATE);
        }
        let file = mode & 0o666;
        Ok(Self { folder: Some(mode & 0o2777), read_only: mode & 0o444, appended: file, lock: file })
    }

    /// Lets the group of a folder, and of everything in it, do what its owner may do.
    pub(crate) fn share(path: &Path) -> Result<()> {
        let set = |path: &Path, mode: u32| {
            let set = operate(Operation::Touch, path, || fs::set_permissions(path, Permissions::from_mode(mode)));
            set.at("set the permissions of", path)
        };
        let mode = operate(Operation::Look, path, || fs::metadata(path)).at("look at", path)?.mode();
        set(path, mode & 0o777 | 0o2070)?;
        for entry in list(path)? {
            match look(&entry.path)? {
                Found::Sound(metadata) => {
                    let owner = metadata.mode() >> 6 & 0o7;
                    set(&entry.path, metadata.mode() & 0o777 | owner << 3)?;
                }
                _ if entry.is_dir => Self::share(&entry.path)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn apply(self, file: &File, mode: u32) -> io::Result<()> {
        if self.folder.is_some() { file.set_permissions(Permissions::from_mode(mode)) } else { Ok(()) }
    }
}

/// A file that is being written and does not have its final name yet. If it is dropped without being published it is removed. If the
/// process is killed it stays in `tmp/` until a collection removes it.
pub(crate) struct Draft {
    /// `None` once it has its name.
    file: Option<NamedTempFile<Handle>>,
    access: Access,
}

/// What to do if the name of a draft is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Replace,
    Keep,
}

impl Draft {
    /// Creates an empty draft in `folder`, which must be in the file system in which it will be published.
    pub(crate) fn new(folder: &Path, access: Access, mode: u32) -> Result<Self> {
        make_dir(folder, access)?;
        let mut builder = Builder::new();
        // It is removed below, where tests can make that fail.
        builder.prefix(DRAFT).disable_cleanup(true);
        let made = builder.make_in(folder, |path| {
            let file = operate(Operation::Create, path, || {
                let file = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path)?;
                faults::created(path);
                Ok(file)
            })?;
            access.apply(&file, mode)?;
            Ok(Handle { file, path: path.to_owned() })
        });
        Ok(Self { file: Some(made.at("create a file in", folder)?), access })
    }

    pub(crate) fn file(&self) -> &Handle {
        self.file.as_ref().expect("a draft is used before it has its name").as_file()
    }

    pub(crate) fn path(&self) -> &Path {
        self.file().path()
    }

    /// Appends `bytes`.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<()> {
        self.file().write_all(bytes).at("write", self.path())
    }

    /// Makes the folder in which the file will be named `path`. It is durable once the folders in `changed` are synced.
    pub(crate) fn make_folder(&self, path: &Path, changed: &mut BTreeSet<PathBuf>) -> Result<()> {
        make_dir_noting(folder(path), self.access, changed)
    }

    /// Makes the bytes durable, then names the file `path`, then makes the name durable. Returns the open file, or nothing if `path` is
    /// taken and `existing` says to keep it.
    ///
    /// Invariant: no process ever sees an incomplete file under `path`.
    pub(crate) fn publish(self, path: &Path, existing: Existing) -> Result<Option<Handle>> {
        self.file().sync()?;
        let file = self.name(path, existing)?;
        if file.is_some() {
            sync_dir(folder(path))?;
        }
        Ok(file)
    }

    /// Names the file `path`. Its bytes must be durable already. The name is durable once its folder is synced.
    ///
    /// # Errors
    /// [`StoreError::Record`] if a folder is in its place.
    pub(crate) fn name(mut self, path: &Path, existing: Existing) -> Result<Option<Handle>> {
        make_dir(folder(path), self.access)?;
        let named = operate(Operation::Rename, path, || match existing {
            Existing::Replace => rename_noted(self.path(), path),
            Existing::Keep => {
                if fs::symlink_metadata(path).is_ok() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                // `persist_noclobber` consumes the file, so it gets the path alone.
                let draft = tempfile::TempPath::try_from_path(self.path())?;
                match draft.persist_noclobber(path) {
                    Ok(()) => {
                        faults::renamed(self.path(), path, None);
                        Ok(())
                    }
                    Err(error) => {
                        error.path.keep().map_err(|error| error.error)?;
                        Err(error.error)
                    }
                }
            }
        });
        match named {
            Ok(()) => {
                let (mut handle, temporary) = self.file.take().expect("it has no name yet").into_parts();
                // It has its name, so there is nothing to remove.
                drop(temporary);
                path.clone_into(&mut handle.path);
                Ok(Some(handle))
            }
            Err(error) if existing == Existing::Keep && error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                Err(StoreError::Record { path: path.to_owned(), reason: "it is a folder".to_owned() })
            }
            Err(error) => Err(error).at("create", path),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // What cannot be removed now is removed by a collection.
            let _ = remove(file.as_file().path());
        }
    }
}

/// A new file in a folder that only the caller uses. It has its name before it is whole, so that tens of thousands are made in a second.
/// If it is dropped without being kept it is removed.
pub(crate) struct Laid {
    file: Handle,
    is_kept: bool,
}

impl Laid {
    /// Creates an empty file with these permissions, less the umask.
    pub(crate) fn new(path: &Path, mode: u32) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(mode);
        let file = operate(Operation::Create, path, || {
            let file = options.open(path)?;
            faults::created(path);
            Ok(file)
        });
        Ok(Self { file: Handle { file: file.at("create", path)?, path: path.to_owned() }, is_kept: false })
    }

    pub(crate) fn file(&self) -> &Handle {
        &self.file
    }

    /// Lets the file have the bytes of `source`, in the same blocks until either is written to. Returns whether the file system can do
    /// that. If not, the file is still empty.
    pub(crate) fn share(&self, source: &Handle) -> bool {
        let path = &self.file.path;
        let share = || rustix::fs::ioctl_ficlone(&self.file.file, &source.file).map_err(io::Error::from);
        // Whatever the reason is, copying shows whether it matters.
        operate(Operation::Write, path, share).is_ok()
    }

    /// Leaves the file where it is.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Laid {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed now goes with the folder.
            let _ = remove(&self.file.path);
        }
    }
}

/// The prefix of the names of drafts.
pub(crate) const DRAFT: &str = "pipe-";

/// Renames a file, and notes it for a loss of power in tests.
fn rename_noted(from: &Path, to: &Path) -> io::Result<()> {
    let replaced = faults::replacing(to)?;
    fs::rename(from, to)?;
    faults::renamed(from, to, replaced);
    Ok(())
}

/// Returns the folder of a file.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().expect("every path in a store has a parent")
}
