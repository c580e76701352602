//! `inventory.json`: what became of each entry of a source of pictures.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Record, Version};

/// `inventory.json`. Its fields are sorted by name, because millions of entries are written without a tree of values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// The folders in which there is nothing that is used, and that look like those of a class.
    pub empty: Vec<String>,
    /// The number of entries, without folders.
    pub entries: usize,
    /// 1.
    pub format: Version<1>,
    /// The entries, sorted by path.
    pub list: Vec<InventoryEntry>,
    /// The number of pictures that are in no split, and why.
    pub unused: BTreeMap<String, usize>,
    /// The number of entries with each verdict. Their sum is `entries`.
    pub verdicts: BTreeMap<Verdict, usize>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// What programs leave behind, such as `.DS_Store`.
    Junk,
    /// A link that leads to no picture.
    Link,
    /// A file that is not a picture, and has no name of one.
    NotAPicture,
    /// Neither a file nor a link.
    Other,
    /// A picture that was read, or a link to one.
    Picture,
    /// A picture that cannot be read.
    Unreadable,
}

impl Verdict {
    /// Returns the verdict in words, for one and for several.
    pub fn words(self) -> [&'static str; 2] {
        match self {
            Self::Picture => ["picture", "pictures"],
            Self::NotAPicture => ["file that is not a picture", "files that are not pictures"],
            Self::Junk => ["hidden or system file", "hidden or system files"],
            Self::Unreadable => ["unreadable picture", "unreadable pictures"],
            Self::Link => ["link that leads to no picture", "links that lead to no picture"],
            Self::Other => ["pipe or socket", "pipes or sockets"],
        }
    }
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventoryEntry {
    /// The class, if it is in a split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Its index in the split, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<usize>,
    /// The path inside the source.
    pub path: String,
    /// The split, if it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// What it is.
    pub verdict: Verdict,
    /// What is wrong with it, or why a picture is in no split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Record for Inventory {
    const FILE: &'static str = "inventory.json";
    const FORMAT: u32 = 1;
}
