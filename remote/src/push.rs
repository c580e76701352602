//! Sends a study to a remote: first its objects, then its results, then its closure, then its name. A push that is stopped leaves only
//! objects and results that are whole, and the next one sends the rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use pipe_store::{ActionKey, ActionResult, Digest, Store, Stored};

use crate::{
    bucket::{Bucket, Created},
    closure::{Closure, Without, read_closure},
    error::{Conflict, RemoteError, Result, lacks, shown},
    format::check_format,
    gc,
    keys::SecretKey,
    layout,
    meter::{Meter, Progress, all},
    reach::Reach,
    sign,
    studies::{self, RemoteStudy},
    upload::{Sent, send},
};

/// How a study is pushed.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// What is left out.
    pub without: BTreeSet<Without>,
    /// Whether everything is sent again, in the place of what may be damaged there.
    pub again: bool,
    /// Whether nothing is sent: only what would be.
    pub plan: bool,
    /// With whose key the study and its results are signed.
    pub sign: Option<Arc<SecretKey>>,
    /// The time, in seconds since 1970. It orders the studies of a name.
    pub now: u64,
}

/// What was pushed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Pushed {
    /// The name of the study.
    pub name: String,
    /// Its hash.
    pub study: Digest,
    /// The number of objects that were sent. For a plan, the most that would be.
    pub sent: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The number of objects that were there already.
    pub known: u64,
    /// The number of results of the study that are in the remote.
    pub results: u64,
    /// What was left out.
    pub without: BTreeSet<Without>,
}

/// Sends the study `hash`, which is called `name`.
pub(crate) async fn push(
    bucket: &Bucket,
    store: &Store,
    (name, hash): (&str, &Digest),
    options: &PushOptions,
    watch: &mut dyn FnMut(Progress),
) -> Result<Pushed> {
    watch(Progress::default());
    if !bucket.lists {
        let (remote, doing) = (bucket.name.clone(), "write".to_owned());
        return Err(RemoteError::Denied { remote, doing, reason: "a web server is only read".to_owned() });
    }
    let pushed = |sent, bytes, known, results| Pushed {
        name: name.to_owned(),
        study: *hash,
        sent,
        bytes,
        known,
        results,
        without: options.without.clone(),
    };
    let there = read_closure(bucket, hash).await?;
    let latest = studies::list_of(bucket, name).await?.pop();
    if let Some(there) = &there
        && !options.again
        && there.without.is_subset(&options.without)
    {
        let results = (there.results.len() + there.failures.len()) as u64;
        if let Some(secret) = options.sign.as_deref().filter(|_| !options.plan)
            && !sign::is_signed(bucket, hash, secret.signer()).await?
        {
            let reach = Reach::of(store, name, hash, &there.without, &bucket.name)?;
            sign_all(bucket, secret, hash, &reach, watch).await?;
        }
        if !options.plan {
            name_it(bucket, name, hash, latest, options.now).await?;
        }
        return Ok(pushed(0, 0, there.objects.len() as u64, results));
    }
    check_format(bucket, !options.plan).await?;
    // A study of the same name has most of what this one needs.
    let before = match (&there, &latest) {
        (Some(_), _) | (None, None) => there,
        (None, Some(latest)) => read_closure(bucket, &latest.study).await?,
    };
    let mut reach = Reach::of(store, name, hash, &options.without, &bucket.name)?;
    add_promised(bucket, hash, &mut reach, before.as_ref()).await?;
    // What a collection may remove is sent again, so that it is newer than the mark.
    let marked = if options.plan { BTreeSet::new() } else { gc::marked_objects(bucket).await? };
    let is_marked = |digest: &Digest| paths_of(digest).iter().any(|path| marked.contains(path));
    let is_known = |digest: &Digest| {
        !options.again
            && !is_marked(digest)
            && before.as_ref().is_some_and(|before| before.objects.contains_key(digest))
    };
    let mut todo: Vec<_> = reach.objects.iter().filter(|(digest, _)| !is_known(digest)).collect();
    // The largest first, so that none of them is left for the end.
    todo.sort_by_key(|(digest, stored)| (std::cmp::Reverse(stored.length), **digest));
    let logs: Vec<_> = reach.logs.iter().filter(|(digest, _)| !is_known(digest)).collect();
    let results = new_results(&reach, before.as_ref().filter(|_| !options.again));
    let bytes = todo.iter().map(|(_, stored)| stored.length).sum::<u64>();
    let bytes = bytes + logs.iter().map(|(_, log)| log.len() as u64).sum::<u64>();
    let (n, all_objects) =
        ((todo.len() + logs.len()) as u64, (reach.objects.len() + reach.promised.len() + reach.logs.len()) as u64);
    if options.plan {
        return Ok(pushed(n, bytes, all_objects - n, reach.results.len() as u64));
    }

    let meter = Meter::default();
    meter.expect(todo.len() + logs.len() + results.len(), bytes);
    let objects = todo.into_iter().map(|(digest, _)| async {
        let sent = send(bucket, store, digest, options.again || is_marked(digest), &meter).await?;
        meter.add_item();
        Ok(sent)
    });
    let mut sent = all(objects, &meter, watch).await?;
    let logs = logs.into_iter().map(|(digest, log)| async {
        let path = layout::object(digest, pipe_store::Encoding::Raw);
        bucket.put(&path, log.clone()).await?;
        meter.add_bytes(log.len() as u64);
        meter.add_item();
        Ok(Sent::New(log.len() as u64))
    });
    sent.extend(all(logs, &meter, watch).await?);
    let (meter, nodes) = (&meter, &reach.nodes);
    let results = results.into_iter().map(|(key, result)| async move {
        let conflict = send_result(bucket, &key, result, nodes).await?;
        meter.add_item();
        Ok(conflict)
    });
    let mut found: Vec<_> = all(results, meter, watch).await?.into_iter().flatten().collect();
    if !found.is_empty() {
        found.sort_by(|a, b| a.node.cmp(&b.node));
        return Err(RemoteError::Conflicts { remote: bucket.name.clone(), found });
    }
    if let Some(secret) = &options.sign {
        sign_all(bucket, secret, hash, &reach, watch).await?;
    }
    bucket.put(&layout::closure(hash), reach.closure.to_bytes()).await?;
    name_it(bucket, name, hash, latest, options.now).await?;
    let new = sent.iter().filter_map(|sent| if let Sent::New(bytes) = sent { Some(*bytes) } else { None });
    let new: Vec<u64> = new.collect();
    Ok(pushed(new.len() as u64, new.iter().sum(), all_objects - new.len() as u64, reach.results.len() as u64))
}

/// Signs the results of a study, and then the study.
async fn sign_all(
    bucket: &Bucket,
    secret: &SecretKey,
    hash: &Digest,
    reach: &Reach,
    watch: &mut dyn FnMut(Progress),
) -> Result<()> {
    let meter = Meter::default();
    meter.expect(reach.results.len(), 0);
    let signatures = reach.results.iter().map(|(key, result)| async {
        sign::sign_result(bucket, secret, key, result).await?;
        meter.add_item();
        Ok(())
    });
    all(signatures, &meter, watch).await?;
    sign::sign_study(bucket, secret, hash).await
}

/// Adds to a closure the files that are there and not here. They are asked for, unless a study that is there has them.
///
/// # Errors
/// [`RemoteError::Missing`] if one is not there any more.
async fn add_promised(bucket: &Bucket, study: &Digest, reach: &mut Reach, before: Option<&Closure>) -> Result<()> {
    let is_known = |digest: &Digest| before.and_then(|before| before.objects.get(digest)).copied();
    let asked = reach.promised.iter().map(|digest| async move {
        if let Some(held) = is_known(digest) {
            return Ok((*digest, held));
        }
        for encoding in pipe_store::Encoding::ALL {
            if let Some(length) = bucket.length(&layout::object(digest, encoding)).await? {
                return Ok((*digest, Stored { encoding, length }.into()));
            }
        }
        Err(lacks(&bucket.name, &layout::object(digest, pipe_store::Encoding::Raw), study))
    });
    let found = all(asked, &Meter::default(), &mut |_| ()).await?;
    reach.closure.objects.extend(found);
    Ok(())
}

/// Returns the paths under which an object may be.
fn paths_of(digest: &Digest) -> [String; 2] {
    pipe_store::Encoding::ALL.map(|encoding| layout::object(digest, encoding))
}

/// Returns the results that a remote may not have.
fn new_results<'a>(reach: &'a Reach, before: Option<&Closure>) -> Vec<(ActionKey, &'a ActionResult)> {
    let is_known = |key: &ActionKey, result: &ActionResult| match (before, result) {
        (None, _) => false,
        (Some(before), ActionResult::Tree(tree)) => before.results.get(key) == Some(tree),
        (Some(before), ActionResult::Failure(failure)) => before.failures.get(key) == Some(failure),
    };
    let new = reach.results.iter().filter(|(key, result)| !is_known(key, result));
    new.map(|(key, result)| (*key, result)).collect()
}

/// Creates the record of a result. If there is another one, it stays, and is returned.
pub(crate) async fn send_result(
    bucket: &Bucket,
    key: &ActionKey,
    ours: &ActionResult,
    nodes: &BTreeMap<ActionKey, String>,
) -> Result<Option<Conflict>> {
    let bytes = ours.record(key);
    let Created::Stands(stands) = bucket.create(&layout::action(key), &bytes).await? else { return Ok(None) };
    if stands == bytes {
        return Ok(None);
    }
    let theirs = match ActionResult::from_record(key, &stands) {
        Ok(theirs) => shown(&theirs),
        Err(reason) => format!("a damaged record: {reason}"),
    };
    let node = nodes.get(key).cloned().unwrap_or_default();
    Ok(Some(Conflict { key: *key, node, ours: shown(ours), theirs }))
}

/// Names a study, unless it is the latest of its name already.
async fn name_it(bucket: &Bucket, name: &str, hash: &Digest, latest: Option<RemoteStudy>, now: u64) -> Result<()> {
    if latest.as_ref().is_some_and(|latest| latest.study == *hash) {
        return Ok(());
    }
    // The clocks of two machines may differ. What is pushed later is later.
    let at = now.max(latest.map_or(0, |latest| latest.at + 1));
    let entry = RemoteStudy { at, name: name.to_owned(), study: *hash };
    bucket.put(&layout::latest(name), entry.to_bytes()).await?;
    bucket.create(&layout::study(name, at, hash), &entry.to_bytes()).await.map(drop)
}
