//! Results of a remote while a study is run: what is not known here is looked for there, and what is made here may be sent there.
//!
//! A run never fails because of it. If the remote does not answer, that is said once, and the run goes on without it.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use pipe_engine::run::remote_results::RemoteResults;
use pipe_store::{ActionKey, ActionResult, Digest, Encoding, Store, Tree};
use serde_json::json;

use crate::{
    bucket::{Bucket, SMALL},
    error::{Conflict, RemoteError, Result, damaged, lacks},
    format::check_format,
    layout,
    meter::{AT_ONCE, Meter, aside},
    push::send_result,
    remote::Remote,
    remotes::Record,
    sign,
    upload::send,
};

/// How long a remote may take to answer a small question.
const PATIENCE: Duration = Duration::from_millis(4500);
/// Files up to this length are never compressed.
const NEVER_COMPRESSED: u64 = 4 << 10;
/// The files of a result that are fetched at a time.
const FILES_AT_ONCE: usize = 4;

/// A remote that is asked for results while a study is run.
pub struct ReadThrough {
    remote: Remote,
    /// Whether it answered the first question.
    is_checked: AtomicBool,
    /// Whether it is not asked any more.
    is_given_up: AtomicBool,
    fetched: AtomicU64,
    writer: Mutex<Option<Writer>>,
}

/// Sends results while the run goes on.
struct Writer {
    sender: mpsc::Sender<(ActionKey, Digest)>,
    thread: JoinHandle<Vec<Conflict>>,
}

/// What came of asking a remote.
#[derive(Debug, Default)]
pub struct ReadThroughEnd {
    /// The number of results that came from it.
    pub fetched: u64,
    /// The results that stand there and differ from those that were made here.
    pub conflicts: Vec<Conflict>,
}

impl ReadThrough {
    /// Opens the remote called `name`. If `write`, results that a run makes are sent to it.
    ///
    /// # Errors
    /// As for [`Remote::open`].
    pub fn open(name: &str, record: &Record, store: &Store, write: bool) -> Result<Self> {
        let writer = if write { Some(Writer::start(Remote::open(name, record)?, store.clone())) } else { None };
        Ok(Self::on(Remote::open_to_ask(name, record)?, writer))
    }

    fn on(remote: Remote, writer: Option<Writer>) -> Self {
        Self {
            remote,
            is_checked: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
            fetched: AtomicU64::new(0),
            writer: Mutex::new(writer),
        }
    }

    /// Waits until everything is sent, and returns what came of it.
    pub fn finish(&self) -> ReadThroughEnd {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let conflicts = writer.map_or_else(Vec::new, |Writer { sender, thread }| {
            drop(sender);
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        ReadThroughEnd { fetched: self.fetched.load(Ordering::Relaxed), conflicts }
    }

    async fn fetch_all(&self, store: &Store, keys: &[ActionKey]) -> Result<()> {
        let bucket = &self.remote.bucket;
        if !self.is_checked.load(Ordering::Relaxed) {
            soon(bucket, check_format(bucket, false)).await?;
            self.is_checked.store(true, Ordering::Relaxed);
        }
        let mut jobs = stream::iter(keys.iter().map(|key| fetch_one(bucket, store, key))).buffer_unordered(AT_ONCE);
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
        if self.is_given_up.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.remote.runtime.block_on(self.fetch_all(store, keys)) {
            self.is_given_up.store(true, Ordering::Relaxed);
            tracing::warn!("the run goes on without the remote `{}`: {error}", self.remote.bucket.name);
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

/// Fetches the result of an action with everything that it names. Returns whether there is one.
async fn fetch_one(bucket: &Bucket, store: &Store, key: &ActionKey) -> Result<bool> {
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
    fetch_object(bucket, store, &name, None, "").await?;
    let Tree { files } = store.tree(&name)?;
    let mut jobs = stream::iter(files.iter())
        .map(|(path, file)| fetch_object(bucket, store, &file.digest, Some(file.size), path))
        .buffer_unordered(FILES_AT_ONCE);
    while let Some(fetched) = jobs.next().await {
        fetched?;
    }
    let (store, key) = (store.clone(), *key);
    let provenance = json!({ "remote": bucket.name });
    aside(move || store.commit(&key, &ActionResult::Tree(name), &provenance)).await?;
    Ok(true)
}

/// Fetches an object, unless it is here. Its encoding is not known, and is guessed from its size and its path.
async fn fetch_object(bucket: &Bucket, store: &Store, digest: &Digest, size: Option<u64>, path: &str) -> Result<()> {
    if store.contains(digest)? {
        return Ok(());
    }
    let is_raw_first = size.is_none_or(|size| size <= NEVER_COMPRESSED) || RAW.iter().any(|end| path.ends_with(end));
    let order = if is_raw_first { [Encoding::Raw, Encoding::Zstd] } else { [Encoding::Zstd, Encoding::Raw] };
    for encoding in order {
        let path = layout::object(digest, encoding);
        let Some((_, mut pieces)) = bucket.open(&path).await? else { continue };
        let mut incoming = store.receive(digest, encoding, size)?;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| bucket.error(&format!("read `{path}`"), &error))?;
            incoming.write(&piece)?.map_err(|found| damaged(&bucket.name, &path, &found))?;
        }
        let to = store.clone();
        let name = bucket.name.clone();
        return aside(move || {
            let received = incoming.finish()?.map_err(|found| damaged(&name, &path, &found))?;
            Ok(to.publish_received(vec![received])?)
        })
        .await;
    }
    Err(lacks(&bucket.name, &layout::object(digest, Encoding::Raw), digest))
}

/// What the names of files end with that do not shrink.
const RAW: [&str; 4] = [".safetensors", ".png", ".gz", ".zip"];

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
mod tests {
    use std::sync::Arc;

    use pipe_engine::study;

    use super::*;
    use crate::testing::{Watched, check_clean, copy, files, options, remote, store, study};

    /// Returns a place with a study, and the keys of its results.
    fn place() -> (Arc<Watched>, Vec<ActionKey>) {
        let (_folder, from) = store();
        study(&from, "s", 2);
        let place = Arc::new(Watched::default());
        remote(&place).push(&from, None, &options(100), &mut |_| ()).unwrap();
        let found = study::find(&from, None).unwrap().study;
        (place, found.nodes.values().filter_map(|node| node.tree().and(node.key())).collect())
    }

    /// Returns a store in which the records of the actions of [`study`] are.
    fn with_actions(keys: &[ActionKey]) -> (tempfile::TempDir, Store) {
        let (folder, store) = store();
        for name in ["data", "train/0", "train/1", "small"] {
            store.put(format!("action of {name}").as_bytes()).unwrap();
        }
        assert!(keys.iter().all(|key| store.contains(&key.0).unwrap()));
        (folder, store)
    }

    #[test]
    fn results_come_with_everything_that_they_name() {
        let (place, keys) = place();
        let (_folder, to) = with_actions(&keys);
        let through = ReadThrough::on(remote(&place), None);
        through.fetch(&to, &keys);
        assert_eq!(through.finish().fetched, 3);
        assert!(keys.iter().all(|key| to.result(key).unwrap().is_some()));
        assert_eq!(to.provenance(&keys[0]).unwrap().unwrap(), json!({ "remote": "lab" }));
        let unknown = ActionKey(to.put(b"action of another").unwrap());
        through.fetch(&to, &[unknown]);
        assert_eq!(to.result(&unknown).unwrap(), None);
    }

    #[test]
    fn a_remote_that_dies_is_asked_no_more() {
        let (whole, keys) = place();
        for dies_at in [0, 1, 4] {
            let place = Arc::new(Watched { dies_at: Some(dies_at), ..copy(&whole) });
            let (_folder, to) = with_actions(&keys);
            let through = ReadThrough::on(remote(&place), None);
            through.fetch(&to, &keys);
            let asked = place.count();
            through.fetch(&to, &keys);
            assert_eq!(place.count(), asked);
            assert!(to.verify(&study::manifest, &mut |_, _| ()).unwrap().is_clean());
        }
    }

    #[test]
    fn a_flipped_byte_is_a_miss() {
        let (whole, keys) = place();
        for (path, bytes) in files(&whole).into_iter().filter(|(path, _)| path.starts_with("objects/")) {
            let place = Arc::new(Watched { flips: Some((path, bytes.len() / 2)), ..copy(&whole) });
            let (_folder, to) = with_actions(&keys);
            let through = ReadThrough::on(remote(&place), None);
            through.fetch(&to, &keys);
            assert!(through.finish().fetched >= 1);
            assert!(to.verify(&study::manifest, &mut |_, _| ()).unwrap().is_clean());
        }
    }

    #[test]
    fn what_a_run_makes_is_sent_whole_and_another_result_is_told() {
        let (_folder, from) = store();
        study(&from, "s", 2);
        let found = study::find(&from, None).unwrap().study;
        let place = Arc::new(Watched::default());
        let through = ReadThrough::on(remote(&place), Some(Writer::start(remote(&place), from.clone())));
        for node in found.nodes.values() {
            if let (Some(key), Some(tree)) = (node.key(), node.tree()) {
                through.executed(&key, &tree);
            }
        }
        assert!(through.finish().conflicts.is_empty());
        check_clean(&place);
        assert_eq!(files(&place).keys().filter(|path| path.starts_with("actions/")).count(), 3);
        let through = ReadThrough::on(remote(&place), Some(Writer::start(remote(&place), from.clone())));
        let (key, other) = (found.nodes["data"].key().unwrap(), found.nodes["train/0"].tree().unwrap());
        through.executed(&key, &other);
        assert_eq!(through.finish().conflicts.len(), 1);
    }
}
