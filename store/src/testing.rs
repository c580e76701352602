//! What the tests of this package share.

use std::{
    collections::BTreeMap,
    fs::File,
    path::Path,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use crate::{ActionKey, Digest, Store, objects::Encoding};

/// Returns a new store; it goes when the folder is dropped.
pub(crate) fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().expect("the tests have a folder for temporary files");
    let store = Store::open(&folder.path().join("store")).expect("a store is made in an absent folder");
    (folder, store)
}

/// Returns bytes that do not compress; those of another length are other bytes.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new_derive_key("noise").update(&length.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Returns output files.
pub(crate) fn files(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

/// Stores an action and returns its key.
pub(crate) fn action(store: &Store, name: &str) -> ActionKey {
    ActionKey(store.put(format!("action {name}").as_bytes()).expect("the store is writable"))
}

/// Makes a file older by so many seconds.
pub(crate) fn age(path: &Path, seconds: u64) {
    let file = File::open(path).expect("the file is there");
    let modified = file.metadata().and_then(|metadata| metadata.modified()).expect("a file has a time");
    file.set_modified(modified - Duration::from_secs(seconds)).expect("the file is ours");
}

/// Makes every file under a folder older by so many seconds.
pub(crate) fn age_all(folder: &Path, seconds: u64) {
    for entry in crate::disk::list(folder).expect("the folder can be listed") {
        if entry.is_dir { age_all(&entry.path, seconds) } else { age(&entry.path, seconds) }
    }
}

/// Returns seconds since the epoch as a time.
pub(crate) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

impl Store {
    /// Writes an object without the cost of making it durable.
    pub(crate) fn dummy(&self, text: &str) -> Digest {
        let digest = Digest::of(text.as_bytes());
        let path = self.object_path(&digest, Encoding::Raw);
        std::fs::create_dir_all(path.parent().expect("an object is in a shard")).expect("the store is writable");
        std::fs::write(path, text).expect("the store is writable");
        digest
    }
}
