//! A switch with which tests make the operations of a store fail, or the machine lose its power.
//!
//! It is compiled with the feature `faults`, which the tests use. Otherwise these functions do nothing.

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(feature = "faults"), expect(unreachable_pub, reason = "it is public with the feature"))]
pub enum Operation {
    /// Opens a file.
    Open,
    /// Creates a file.
    Create,
    /// Reads from a file.
    Read,
    /// Writes to a file, or changes its length.
    Write,
    /// Maps a file.
    Map,
    /// Makes a file or the names in a folder durable.
    Sync,
    /// Names or renames a file.
    Rename,
    /// Removes a file or an empty folder.
    Remove,
    /// Makes a folder.
    MakeDir,
    /// Lists a folder.
    List,
    /// Looks at a file without reading it.
    Look,
    /// Sets the time of a file.
    Touch,
    /// Takes a lock.
    Lock,
}

impl Operation {
    /// Returns whether it changes what is on the disk, or what of it is durable.
    #[cfg(feature = "faults")]
    pub fn changes(self) -> bool {
        use Operation::{Create, MakeDir, Remove, Rename, Sync, Write};
        matches!(self, Create | Write | Sync | Rename | Remove | MakeDir)
    }
}

/// Makes an operation of this process fail, as `PIPE_FAULT` says: the folder of a store, the number of the operation and the number of
/// the error, one per line. This is how tests disturb the program itself.
#[cfg(feature = "faults")]
#[expect(clippy::disallowed_methods, reason = "a test says what fails in the process that it starts")]
pub(crate) fn from_environment() {
    let Ok(text) = std::env::var("PIPE_FAULT") else { return };
    let mut lines = text.lines();
    let mut next = || lines.next().expect("PIPE_FAULT has three lines");
    let (root, at, error) = (next(), next(), next());
    let fault = Fault::Once(error.parse().expect("an error has a number"));
    let injected = inject(std::path::Path::new(root), at.parse().expect("an operation has a number"), fault);
    // It lasts as long as the process.
    std::mem::forget(injected);
}

#[cfg(feature = "faults")]
pub use switch::{Fault, Injected, Loss, inject};
#[cfg(feature = "faults")]
pub(crate) use switch::{before, created, removing, renamed, replacing, room, synced, synced_dir, wrote};

#[cfg(not(feature = "faults"))]
pub(crate) use off::{
    before, created, from_environment, removing, renamed, replacing, room, synced, synced_dir, wrote,
};

#[cfg(not(feature = "faults"))]
mod off {
    use std::{fs::File, io, path::Path};

    use super::Operation;

    pub(crate) fn from_environment() {}

    pub(crate) fn before(_: Operation, _: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn room(_: Operation, _: &Path, length: usize) -> usize {
        length
    }

    pub(crate) fn created(_: &Path) {}

    pub(crate) fn wrote(_: &Path, _: &File, _: usize) {}

    pub(crate) fn synced(_: &Path, _: &File) -> bool {
        false
    }

    pub(crate) fn synced_dir(_: &Path) -> bool {
        false
    }

    pub(crate) fn replacing(_: &Path) -> io::Result<Option<()>> {
        Ok(None)
    }

    pub(crate) fn renamed(_: &Path, _: &Path, _: Option<()>) {}

    pub(crate) fn removing(_: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "faults")]
#[expect(clippy::disallowed_methods, reason = "it plays the disk")]
mod switch {
    use std::{
        collections::BTreeMap,
        fs::{self, File},
        io,
        os::unix::fs::{FileExt, MetadataExt},
        path::{Path, PathBuf},
        sync::{
            Arc, Mutex, MutexGuard, PoisonError, RwLock,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use tempfile::TempDir;

    use super::Operation;

    /// What goes wrong at the chosen operation.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Fault {
        /// Nothing. The operations are only counted.
        None,
        /// It fails once, with this number of an error.
        Once(i32),
        /// It and all that follow fail with this number of an error.
        Always(i32),
        /// It reads or writes only half of what it is asked to. Other operations succeed.
        Short,
        /// A signal interrupts it.
        Interrupted,
        /// The process dies before it.
        Dies(Loss),
        /// There are only so many free bytes from then on. Removed files free theirs.
        Full(u64),
    }

    /// What a process that dies leaves of what was not synced.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Loss {
        /// Everything: it was killed.
        Nothing,
        /// The power was cut. Bytes that were not synced are gone.
        Bytes,
        /// The power was cut. Half of the bytes that were not synced are gone.
        HalfOfBytes,
        /// The power was cut. Bytes that were not synced are zeros.
        ZerosForBytes,
        /// The power was cut. Names that were not synced are as before, and bytes that were not synced are gone.
        Names,
        /// The power was cut. In every other folder names that were not synced are as before: folders reach the disk in any order.
        SomeNames,
    }

    /// The faults of one store, until it is dropped.
    pub struct Injected(Arc<Switch>);

    struct Switch {
        root: PathBuf,
        /// The number of the operation at which it goes wrong, from 0.
        at: u64,
        fault: Fault,
        state: Mutex<State>,
        /// Files that have been replaced or removed, until the change is durable.
        kept: TempDir,
    }

    #[derive(Default)]
    struct State {
        operations: Vec<Operation>,
        hit: Option<(Operation, PathBuf)>,
        dead: bool,
        free: Option<u64>,
        /// For each file that has been written to since it was synced: the file and its durable length.
        unsynced: BTreeMap<(u64, u64), (File, u64)>,
        /// Changes of names that are not durable, oldest first, each with the folder that must be synced.
        names: Vec<(PathBuf, Change)>,
    }

    enum Change {
        Created(PathBuf),
        /// A rename, and where the file is kept that it replaced.
        Renamed {
            from: PathBuf,
            to: PathBuf,
            replaced: Option<PathBuf>,
        },
        /// A removal, and where the file is kept.
        Removed {
            path: PathBuf,
            kept: PathBuf,
        },
    }

    static ACTIVE: AtomicUsize = AtomicUsize::new(0);
    static SWITCHES: RwLock<Vec<Arc<Switch>>> = RwLock::new(Vec::new());

    /// Makes the operation number `at` on the store in the folder `root` go wrong, counted from 0. Syncing only notes what is durable.
    ///
    /// # Panics
    /// If there is no place for temporary files in the folder above `root`.
    pub fn inject(root: &Path, at: u64, fault: Fault) -> Injected {
        let above = root.parent().expect("a store is in a folder");
        let kept = tempfile::tempdir_in(above).expect("the folder above the store can be written to");
        let switch = Arc::new(Switch { root: root.to_owned(), at, fault, state: Mutex::default(), kept });
        SWITCHES.write().unwrap_or_else(PoisonError::into_inner).push(switch.clone());
        ACTIVE.fetch_add(1, Ordering::SeqCst);
        Injected(switch)
    }

    impl Injected {
        /// Returns the operations so far.
        pub fn operations(&self) -> Vec<Operation> {
            self.0.state().operations.clone()
        }

        /// Returns the operation that went wrong, if it came to it.
        pub fn hit(&self) -> Option<(Operation, PathBuf)> {
            self.0.state().hit.clone()
        }

        /// Ends the faults. If the process has died, takes away what a loss of power takes away.
        ///
        /// # Panics
        /// If what was written cannot be taken away.
        pub fn end(self) {
            let mut state = self.0.state();
            let Fault::Dies(loss) = self.0.fault else { return };
            if !state.dead || loss == Loss::Nothing {
                return;
            }
            for (file, durable) in state.unsynced.values() {
                let length = file.metadata().expect("it is open").len();
                let half = durable + length.saturating_sub(*durable) / 2;
                match loss {
                    Loss::Nothing => {}
                    Loss::Bytes | Loss::Names | Loss::SomeNames => file.set_len(*durable).expect("it is writable"),
                    Loss::HalfOfBytes => file.set_len(half).expect("it is writable"),
                    Loss::ZerosForBytes => {
                        let zeros = vec![0; usize::try_from(length.saturating_sub(*durable)).expect("it is small")];
                        file.write_all_at(&zeros, *durable).expect("it is writable");
                    }
                }
            }
            if matches!(loss, Loss::Names | Loss::SomeNames) {
                for (folder, change) in std::mem::take(&mut state.names).into_iter().rev() {
                    let hash = folder
                        .as_os_str()
                        .as_encoded_bytes()
                        .iter()
                        .fold(self.0.at, |a, b| a.wrapping_mul(31).wrapping_add((*b).into()));
                    if loss == Loss::Names || hash % 2 == 0 {
                        undo(change);
                    }
                }
            }
        }
    }

    impl Drop for Injected {
        fn drop(&mut self) {
            SWITCHES.write().unwrap_or_else(PoisonError::into_inner).retain(|switch| !Arc::ptr_eq(switch, &self.0));
            ACTIVE.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn undo(change: Change) {
        let undone = match change {
            Change::Created(path) => fs::remove_file(path),
            Change::Renamed { from, to, replaced } => fs::rename(&to, from).and_then(|()| match replaced {
                Some(kept) => fs::rename(kept, to),
                None => Ok(()),
            }),
            Change::Removed { path, kept } => {
                fs::create_dir_all(path.parent().expect("it is in a folder")).and_then(|()| fs::rename(kept, path))
            }
        };
        // The folder of a new file may be gone.
        drop(undone);
    }

    impl Switch {
        fn state(&self) -> MutexGuard<'_, State> {
            self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// Keeps a second name of a file, so that a change of its name can be undone.
        fn keep(&self, path: &Path) -> io::Result<Option<PathBuf>> {
            let kept = self.kept.path().join(fastrand::u64(..).to_string());
            match fs::hard_link(path, &kept) {
                Ok(()) => Ok(Some(kept)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(_) if path.is_dir() => Ok(None),
                Err(error) => Err(error),
            }
        }
    }

    fn switch_of(path: &Path) -> Option<Arc<Switch>> {
        if ACTIVE.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let switches = SWITCHES.read().unwrap_or_else(PoisonError::into_inner);
        switches.iter().find(|switch| path.starts_with(&switch.root)).cloned()
    }

    fn error(number: i32) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(number))
    }

    /// Counts an operation and makes it fail if it should.
    pub(crate) fn before(operation: Operation, path: &Path) -> io::Result<()> {
        let Some(switch) = switch_of(path) else { return Ok(()) };
        let mut state = switch.state();
        if state.dead {
            return Err(io::Error::other("the process is dead"));
        }
        let number = state.operations.len() as u64;
        state.operations.push(operation);
        if number == switch.at {
            state.hit = Some((operation, path.to_owned()));
        }
        let full = state.free.is_some_and(|free| free == 0);
        match switch.fault {
            Fault::Once(number_of_error) if number == switch.at => error(number_of_error),
            Fault::Always(number_of_error) if number >= switch.at => error(number_of_error),
            Fault::Interrupted if number == switch.at => error(libc::EINTR),
            Fault::Dies(_) if number == switch.at => {
                state.dead = true;
                Err(io::Error::other("the process is dead"))
            }
            Fault::Full(free) if number == switch.at => {
                state.free = Some(free);
                Ok(())
            }
            // A name or an empty file needs a block of its folder.
            Fault::Full(_) if full && matches!(operation, Operation::Create | Operation::MakeDir) => {
                error(libc::ENOSPC)
            }
            _ => Ok(()),
        }
    }

    /// Returns how many of the `length` bytes an operation may read or write.
    pub(crate) fn room(operation: Operation, path: &Path, length: usize) -> usize {
        let Some(switch) = switch_of(path) else { return length };
        let state = switch.state();
        let short = switch.fault == Fault::Short && state.operations.len() as u64 == switch.at + 1 && length > 1;
        let free = if operation == Operation::Write { state.free } else { None };
        let length = if short { length / 2 } else { length };
        free.map_or(length, |free| length.min(usize::try_from(free).unwrap_or(usize::MAX)))
    }

    pub(crate) fn wrote(path: &Path, file: &File, written: usize) {
        let Some(switch) = switch_of(path) else { return };
        let mut state = switch.state();
        if let Some(free) = &mut state.free {
            *free -= written as u64;
        }
        let Ok(metadata) = file.metadata() else { return };
        let durable = metadata.len().saturating_sub(written as u64);
        if let Ok(file) = file.try_clone() {
            state.unsynced.entry((metadata.dev(), metadata.ino())).or_insert((file, durable));
        }
    }

    /// Notes that the bytes of a file are durable. Returns whether syncing is played.
    pub(crate) fn synced(path: &Path, file: &File) -> bool {
        let Some(switch) = switch_of(path) else { return false };
        if let Ok(metadata) = file.metadata() {
            switch.state().unsynced.remove(&(metadata.dev(), metadata.ino()));
        }
        true
    }

    /// Notes that the names in a folder are durable. Returns whether syncing is played.
    pub(crate) fn synced_dir(path: &Path) -> bool {
        let Some(switch) = switch_of(path) else { return false };
        switch.state().names.retain(|(folder, _)| folder != path);
        true
    }

    fn changed(path: &Path, change: Change) {
        let Some(switch) = switch_of(path) else { return };
        let folder = path.parent().unwrap_or(path).to_owned();
        switch.state().names.push((folder, change));
    }

    pub(crate) fn created(path: &Path) {
        changed(path, Change::Created(path.to_owned()));
    }

    /// Keeps the file that a rename is about to replace.
    pub(crate) fn replacing(path: &Path) -> io::Result<Option<PathBuf>> {
        switch_of(path).map_or(Ok(None), |switch| switch.keep(path))
    }

    pub(crate) fn renamed(from: &Path, to: &Path, replaced: Option<PathBuf>) {
        let Some(switch) = switch_of(to) else { return };
        // The file has its new name, so its creation under the old one is no longer to be undone.
        switch.state().names.retain(|(_, change)| !matches!(change, Change::Created(path) if path == from));
        changed(to, Change::Renamed { from: from.to_owned(), to: to.to_owned(), replaced });
    }

    pub(crate) fn removing(path: &Path) -> io::Result<()> {
        let Some(switch) = switch_of(path) else { return Ok(()) };
        let length = fs::symlink_metadata(path).map_or(0, |metadata| metadata.len());
        if let Some(kept) = switch.keep(path)? {
            changed(path, Change::Removed { path: path.to_owned(), kept });
        }
        if let Some(free) = &mut switch.state().free {
            *free += length;
        }
        Ok(())
    }
}
