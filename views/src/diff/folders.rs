//! Folders that differ. Records name a folder by the digest of its listing, which says nothing to a person.

use std::collections::BTreeMap;

use pipe_engine::{leaves::Change, run::why::FileChanges};
use pipe_stages::records::{self, Listing, Record};
use pipe_store::{Digest, ObjectSource, Store, StoreError};

/// Returns what changed in the folders that `changes` name by the digests of their listings, by the paths of the changes. A listing
/// that is no longer in the store is left out.
///
/// # Errors
/// If a listing is damaged.
pub(super) fn in_inputs(store: &Store, changes: &[Change]) -> Result<BTreeMap<String, FileChanges>, StoreError> {
    let mut found = BTreeMap::new();
    for change in changes.iter().filter(|change| change.path.ends_with(".listing")) {
        let digests = [&change.old, &change.new].map(|value| value.as_ref()?.as_str()?.parse().ok());
        let [Some(old), Some(new)] = digests else { continue };
        found.extend(between(store, &old, &new)?.map(|files| (change.path.clone(), files)));
    }
    Ok(found)
}

/// Returns what changed in the folder whose listing is the output file `path`, or None if the file is not a listing in both studies.
///
/// # Errors
/// If a listing is damaged.
pub(super) fn in_output(
    store: &Store,
    path: &str,
    digests: [Option<Digest>; 2],
) -> Result<Option<FileChanges>, StoreError> {
    match (folder_of(path), digests) {
        (Some(_), [Some(old), Some(new)]) => between(store, &old, &new),
        _ => Ok(None),
    }
}

/// Returns the folder whose listing is the output file `path`, if it has the name of one: `""` for all outputs of a node.
pub(super) fn folder_of(path: &str) -> Option<&str> {
    let folder = path.strip_suffix(Listing::FILE)?;
    if folder.is_empty() { Some(folder) } else { folder.strip_suffix('/') }
}

fn between(store: &Store, old: &Digest, new: &Digest) -> Result<Option<FileChanges>, StoreError> {
    let read = |digest: &Digest| match store.read(digest) {
        // A program can write a file of this name that is something else.
        Ok(bytes) => Ok(records::read::<Listing>(&bytes).ok()),
        // What a study reads is kept, but a listing may be named only by its digest.
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    };
    Ok(read(old)?.zip(read(new)?).map(|(old, new)| FileChanges::of(&old, &new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_listing_is_the_one_it_is_in() {
        assert_eq!([folder_of("listing.json"), folder_of("a/b/listing.json")], [Some(""), Some("a/b")]);
        assert_eq!([folder_of("my-listing.json"), folder_of("a/listing.csv")], [None, None]);
    }
}
