//! Where a remote is: its URL, read and checked.

use std::{fmt, path::PathBuf};

use url::Url;

use crate::error::{RemoteError, Result};

/// Where a remote is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder.
    Folder(PathBuf),
    /// A bucket, or a part of it.
    Bucket {
        /// Who keeps it.
        cloud: Cloud,
        /// Its name. For Azure, the container.
        bucket: String,
        /// What the names of everything begin with. Empty for the whole bucket.
        prefix: String,
    },
    /// A folder of a web server, which can only be read.
    Web(Url),
}

/// Who keeps a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon S3, or a server that speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

impl Cloud {
    fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }
}

impl Place {
    /// Reads a URL: `s3://BUCKET/PREFIX`, `gs://..`, `az://CONTAINER/..`, `file:///FOLDER`, `http://..` or `https://..`.
    ///
    /// # Errors
    /// [`RemoteError::Url`] if it is not one of these, or has something in it that may be a secret.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = |url: &str, reason: &str| RemoteError::Url { url: url.to_owned(), reason: reason.to_owned() };
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(_) if !text.contains("://") => {
                return Err(refused(text, "it is not a URL, such as `s3://bucket/prefix` or `file:///mnt/share/pipe`"));
            }
            Err(error) => return Err(refused(&hidden(text), &error.to_string())),
        };
        // Checked first, and not repeated: the message may be in a log that others read.
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused(&hidden(text), "it has a name or a password in it, which belong in the environment"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refused(
                &hidden(text),
                "what follows `?` or `#` may be a secret, which belongs in the environment",
            ));
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let bucket = |cloud| {
            if host.is_empty() {
                return Err(refused(text, "it names no bucket"));
            }
            let prefix = url.path().trim_matches('/').to_owned();
            if prefix.split('/').any(|part| matches!(part, "." | "..")) || (prefix.contains("//")) {
                return Err(refused(text, "a part of its prefix is empty, `.` or `..`"));
            }
            Ok(Self::Bucket { cloud, bucket: host.clone(), prefix })
        };
        match url.scheme() {
            "s3" => bucket(Cloud::S3),
            "gs" => bucket(Cloud::Google),
            "az" => bucket(Cloud::Azure),
            "file" => match url.to_file_path() {
                Ok(path) => Ok(Self::Folder(path)),
                Err(()) => Err(refused(text, "it needs a whole path and no host: `file:///mnt/share/pipe`")),
            },
            "http" | "https" => Ok(Self::Web(url)),
            other => {
                let reason = format!("`{other}` is none of `s3`, `gs`, `az`, `file`, `http` and `https`");
                Err(refused(&hidden(text), &reason))
            }
        }
    }

    /// Returns whether nothing can be written there.
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Web(_))
    }
}

/// Returns a URL without what may be a secret: what is before an `@`, and after a `?` or `#`.
fn hidden(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://..@{rest}"),
        _ => text.to_owned(),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "file://{}", path.display()),
            Self::Bucket { cloud, bucket, prefix } if prefix.is_empty() => write!(f, "{}://{bucket}", cloud.scheme()),
            Self::Bucket { cloud, bucket, prefix } => write!(f, "{}://{bucket}/{prefix}", cloud.scheme()),
            Self::Web(url) => write!(f, "{url}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (text, shown) in [
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
            ("gs://bucket/a", "gs://bucket/a"),
            ("az://container/a", "az://container/a"),
            ("file:///mnt/share", "file:///mnt/share"),
            ("https://example.org/pipe", "https://example.org/pipe"),
        ] {
            let place = Place::parse(text).unwrap();
            assert_eq!(place.to_string(), shown);
            assert_eq!(Place::parse(shown).unwrap(), place);
            assert_eq!(place.is_read_only(), text.starts_with("http"));
        }
    }

    #[test]
    fn what_is_no_remote_is_refused() {
        for text in ["bucket", "/mnt/share", "s3:///a", "ftp://x/y", "file://host/x", "s3://b/a//x", "s3:", ""] {
            assert!(matches!(Place::parse(text), Err(RemoteError::Url { .. })), "{text}");
        }
    }

    #[test]
    fn a_secret_is_refused_and_not_repeated() {
        for text in [
            "s3://AKIA:hunter2@bucket/x",
            "s3://hunter2@bucket/x",
            "https://u:hunter2@example.org/x",
            "https://example.org/x?sig=hunter2",
            "az://c/x#hunter2",
            "ftp://u:hunter2@h/",
            "s3://u:hunter2@bad host/",
        ] {
            let error = Place::parse(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
