//! Finds out what a server can do, by doing it.

use pipe_store::Digest;

use crate::{
    bucket::Bucket,
    error::{RemoteError, Result},
    format::check_format,
    layout,
};

/// What a remote can do.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Probe {
    /// Whether it has been read. It has if this exists.
    pub reads: bool,
    /// Whether its studies can be listed.
    pub lists: bool,
    /// Whether it can be written to.
    pub writes: bool,
    /// Whether the server can create a file only if there is none. `None` if it cannot be written to.
    pub conditional: Option<bool>,
    /// Why it cannot be written to, if it cannot.
    pub refusal: Option<String>,
}

/// Reads, lists, writes, creates a file twice, and removes what it wrote. Makes the place a remote if it is none yet.
///
/// # Errors
/// If it cannot be read, or holds something else.
pub(crate) async fn probe(bucket: &mut Bucket, unique: &str) -> Result<Probe> {
    check_format(bucket, false).await?;
    let lists = bucket.lists;
    if lists {
        bucket.list(layout::STUDIES).await?;
    }
    let mut probe = Probe { reads: true, lists, writes: false, conditional: None, refusal: None };
    if !lists {
        probe.refusal = Some("a web server is only read".to_owned());
        return Ok(probe);
    }
    let path = format!("probe/{}", Digest::of(unique.as_bytes()).short());
    let (one, two) = (b"one".to_vec(), b"two".to_vec());
    let first = match bucket.put_if_none(&path, one.clone()).await {
        Ok(first) => first,
        Err(RemoteError::Denied { reason, .. }) => {
            probe.refusal = Some(reason);
            return Ok(probe);
        }
        Err(error) => return Err(error),
    };
    let second = bucket.put_if_none(&path, two).await?;
    let read = bucket.get(&path, 16).await?;
    // Not every identity may remove files, and nothing but `remote gc` needs it.
    if let Err(error) = bucket.delete(&path).await {
        tracing::debug!(%error, "the probe stays");
    }
    if read.is_none() {
        let reason = "what was written cannot be read".to_owned();
        return Err(RemoteError::Failed { remote: bucket.name.clone(), doing: format!("read `{path}`"), reason });
    }
    probe.writes = true;
    probe.conditional = Some(first && !second && read == Some(one));
    bucket.conditional = probe.conditional == Some(true);
    check_format(bucket, true).await?;
    Ok(probe)
}
