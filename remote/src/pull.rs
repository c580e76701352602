//! Fetches a study from a remote: its closure, then its records, then the files that they name. Nothing has a name here before it is
//! verified, and the study is recorded last.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use futures_util::{StreamExt, stream};
use pipe_engine::study::{self, Outcome, Study};
use pipe_store::{ActionKey, ActionResult, Digest, FailureRecord, Received, RefKind, Store};
use serde_json::{Value, json};

use crate::{
    bucket::{Bucket, SMALL},
    closure::{Closure, Held, Without, read_closure},
    error::{Conflict, RemoteError, Result, damaged, lacks, shown},
    format::check_format,
    keys::Signer,
    layout,
    meter::{AT_ONCE, Meter, Progress, all, aside, each},
    sign, studies,
};

/// What was pulled.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Pulled {
    /// The name of the study.
    pub name: String,
    /// Its hash.
    pub study: Digest,
    /// The number of objects that were fetched.
    pub fetched: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The number of results of the study that are here now.
    pub results: u64,
    /// The number of results that the remote does not have as a whole. `pipe run` makes them again.
    pub left_out: u64,
    /// What was left out when it was pushed.
    pub without: BTreeSet<Without>,
}

/// An object to fetch.
#[derive(Clone, Copy)]
struct Wanted {
    digest: Digest,
    held: Held,
    /// The number of its uncompressed bytes. `None` for a record.
    size: Option<u64>,
}

/// How many received objects wait for their names, and how many of their bytes.
const WAITING: usize = 48;
const WAITING_BYTES: u64 = 32 << 20;

/// Fetches the study that `text` names, and records it.
pub(crate) async fn pull(
    bucket: &Bucket,
    store: &Store,
    text: &str,
    now: SystemTime,
    watch: &mut dyn FnMut(Progress),
) -> Result<Pulled> {
    watch(Progress::default());
    check_format(bucket, false).await?;
    let (name, hash) = studies::resolve(bucket, text).await?;
    let Some(closure) = read_closure(bucket, &hash).await? else {
        let known = Vec::new();
        return Err(RemoteError::NoStudy { remote: bucket.name.clone(), study: text.to_owned(), known });
    };
    let signer = sign::check_study(bucket, &hash).await?;
    // Until the study is recorded, a collection may not know that anything is needed.
    let _no_sweep = store.hold_off_sweeps()?;
    let puller = Puller { bucket, store, closure: &closure, hash, signer, meter: Meter::default() };
    let (mut fetched, mut bytes) = (0, 0);
    let mut fetch = async |wanted: Vec<Wanted>, watch: &mut dyn FnMut(Progress)| {
        fetched += wanted.len() as u64;
        bytes += wanted.iter().map(|wanted| wanted.held.stored().length).sum::<u64>();
        puller.fetch(wanted, watch).await
    };
    fetch(puller.records([hash])?, watch).await?;
    let study = Study::load(store, &hash)?;
    let named = study::manifest(&study.record()).expect("a study is its own manifest");
    let keys = named.results.keys().map(|key| key.0).filter(|key| closure.objects.contains_key(key));
    let trees: BTreeSet<_> = named.results.values().flatten().chain(&named.trees).copied().collect();
    fetch(puller.records(named.objects.iter().copied().chain(keys).chain(trees.iter().copied()))?, watch).await?;
    let (wanted, absent) = puller.files(&trees)?;
    fetch(wanted, watch).await?;
    puller.logs(watch).await?;

    let results = puller.results(&study, &absent)?;
    let left_out = named.results.values().flatten().count() - results.iter().filter(|(_, r)| is_tree(r)).count();
    puller.commit(&study, results.clone()).await?;
    // The name that was asked for, whatever the closure says.
    let name = name.unwrap_or_else(|| closure.name.clone());
    store.ref_append(RefKind::Studies, &name, &hash, now)?;
    Ok(Pulled {
        name,
        study: hash,
        fetched,
        bytes,
        results: results.len() as u64,
        left_out: left_out as u64,
        without: closure.without.clone(),
    })
}

fn is_tree(result: &ActionResult) -> bool {
    matches!(result, ActionResult::Tree(_))
}

struct Puller<'a> {
    bucket: &'a Bucket,
    store: &'a Store,
    closure: &'a Closure,
    hash: Digest,
    /// Who has signed the study, if that is demanded.
    signer: Option<Signer>,
    meter: Meter,
}

impl Puller<'_> {
    /// Returns those of these records that are not here.
    fn records(&self, digests: impl IntoIterator<Item = Digest>) -> Result<Vec<Wanted>> {
        let mut wanted = Vec::new();
        for digest in BTreeSet::from_iter(digests) {
            if !self.store.contains(&digest)? {
                let held = self.closure.objects.get(&digest).copied();
                let held = held.ok_or_else(|| self.lacks(&digest))?;
                wanted.push(Wanted { digest, held, size: None });
            }
        }
        Ok(wanted)
    }

    /// Returns the files of `trees` that are not here, and those that are neither here nor there, because they were left out.
    fn files(&self, trees: &BTreeSet<Digest>) -> Result<(Vec<Wanted>, BTreeSet<Digest>)> {
        let (mut wanted, mut absent) = (BTreeMap::new(), BTreeSet::new());
        for tree in trees {
            for file in self.store.tree(tree)?.files.values() {
                if wanted.contains_key(&file.digest) || self.store.contains(&file.digest)? {
                    continue;
                }
                match self.closure.objects.get(&file.digest) {
                    Some(held) => {
                        wanted.insert(file.digest, Wanted { digest: file.digest, held: *held, size: Some(file.size) });
                    }
                    None if self.closure.without.is_empty() => return Err(self.lacks(&file.digest)),
                    None => drop(absent.insert(file.digest)),
                }
            }
        }
        Ok((wanted.into_values().collect(), absent))
    }

    fn lacks(&self, digest: &Digest) -> RemoteError {
        lacks(&self.bucket.name, &format!("objects/{digest}"), &self.hash)
    }

    /// Fetches objects, verifies them, and gives them their names.
    async fn fetch(&self, mut wanted: Vec<Wanted>, watch: &mut dyn FnMut(Progress)) -> Result<()> {
        wanted.sort_by_key(|wanted| (std::cmp::Reverse(wanted.held.stored().length), wanted.digest));
        let bytes = wanted.iter().map(|wanted| wanted.held.stored().length).sum();
        self.meter.expect(wanted.len(), bytes);
        let jobs = stream::iter(wanted.iter().map(|wanted| self.fetch_one(wanted))).buffer_unordered(AT_ONCE);
        let (mut waiting, mut waiting_bytes) = (Vec::new(), 0);
        let done = each(jobs, &self.meter, watch, &mut |(received, length): (Received, u64)| {
            waiting.push(received);
            waiting_bytes += length;
            if waiting.len() >= WAITING || waiting_bytes >= WAITING_BYTES {
                waiting_bytes = 0;
                self.store.publish_received(std::mem::take(&mut waiting))?;
            }
            Ok(())
        })
        .await;
        // What has come stays, whatever happened to the others.
        self.store.publish_received(waiting)?;
        done?;
        if self.store.has_promises()? {
            wanted.iter().try_for_each(|wanted| self.store.forget_promise(&wanted.digest))?;
        }
        Ok(())
    }

    async fn fetch_one(&self, wanted: &Wanted) -> Result<(Received, u64)> {
        let Wanted { digest, held, size } = wanted;
        let encoding = held.stored().encoding;
        let path = layout::object(digest, encoding);
        let remote = &self.bucket.name;
        let opened = self.bucket.open(&path).await?;
        let (_, mut pieces) = opened.ok_or_else(|| lacks(remote, &path, &self.hash))?;
        let mut incoming = self.store.receive(digest, encoding, *size)?;
        let mut length = 0;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| self.bucket.error(&format!("read `{path}`"), &error))?;
            incoming.write(&piece)?.map_err(|found| damaged(remote, &path, &found))?;
            length += piece.len() as u64;
            self.meter.add_bytes(piece.len() as u64);
        }
        let received = aside(move || incoming.finish()).await?.map_err(|found| damaged(remote, &path, &found))?;
        self.meter.add_item();
        Ok((received, length))
    }

    /// Fetches what executions said, unless something is known of them here. Nothing depends on it.
    async fn logs(&self, watch: &mut dyn FnMut(Progress)) -> Result<()> {
        let mut wanted = Vec::new();
        for (key, digest) in &self.closure.logs {
            if self.store.log(key)?.is_none() {
                wanted.push((key, digest));
            }
        }
        self.meter.expect(wanted.len(), 0);
        let jobs = wanted.into_iter().map(|(key, digest)| async move {
            let path = layout::object(digest, pipe_store::Encoding::Raw);
            match self.bucket.get(&path, SMALL).await? {
                Some(log) if Digest::of(&log) == *digest => self.store.save_log(key, &log)?,
                Some(_) => tracing::warn!(action = %key, "a log in the remote is damaged and is left there"),
                None => {}
            }
            self.meter.add_item();
            Ok(())
        });
        all(jobs, &self.meter, watch).await.map(drop)
    }

    /// Returns the results of the study, without those that lack a file.
    fn results(&self, study: &Study, absent: &BTreeSet<Digest>) -> Result<BTreeMap<ActionKey, ActionResult>> {
        let mut results = BTreeMap::new();
        for node in study.nodes.values() {
            let Some(key) = node.key() else { continue };
            match &node.outcome {
                Outcome::Tree(tree) => {
                    if !self.store.tree(tree)?.files.values().any(|file| absent.contains(&file.digest)) {
                        results.insert(key, ActionResult::Tree(*tree));
                    }
                }
                Outcome::Failure(message) => {
                    let known = self.closure.failures.get(&key).filter(|known| known.message == *message).cloned();
                    let failure = known.unwrap_or_else(|| FailureRecord { message: message.clone(), hint: None });
                    results.insert(key, ActionResult::Failure(failure));
                }
                Outcome::Crash | Outcome::Skipped(_) => {}
            }
        }
        Ok(results)
    }

    /// Records the results. Those that stand here stay.
    ///
    /// # Errors
    /// [`RemoteError::Conflicts`] if one that stands is another. Then none was recorded.
    async fn commit(&self, study: &Study, results: BTreeMap<ActionKey, ActionResult>) -> Result<()> {
        let (mut new, mut found) = (Vec::new(), Vec::new());
        for (key, theirs) in results {
            match self.store.result(&key) {
                Ok(Some(ours)) if ours == theirs => {}
                Ok(Some(ours)) => found.push(self.conflict(study, key, &ours, &theirs)),
                Ok(None) => new.push((key, theirs)),
                // It does not count, so it is replaced.
                Err(error) if error.is_damage() => new.push((key, theirs)),
                Err(error) => return Err(error.into()),
            }
        }
        if !found.is_empty() {
            return Err(RemoteError::Conflicts { remote: self.bucket.name.clone(), found });
        }
        let jobs = new.into_iter().map(|(key, theirs)| {
            let (store, provenance) = (self.store.clone(), self.provenance(&key));
            async move {
                let result = theirs.clone();
                let stands = aside(move || store.commit(&key, &result, &provenance)).await?;
                Ok((stands != theirs).then(|| self.conflict(study, key, &stands, &theirs)))
            }
        });
        let found: Vec<_> = all(jobs, &self.meter, &mut |_| ()).await?.into_iter().flatten().collect();
        if found.is_empty() { Ok(()) } else { Err(RemoteError::Conflicts { remote: self.bucket.name.clone(), found }) }
    }

    fn conflict(&self, study: &Study, key: ActionKey, ours: &ActionResult, theirs: &ActionResult) -> Conflict {
        let node = study.nodes.iter().find(|(_, node)| node.key() == Some(key)).map(|(name, _)| name.clone());
        Conflict { key, node: node.unwrap_or_default(), ours: shown(ours), theirs: shown(theirs) }
    }

    /// Returns how a result came about, with where it came from.
    fn provenance(&self, key: &ActionKey) -> Value {
        let mut provenance = match self.closure.provenance.get(key) {
            Some(known @ Value::Object(_)) => known.clone(),
            _ => json!({}),
        };
        provenance["remote"] = json!(self.bucket.name);
        if let Some(signer) = &self.signer {
            provenance["signed_by"] = json!(signer);
        }
        provenance
    }
}
