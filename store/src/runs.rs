//! Runs: logs of action keys, which protect what a run produces from collection until a study names it.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{
    ActionKey, Store,
    disk::{self, Entry, Existing},
    error::{At, FORMAT, Result, StoreError},
    layout::{APPENDED, REFS},
    lines, locks,
    refs::unix_seconds,
};

/// An open run. It holds a lock on its log until it is dropped or its process ends.
///
/// A run that is dropped without [`finish`](Self::finish) is unfinished: its log stays, and so does what the log names.
pub struct Run {
    store: Store,
    id: String,
    study_name: String,
    log: Mutex<Log>,
}

struct Log {
    file: File,
    path: PathBuf,
    keys: BTreeSet<ActionKey>,
}

/// A run that is not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLog {
    /// The run's id.
    pub id: String,
    /// The name of the study that it computes.
    pub study_name: String,
    /// When it was opened first, in whole seconds.
    pub started: SystemTime,
    /// The keys of its actions so far, in the order in which they were appended.
    pub keys: Vec<ActionKey>,
    /// Whether a process has the run open.
    pub running: bool,
}

/// The first line of a log. The fields are sorted.
#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    started: u64,
    study: String,
}

/// The number of attempts to take a lock that another process may hold for a moment, and the pause between two attempts.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

impl Store {
    /// Opens a new run, or an unfinished one again.
    ///
    /// # Errors
    /// [`StoreError::Name`] if the id cannot be a file name, [`StoreError::RunIsOpen`] if another process has the run open. Also if the
    /// log is damaged or cannot be written.
    pub fn open_run(&self, id: &str, study_name: &str, now: SystemTime) -> Result<Run> {
        lines::check_name(id)?;
        let path = self.run_path(id);
        let _sweeps_wait = self.hold_off_sweeps()?;
        loop {
            let log = if let Some(file) = lines::open(&path)? {
                self.reopen(id, file, path.clone())?
            } else {
                let header = Header { format: FORMAT, started: unix_seconds(now), study: study_name.to_owned() };
                let header = serde_json::to_string(&header).expect("a header is plain data");
                let draft = self.draft(APPENDED)?;
                writeln!(draft.file(), "{header}").at("write", draft.path())?;
                // Lock it before it has its name, so that no process finds it unlocked.
                draft.file().lock().at("lock", draft.path())?;
                let file = draft.publish(&path, Existing::Keep)?;
                file.map(|file| Log { file, path: path.clone(), keys: BTreeSet::new() })
            };
            if let Some(log) = log {
                let (id, study_name) = (id.to_owned(), study_name.to_owned());
                return Ok(Run { store: self.clone(), id, study_name, log: Mutex::new(log) });
            }
        }
    }

    /// Takes over the log of an unfinished run, unless it has been removed meanwhile.
    fn reopen(&self, id: &str, mut file: File, path: PathBuf) -> Result<Option<Log>> {
        take(id, &file, &path)?;
        if !disk::still_names(&path, &file)? {
            return Ok(None);
        }
        lines::mend(&mut file, &path)?;
        let keys = self.read_run(id)?.map(|run| run.keys.into_iter().collect()).unwrap_or_default();
        Ok(Some(Log { file, path, keys }))
    }

    /// Returns the runs that are not finished, sorted by id.
    ///
    /// # Errors
    /// [`StoreError::Record`] if a log is damaged. Also if one cannot be read.
    pub fn runs(&self) -> Result<Vec<RunLog>> {
        let mut runs = Vec::new();
        for entry in self.run_entries()? {
            runs.extend(self.read_run(&entry.name)?);
        }
        Ok(runs)
    }

    /// Removes the log of an unfinished run, if there is one. What the run produced can be collected after the grace period.
    ///
    /// # Errors
    /// [`StoreError::Name`] if the id cannot be a file name, [`StoreError::RunIsOpen`] if a process has the run open. Also if the log
    /// cannot be removed.
    pub fn abandon_run(&self, id: &str) -> Result<()> {
        lines::check_name(id)?;
        let path = self.run_path(id);
        let Some(file) = lines::open(&path)? else { return Ok(()) };
        take(id, &file, &path)?;
        if disk::still_names(&path, &file)? {
            disk::remove(&path)?;
        }
        Ok(())
    }

    fn run_path(&self, id: &str) -> PathBuf {
        self.dir(REFS).join("runs").join(id)
    }

    pub(crate) fn run_entries(&self) -> Result<Vec<Entry>> {
        disk::list(&self.dir(REFS).join("runs"))
    }

    pub(crate) fn read_run(&self, id: &str) -> Result<Option<RunLog>> {
        let path = self.run_path(id);
        // Look at the lock before the keys. A run that ends in between then counts as running, which keeps more.
        let Some(file) = lines::open(&path)? else { return Ok(None) };
        let running = match file.try_lock_shared() {
            Ok(()) => false,
            Err(std::fs::TryLockError::WouldBlock) => true,
            Err(std::fs::TryLockError::Error(source)) => return Err(source).at("lock", &path),
        };
        drop(file);
        let Some(lines) = lines::read(&path)? else { return Ok(None) };
        let (header, keys) = lines.split_first().ok_or_else(|| lines::damaged(&path, &"it has no first line"))?;
        let header: Header = serde_json::from_str(header).map_err(|error| lines::damaged(&path, &error))?;
        if header.format != FORMAT {
            return Err(lines::damaged(&path, &format!("format {} is not {FORMAT}", header.format)));
        }
        let keys = keys.iter().map(|key| key.parse().map_err(|error| lines::damaged(&path, &error)));
        Ok(Some(RunLog {
            id: id.to_owned(),
            study_name: header.study,
            started: SystemTime::UNIX_EPOCH + Duration::from_secs(header.started),
            keys: keys.collect::<Result<_>>()?,
            running,
        }))
    }
}

/// Takes the lock of a run's log. Waits a little, because another process may hold it for a moment to look at the run.
fn take(id: &str, file: &File, path: &Path) -> Result<()> {
    for _ in 0..TRIES {
        if locks::try_lock(file, path)? {
            return Ok(());
        }
        std::thread::sleep(BETWEEN_TRIES);
    }
    Err(StoreError::RunIsOpen(id.to_owned()))
}

impl Run {
    /// Returns the run's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Notes that the run uses an action. From then on no sweep removes the action or what its result names. Call this before looking
    /// up the action's result, and before writing its first object.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn append(&self, key: &ActionKey) -> Result<()> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.keys.contains(key) {
            return Ok(());
        }
        let _sweeps_wait = self.store.hold_off_sweeps()?;
        let Log { file, path, keys } = &mut *log;
        lines::append(file, path, &key.to_string())?;
        keys.insert(*key);
        Ok(())
    }

    /// Ends the run, because a study now names what it produced. Also removes the unfinished runs of the same study.
    ///
    /// # Errors
    /// If a log cannot be read or removed.
    pub fn finish(self) -> Result<()> {
        let _sweeps_wait = self.store.hold_off_sweeps()?;
        let log = self.log.into_inner().unwrap_or_else(PoisonError::into_inner);
        disk::remove(&log.path)?;
        for run in self.store.runs()?.into_iter().filter(|run| !run.running && run.study_name == self.study_name) {
            match self.store.abandon_run(&run.id) {
                Err(StoreError::RunIsOpen(_)) => {}
                other => other?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::{action, at, store};

    #[test]
    fn a_run_is_listed_with_its_keys_until_it_is_finished() {
        let (_folder, store) = store();
        let (a, b) = (action(&store, "a"), action(&store, "b"));
        let run = store.open_run("r1", "shapes", at(100)).unwrap();
        for key in [a, b, a] {
            run.append(&key).unwrap();
        }
        let expected = |running| RunLog {
            id: "r1".to_owned(),
            study_name: "shapes".to_owned(),
            started: at(100),
            keys: vec![a, b],
            running,
        };
        assert_eq!(store.runs().unwrap(), [expected(true)]);
        assert!(matches!(store.open_run("r1", "shapes", at(100)), Err(StoreError::RunIsOpen(_))));
        assert!(matches!(store.abandon_run("r1"), Err(StoreError::RunIsOpen(_))));
        drop(run);
        assert_eq!(store.runs().unwrap(), [expected(false)]);
        let again = store.open_run("r1", "shapes", at(500)).unwrap();
        again.append(&a).unwrap();
        assert_eq!(store.runs().unwrap(), [expected(true)]);
        again.finish().unwrap();
        assert_eq!(store.runs().unwrap(), []);
    }

    #[test]
    fn finishing_a_study_ends_its_unfinished_runs_and_no_others() {
        let (_folder, store) = store();
        drop(store.open_run("killed", "shapes", at(1)).unwrap());
        drop(store.open_run("another", "digits", at(2)).unwrap());
        let running = store.open_run("running", "shapes", at(3)).unwrap();
        store.open_run("whole", "shapes", at(4)).unwrap().finish().unwrap();
        let ids = |store: &Store| store.runs().unwrap().into_iter().map(|run| run.id).collect::<Vec<_>>();
        assert_eq!(ids(&store), ["another", "running"]);
        drop(running);
        store.abandon_run("another").unwrap();
        store.abandon_run("another").unwrap();
        assert_eq!(ids(&store), ["running"]);
    }

    #[test]
    fn a_key_that_was_cut_off_does_not_count_and_is_written_over() {
        let (_folder, store) = store();
        let (a, b) = (action(&store, "a"), action(&store, "b"));
        let run = store.open_run("r", "s", at(1)).unwrap();
        run.append(&a).unwrap();
        drop(run);
        let path = store.run_path("r");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], b"0123abc"].concat()).unwrap();
        assert_eq!(store.runs().unwrap()[0].keys, [a]);
        store.open_run("r", "s", at(1)).unwrap().append(&b).unwrap();
        assert_eq!(store.runs().unwrap()[0].keys, [a, b]);
    }

    #[test]
    fn opening_a_run_that_is_being_looked_at_waits() {
        let (_folder, store) = store();
        drop(store.open_run("r", "s", at(1)).unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| (0..200).for_each(|_| drop(store.runs().unwrap())));
            scope.spawn(|| (0..20).for_each(|_| drop(store.open_run("r", "s", at(1)).unwrap())));
        });
    }
}
