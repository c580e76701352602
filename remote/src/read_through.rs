//! Results of a remote while a study is run: what is not known here is looked for there, and what is made here may be sent there.
//!
//! Of a result, what a run and its views read comes at once, and large files are only promised: they come when a node reads them.
//!
//! A run never fails because of it. If a remote does not answer, that is said once, and the run goes on without it.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use pipe_engine::run::remote_results::RemoteResults;
use pipe_store::{ActionKey, ActionResult, Digest, PromisedFile, Store, Tree};
use serde_json::json;

use crate::{
    bucket::{Bucket, SMALL},
    error::{Conflict, RemoteError, Result},
    format::check_format,
    layout,
    meter::{AT_ONCE, Meter, aside},
    object::{fetch_object, fetch_promised},
    push::send_result,
    remote::Remote,
    remotes::{Record, Remotes},
    sign,
    upload::send,
};

/// How long a remote may take to answer a small question.
const PATIENCE: Duration = Duration::from_millis(4500);
/// The files of a result that are fetched at a time.
const FILES_AT_ONCE: usize = 4;

/// Files up to this length come with their result: scores, curves.
const AT_ONCE_UP_TO: u64 = 64 << 10;
/// So do records, tables and pictures up to this length, which views read.
const LOOKED_AT: [&str; 3] = [".json", ".csv", ".png"];
const LOOKED_AT_UP_TO: u64 = 16 << 20;
/// A result with more files is a folder of data. Of those only records come at once.
const MANY: usize = 1000;

/// What remotes give while a study is run: results of one that is asked, and files that any has promised.
pub struct ReadThrough {
    /// The remote that is asked for results, if one is.
    remote: Option<Remote>,
    /// Whether it answered the first question.
    is_checked: AtomicBool,
    /// Whether it is not asked any more.
    is_given_up: AtomicBool,
    fetched: AtomicU64,
    files: Mutex<Files>,
    writer: Mutex<Option<Writer>>,
}

/// Files that are promised, and the remotes that have them.
#[derive(Default)]
struct Files {
    /// The lengths of the files that were promised in this run and have not been fetched.
    promised: BTreeMap<Digest, u64>,
    /// The number of files that were fetched because a node read them, and their length in bytes.
    fetched: u64,
    fetched_bytes: u64,
    /// Other remotes than the one that is asked. `None` for one that is given up.
    others: BTreeMap<String, Option<Remote>>,
}

/// Sends results while the run goes on.
struct Writer {
    sender: mpsc::Sender<(ActionKey, Digest)>,
    thread: JoinHandle<Vec<Conflict>>,
}

/// What came from remotes in a run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Came {
    /// The remote that was asked for results, if one was.
    pub remote: Option<String>,
    /// The number of results that came from it.
    pub results: u64,
    /// The number of files that were promised and were fetched because a node read them.
    pub files: u64,
    /// Their length in bytes.
    pub bytes: u64,
    /// The number of files of the results that have stayed there.
    pub left: u64,
    /// Their length in bytes.
    pub left_bytes: u64,
}

impl ReadThrough {
    /// Opens the remote called `name`. If `write`, results that a run makes are sent to it.
    ///
    /// # Errors
    /// As for [`Remote::open`].
    pub fn open(name: &str, record: &Record, store: &Store, write: bool) -> Result<Self> {
        let writer = if write { Some(Writer::start(Remote::open(name, record)?, store.clone())) } else { None };
        Ok(Self::on(Some(Remote::open_to_ask(name, record)?), writer))
    }

    /// Returns what asks no remote for results, and only fetches files that are promised already.
    pub fn of_promises() -> Self {
        Self::on(None, None)
    }

    fn on(remote: Option<Remote>, writer: Option<Writer>) -> Self {
        Self {
            remote,
            is_checked: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
            fetched: AtomicU64::new(0),
            files: Mutex::default(),
            writer: Mutex::new(writer),
        }
    }

    /// Returns what has come so far.
    pub fn came(&self) -> Came {
        let files = self.files();
        Came {
            remote: self.remote.as_ref().map(|remote| remote.bucket.name.clone()),
            results: self.fetched.load(Ordering::Relaxed),
            files: files.fetched,
            bytes: files.fetched_bytes,
            left: files.promised.len() as u64,
            left_bytes: files.promised.values().sum(),
        }
    }

    /// Waits until everything is sent, and returns the results that stand there and differ from those that were made here.
    pub fn finish(&self) -> Vec<Conflict> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        writer.map_or_else(Vec::new, |Writer { sender, thread }| {
            drop(sender);
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch_all(&self, bucket: &Bucket, store: &Store, keys: &[ActionKey]) -> Result<()> {
        if !self.is_checked.load(Ordering::Relaxed) {
            soon(bucket, check_format(bucket, false)).await?;
            self.is_checked.store(true, Ordering::Relaxed);
        }
        let mut jobs =
            stream::iter(keys.iter().map(|key| fetch_one(bucket, store, key, &self.files))).buffer_unordered(AT_ONCE);
        while let Some(found) = jobs.next().await {
            match found {
                Ok(found) => drop(self.fetched.fetch_add(found.into(), Ordering::Relaxed)),
                Err(error @ (RemoteError::Damaged { .. } | RemoteError::Missing { .. })) => {
                    tracing::warn!("a result of the remote `{}` is not used: {error}", bucket.name);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl RemoteResults for ReadThrough {
    fn fetch(&self, store: &Store, keys: &[ActionKey]) {
        let Some(remote) = self.remote.as_ref().filter(|_| !self.is_given_up.load(Ordering::Relaxed)) else { return };
        if let Err(error) = remote.runtime.block_on(self.fetch_all(&remote.bucket, store, keys)) {
            self.is_given_up.store(true, Ordering::Relaxed);
            goes_on_without(&remote.bucket.name, &error);
        }
    }

    fn fetch_files(&self, store: &Store, files: &[PromisedFile]) {
        let mut by_remote: BTreeMap<&str, Vec<&PromisedFile>> = BTreeMap::new();
        for file in files {
            by_remote.entry(&file.remote).or_default().push(file);
        }
        for (name, files) in by_remote {
            if let Some(remote) = self.remote.as_ref().filter(|remote| remote.bucket.name == name) {
                if !self.is_given_up.load(Ordering::Relaxed)
                    && let Err(error) = fetch_promised_files(remote, store, &files)
                {
                    self.is_given_up.store(true, Ordering::Relaxed);
                    goes_on_without(name, &error);
                }
                continue;
            }
            let mut guard = self.files();
            let other = guard.others.entry(name.to_owned()).or_insert_with(|| match open_known(store, name) {
                Ok(remote) => Some(remote),
                Err(error) => {
                    goes_on_without(name, &error);
                    None
                }
            });
            if let Some(remote) = other
                && let Err(error) = fetch_promised_files(remote, store, &files)
            {
                goes_on_without(name, &error);
                *other = None;
            }
        }
        // What could not be had is made again, and is not promised any more either.
        let mut guard = self.files();
        for file in files {
            guard.promised.remove(&file.digest);
            // What the store cannot say, whoever reads the file is told.
            if store.contains(&file.digest).unwrap_or(false) {
                guard.fetched += 1;
                guard.fetched_bytes += file.size;
            }
        }
    }

    fn executed(&self, key: &ActionKey, tree: &Digest) {
        if let Some(writer) = &*self.writer.lock().unwrap_or_else(PoisonError::into_inner) {
            // If it has ended, it has said why.
            let _ = writer.sender.send((*key, *tree));
        }
    }
}

/// Waits for a small answer.
async fn soon<T>(bucket: &Bucket, answer: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| {
        let (remote, doing) = (bucket.name.clone(), "ask anything".to_owned());
        Err(RemoteError::Failed { remote, doing, reason: "it does not answer".to_owned() })
    })
}

fn goes_on_without(remote: &str, error: &RemoteError) {
    tracing::warn!("the run goes on without the remote `{remote}`: {error}");
}

/// Opens a remote of the store.
fn open_known(store: &Store, name: &str) -> Result<Remote> {
    let remotes = Remotes::of(store)?;
    let (name, record) = remotes.find(Some(name))?;
    Remote::open_to_ask(name, record)
}

/// Fetches files that a remote has promised. Says which it does not have.
///
/// # Errors
/// If it does not answer.
fn fetch_promised_files(remote: &Remote, store: &Store, files: &[&PromisedFile]) -> Result<()> {
    let meter = Meter::default();
    remote.runtime.block_on(async {
        let jobs = files.iter().map(|file| fetch_promised(&remote.bucket, store, file, &meter));
        let mut jobs = stream::iter(jobs).buffer_unordered(AT_ONCE);
        while let Some(fetched) = jobs.next().await {
            match fetched {
                Err(error @ (RemoteError::Damaged { .. } | RemoteError::Missing { .. })) => {
                    tracing::warn!("a file is made again: {error}");
                }
                fetched => fetched?,
            }
        }
        Ok(())
    })
}

/// Returns whether a file comes with its result, which has this number of files.
fn comes_at_once(path: &str, size: u64, files: usize) -> bool {
    let is_looked_at = |ends: &[&str]| size <= LOOKED_AT_UP_TO && ends.iter().any(|end| path.ends_with(end));
    if files > MANY { is_looked_at(&LOOKED_AT[..1]) } else { size <= AT_ONCE_UP_TO || is_looked_at(&LOOKED_AT) }
}

/// Fetches the result of an action, with what it names or a promise of it. Returns whether there is one.
async fn fetch_one(bucket: &Bucket, store: &Store, key: &ActionKey, all: &Mutex<Files>) -> Result<bool> {
    let path = layout::action(key);
    let Some(record) = soon(bucket, bucket.get(&path, SMALL)).await? else { return Ok(false) };
    let is_damaged = |reason| RemoteError::Damaged { remote: bucket.name.clone(), path: path.clone(), reason };
    let ActionResult::Tree(name) = ActionResult::from_record(key, &record).map_err(is_damaged)? else {
        // It fails here in the same way, and says more.
        return Ok(false);
    };
    if !soon(bucket, sign::may_use(bucket, key, &ActionResult::Tree(name))).await? {
        tracing::debug!(action = %key, "a result is not used, because nobody who is trusted has signed it");
        return Ok(false);
    }
    let meter = Meter::default();
    fetch_object(bucket, store, &name, None, "the outputs", &meter).await?;
    let Tree { files } = store.tree(&name)?;
    let (now, later): (Vec<_>, Vec<_>) =
        files.iter().partition(|(path, file)| comes_at_once(path, file.size, files.len()));
    let mut jobs = stream::iter(now)
        .map(|(path, file)| fetch_object(bucket, store, &file.digest, Some(file.size), path, &meter))
        .buffer_unordered(FILES_AT_ONCE);
    while let Some(fetched) = jobs.next().await {
        fetched?;
    }
    let mut promised = BTreeMap::new();
    for (_, file) in later {
        if !store.contains(&file.digest)? {
            promised.insert(file.digest, file.size);
        }
    }
    let (store, key) = (store.clone(), *key);
    let (remote, provenance, objects) =
        (bucket.name.clone(), json!({ "remote": bucket.name }), promised.keys().copied().collect::<Vec<_>>());
    aside(move || {
        store.promise(&objects, &remote)?;
        store.commit(&key, &ActionResult::Tree(name), &provenance)
    })
    .await?;
    all.lock().unwrap_or_else(PoisonError::into_inner).promised.extend(promised);
    Ok(true)
}

impl Writer {
    fn start(remote: Remote, store: Store) -> Self {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let (mut conflicts, mut is_dead) = (Vec::new(), false);
            for (key, tree) in receiver {
                if is_dead {
                    continue;
                }
                match remote.runtime.block_on(send_all(&remote.bucket, &store, &key, &tree)) {
                    Ok(conflict) => conflicts.extend(conflict),
                    Err(error) => {
                        is_dead = true;
                        tracing::warn!("no more results are sent to the remote `{}`: {error}", remote.bucket.name);
                    }
                }
            }
            conflicts
        });
        Self { sender, thread }
    }
}

/// Sends a result: what it names first.
async fn send_all(bucket: &Bucket, store: &Store, key: &ActionKey, tree: &Digest) -> Result<Option<Conflict>> {
    let meter = Meter::default();
    let files = store.tree(tree)?.files;
    let names = files.values().map(|file| file.digest).chain([key.0]).collect::<std::collections::BTreeSet<_>>();
    let mut jobs = stream::iter(&names).map(|name| send(bucket, store, name, false, &meter)).buffer_unordered(AT_ONCE);
    while let Some(sent) = jobs.next().await {
        sent?;
    }
    send(bucket, store, tree, false, &meter).await?;
    send_result(bucket, key, &ActionResult::Tree(*tree), &std::collections::BTreeMap::new()).await
}

#[cfg(test)]
mod tests;
