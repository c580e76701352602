//! Runs: logs of action keys, which protect what a run produces from collection until a study names it.
//!
//! The first line of a log is sealed and says what is run. Each further line names an action, or an object that a repair keeps, and
//! ends with the first 16 digits of its own digest. Lines are appended, so a process that is killed may leave half a line at the end.
//! That is not damage; anything else that does not check is.

use std::{
    collections::BTreeSet,
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{
    ActionKey, Digest, Store,
    disk::{self, Entry, Existing, Found, Handle, Lock},
    error::{At, FORMAT, Result, StoreError},
    layout::REFS,
    names::{check_name, damaged},
    refs::unix_seconds,
    sealed,
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

/// The keys in the log of a run, which may not be durable yet. See [`Ending::log`](crate::Ending::log).
#[derive(Debug, Clone)]
pub struct LoggedKeys(pub(crate) Arc<Handle>);

impl LoggedKeys {
    /// Makes them durable.
    ///
    /// # Errors
    /// If the log cannot be synced.
    pub fn sync(&self) -> Result<()> {
        self.0.sync()
    }
}

struct Log {
    file: Arc<Handle>,
    path: PathBuf,
    keys: BTreeSet<ActionKey>,
    /// The length of the complete lines in bytes.
    length: u64,
    /// Whether a line may be incomplete, because writing it failed.
    torn: bool,
}

/// A run that is not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLog {
    /// The run's id.
    pub id: String,
    /// The name of the study that it computes. Empty for what a repair keeps.
    pub study_name: String,
    /// When it was opened first, in whole seconds, by the clock of the machine. It is only shown.
    pub started: SystemTime,
    /// The keys of its actions so far, in the order in which they were appended.
    pub keys: Vec<ActionKey>,
    /// Other objects that it keeps: the record of its pipeline, or what a damaged record may have named.
    pub objects: Vec<Digest>,
    /// Whether a process has the run open.
    pub running: bool,
}

/// The first line of a log, sealed. In format 1 it was not.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    started: u64,
    study: String,
}

/// A further line of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Action(ActionKey),
    Object(Digest),
}

/// What a log holds.
struct Lines {
    header: Header,
    lines: Vec<Line>,
    /// The length of the complete lines in bytes.
    length: u64,
    /// Whether only the line feed of the last line is missing.
    unfinished: bool,
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
        check_name(id)?;
        let path = self.run_path(id);
        let _no_sweep = self.hold_off_sweeps()?;
        self.upgrade()?;
        self.keep_reserve();
        loop {
            let log = if let Some(file) = disk::open_log(&path)?.record(&path)? {
                self.reopen(id, file, path.clone())?
            } else {
                self.new_log(id, study_name, now, &[])?
            };
            if let Some(log) = log {
                let (id, study_name) = (id.to_owned(), study_name.to_owned());
                return Ok(Run { store: self.clone(), id, study_name, log: Mutex::new(log) });
            }
        }
    }

    /// Makes the log of a run, unless there is one.
    fn new_log(&self, id: &str, study_name: &str, now: SystemTime, lines: &[Line]) -> Result<Option<Log>> {
        let path = self.run_path(id);
        let header = Header { format: FORMAT, started: unix_seconds(now), study: study_name.to_owned() };
        let text = sealed::seal(&header) + "\n" + &lines.iter().map(Line::render).collect::<String>();
        let draft = self.draft_of(self.0.access.appended)?;
        draft.write(text.as_bytes())?;
        // Lock it before it has its name, so that no process finds it unlocked.
        draft.file().try_lock(Lock::Exclusive)?;
        let (length, keys) = (text.len() as u64, BTreeSet::new());
        Ok(draft.publish(&path, Existing::Keep)?.map(|file| Log {
            file: Arc::new(file),
            path,
            keys,
            length,
            torn: false,
        }))
    }

    /// Takes over the log of an unfinished run, unless it has been removed meanwhile.
    fn reopen(&self, id: &str, file: Handle, path: PathBuf) -> Result<Option<Log>> {
        take(id, &file)?;
        if !file.has_its_name()? {
            return Ok(None);
        }
        let bytes = disk::read(&path)?.record(&path)?.unwrap_or_default();
        let Lines { lines, length, unfinished, .. } = parse(&bytes).map_err(|reason| damaged(&path, &reason))?;
        if length < bytes.len() as u64 {
            file.truncate(length)?;
        }
        let keys = lines.iter().filter_map(Line::key).collect();
        let mut log = Log { file: Arc::new(file), path, keys, length, torn: false };
        if let Some(line) = lines.last().filter(|_| unfinished) {
            log.append(*line)?;
        }
        Ok(Some(log))
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

    /// Returns the runs that are not finished and whose logs can be read, sorted by id. A log that cannot be read is passed over with a
    /// warning.
    ///
    /// # Errors
    /// If the logs cannot be listed.
    pub fn readable_runs(&self) -> Result<Vec<RunLog>> {
        let mut runs = Vec::new();
        for entry in self.run_entries()? {
            match self.read_run(&entry.name) {
                Ok(run) => runs.extend(run),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the log of an unfinished run is passed over");
                }
            }
        }
        Ok(runs)
    }

    /// Removes the log of an unfinished run, if there is one. What the run produced can be collected after the grace period.
    ///
    /// # Errors
    /// [`StoreError::Name`] if the id cannot be a file name, [`StoreError::RunIsOpen`] if a process has the run open. Also if the log
    /// cannot be removed.
    pub fn abandon_run(&self, id: &str) -> Result<()> {
        check_name(id)?;
        let path = self.run_path(id);
        let Some(file) = disk::open(&path)?.record(&path)? else { return Ok(()) };
        take(id, &file)?;
        if file.has_its_name()? {
            disk::remove(&path)?;
        }
        // A run that was killed could not remove what it said of itself.
        self.end_live(id)
    }

    /// Removes the logs of the unfinished runs of a study, because a study names what they produced. A log that is damaged, or that
    /// this user may not read or remove, stays with a warning.
    ///
    /// # Errors
    /// If the logs cannot be listed.
    pub fn abandon_runs_of(&self, study_name: &str) -> Result<()> {
        for entry in self.run_entries()? {
            let abandoned = self.read_run(&entry.name).and_then(|run| match run {
                Some(run) if !run.running && run.study_name == study_name => self.abandon_run(&run.id),
                _ => Ok(()),
            });
            match abandoned {
                Ok(()) | Err(StoreError::RunIsOpen(_)) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the log of an unfinished run is passed over");
                }
            }
        }
        Ok(())
    }

    /// Keeps results and objects from being collected until the run `id`, which this makes, is abandoned.
    pub(crate) fn keep(&self, id: &str, keys: &[ActionKey], objects: &BTreeSet<Digest>, now: SystemTime) -> Result<()> {
        let lines: Vec<_> =
            keys.iter().copied().map(Line::Action).chain(objects.iter().copied().map(Line::Object)).collect();
        self.upgrade()?;
        self.new_log(id, "", now, &lines).map(drop)
    }

    pub(crate) fn run_path(&self, id: &str) -> PathBuf {
        self.dir(REFS).join("runs").join(id)
    }

    pub(crate) fn run_entries(&self) -> Result<Vec<Entry>> {
        disk::list(&self.dir(REFS).join("runs"))
    }

    pub(crate) fn read_run(&self, id: &str) -> Result<Option<RunLog>> {
        let path = self.run_path(id);
        // Look at the lock before the keys. A run that ends in between then counts as running, which keeps more.
        let Some(file) = disk::open(&path)?.record(&path)? else { return Ok(None) };
        let running = !file.try_lock(Lock::Shared)?;
        drop(file);
        let Some(bytes) = disk::read(&path)?.record(&path)? else { return Ok(None) };
        let Lines { header, lines, .. } = parse(&bytes).map_err(|reason| damaged(&path, &reason))?;
        Ok(Some(RunLog {
            id: id.to_owned(),
            study_name: header.study,
            started: SystemTime::UNIX_EPOCH + Duration::from_secs(header.started.min(u64::from(u32::MAX))),
            keys: lines.iter().filter_map(Line::key).collect(),
            objects: lines.iter().filter_map(Line::object).collect(),
            running,
        }))
    }

    /// Returns the objects in the lines of a damaged log that are sound.
    pub(crate) fn salvage_run(&self, id: &str) -> Result<Vec<Digest>> {
        let Found::Sound(bytes) = disk::read(&self.run_path(id))? else { return Ok(Vec::new()) };
        let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| Line::parse(line).ok());
        Ok(lines.filter_map(|line| line.object()).collect())
    }
}

impl Line {
    const OBJECT: &str = "object ";

    fn key(&self) -> Option<ActionKey> {
        if let Self::Action(key) = self { Some(*key) } else { None }
    }

    fn object(&self) -> Option<Digest> {
        if let Self::Object(name) = self { Some(*name) } else { None }
    }

    fn render(&self) -> String {
        let text = match self {
            Self::Action(key) => key.to_string(),
            Self::Object(name) => format!("{}{name}", Self::OBJECT),
        };
        let check = &Digest::of(text.as_bytes()).to_string()[..CHECK];
        format!("{text} {check}\n")
    }

    fn parse(line: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
        let (text, check) = text.rsplit_once(' ').ok_or("it has no checksum")?;
        if check.len() != CHECK || !Digest::of(text.as_bytes()).to_string().starts_with(check) {
            return Err("its checksum is wrong".to_owned());
        }
        match text.strip_prefix(Self::OBJECT) {
            Some(name) => name.parse().map(Self::Object).map_err(|error| error.to_string()),
            None => text.parse().map(Self::Action).map_err(|error| error.to_string()),
        }
    }
}

/// The number of digits of a line's digest at its end.
const CHECK: usize = 16;
/// The length of the longest line, with its line feed.
const LONGEST: usize = Line::OBJECT.len() + 64 + 1 + CHECK + 1;

/// Reads a log.
///
/// # Errors
/// Says what is wrong with it. A last line that was cut off, or that a loss of power left as zeros, is ignored.
fn parse(bytes: &[u8]) -> Result<Lines, String> {
    let length = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let (whole, tail) = bytes.split_at(length);
    let whole =
        whole.strip_suffix(b"\n").ok_or(if bytes.is_empty() { "it is empty" } else { "it has no first line" })?;
    let mut lines = whole.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let old: Option<Header> = serde_json::from_slice(first).ok().filter(|header: &Header| header.format == 1);
    let is_old = old.is_some();
    let header = old.map_or_else(|| sealed::open(first).map_err(|reason| format!("its first line: {reason}")), Ok)?;
    if !is_old && header.format != FORMAT {
        return Err(format!("format {} is not {FORMAT}", header.format));
    }
    let parse_line = |line: &[u8]| match (is_old, std::str::from_utf8(line).ok().and_then(|text| text.parse().ok())) {
        (true, Some(key)) => Ok(Line::Action(key)),
        _ => Line::parse(line),
    };
    let numbered =
        lines.enumerate().map(|(i, line)| parse_line(line).map_err(|reason| format!("line {}: {reason}", i + 2)));
    let mut lines: Vec<_> = numbered.collect::<Result<_, _>>()?;
    let unfinished = parse_line(tail).map(|line| lines.push(line)).is_ok();
    if !unfinished && !is_torn(tail) {
        return Err("its last line is damaged".to_owned());
    }
    Ok(Lines { header, lines, length: length as u64, unfinished })
}

/// Returns whether bytes are the beginning of a line, perhaps followed by zeros.
fn is_torn(tail: &[u8]) -> bool {
    let begun = tail.iter().position(|byte| *byte == 0).unwrap_or(tail.len());
    let (begun, zeros) = tail.split_at(begun);
    let plain =
        begun.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b' ' || Line::OBJECT.as_bytes().contains(byte));
    plain && zeros.iter().all(|byte| *byte == 0) && begun.len() < LONGEST - Line::OBJECT.len() - 1
}

/// Takes the lock of a run's log. Waits a little, because another process may hold it for a moment to look at the run.
fn take(id: &str, file: &Handle) -> Result<()> {
    for _ in 0..TRIES {
        if file.try_lock(Lock::Exclusive)? {
            return Ok(());
        }
        std::thread::sleep(BETWEEN_TRIES);
    }
    Err(StoreError::RunIsOpen(id.to_owned()))
}

impl Log {
    fn append(&mut self, line: Line) -> Result<()> {
        if self.torn {
            self.file.truncate(self.length)?;
        }
        let text = line.render();
        self.torn = true;
        (&*self.file).write_all(text.as_bytes()).at("append to", &self.path)?;
        self.torn = false;
        self.length += text.len() as u64;
        Ok(())
    }
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
        let _no_sweep = self.store.hold_off_sweeps()?;
        log.append(Line::Action(*key))?;
        log.keys.insert(*key);
        Ok(())
    }

    /// Keeps an object from being collected until the run is finished.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn keep(&self, object: &Digest) -> Result<()> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let _no_sweep = self.store.hold_off_sweeps()?;
        log.append(Line::Object(*object))
    }

    /// Makes what was appended so far durable, so that a loss of power does not leave results that nothing names.
    ///
    /// # Errors
    /// If the log cannot be synced.
    pub fn sync(&self) -> Result<()> {
        self.so_far().sync()
    }

    /// Returns what was appended so far, to be made durable with the first result that it is about.
    pub fn so_far(&self) -> LoggedKeys {
        LoggedKeys(self.log.lock().unwrap_or_else(PoisonError::into_inner).file.clone())
    }

    /// Ends the run, because a study now names what it produced. Also removes the unfinished runs of the same study.
    ///
    /// # Errors
    /// If the log cannot be removed, or the logs cannot be listed.
    pub fn finish(self) -> Result<()> {
        let _no_sweep = self.store.hold_off_sweeps()?;
        let log = self.log.into_inner().unwrap_or_else(PoisonError::into_inner);
        disk::remove(&log.path)?;
        drop(log);
        self.store.abandon_runs_of(&self.study_name)
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
            objects: vec![],
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
