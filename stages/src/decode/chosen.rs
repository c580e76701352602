//! What a layout chooses.

use std::collections::BTreeMap;

use super::scan::Scan;
use crate::records::Verdict;

/// The split that a publisher meant a picture for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Published {
    Train,
    Validation,
    Test,
    /// The publisher does not say. A share is for testing.
    Any,
}

/// A picture that is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// The index of its entry in the scan.
    pub(super) entry: usize,
    pub(super) class: String,
    pub(super) published: Published,
    /// The pictures of a group are in one split.
    pub(super) group: Option<String>,
    /// Its place among the pictures of its class and split.
    pub(super) order: String,
}

/// The pictures of a source that are used, and what there is to say about the others.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub(super) items: Vec<Item>,
    /// The entries of pictures that are not used, and why.
    pub(super) unused: BTreeMap<usize, String>,
    /// Folders of classes in which there is no picture.
    pub(super) empty: Vec<String>,
}

/// Returns the indices of the entries that are pictures, whether they can be read or not.
pub(super) fn pictures(scan: &Scan) -> impl Iterator<Item = usize> {
    (0..scan.entries.len())
        .filter(|entry| matches!(scan.entries[*entry].verdict, Verdict::Picture | Verdict::Unreadable))
}

/// Returns names in a sentence, at most 20.
pub(super) fn listed<'n>(names: impl Iterator<Item = &'n str> + Clone) -> String {
    let n = names.clone().count();
    let shown = names.map(|name| format!("`{}`", name.escape_debug())).take(20).collect::<Vec<_>>().join(", ");
    if n > 20 { format!("{shown} and {} more", n - 20) } else { shown }
}
