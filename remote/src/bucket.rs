//! The requests that a remote answers, and what their errors mean.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};

use crate::{
    error::{RemoteError, Result},
    keys::Signer,
};

/// A place of files with names, and how it is asked.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The name of the remote, for messages.
    pub(crate) name: String,
    /// Whether the server can create a file only if there is none.
    pub(crate) conditional: bool,
    /// Whether it can list.
    pub(crate) lists: bool,
    /// Whose signatures are demanded. With none, results need no signature.
    pub(crate) trusted: BTreeSet<Signer>,
}

/// What came of creating a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Created {
    /// It was created.
    New,
    /// There was one with these bytes, which stays.
    Stands(Vec<u8>),
}

/// A file in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) path: String,
    pub(crate) length: u64,
    /// When it was written, in seconds since 1970, by the clock of the server.
    pub(crate) modified: u64,
}

/// How often a file is created again if the server said that there is one, and then that there is none.
const ATTEMPTS: usize = 5;

/// The most bytes of a small file, such as the result of an action.
pub(crate) const SMALL: u64 = 16 << 20;

impl Bucket {
    /// Opens a file. Returns its length and its bytes as they come, or nothing if there is none.
    pub(crate) async fn open(
        &self,
        path: &str,
    ) -> Result<Option<(u64, BoxStream<'static, object_store::Result<Bytes>>)>> {
        match self.store.get_opts(&Path::from(path), GetOptions::default()).await {
            Ok(found) => Ok(Some((found.meta.size, found.into_stream()))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error(&format!("read `{path}`"), &error)),
        }
    }

    /// Returns the bytes of a file, or nothing if there is none.
    ///
    /// # Errors
    /// [`RemoteError::Damaged`] if there are more than `limit`.
    pub(crate) async fn get(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some((_, mut stream)) = self.open(path).await? else { return Ok(None) };
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| self.error(&format!("read `{path}`"), &error))?;
            if (bytes.len() + piece.len()) as u64 > limit {
                let reason = format!("it has more than {limit} bytes");
                return Err(RemoteError::Damaged { remote: self.name.clone(), path: path.to_owned(), reason });
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes))
    }

    /// Returns the length of a file, or nothing if there is none.
    pub(crate) async fn length(&self, path: &str) -> Result<Option<u64>> {
        match self.store.head(&Path::from(path)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error(&format!("look for `{path}`"), &error)),
        }
    }

    /// Writes a file, in the place of the one that there may be.
    pub(crate) async fn put(&self, path: &str, bytes: impl Into<PutPayload>) -> Result<()> {
        let put = self.store.put(&Path::from(path), bytes.into()).await;
        put.map(drop).map_err(|error| self.error(&format!("write `{path}`"), &error))
    }

    /// Asks the server to write a file only if there is none. Returns whether it wrote it.
    pub(crate) async fn put_if_none(&self, path: &str, bytes: impl Into<PutPayload>) -> Result<bool> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&Path::from(path), bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(self.error(&format!("write `{path}`"), &error)),
        }
    }

    /// Creates a file. The one that there may be stays.
    pub(crate) async fn create(&self, path: &str, bytes: &[u8]) -> Result<Created> {
        let there = || async { Ok::<_, RemoteError>(self.get(path, SMALL).await?.map(Created::Stands)) };
        if !self.conditional {
            if let Some(stands) = there().await? {
                return Ok(stands);
            }
            self.put(path, bytes.to_vec()).await?;
            // Another one may have written at the same time. The last one stands, and both learn of it.
            return Ok(match there().await? {
                Some(Created::Stands(stands)) if stands == bytes => Created::New,
                Some(stands) => stands,
                None => Created::New,
            });
        }
        for _ in 0..ATTEMPTS {
            if self.put_if_none(path, bytes.to_vec()).await? {
                return Ok(Created::New);
            }
            // S3 also answers so when two requests met and neither wrote. So what stands is read.
            if let Some(stands) = there().await? {
                return Ok(stands);
            }
        }
        let reason = "the server says both that it exists and that it does not".to_owned();
        Err(RemoteError::Failed { remote: self.name.clone(), doing: format!("write `{path}`"), reason })
    }

    /// Returns the files whose path begins with the folder `under`, sorted by path.
    pub(crate) async fn list(&self, under: &str) -> Result<Vec<Listed>> {
        let prefix = Path::from(under);
        let listed = self.store.list(Some(&prefix)).map_ok(|found| Listed {
            path: found.location.to_string(),
            length: found.size,
            modified: found.last_modified.timestamp().try_into().unwrap_or(0),
        });
        let mut listed: Vec<_> =
            listed.try_collect().await.map_err(|error| self.error(&format!("list `{under}/`"), &error))?;
        listed.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(listed)
    }

    /// Removes a file. Does nothing if there is none.
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        match self.store.delete(&Path::from(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error(&format!("remove `{path}`"), &error)),
        }
    }

    /// Returns what an error of the server means.
    pub(crate) fn error(&self, doing: &str, error: &object_store::Error) -> RemoteError {
        use object_store::Error;
        let (remote, doing) = (self.name.clone(), doing.to_owned());
        let text = with_causes(error);
        match (error, code(&text)) {
            (_, Some(code)) if UNAUTHENTICATED.contains(&code) => {
                RemoteError::Unauthenticated { remote, reason: code.to_owned() }
            }
            (Error::Unauthenticated { .. }, code) => {
                RemoteError::Unauthenticated { remote, reason: code.unwrap_or("it asks for them").to_owned() }
            }
            (Error::PermissionDenied { .. }, code) => {
                RemoteError::Denied { remote, doing, reason: code.unwrap_or("the server refuses it").to_owned() }
            }
            _ => RemoteError::Failed { remote, doing, reason: text },
        }
    }
}

/// The codes with which servers say that they do not know a user. Some say so with the status of a missing permission.
const UNAUTHENTICATED: [&str; 8] = [
    "AuthenticationFailed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidAuthenticationInfo",
    "InvalidSecurity",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
];

/// Returns the error code in the answer of a server: `<Code>AccessDenied</Code>`.
fn code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    Some(rest.split_once("</Code>")?.0).filter(|code| code.chars().all(|c| c.is_ascii_alphanumeric()))
}

/// Returns an error with its causes, without those that it repeats.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text += &format!(": {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_in_an_answer_is_found() {
        assert_eq!(code("x <Error><Code>SignatureDoesNotMatch</Code><Message>"), Some("SignatureDoesNotMatch"));
        assert_eq!(code("<Code>a b</Code>"), None);
        assert_eq!(code("no"), None);
    }
}
