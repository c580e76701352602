//! The studies of a remote.

use std::collections::{BTreeMap, BTreeSet};

use pipe_store::Digest;
use serde::{Deserialize, Serialize};

use crate::{
    bucket::Bucket,
    error::{RemoteError, Result},
    layout,
};

/// A study in a remote. The fields are sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteStudy {
    /// When it was pushed, in seconds since 1970. Of two studies of a name the later one has the greater number.
    pub at: u64,
    /// Its name.
    pub name: String,
    /// Its hash.
    pub study: Digest,
}

impl RemoteStudy {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("it is plain data");
        bytes.push(b'\n');
        bytes
    }
}

/// Returns all studies, sorted by name and time.
pub(crate) async fn list(bucket: &Bucket) -> Result<Vec<RemoteStudy>> {
    list_under(bucket, layout::STUDIES).await
}

/// Returns the studies of a name, the latest last.
pub(crate) async fn list_of(bucket: &Bucket, name: &str) -> Result<Vec<RemoteStudy>> {
    list_under(bucket, &layout::studies_of(name)).await
}

async fn list_under(bucket: &Bucket, folder: &str) -> Result<Vec<RemoteStudy>> {
    if !bucket.lists {
        let (remote, doing) = (bucket.name.clone(), format!("list `{folder}/`"));
        let reason = "a web server does not list files".to_owned();
        return Err(RemoteError::Failed { remote, doing, reason });
    }
    let listed = bucket.list(folder).await?.into_iter();
    let mut studies: Vec<_> = listed.filter_map(|listed| layout::parse_study(&listed.path)).collect();
    studies.sort();
    // Several may have pushed the same study at the same time.
    studies.dedup_by(|b, a| a.0 == b.0 && a.2 == b.2);
    Ok(studies.into_iter().map(|(name, at, study)| RemoteStudy { at, name, study }).collect())
}

/// Returns the name and the hash of the study that `text` names: a name, `name~n` for the n-th before its latest, or a hash or its
/// beginning. A whole hash alone says nothing about the name.
pub(crate) async fn resolve(bucket: &Bucket, text: &str) -> Result<(Option<String>, Digest)> {
    let unknown = |known| RemoteError::NoStudy { remote: bucket.name.clone(), study: text.to_owned(), known };
    if let Ok(hash) = text.parse() {
        return Ok((None, hash));
    }
    if !bucket.lists {
        let path = layout::latest(text);
        let Some(bytes) = bucket.get(&path, 64 << 10).await? else { return Err(unknown(Vec::new())) };
        let damaged = |error: serde_json::Error| RemoteError::Damaged {
            remote: bucket.name.clone(),
            path,
            reason: error.to_string(),
        };
        let latest: RemoteStudy = serde_json::from_slice(&bytes).map_err(damaged)?;
        return Ok((Some(text.to_owned()), latest.study));
    }
    let (name, back) = match text.rsplit_once('~') {
        Some((name, back)) if !name.is_empty() => (name, back.parse().unwrap_or(usize::MAX)),
        _ => (text, 0),
    };
    if let Some(study) = list_of(bucket, name).await?.into_iter().rev().nth(back) {
        return Ok((Some(study.name), study.study));
    }
    let all = list(bucket).await?;
    let is_meant = |study: &&RemoteStudy| text.len() >= 4 && study.study.to_string().starts_with(text);
    let meant: BTreeMap<_, _> = all.iter().filter(is_meant).map(|study| (study.study, study.name.clone())).collect();
    match meant.first_key_value() {
        Some((hash, name)) if meant.len() == 1 => Ok((Some(name.clone()), *hash)),
        _ => {
            let names: BTreeSet<_> = all.into_iter().map(|study| study.name).collect();
            Err(unknown(names.into_iter().collect()))
        }
    }
}
