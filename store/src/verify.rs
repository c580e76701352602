//! Reads everything in a store and reports damage.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use crate::{
    ActionResult, Damage, Digest, RefKind, Store, Tally,
    checkpoints::parse_step,
    disk,
    encoding::Encoding,
    error::{Result, StoreError},
    layout::{ACTIONS, CHECKPOINTS, LOCKS, OBJECTS, PARTS, PROVENANCE, QUARANTINE, REFS, TEMPORARY},
    paths::Listed,
    verified,
};

/// What a verification has found. Paths are relative to the store's folder. Lists are sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// The objects that were hashed.
    pub objects: Tally,
    /// The number of results that were read.
    pub records: u64,
    /// The number of checkpoints that were read.
    pub checkpoints: u64,
    /// Objects whose bytes do not hash to their names. [`Store::repair`] sets them aside.
    pub damaged: Vec<DamagedObject>,
    /// Objects that do not exist although something names them. [`Store::repair`] removes what names them.
    pub missing: Vec<MissingObject>,
    /// Results, logs and checkpoints that cannot be read or used. [`Store::repair`] sets them aside.
    pub unreadable: Vec<UnreadableFile>,
    /// Files that the store did not write. They do no harm.
    pub foreign: Vec<PathBuf>,
}

/// An object whose bytes do not hash to its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DamagedObject {
    /// The object.
    pub name: Digest,
    /// Its file.
    pub path: PathBuf,
    /// What is wrong with the bytes.
    pub reason: String,
}

/// An object that does not exist although something names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct MissingObject {
    /// The object.
    pub name: Digest,
    /// The file that names it: a result, or the log of a study.
    pub named_by: PathBuf,
}

/// A file that the store wrote but cannot read or use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct UnreadableFile {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl VerifyReport {
    /// Returns whether nothing is damaged or missing. Foreign files are not damage.
    pub fn is_clean(&self) -> bool {
        self.damaged.is_empty() && self.missing.is_empty() && self.unreadable.is_empty()
    }
}

/// The folders and files in a store's folder. `partial` (interrupted downloads) and `reports` (views of studies) belong to users of the
/// store.
const TOP: [&str; 11] =
    [ACTIONS, CHECKPOINTS, "format", LOCKS, OBJECTS, "partial", PROVENANCE, QUARANTINE, REFS, "reports", TEMPORARY];

/// The file of an object.
struct ObjectFile {
    name: Digest,
    encoding: Encoding,
    path: PathBuf,
    /// In bytes, on the disk.
    length: u64,
}

/// Objects are hashed in batches, and progress is reported after each. A batch has at most this many files, and it ends with the file
/// that brings it to this many bytes.
const BATCH_FILES: usize = 1000;
const BATCH_BYTES: u64 = 256 << 20;

/// Returns the number of `files` to hash in the next batch. There must be at least one file.
fn batch_length(files: &[ObjectFile]) -> usize {
    let ends = files.iter().take(BATCH_FILES).scan(0, |bytes, file| {
        *bytes += file.length;
        Some(*bytes)
    });
    let whole = ends.take_while(|bytes| *bytes < BATCH_BYTES).count();
    (whole + 1).min(files.len()).min(BATCH_FILES)
}

impl Store {
    /// Hashes every object on all cores, reads every record, log and checkpoint, and checks that every object they name exists. Other
    /// processes may use the store meanwhile. `progress` is called with the number of bytes hashed so far and in all.
    ///
    /// # Errors
    /// If a file cannot be read. Damage is not an error; it is in the report.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        self.verify_records(&mut report)?;
        self.verify_refs(&mut report)?;
        self.verify_checkpoints(&mut report)?;
        self.verify_objects(&mut report, progress)?;
        for entry in disk::list(self.root())?.into_iter().filter(|entry| !TOP.contains(&entry.name.as_str())) {
            report.foreign.push(self.relative(&entry.path));
        }
        report.damaged.sort();
        report.missing.sort();
        report.unreadable.sort();
        report.foreign.sort();
        Ok(report)
    }

    fn verify_objects(&self, report: &mut VerifyReport, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let mut files = Vec::new();
        for Listed { path, metadata, name } in self.list_sharded(OBJECTS)? {
            match name.and_then(|(name, suffix)| Encoding::from_suffix(&suffix).map(|encoding| (name, encoding))) {
                Some((name, encoding)) => files.push(ObjectFile { name, encoding, path, length: metadata.len() }),
                None => report.foreign.push(self.relative(&path)),
            }
        }
        let total = files.iter().map(|file| file.length).sum();
        let mut done = 0;
        progress(done, total);

        let mut rest = files.as_slice();
        while !rest.is_empty() {
            let (batch, others) = rest.split_at(batch_length(rest));
            rest = others;
            let digest = |file: &ObjectFile| verified::digest_of_file(&file.path, file.encoding);
            let found: Vec<_> = batch.par_iter().with_max_len(1).map(digest).collect();
            for (file, found) in batch.iter().zip(found) {
                // A file that is gone has been collected since it was listed. That is not damage.
                let damage = found?.and_then(|found| match found {
                    Ok(found) => (found != file.name).then_some(Damage::Hash(found)),
                    Err(damage) => Some(damage),
                });
                if let Some(damage) = damage {
                    let (path, reason) = (self.relative(&file.path), damage.to_string());
                    report.damaged.push(DamagedObject { name: file.name, path, reason });
                }
                report.objects.add(file.length);
                done += file.length;
                progress(done, total);
            }
        }
        Ok(())
    }

    fn verify_records(&self, report: &mut VerifyReport) -> Result<()> {
        for record in self.list_sharded(ACTIONS)? {
            let Some(key) = record.key() else {
                report.foreign.push(self.relative(&record.path));
                continue;
            };
            let path = self.relative(&record.path);
            let Some(result) = report.readable(&path, self.record(&key))?.flatten() else { continue };
            report.records += 1;
            let mut named = vec![key.0];
            if let ActionResult::Tree(name) = result {
                named.push(name);
                // A tree that is damaged or missing is reported as an object.
                match self.tree(&name) {
                    Ok(tree) => named.extend(tree.files.values().map(|file| file.digest)),
                    Err(StoreError::Missing(_) | StoreError::Corrupt { .. }) => {}
                    Err(error) => drop(report.readable::<()>(&path, Err(error))?),
                }
            }
            for name in named {
                // If the result is gone, it was collected meanwhile together with what it names.
                if !self.contains(&name)? && disk::metadata(&record.path)?.is_some() {
                    report.missing.push(MissingObject { name, named_by: path.clone() });
                }
            }
        }
        for provenance in self.list_sharded(PROVENANCE)? {
            let path = self.relative(&provenance.path);
            match provenance.key() {
                Some(key) => drop(report.readable(&path, self.provenance(&key))?),
                None => report.foreign.push(path),
            }
        }
        Ok(())
    }

    fn verify_refs(&self, report: &mut VerifyReport) -> Result<()> {
        for kind in RefKind::ALL {
            for name in self.ref_names(kind)? {
                let path = self.relative(&self.ref_path(kind, &name));
                if let Some(reason) = self.ref_tear(kind, &name)? {
                    report.unreadable.push(UnreadableFile { path: path.clone(), reason: reason.to_owned() });
                }
                for entry in report.readable(&path, self.ref_log(kind, &name))?.unwrap_or_default() {
                    // If the value is gone, it was dropped meanwhile.
                    if !self.contains(&entry.digest)? && self.ref_log(kind, &name)?.contains(&entry) {
                        report.missing.push(MissingObject { name: entry.digest, named_by: path.clone() });
                    }
                }
            }
        }
        for entry in self.run_entries()? {
            let path = self.relative(&entry.path);
            report.readable(&path, self.read_run(&entry.name))?;
        }
        Ok(())
    }

    fn verify_checkpoints(&self, report: &mut VerifyReport) -> Result<()> {
        for entry in disk::list(&self.dir(CHECKPOINTS))? {
            let Ok(trajectory) = entry.name.parse() else {
                report.foreign.push(self.relative(&entry.path));
                continue;
            };
            let _lock = self.lock_trajectory_to_read(&trajectory)?;
            for entry in disk::list(&entry.path)?.into_iter().filter(|entry| entry.name != PARTS) {
                let path = self.relative(&entry.path);
                let Some(step) = parse_step(&entry.name) else {
                    report.foreign.push(path);
                    continue;
                };
                report.readable(&path, self.read_checkpoint(&trajectory, step))?;
                report.checkpoints += 1;
            }
        }
        Ok(())
    }
}

impl VerifyReport {
    /// Adds a damaged file to the report. Passes on errors of the disk.
    fn readable<T>(&mut self, path: &Path, read: Result<T>) -> Result<Option<T>> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error @ StoreError::Io { .. }) => Err(error),
            Err(StoreError::Record { reason, .. }) => {
                self.unreadable.push(UnreadableFile { path: path.to_owned(), reason });
                Ok(None)
            }
            Err(error) => {
                self.unreadable.push(UnreadableFile { path: path.to_owned(), reason: error.to_string() });
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde_json::json;

    use super::*;
    use crate::testing::{action, at, files, noise, store};

    /// Returns a store with a file of every kind.
    fn everything() -> (tempfile::TempDir, Store) {
        let (folder, store) = store();
        let key = action(&store, "a");
        let mut outputs = files(&[("a.txt", "one"), ("b/c.txt", "two")]);
        outputs.insert("large".to_owned(), noise(100_000));
        outputs.insert("compressed".to_owned(), vec![0; 10_000]);
        let (tree, _) = store.put_tree(&outputs).unwrap();
        store.commit(&key, &ActionResult::Tree(tree), &json!({"seconds": 1.5})).unwrap();
        let study = store.put(b"a study").unwrap();
        store.ref_append(RefKind::Studies, "shapes", &study, at(1)).unwrap();
        store.open_run("r", "shapes", at(1)).unwrap().append(&key).unwrap();
        store.save_checkpoint(&Digest::of(b"t"), 7, &files(&[("state", "s")]), 1).unwrap();
        drop(store.lock_action(&key).unwrap());
        (folder, store)
    }

    fn verify(store: &Store) -> VerifyReport {
        Store::open(store.root()).unwrap().verify(&mut |_, _| ()).unwrap()
    }

    fn replace(path: &Path, bytes: &[u8]) {
        fs::remove_file(path).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Returns every file that is not empty, which leaves out locks.
    fn all_files(folder: &Path) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for entry in disk::list(folder).unwrap() {
            if entry.is_dir { files.extend(all_files(&entry.path)) } else { files.push(entry.path) }
        }
        files.retain(|path| fs::metadata(path).unwrap().len() > 0);
        files
    }

    #[test]
    fn a_store_is_clean_and_everything_in_it_was_read() {
        let (_folder, store) = everything();
        let mut told = Vec::new();
        let report = store.verify(&mut |done, total| told.push((done, total))).unwrap();
        assert!(report.is_clean() && report.foreign.is_empty(), "{report:?}");
        assert_eq!((report.objects.count, report.records, report.checkpoints), (7, 1, 1));
        let bytes = report.objects.bytes;
        assert_eq!((told.len(), told[0], told[7]), (8, (0, bytes), (bytes, bytes)));
    }

    #[test]
    fn a_damaged_file_of_any_kind_is_reported() {
        let (_folder, store) = everything();
        let files = all_files(store.root());
        assert_eq!(files.len(), 1 + 7 + 2 + 2 + 3, "{files:?}");
        for path in files.iter().filter(|path| !path.ends_with("format")) {
            let right = fs::read(path).unwrap();
            let mut wrong = right.clone();
            let middle = if path.starts_with(store.dir(PROVENANCE)) { 0 } else { wrong.len() / 2 };
            wrong[middle] ^= 0x10;
            replace(path, &wrong);
            assert!(!verify(&store).is_clean(), "{} is damaged", path.display());
            replace(path, &right);
        }
        assert!(verify(&store).is_clean());
    }

    #[test]
    fn a_missing_file_that_something_names_is_reported() {
        let (_folder, store) = everything();
        let objects = all_files(&store.dir(OBJECTS));
        let parts = all_files(&store.dir(CHECKPOINTS).join(Digest::of(b"t").to_string()).join(PARTS));
        for path in objects.iter().chain(&parts) {
            let right = fs::read(path).unwrap();
            fs::remove_file(path).unwrap();
            assert!(!verify(&store).is_clean(), "{} is missing", path.display());
            fs::write(path, right).unwrap();
        }
    }

    #[test]
    fn what_is_damaged_can_be_set_aside_and_made_again() {
        let (_folder, store) = everything();
        let key = store.runs().unwrap()[0].keys[0];
        for path in all_files(store.root()).iter().filter(|path| !path.ends_with("format")) {
            let bytes = if path.starts_with(store.dir(PROVENANCE)) { &b"{"[..] } else { b"rot\n" };
            replace(path, bytes);
        }
        let report = verify(&store);
        assert_eq!((report.damaged.len(), report.unreadable.len()), (7, 5), "{report:?}");
        store.repair(&report).unwrap();
        let report = verify(&store);
        assert!(report.is_clean() && report.foreign.is_empty(), "{report:?}");
        assert_eq!(store.result(&key).unwrap(), None);
        assert_eq!(store.usage().unwrap().quarantine.count, 12);
    }

    #[test]
    fn a_batch_ends_with_enough_files_or_bytes() {
        let files = |lengths: &[u64]| -> Vec<ObjectFile> {
            let file =
                |&length| ObjectFile { name: Digest::of(b""), encoding: Encoding::Raw, path: PathBuf::new(), length };
            lengths.iter().map(file).collect()
        };
        for (lengths, expected) in [
            (&[0][..], 1),
            (&[1; 2500], BATCH_FILES),
            (&[1; 7], 7),
            (&[2 * BATCH_BYTES, 1], 1),
            (&[BATCH_BYTES / 2, BATCH_BYTES / 2, 1], 2),
            (&[BATCH_BYTES - 1, 7, 7], 2),
        ] {
            assert_eq!(batch_length(&files(lengths)), expected, "{} files", lengths.len());
        }
    }

    #[test]
    fn foreign_files_are_listed_and_are_not_damage() {
        let (_folder, store) = everything();
        for path in ["notes.txt", "objects/x", "objects/ab/y", "objects/zz/z", "actions/q", "checkpoints/w"] {
            fs::create_dir_all(store.root().join(path).parent().unwrap()).unwrap();
            fs::write(store.root().join(path), "").unwrap();
        }
        let report = verify(&store);
        assert!(report.is_clean());
        assert_eq!(report.foreign.len(), 6, "{:?}", report.foreign);
    }
}
