//! Helpers for the tests of this package.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::Path,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use crate::{ActionKey, ActionResult, Digest, Manifest, Store, Tree, actions, encoding::Encoding, layout::OBJECTS};

/// Returns a new store. Dropping the folder removes it.
pub(crate) fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().expect("the tests have a folder for temporary files");
    let store = Store::open(&folder.path().join("store")).expect("a store is made in an absent folder");
    (folder, store)
}

/// Returns bytes that do not compress. They are different for each length.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(length as u64).fill(&mut bytes);
    bytes
}

/// Returns output files with these paths and texts.
pub(crate) fn files(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

/// Stores an action and returns its key.
pub(crate) fn action(store: &Store, name: &str) -> ActionKey {
    ActionKey(store.put(format!("action {name}").as_bytes()).expect("the store is writable"))
}

/// Makes a file `seconds` older.
pub(crate) fn age(path: &Path, seconds: u64) {
    let file = File::open(path).expect("the file is there");
    let modified = file.metadata().and_then(|metadata| metadata.modified()).expect("a file has a time");
    file.set_modified(modified - Duration::from_secs(seconds)).expect("the file is ours");
}

/// Makes every file in a folder and its subfolders `seconds` older.
pub(crate) fn age_all(folder: &Path, seconds: u64) {
    for entry in crate::disk::list(folder).expect("the folder can be listed") {
        if entry.is_dir { age_all(&entry.path, seconds) } else { age(&entry.path, seconds) }
    }
}

/// Returns the time `seconds` after 1970 began.
pub(crate) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

impl Store {
    /// Returns the names of all objects.
    pub(crate) fn objects(&self) -> BTreeSet<Digest> {
        let files = self.list_sharded(OBJECTS).expect("the store can be listed");
        files.into_iter().filter_map(|file| file.name.map(|(name, _)| name)).collect()
    }

    /// Writes an object without the cost of making it durable.
    pub(crate) fn dummy(&self, text: &str) -> Digest {
        let digest = Digest::of(text.as_bytes());
        let path = self.object_path(&digest, Encoding::Raw);
        std::fs::create_dir_all(path.parent().expect("an object is in a shard")).expect("the store is writable");
        std::fs::write(path, text).expect("the store is writable");
        digest
    }

    /// Writes a tree and its files without the cost of making them durable.
    pub(crate) fn dummy_tree(&self, files: &BTreeMap<String, Vec<u8>>) -> Digest {
        let text = |bytes| String::from_utf8(bytes).expect("the files of these tests are text");
        for bytes in files.values() {
            self.dummy(&text(bytes.clone()));
        }
        self.dummy(&text(Tree::of(files).expect("the paths are fine").to_bytes()))
    }

    /// Writes a record without the cost of making it durable.
    pub(crate) fn dummy_record(&self, key: &ActionKey, result: &ActionResult) {
        let path = self.record_path(key);
        std::fs::create_dir_all(path.parent().expect("a record is in a shard")).expect("the store is writable");
        std::fs::write(path, actions::encode(key, result)).expect("the store is writable");
    }
}

/// Says that no object names others.
pub(crate) fn no_manifest(_: &[u8]) -> Result<Manifest, String> {
    Err("the tests of this package have no studies".to_owned())
}
