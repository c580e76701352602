//! Fetches an object of which only the name is known, not how a remote holds it.

use futures_util::StreamExt;
use pipe_store::{Digest, Encoding, PromisedFile, Store};

use crate::{
    bucket::Bucket,
    error::{RemoteError, Result, damaged},
    layout,
    meter::{Meter, aside},
};

/// Files up to this length are never compressed.
const NEVER_COMPRESSED: u64 = 4 << 10;

/// What the names of files end with that do not shrink.
const RAW: [&str; 4] = [".safetensors", ".png", ".gz", ".zip"];

/// Fetches an object, unless it is here, and gives it its name once it is verified. Its encoding is guessed from its size and its path.
///
/// # Errors
/// [`RemoteError::Missing`] or [`RemoteError::Damaged`] if the remote does not have it. Also if it does not answer.
pub(crate) async fn fetch_object(
    bucket: &Bucket,
    store: &Store,
    digest: &Digest,
    size: Option<u64>,
    path: &str,
    meter: &Meter,
) -> Result<()> {
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
            meter.add_bytes(piece.len() as u64);
        }
        let to = store.clone();
        let name = bucket.name.clone();
        return aside(move || {
            let received = incoming.finish()?.map_err(|found| damaged(&name, &path, &found))?;
            Ok(to.publish_received(vec![received])?)
        })
        .await;
    }
    let (path, named_by) = (layout::object(digest, Encoding::Raw), format!("`{path}` of a result"));
    Err(RemoteError::Missing { remote: bucket.name.clone(), path, named_by })
}

/// Fetches a file that this remote promised. The promise goes, unless the remote does not answer. Otherwise as for [`fetch_object`].
pub(crate) async fn fetch_promised(bucket: &Bucket, store: &Store, file: &PromisedFile, meter: &Meter) -> Result<()> {
    let fetched = fetch_object(bucket, store, &file.digest, Some(file.size), &file.path, meter).await;
    if let Ok(()) | Err(RemoteError::Missing { .. } | RemoteError::Damaged { .. }) = &fetched {
        store.forget_promise(&file.digest)?;
    }
    fetched
}
