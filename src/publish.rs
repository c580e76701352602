//! Writes files and folders outside of the store's own: complete, checked and durable, or not at all.
//!
//! What is written is staged in a folder beside its destination, read back, and then renamed. An error or a kill leaves the destination
//! as it was. Nothing is written through a link.

#![expect(clippy::disallowed_methods, reason = "this module is the way to files")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ffi::OsStr,
    fs::{self, File, FileType, Metadata, OpenOptions, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    thread,
};

use pipe_store::{Digest, StoreError, check_path};

use crate::patience::write_patiently;

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    /// The destination is taken.
    #[error("`{0}` exists already")]
    Exists(PathBuf),
    /// The destination is a link. `forcible` says whether the command has an option to replace it.
    #[error("`{path}` is a link")]
    Link { path: PathBuf, forcible: bool },
    /// The destination of a file is a folder.
    #[error("`{0}` is a folder")]
    IsFolder(PathBuf),
    /// The destination of a folder is something else.
    #[error("`{0}` is not a folder")]
    NotAFolder(PathBuf),
    /// The folder to be replaced has a file that is not one of those that replace it.
    #[error("`{folder}` has other files, such as `{other}`")]
    OtherFiles { folder: PathBuf, other: String },
    /// The folder cannot be renamed or removed.
    #[error("`{0}` cannot be replaced as a whole: it is the current folder or a mount point")]
    Fixed(PathBuf),
    /// The disk returned other bytes than were written.
    #[error("`{0}` was not written as it should be: the disk returned other bytes")]
    NotTheSame(PathBuf),
    /// The path of a file could leave its folder, or the store lost a part of what was read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An operation failed.
    #[error("`{path}` cannot be {action}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

type Result<T, E = PublishError> = std::result::Result<T, E>;

/// Adds what was done, and to which file, to an error.
trait At<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| PublishError::Io { action, path: path.to_owned(), source })
    }
}

/// What to do if there is a file of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Keep it, which is an error. The user can say `--force`.
    Keep,
    /// Replace a file, but not a link.
    Replace,
    /// Replace a file or a link.
    Force,
}

/// What to do if there is a folder of that name. One that is empty is always replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExistingFolder {
    /// Keep it, which is an error unless it is the same.
    Keep,
    /// Replace it if it has no other files.
    ReplaceSameFiles,
    /// Replace it.
    Replace,
}

/// What publishing a folder did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Published {
    Written,
    /// The folder was there, with the same files.
    AlreadyThere,
}

/// Writes one file.
pub(crate) fn file(dest: &Path, bytes: &[u8], digest: &Digest, existing: Existing) -> Result<()> {
    one(dest, bytes, Staged { digest: *digest, executable: false }, existing)
}

/// Writes one file that is a program: whoever may read it may run it.
pub(crate) fn program(dest: &Path, bytes: &[u8], digest: &Digest, existing: Existing) -> Result<()> {
    one(dest, bytes, Staged { digest: *digest, executable: true }, existing)
}

fn one(dest: &Path, bytes: &[u8], staged: Staged, existing: Existing) -> Result<()> {
    if fs::metadata(dest).is_ok_and(|metadata| is_stream(metadata.file_type())) {
        // A pipe or a terminal, such as `/dev/stderr`.
        let mut stream = OpenOptions::new().write(true).open(dest).at("opened", dest)?;
        return write_patiently(&mut stream, bytes).at("written", dest);
    }
    let replaced = look(dest)?;
    match &replaced {
        Some(old) if old.is_dir() => return Err(PublishError::IsFolder(dest.to_owned())),
        Some(old) if old.is_symlink() && existing != Existing::Force => {
            return Err(PublishError::Link { path: dest.to_owned(), forcible: existing == Existing::Keep });
        }
        Some(_) if existing == Existing::Keep => return Err(PublishError::Exists(dest.to_owned())),
        None if dest.as_os_str().as_bytes().ends_with(b"/") => return Err(PublishError::NotAFolder(dest.to_owned())),
        _ => {}
    }
    let mut stage = Stage::beside(dest)?;
    stage.write("", bytes, staged)?;
    stage.check()?;
    if let Some(old) = replaced.filter(Metadata::is_file) {
        let mode = old.permissions().mode();
        stage.set_mode(if staged.executable { mode | (mode & 0o444) >> 2 } else { mode })?;
    }
    commit(stage, if existing == Existing::Keep { Name::NewFile } else { Name::File })
}

/// Returns whether what is written to a file of this kind is not kept there.
fn is_stream(kind: FileType) -> bool {
    kind.is_fifo() || kind.is_char_device()
}

/// A folder that is being written.
pub(crate) struct Folder(Stage);

impl Folder {
    /// Starts a folder that will be at `dest`.
    pub(crate) fn new(dest: &Path) -> Result<Self> {
        if look(dest)?.is_some_and(|old| !old.is_dir() && !old.is_symlink()) {
            return Err(PublishError::NotAFolder(dest.to_owned()));
        }
        let stage = Stage::beside(dest)?;
        fs::create_dir(stage.draft()).at("written", dest)?;
        Ok(Self(stage))
    }

    /// Starts a folder that will be at `dest`, which the user named: a link to a folder stands for that folder.
    pub(crate) fn named(dest: &Path) -> Result<Self> {
        match look(dest)? {
            Some(old) if old.is_symlink() || dest.file_name().is_none() => match fs::canonicalize(dest) {
                Ok(folder) if folder.is_dir() => Self::new(&folder),
                _ => Err(PublishError::NotAFolder(dest.to_owned())),
            },
            _ => Self::new(dest),
        }
    }

    /// Adds the file `path`, whose bytes have this digest. A file may be added again if it is the same.
    pub(crate) fn add(&mut self, path: &str, bytes: &[u8], digest: &Digest) -> Result<()> {
        self.stage(path, bytes, Staged { digest: *digest, executable: false })
    }

    /// Adds a file that is a program: whoever may read it may run it. Otherwise as [`add`](Self::add).
    pub(crate) fn add_program(&mut self, path: &str, bytes: &[u8], digest: &Digest) -> Result<()> {
        self.stage(path, bytes, Staged { digest: *digest, executable: true })
    }

    fn stage(&mut self, path: &str, bytes: &[u8], staged: Staged) -> Result<()> {
        check_path(path)?;
        if self.0.files.get(path) == Some(&staged) {
            return Ok(());
        }
        let dest = self.0.dest.join(path);
        let parent = Path::new(path).parent().map_or_else(|| self.0.draft(), |parent| self.0.draft().join(parent));
        fs::create_dir_all(parent).at("written", &dest)?;
        self.0.write(path, bytes, staged)
    }

    /// Gives the folder its name.
    pub(crate) fn publish(self, existing: ExistingFolder) -> Result<Published> {
        let Self(stage) = self;
        let dest = &stage.dest;
        let replaced = look(dest)?;
        match (&replaced, existing) {
            (None, _) | (_, ExistingFolder::Replace) => {}
            (Some(old), _) if old.is_symlink() => {
                return Err(PublishError::Link { path: dest.clone(), forcible: true });
            }
            (Some(_), _) if is_empty(dest)? => {}
            (Some(_), ExistingFolder::Keep) => {
                return if stage.is_same_as(dest)? {
                    Ok(Published::AlreadyThere)
                } else {
                    Err(PublishError::Exists(dest.clone()))
                };
            }
            (Some(_), ExistingFolder::ReplaceSameFiles) => {
                if let Some(other) = files(dest)?.into_iter().find(|path| !stage.files.contains_key(path)) {
                    return Err(PublishError::OtherFiles { folder: dest.clone(), other });
                }
            }
        }
        let here = env::current_dir().and_then(fs::canonicalize);
        if here.is_ok_and(|here| fs::canonicalize(dest).is_ok_and(|dest| here.starts_with(dest))) {
            return Err(PublishError::Fixed(dest.clone()));
        }
        stage.check()?;
        if let Some(old) = replaced.filter(Metadata::is_dir) {
            // A folder can be renamed only by those who may write to it.
            stage.set_mode(old.permissions().mode() | 0o700)?;
        }
        commit(stage, Name::Folder { replace: existing != ExistingFolder::Keep })?;
        Ok(Published::Written)
    }
}

/// How a name is given.
#[derive(Debug, Clone, Copy)]
enum Name {
    /// To a file, if nothing has it.
    NewFile,
    /// To a file.
    File,
    /// To a folder.
    Folder { replace: bool },
}

/// Gives what was staged its name. This is the only step that changes what others see.
fn commit(mut stage: Stage, name: Name) -> Result<()> {
    pipe_store::check_reads()?;
    let (new, dest) = (stage.draft(), stage.dest.clone());
    match name {
        // Unlike a renaming, a second name never replaces anything. Some file systems have none.
        Name::NewFile => match fs::hard_link(&new, &dest) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(PublishError::Exists(dest)),
            Err(_) if look(&dest)?.is_none() => fs::rename(&new, &dest).at("written", &dest)?,
            named => named.at("written", &dest)?,
        },
        Name::File => fs::rename(&new, &dest).at("written", &dest)?,
        Name::Folder { replace } => stage.name_folder(replace)?,
    }
    stage.parents.keep();
    stage.is_published = true;
    sync_folder(stage.parent()).at("synced", &dest)
}

/// A folder beside the destination, `.pipe-draft-` and some letters, in which something is written. `new` in it becomes the destination.
/// `old/NAME` is what was at the destination. It is locked as long as it is in use.
struct Stage {
    folder: PathBuf,
    dest: PathBuf,
    /// The files below `new`. The path of a single file is empty.
    files: BTreeMap<String, Staged>,
    is_published: bool,
    parents: Parents,
    _lock: Option<File>,
}

/// What a file must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Staged {
    digest: Digest,
    executable: bool,
}

/// The start of the names of stages.
const PREFIX: &str = ".pipe-draft-";
const NEW: &str = "new";
const OLD: &str = "old";

/// Returns whether a folder has the name of a stage.
pub(crate) fn is_stage(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_bytes().starts_with(PREFIX.as_bytes()))
}

impl Stage {
    /// Makes a stage for `dest`, and its parents. Removes stages beside it that were left by processes that were killed.
    fn beside(dest: &Path) -> Result<Self> {
        if dest.file_name().is_none() {
            return Err(PublishError::Fixed(dest.to_owned()));
        }
        let parents = Parents::make(parent_of(dest))?;
        remove_stale(parent_of(dest));
        let (folder, _lock) = make_locked(parent_of(dest)).at("written", dest)?;
        Ok(Self { folder, dest: dest.to_owned(), files: BTreeMap::new(), is_published: false, parents, _lock })
    }

    fn parent(&self) -> &Path {
        parent_of(&self.dest)
    }

    fn draft(&self) -> PathBuf {
        self.folder.join(NEW)
    }

    /// Returns where the file `path` is staged.
    fn staged(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.draft() } else { self.draft().join(path) }
    }

    /// Returns where the file `path` will be.
    fn published(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.dest.clone() } else { self.dest.join(path) }
    }

    fn write(&mut self, path: &str, bytes: &[u8], staged: Staged) -> Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(if staged.executable { 0o777 } else { 0o666 });
        let written = options.open(self.staged(path)).and_then(|mut file| write_patiently(&mut file, bytes));
        written.at("written", &self.published(path))?;
        self.files.insert(path.to_owned(), staged);
        Ok(())
    }

    /// Gives what was staged the permissions of what it replaces. Some file systems have no permissions.
    fn set_mode(&self, mode: u32) -> Result<()> {
        let draft = self.draft();
        if fs::metadata(&draft).at("looked at", &self.dest)?.permissions().mode() == mode {
            return Ok(());
        }
        fs::set_permissions(draft, Permissions::from_mode(mode)).at("written", &self.dest)
    }

    /// Makes everything durable, and checks that it is what it should be.
    fn check(&self) -> Result<()> {
        let files: Vec<_> = self.files.iter().collect();
        // Threads wait for the disk together: a file system commits at once what waits at once.
        let share = files.len().div_ceil(16).max(1);
        thread::scope(|scope| {
            let mut checks = Vec::new();
            for files in files.chunks(share) {
                match thread::Builder::new().spawn_scoped(scope, || self.check_files(files)) {
                    Ok(check) => checks.push(check),
                    // There are no more threads.
                    Err(_) => self.check_files(files)?,
                }
            }
            checks.into_iter().try_for_each(|check| check.join().expect("a check does not panic"))
        })?;
        let mut folders = BTreeSet::new();
        for path in self.files.keys().filter(|path| !path.is_empty()) {
            folders.extend(Path::new(path).ancestors().skip(1).map(|folder| self.draft().join(folder)));
        }
        folders.iter().try_for_each(|folder| sync_folder(folder)).at("synced", &self.dest)
    }

    fn check_files(&self, files: &[(&String, &Staged)]) -> Result<()> {
        for (path, Staged { digest, .. }) in files {
            let (staged, published) = (self.staged(path), self.published(path));
            File::open(&staged).and_then(|file| file.sync_all()).at("synced", &published)?;
            if Digest::of(&fs::read(&staged).at("read back", &published)?) != *digest {
                return Err(PublishError::NotTheSame(published));
            }
        }
        Ok(())
    }

    /// Returns whether a folder has the same files.
    fn is_same_as(&self, folder: &Path) -> Result<bool> {
        if !files(folder)?.iter().eq(self.files.keys()) {
            return Ok(false);
        }
        for (path, Staged { digest, executable }) in &self.files {
            let there = folder.join(path);
            let is_program = |metadata: &Metadata| metadata.permissions().mode() & 0o100 != 0;
            let is_file =
                look(&there)?.is_some_and(|metadata| metadata.is_file() && (!executable || is_program(&metadata)));
            if !is_file || Digest::of(&fs::read(&there).at("read", &there)?) != *digest {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn name_folder(&self, replace: bool) -> Result<()> {
        let old = self.folder.join(OLD);
        let kept = old.join(self.dest.file_name().expect("a stage has a name"));
        // Another process may put something there in between.
        for _ in 0..8 {
            match fs::rename(self.draft(), &self.dest) {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory
                    ) =>
                {
                    if !replace {
                        return Err(PublishError::Exists(self.dest.clone()));
                    }
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices) => {
                    return Err(PublishError::Fixed(self.dest.clone()));
                }
                named => return named.at("written", &self.dest),
            }
            if_present(fs::remove_dir_all(&old)).at("replaced", &self.dest)?;
            fs::create_dir(&old).at("replaced", &self.dest)?;
            match if_present(fs::rename(&self.dest, &kept)) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    return Err(PublishError::Fixed(self.dest.clone()));
                }
                moved => moved.at("replaced", &self.dest)?,
            };
        }
        Err(PublishError::Exists(self.dest.clone()))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.is_published {
            give_back(&self.folder, self.parent());
        }
        // What cannot be removed is removed by the next process that writes here.
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::debug!("`{}` cannot be removed: {error}", self.folder.display());
        }
    }
}

/// The parents of a destination that did not exist, the outermost first. They are removed if nothing gets into them.
struct Parents(Vec<PathBuf>);

impl Parents {
    /// Makes a folder and its parents durably.
    fn make(path: &Path) -> Result<Self> {
        let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.is_dir();
        let missing: Vec<_> = path.ancestors().take_while(is_missing).collect();
        let mut made = Self(Vec::new());
        for folder in missing.into_iter().rev() {
            match fs::create_dir(folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
                Err(error) => return Err(error).at("made", folder),
                Ok(()) => made.0.push(folder.to_owned()),
            }
            sync_folder(parent_of(folder)).at("synced", folder)?;
        }
        Ok(made)
    }

    fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for Parents {
    fn drop(&mut self) {
        // Another process may have put something there.
        self.0.iter().rev().for_each(|folder| drop(fs::remove_dir(folder)));
    }
}

/// Makes and locks a new stage in `parent`. The lock is `None` if the file system has no locks.
fn make_locked(parent: &Path) -> io::Result<(PathBuf, Option<File>)> {
    loop {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?.keep();
        // Another process may take it for a stale one before it is locked.
        let Some(file) = if_present(File::open(&folder))? else { continue };
        match file.try_lock() {
            Ok(()) if still_names(&folder, &file)? => return Ok((folder, Some(file))),
            Ok(()) | Err(fs::TryLockError::WouldBlock) => {}
            Err(fs::TryLockError::Error(_)) => return Ok((folder, None)),
        }
    }
}

fn still_names(path: &Path, file: &File) -> io::Result<bool> {
    let open = file.metadata()?;
    let named = if_present(fs::symlink_metadata(path))?;
    Ok(named.is_some_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino())))
}

/// Removes the stages in a folder that no process uses any more. A folder that was to be replaced, and was not, is put back.
fn remove_stale(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        if !is_stage(&path) || !fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
            continue;
        }
        // If it cannot be read, locked or removed it belongs to another user, and is not in the way.
        let Ok(lock) = File::open(&path) else { continue };
        if lock.try_lock().is_err() || !has_parts_of_a_stage(&path) {
            continue;
        }
        give_back(&path, parent);
        if let Err(error) = fs::remove_dir_all(&path) {
            tracing::debug!("`{}` cannot be removed: {error}", path.display());
        }
    }
}

/// Returns whether a folder has nothing that a stage has not.
fn has_parts_of_a_stage(folder: &Path) -> bool {
    let is_part = |entry: fs::DirEntry| entry.file_name() == NEW || entry.file_name() == OLD;
    fs::read_dir(folder).is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(is_part)))
}

/// Puts back what was moved into a stage, unless something else has its name.
fn give_back(stage: &Path, parent: &Path) {
    for entry in fs::read_dir(stage.join(OLD)).into_iter().flatten().flatten() {
        let dest = parent.join(entry.file_name());
        if matches!(look(&dest), Ok(None))
            && let Err(error) = fs::rename(entry.path(), &dest)
        {
            tracing::warn!("`{}` was not put back: {error}", dest.display());
        }
    }
}

/// Returns the metadata of what has this name, if anything has. Links are not followed.
fn look(path: &Path) -> Result<Option<Metadata>> {
    // With a slash at the end, the system would follow a link.
    let bytes = path.as_os_str().as_bytes();
    let name = bytes.strip_suffix(b"/").filter(|name| !name.is_empty()).unwrap_or(bytes);
    if_present(fs::symlink_metadata(Path::new(OsStr::from_bytes(name)))).at("looked at", path)
}

fn if_present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the names in a folder durable, if the file system does that and the user may read the folder.
fn sync_folder(path: &Path) -> io::Result<()> {
    match File::open(path).and_then(|folder| folder.sync_all()) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

/// Returns the paths of everything below a folder that is not a folder. Links are not followed.
fn files(folder: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        let here = folder.join(&inner);
        for entry in fs::read_dir(&here).at("read", &here)? {
            let entry = entry.at("read", &here)?;
            let (path, kind) = (inner.join(entry.file_name()), entry.file_type().at("read", &here)?);
            if kind.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.to_string_lossy().into_owned());
            }
        }
    }
    Ok(found)
}

fn is_empty(folder: &Path) -> Result<bool> {
    Ok(fs::read_dir(folder).at("read", folder)?.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_path_that_leaves_the_folder_is_refused_and_nothing_is_left() {
        let parent = tempfile::tempdir().unwrap();
        for path in ["", "..", "../evil", "/tmp/evil", "a/../../evil", "a//b", "a\u{1b}[2J", "a\\b"] {
            let mut folder = Folder::new(&parent.path().join("new/out")).unwrap();
            folder.add("good", b"good", &Digest::of(b"good")).unwrap();
            let refused = folder.add(path, b"evil", &Digest::of(b"evil"));
            assert!(matches!(refused, Err(PublishError::Store(_))), "{path:?}: {refused:?}");
            drop(folder);
            assert_eq!(names(parent.path()), [""; 0], "{path:?}");
        }
    }

    #[test]
    fn what_the_disk_does_not_return_is_not_published() {
        let parent = tempfile::tempdir().unwrap();
        let dest = parent.path().join("out");
        let wrong = Digest::of(b"what should be there");
        let refused = file(&dest, b"what is there", &wrong, Existing::Keep);
        assert!(matches!(&refused, Err(PublishError::NotTheSame(path)) if *path == dest), "{refused:?}");
        let mut folder = Folder::new(&dest).unwrap();
        for i in 0..40 {
            folder.add(&format!("{i}/good"), b"good", &Digest::of(b"good")).unwrap();
        }
        folder.add("a/b/c", b"what is there", &wrong).unwrap();
        let refused = folder.publish(ExistingFolder::Replace);
        assert!(matches!(&refused, Err(PublishError::NotTheSame(path)) if *path == dest.join("a/b/c")), "{refused:?}");
        assert_eq!(names(parent.path()), [""; 0]);
    }

    #[test]
    fn programs_can_be_run_within_the_umask() {
        let parent = tempfile::tempdir().unwrap();
        let mode = |path: &str| fs::metadata(parent.path().join(path)).unwrap().permissions().mode() & 0o777;
        let digest = Digest::of(b"x");
        let export = |existing| {
            let mut folder = Folder::new(&parent.path().join("out")).unwrap();
            folder.add("text", b"x", &digest).unwrap();
            folder.add_program("bin/run", b"x", &digest).unwrap();
            folder.publish(existing).unwrap()
        };
        assert_eq!(export(ExistingFolder::Keep), Published::Written);
        assert_eq!(mode("out/text") & 0o111, 0);
        // Whatever the umask is, it is the same for files and programs.
        assert_eq!(mode("out/bin/run"), mode("out/text") | (mode("out/text") & 0o444) >> 2);
        assert_eq!(export(ExistingFolder::Keep), Published::AlreadyThere);
        let run = parent.path().join("out/bin/run");
        fs::set_permissions(&run, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(export(ExistingFolder::ReplaceSameFiles), Published::Written);
        assert_eq!(mode("out/bin/run") & 0o100, 0o100);
        fs::set_permissions(&run, Permissions::from_mode(0o640)).unwrap();
        program(&run, b"x", &digest, Existing::Replace).unwrap();
        assert_eq!(mode("out/bin/run"), 0o750);
        program(&parent.path().join("alone"), b"x", &digest, Existing::Keep).unwrap();
        assert_eq!(mode("alone") & 0o100, 0o100);
    }

    #[test]
    fn two_that_replace_one_folder_leave_one_of_theirs_whole() {
        let parent = tempfile::tempdir().unwrap();
        let dest = parent.path().join("out");
        let files: Vec<String> = (0..20).map(|i| format!("folder/{i}")).collect();
        thread::scope(|scope| {
            for writer in ["a", "b", "c", "d"] {
                let (dest, files) = (&dest, &files);
                scope.spawn(move || {
                    for _ in 0..20 {
                        let mut folder = Folder::new(dest).unwrap();
                        for path in files {
                            folder.add(path, writer.as_bytes(), &Digest::of(writer.as_bytes())).unwrap();
                        }
                        match folder.publish(ExistingFolder::Replace) {
                            // The others were faster each time it tried.
                            Ok(_) | Err(PublishError::Exists(_)) => {}
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                });
            }
        });
        assert_eq!(names(parent.path()), ["out"]);
        let contents: BTreeSet<_> = files.iter().map(|path| fs::read_to_string(dest.join(path)).unwrap()).collect();
        assert_eq!((contents.len(), names(&dest.join("folder")).len()), (1, 20), "{contents:?}");
    }
}
