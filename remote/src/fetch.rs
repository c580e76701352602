//! Fetches the files of a study that are only promised.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use pipe_engine::study;
use pipe_store::{Digest, PromisedFile, Store};

use crate::{
    error::{RemoteError, Result},
    meter::{AT_ONCE, Meter, Progress, each},
    object::fetch_promised,
    remote::Remote,
    remotes::Remotes,
};

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fetched {
    /// The name of the study, if it has one.
    pub name: Option<String>,
    /// Its hash.
    pub study: Digest,
    /// The number of files that were fetched. For a plan, of those that would be.
    pub files: u64,
    /// Their length in bytes.
    pub bytes: u64,
    /// The names of the remotes.
    pub remotes: BTreeSet<String>,
    /// The files that a remote does not have any more, or has damaged, as text. Nothing promises them now.
    pub lost: Vec<String>,
}

/// Fetches the files that the study which `text` names lacks, each from the remote that promised it. Without `text`, those of the study
/// that was run last. If `plan`, only says what would be fetched. `watch` is called at once and then ten times a second.
///
/// # Errors
/// If there is no such study, or a remote is not known, cannot be opened or does not answer. What was fetched before stays.
pub fn fetch_study(store: &Store, text: Option<&str>, plan: bool, watch: &mut dyn FnMut(Progress)) -> Result<Fetched> {
    let open = |name: &str| {
        let remotes = Remotes::of(store)?;
        let (name, record) = remotes.find(Some(name))?;
        Remote::open(name, record)
    };
    fetch_with(store, text, plan, &open, watch)
}

pub(crate) fn fetch_with(
    store: &Store,
    text: Option<&str>,
    plan: bool,
    open: &dyn Fn(&str) -> Result<Remote>,
    watch: &mut dyn FnMut(Progress),
) -> Result<Fetched> {
    let found = study::find(store, text)?;
    let named = study::manifest(&found.study.record()).expect("a study is its own manifest");
    let mut wanted: BTreeMap<Digest, PromisedFile> = BTreeMap::new();
    for tree in named.results.values().flatten().chain(&named.trees).collect::<BTreeSet<_>>() {
        wanted.extend(store.promised_files(&store.tree(tree)?)?.into_iter().map(|file| (file.digest, file)));
    }
    let mut by_remote: BTreeMap<String, Vec<PromisedFile>> = BTreeMap::new();
    for file in wanted.into_values() {
        by_remote.entry(file.remote.clone()).or_default().push(file);
    }
    let remotes = by_remote.keys().cloned().collect();
    let mut fetched = Fetched { name: found.name, study: found.hash, files: 0, bytes: 0, remotes, lost: Vec::new() };
    let meter = Meter::default();
    for files in by_remote.values() {
        meter.expect(files.len(), files.iter().map(|file| file.size).sum());
    }
    for (name, mut files) in by_remote {
        if plan {
            fetched.files += files.len() as u64;
            fetched.bytes += files.iter().map(|file| file.size).sum::<u64>();
            continue;
        }
        let remote = open(&name)?;
        // The largest first, so that none of them is left for the end.
        files.sort_by_key(|file| (std::cmp::Reverse(file.size), file.digest));
        let (bucket, meter) = (&remote.bucket, &meter);
        let jobs = files.iter().map(|file| async move {
            let done = fetch_promised(bucket, store, file, meter).await;
            meter.add_item();
            match done {
                Ok(()) => Ok((file, None)),
                Err(error @ (RemoteError::Missing { .. } | RemoteError::Damaged { .. })) => Ok((file, Some(error))),
                Err(error) => Err(error),
            }
        });
        let jobs = stream::iter(jobs).buffer_unordered(AT_ONCE);
        remote.runtime.block_on(each(jobs, meter, watch, &mut |(file, lost): (
            &PromisedFile,
            Option<RemoteError>,
        )| {
            match lost {
                Some(error) => fetched.lost.push(error.to_string()),
                None => {
                    fetched.files += 1;
                    fetched.bytes += file.size;
                }
            }
            Ok(())
        }))?;
    }
    fetched.lost.sort();
    Ok(fetched)
}
