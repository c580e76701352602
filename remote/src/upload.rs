//! Sends an object, a piece at a time if it is large.

use std::io::Read;

use object_store::{MultipartUpload, ObjectStoreExt, path::Path};
use pipe_store::{Digest, Store, StoreError, StoredFile};

use crate::{
    bucket::Bucket,
    error::{RemoteError, Result},
    layout,
    meter::{Meter, aside},
};

/// The bytes of a piece. Servers take at most 10,000 pieces.
const PIECE: u64 = 8 << 20;
/// Objects up to this length are sent without asking first whether they are there: the answer would take as long.
const UNASKED: u64 = 64 << 10;

/// What came of sending an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It was sent, with this many bytes.
    New(u64),
    /// It was there already.
    Known,
}

/// Sends an object as it is stored, unless it is there. If `again`, it is sent in any case. It is verified first.
pub(crate) async fn send(bucket: &Bucket, store: &Store, digest: &Digest, again: bool, meter: &Meter) -> Result<Sent> {
    let missing = || RemoteError::from(StoreError::Missing(*digest));
    let stored = store.stored(digest)?.ok_or_else(missing)?;
    let path = layout::object(digest, stored.encoding);
    let is_small = stored.length <= UNASKED;
    if !again && !is_small && bucket.length(&path).await? == Some(stored.length) {
        meter.add_bytes(stored.length);
        return Ok(Sent::Known);
    }
    let (from, name) = (store.clone(), *digest);
    let file = aside(move || from.open_stored(&name)).await?;
    // It may have been stored again in the other encoding since.
    let (path, length) = (layout::object(digest, file.stored.encoding), file.stored.length);
    if length > PIECE {
        send_pieces(bucket, &path, file, meter).await?;
        return Ok(Sent::New(length));
    }
    let (_, bytes) = read_piece(file, length).await?;
    let bytes = bytes::Bytes::from(bytes);
    let is_new = if is_small && !again && bucket.conditional {
        bucket.put_if_none(&path, bytes).await?
    } else {
        bucket.put(&path, bytes).await?;
        true
    };
    meter.add_bytes(length);
    Ok(if is_new { Sent::New(length) } else { Sent::Known })
}

async fn send_pieces(bucket: &Bucket, path: &str, mut file: StoredFile, meter: &Meter) -> Result<()> {
    let failed = |error: &object_store::Error| bucket.error(&format!("write `{path}`"), error);
    let size = PIECE.max(file.stored.length / 9000);
    let mut upload = bucket.store.put_multipart(&Path::from(path)).await.map_err(|error| failed(&error))?;
    let mut left = file.stored.length;
    while left > 0 {
        let (rest, piece) = read_piece(file, size.min(left)).await?;
        file = rest;
        let length = piece.len() as u64;
        left = left.saturating_sub(length.max(1));
        if let Err(error) = upload.put_part(piece.into()).await {
            // What is left of it costs money on some servers. If this fails, too, their rules remove it.
            let _ = upload.abort().await;
            return Err(failed(&error));
        }
        meter.add_bytes(length);
    }
    upload.complete().await.map(drop).map_err(|error| failed(&error))
}

/// Reads `length` bytes.
async fn read_piece(mut file: StoredFile, length: u64) -> Result<(StoredFile, Vec<u8>)> {
    let read = aside(move || {
        let mut bytes = Vec::new();
        let done = (&mut file).take(length).read_to_end(&mut bytes);
        done.map(|_| (file, bytes))
    });
    read.await.map_err(|source| StoreError::Io { action: "read", path: "an object".into(), source }.into())
}
