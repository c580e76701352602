//! `listing.json`: the files of a folder.

use pipe_store::Digest;
use serde::{Deserialize, Serialize};

use super::{Record, Version};

/// `listing.json`.
///
/// A path is relative to the folder, with `/` between its parts, in Unicode's form NFC. A byte of a name that is not UTF-8 is
/// written as `\xe9`. The fields are sorted by name, as in the record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// The folders in which there is nothing, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub empty: Vec<String>,
    /// The files, sorted by path. A link to a file of the folder is such a file.
    pub files: Vec<ListedFile>,
    /// 1.
    pub format: Version<1>,
    /// The links that were not followed, sorted: they lead out of the folder, nowhere, or to a folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// What is neither a file, a folder nor a link, sorted: pipes, sockets and devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

/// A file of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedFile {
    /// The digest of its bytes, by which it is in the store.
    pub digest: Digest,
    /// Whether it is a program. Only the files of a command say so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
    /// The path.
    pub path: String,
    /// The number of its bytes.
    pub size: u64,
}

impl Record for Listing {
    const FILE: &'static str = "listing.json";
    const FORMAT: u32 = 1;
}
