//! Promises: objects that are not here but at a remote, from which they are fetched when they are needed.
//!
//! A promise is a small file that names the remote. A result counts if the files that it lacks are promised. Nothing is lost with a
//! promise: without it the result does not count, and is looked for or made again. So promises are not synced.

use std::collections::BTreeSet;

use crate::{
    Digest, Store, Tree,
    disk::{self, Existing, Found},
    error::{Result, StoreError},
    layout::PROMISES,
};

/// A file that is not here but at a remote.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PromisedFile {
    /// The object with the file's bytes.
    pub digest: Digest,
    /// The length of the file in bytes.
    pub size: u64,
    /// The path of the file within its tree.
    pub path: String,
    /// The name of the remote.
    pub remote: String,
}

impl Store {
    /// Notes that objects are at the remote of this name. Those that are promised already are promised by this one then.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn promise<'a>(&self, objects: impl IntoIterator<Item = &'a Digest>, remote: &str) -> Result<()> {
        for object in objects {
            let draft = self.draft()?;
            draft.write(format!("{remote}\n").as_bytes())?;
            draft.name(&self.promise_path(object), Existing::Replace)?;
        }
        Ok(())
    }

    /// Returns the name of the remote that is said to have an object, if one is. The object may be here, too.
    ///
    /// # Errors
    /// If a file cannot be read for a reason that is not damage: a damaged promise is none.
    pub fn promised(&self, object: &Digest) -> Result<Option<String>> {
        let Found::Sound(bytes) = disk::read(&self.promise_path(object))? else { return Ok(None) };
        let name = String::from_utf8(bytes).ok().and_then(|text| text.strip_suffix('\n').map(str::to_owned));
        Ok(name.filter(|name| !name.is_empty() && !name.contains(char::is_control)))
    }

    /// Forgets where an object is: it is here now, or the remote does not have it.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn forget_promise(&self, object: &Digest) -> Result<()> {
        disk::remove(&self.promise_path(object)).map(drop)
    }

    /// Returns whether there are any promises.
    ///
    /// # Errors
    /// If a folder cannot be listed.
    pub fn has_promises(&self) -> Result<bool> {
        for shard in disk::list(&self.dir(PROMISES))? {
            if shard.is_dir && !disk::list(&shard.path)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the files of a tree that are not here but promised, each object once.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if something else is in the place of an object. Also if a file cannot be looked at.
    pub fn promised_files(&self, tree: &Tree) -> Result<Vec<PromisedFile>> {
        let (mut promised, mut seen) = (Vec::new(), BTreeSet::new());
        for (path, file) in &tree.files {
            if seen.insert(file.digest)
                && !self.contains(&file.digest)?
                && let Some(remote) = self.promised(&file.digest)?
            {
                promised.push(PromisedFile { digest: file.digest, size: file.size, path: path.clone(), remote });
            }
        }
        Ok(promised)
    }

    /// Returns the error for an object that is not here.
    pub(crate) fn absent(&self, name: &Digest) -> StoreError {
        match self.promised(name) {
            Ok(Some(remote)) => StoreError::Promised { name: *name, remote },
            Ok(None) => StoreError::Missing(*name),
            Err(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        time::{Duration, SystemTime},
    };

    use serde_json::Value;

    use super::*;
    use crate::{
        ActionResult, ObjectSource,
        testing::{action, age_all, files, no_manifest, store},
    };

    /// Returns a store with a result whose file `large` is only promised, and that file's object.
    fn promising() -> (tempfile::TempDir, Store, crate::ActionKey, Digest) {
        let (folder, store) = store();
        let key = action(&store, "a");
        let outputs = files(&[("large", "weights"), ("small", "score")]);
        store.put(b"score").unwrap();
        let tree = Tree::of(&outputs).unwrap();
        let name = store.put(&tree.to_bytes()).unwrap();
        let large = tree.files["large"].digest;
        assert!(matches!(store.commit(&key, &ActionResult::Tree(name), &Value::Null), Err(StoreError::Missing(_))));
        store.promise([&large], "lab").unwrap();
        store.commit(&key, &ActionResult::Tree(name), &Value::Null).unwrap();
        (folder, store, key, large)
    }

    #[test]
    fn a_result_counts_if_what_it_lacks_is_promised() {
        let (folder, store, key, large) = promising();
        let Some(ActionResult::Tree(name)) = store.result(&key).unwrap() else { panic!("it counts") };
        let tree = store.tree(&name).unwrap();
        let promised = store.promised_files(&tree).unwrap();
        let expected = PromisedFile { digest: large, size: 7, path: "large".to_owned(), remote: "lab".to_owned() };
        assert_eq!(promised, [expected]);
        assert!(!store.contains(&large).unwrap() && store.stored(&large).unwrap().is_none());
        // All ways to read it say where it is.
        let out = folder.path().join("out");
        let errors = [
            store.read(&large).err().unwrap(),
            store.open_stored(&large).err().unwrap(),
            store.lay(&large, &out, false).err().unwrap(),
        ];
        for error in errors {
            assert!(matches!(&error, StoreError::Promised { remote, .. } if remote == "lab"), "{error}");
            assert!(error.is_absent() && !error.is_damage());
        }
        store.drop_dead_result(&key).unwrap();
        store.forget_promise(&large).unwrap();
        assert_eq!(store.result(&key).unwrap(), None);
        assert!(matches!(store.read(&large), Err(StoreError::Missing(_))));
        store.put(b"weights").unwrap();
        assert!(store.result(&key).unwrap().is_some(), "it was not dead");
        store.promise([&large], "lab").unwrap();
        fs::remove_file(store.object_path(&large, crate::encoding::Encoding::Raw)).unwrap();
        store.forget_promise(&large).unwrap();
        store.drop_dead_result(&key).unwrap();
        assert_eq!(store.record(&key).unwrap(), None);
    }

    #[test]
    fn a_promise_that_cannot_be_read_is_none() {
        let (_folder, store, key, large) = promising();
        let path = store.promise_path(&large);
        for wrong in ["", "lab", "\n", "l\0b\n"] {
            fs::remove_file(&path).unwrap();
            fs::write(&path, wrong).unwrap();
            assert_eq!(store.promised(&large).unwrap(), None, "{wrong:?}");
            assert_eq!(store.result(&key).unwrap(), None);
            assert_eq!(store.verify(&no_manifest, &mut |_, _| ()).unwrap().missing.len(), 1);
        }
        assert!(store.has_promises().unwrap());
        store.promise([&large], "other").unwrap();
        assert_eq!(store.promised(&large).unwrap().as_deref(), Some("other"));
        store.forget_promise(&large).unwrap();
        assert!(!store.has_promises().unwrap());
    }

    #[test]
    fn a_collection_keeps_the_promises_of_live_results_alone() {
        let (_folder, store, key, large) = promising();
        let (here, unneeded) = (store.put(b"here").unwrap(), Digest::of(b"unneeded"));
        store.promise([&here, &unneeded], "lab").unwrap();
        age_all(store.root(), 1000);
        let collect = |live: bool| {
            let mut roots = store.gc_roots().unwrap();
            roots.objects.insert(here);
            roots.actions.extend(live.then_some(key));
            let plan = store.gc_plan(&roots, SystemTime::now(), Duration::from_secs(10)).unwrap();
            store.sweep(&plan).unwrap();
            [large, here, unneeded].map(|object| store.promised(&object).unwrap().is_some())
        };
        assert_eq!(collect(true), [true, false, false]);
        assert!(store.result(&key).unwrap().is_some());
        // One that a run begins to use after the plan was made stays, as objects do.
        let roots = store.gc_roots().unwrap();
        let plan = store.gc_plan(&roots, SystemTime::now(), Duration::from_secs(10)).unwrap();
        let run = store.open_run("r", "s", SystemTime::now()).unwrap();
        run.append(&key).unwrap();
        store.sweep(&plan).unwrap();
        assert!(store.result(&key).unwrap().is_some());
        run.finish().unwrap();
        assert_eq!(collect(false), [false; 3]);
        assert_eq!(store.result(&key).unwrap(), None);
    }

    #[test]
    fn what_is_promised_is_neither_missing_nor_foreign_and_outlives_a_repair() {
        let (_folder, store, key, large) = promising();
        let report = store.verify(&no_manifest, &mut |_, _| ()).unwrap();
        assert!(report.is_clean() && report.foreign.is_empty(), "{report:?}");
        let promised: Vec<_> =
            report.promised.iter().map(|file| (file.name, file.remote.as_str(), file.size)).collect();
        assert_eq!(promised, [(large, "lab", 7)]);
        store.repair(&report, &no_manifest, SystemTime::now()).unwrap();
        assert!(store.result(&key).unwrap().is_some());
        assert_eq!(store.usage().unwrap().promises.count, 1);
        store.put(b"weights").unwrap();
        assert_eq!(store.verify(&no_manifest, &mut |_, _| ()).unwrap().promised, []);
        // Something else in the place of a promise is damage.
        let path = store.promise_path(&large);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let report = store.verify(&no_manifest, &mut |_, _| ()).unwrap();
        assert_eq!(report.unreadable.len(), 1);
    }
}
