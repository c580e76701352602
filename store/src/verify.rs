//! Reads everything in a store and reports damage.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use serde::Serialize;

use crate::{
    ActionKey, ActionResult, Digest, RefKind, Store, Tally,
    checkpoints::parse_step,
    disk::{self, DRAFT, Entry, Found},
    encoding::Encoding,
    error::{Result, StoreError},
    layout::{
        ACTIONS, CHECKPOINTS, FAILURES, JOBS, LOCAL_LOCKS, LOCKS, LOGS, OBJECTS, PARTS, PROGRESS, PROMISES, PROVENANCE,
        QUARANTINE, REFS, REMOTES, TEMPORARY, WORK,
    },
    locks::LOCK_FOLDERS,
    names::check_name,
    paths::Listed,
    reserve::RESERVE,
    store::read_format,
    verified,
    work::parse_work,
};

/// What an object that a ref names, such as the manifest of a study, names in turn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Actions, each with the tree that it gave, if it gave one.
    pub results: BTreeMap<ActionKey, Option<Digest>>,
    /// Trees, with or without an action.
    pub trees: BTreeSet<Digest>,
    /// Other objects.
    pub objects: BTreeSet<Digest>,
}

/// Returns what the object with these bytes names, or why it is not something that a ref can name. The store does not know what a
/// study is, so its caller says it.
pub type ReadManifest<'a> = &'a (dyn Fn(&[u8]) -> Result<Manifest, String> + Sync);

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
    /// Objects that are not here but at a remote. That is no damage.
    pub promised: Vec<PromisedObject>,
    /// Results, logs, checkpoints and folders that cannot be read or used. [`Store::repair`] sets them aside.
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
    /// The file that names it: a result, or the log of a study, which names it through the study.
    pub named_by: PathBuf,
}

/// An object that something names and that is not here but at a remote.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PromisedObject {
    /// The object.
    pub name: Digest,
    /// The name of the remote.
    pub remote: String,
    /// Its length in bytes.
    pub size: u64,
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
const TOP: [&str; 20] = [
    ACTIONS,
    CHECKPOINTS,
    FAILURES,
    "format",
    JOBS,
    LOCAL_LOCKS,
    LOCKS,
    LOGS,
    OBJECTS,
    "partial",
    PROGRESS,
    PROMISES,
    PROVENANCE,
    QUARANTINE,
    REFS,
    REMOTES,
    "reports",
    RESERVE,
    TEMPORARY,
    WORK,
];

/// The file of an object.
pub(crate) struct ObjectFile {
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
    /// Hashes every object on all cores, reads every record, log and checkpoint, and follows each ref through what it names to the last
    /// file. Other processes may use the store meanwhile. `progress` is called with the number of bytes hashed so far and in all.
    ///
    /// # Errors
    /// If the system refuses to read something for a reason that is not damage, such as a missing permission. Damage is not an error;
    /// it is in the report.
    pub fn verify(&self, manifest: ReadManifest<'_>, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport> {
        let (mut report, objects) = self.verify_names(manifest)?;
        self.verify_objects(&mut report, &objects, progress)?;
        report.sort();
        Ok(report)
    }

    /// Verifies everything but the bytes of the objects. Also returns the objects' files.
    pub(crate) fn verify_names(&self, manifest: ReadManifest<'_>) -> Result<(VerifyReport, Vec<ObjectFile>)> {
        let mut report = VerifyReport::default();
        if let Err(reason) = read_format(&self.format_path())? {
            report.unreadable.push(UnreadableFile { path: self.relative(&self.format_path()), reason });
        }
        self.verify_records(&mut report)?;
        self.verify_refs(&mut report, manifest)?;
        self.verify_checkpoints(&mut report)?;
        self.verify_places(&mut report)?;
        let others = self.list_or_report(&mut report, self.root())?;
        for entry in others.into_iter().filter(|entry| !TOP.contains(&entry.name.as_str())) {
            // Two processes that made the store at once may have left a draft.
            if !entry.name.starts_with(DRAFT) {
                report.foreign.push(self.relative(&entry.path));
            }
        }
        let objects = self.list_objects(&mut report)?;
        report.sort();
        Ok((report, objects))
    }

    /// Returns the files of objects. What is in the place of one is reported.
    fn list_objects(&self, report: &mut VerifyReport) -> Result<Vec<ObjectFile>> {
        let mut files = Vec::new();
        for Listed { path, length, name, damage, .. } in self.sharded_or_report(report, OBJECTS)? {
            let known = name.and_then(|(name, suffix)| Encoding::from_suffix(&suffix).map(|encoding| (name, encoding)));
            match (known, damage) {
                (Some((name, _)), Some(reason)) => {
                    report.damaged.push(DamagedObject { name, path: self.relative(&path), reason });
                }
                (Some((name, encoding)), None) => files.push(ObjectFile { name, encoding, path, length }),
                (None, _) => report.foreign.push(self.relative(&path)),
            }
        }
        Ok(files)
    }

    fn verify_objects(
        &self,
        report: &mut VerifyReport,
        files: &[ObjectFile],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<()> {
        let total = files.iter().map(|file| file.length).sum();
        let mut done = 0;
        progress(done, total);

        let mut rest = files;
        while !rest.is_empty() {
            let (batch, others) = rest.split_at(batch_length(rest));
            rest = others;
            let check = |file: &ObjectFile| verified::check_file(&file.path, file.encoding, &file.name);
            let found: Vec<_> = batch.par_iter().with_max_len(1).map(check).collect();
            for (file, found) in batch.iter().zip(found) {
                // A file that is gone has been collected since it was listed. That is not damage.
                if let Some(Err(damage)) = found? {
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
        for record in self.sharded_or_report(report, ACTIONS)? {
            let Some(key) = record.key() else {
                report.foreign.push(self.relative(&record.path));
                continue;
            };
            let path = self.relative(&record.path);
            let Some(result) = report.readable(&path, self.record(&key))?.flatten() else { continue };
            report.records += 1;
            let tree = if let ActionResult::Tree(name) = result { Some(name) } else { None };
            let stands = || disk::exists(&record.path);
            self.verify_named(report, &path, [key.0].into_iter().chain(tree), tree, &stands)?;
        }
        for provenance in self.sharded_or_report(report, PROVENANCE)? {
            let path = self.relative(&provenance.path);
            match provenance.key() {
                Some(key) => drop(report.readable(&path, self.provenance(&key))?),
                None => report.foreign.push(path),
            }
        }
        for promise in self.sharded_or_report(report, PROMISES)? {
            if promise.promised().is_none() {
                report.foreign.push(self.relative(&promise.path));
            }
        }
        // Logs are plain text, of which any bytes can be sound.
        for log in self.sharded_or_report(report, LOGS)? {
            if log.key_of_log().is_none() {
                report.foreign.push(self.relative(&log.path));
            }
        }
        Ok(())
    }

    /// Checks that what the file `path` names exists: `objects`, and the files of `trees`. `stands` tells whether the file still names
    /// them: if not, they were collected with it.
    fn verify_named(
        &self,
        report: &mut VerifyReport,
        path: &Path,
        objects: impl IntoIterator<Item = Digest>,
        trees: impl IntoIterator<Item = Digest>,
        stands: &dyn Fn() -> Result<bool>,
    ) -> Result<()> {
        let mut named: BTreeMap<Digest, Option<u64>> = objects.into_iter().map(|name| (name, None)).collect();
        for name in trees {
            match self.tree(&name) {
                Ok(tree) => named.extend(tree.files.values().map(|file| (file.digest, Some(file.size)))),
                // A tree that is damaged or missing is reported as an object.
                Err(StoreError::Missing(_) | StoreError::Corrupt { .. }) => {}
                Err(error) => drop(report.readable::<()>(path, Err(error))?),
            }
        }
        for (name, size) in named {
            let there = match self.contains(&name) {
                // What is damaged is reported when it is hashed.
                Err(error) if error.is_damage() => true,
                there => there?,
            };
            if there || !stands()? {
                continue;
            }
            // Only files are fetched when they are needed.
            if let (Some(size), Some(remote)) = (size, self.promised(&name)?) {
                report.promised.push(PromisedObject { name, remote, size });
            } else {
                report.missing.push(MissingObject { name, named_by: path.to_owned() });
            }
        }
        Ok(())
    }

    fn verify_refs(&self, report: &mut VerifyReport, manifest: ReadManifest<'_>) -> Result<()> {
        let mut walked = BTreeSet::new();
        for kind in RefKind::ALL {
            for entry in self.list_or_report(report, &self.ref_dir(kind))? {
                let path = self.relative(&entry.path);
                if check_name(&entry.name).is_err() {
                    report.foreign.push(path);
                    continue;
                }
                let log = self.ref_log(kind, &entry.name);
                for value in report.readable(&path, log)?.unwrap_or_default() {
                    let stands = || Ok(self.ref_log(kind, &entry.name)?.contains(&value));
                    self.verify_named(report, &path, [value.digest], [], &stands)?;
                    if !walked.insert(value.digest) {
                        continue;
                    }
                    let bytes = match self.read_record(&value.digest) {
                        Ok(bytes) => bytes,
                        Err(StoreError::Missing(_) | StoreError::Corrupt { .. }) => continue,
                        Err(error) if error.is_damage() => {
                            report.readable::<()>(&path, Err(error))?;
                            continue;
                        }
                        Err(error) => return Err(error),
                    };
                    // A ref may name other things than manifests. They name nothing.
                    if let Ok(Manifest { results, trees, objects }) = manifest(&bytes) {
                        let trees: BTreeSet<_> = results.values().flatten().chain(&trees).copied().collect();
                        let objects = results.keys().map(|key| key.0).chain(objects).chain(trees.clone());
                        self.verify_named(report, &path, objects, trees, &stands)?;
                    }
                }
            }
        }
        for entry in self.list_or_report(report, &self.dir(REFS).join("runs"))? {
            let path = self.relative(&entry.path);
            report.readable(&path, self.read_run(&entry.name))?;
        }
        Ok(())
    }

    fn verify_checkpoints(&self, report: &mut VerifyReport) -> Result<()> {
        for entry in self.list_or_report(report, &self.dir(CHECKPOINTS))? {
            let Ok(trajectory) = entry.name.parse() else {
                report.foreign.push(self.relative(&entry.path));
                continue;
            };
            let _lock = match self.lock_trajectory_to_read(&trajectory) {
                // It is reported with the locks.
                Err(error) if error.is_damage() => None,
                lock => lock?,
            };
            for entry in self.list_or_report(report, &entry.path)?.into_iter().filter(|entry| entry.name != PARTS) {
                let path = self.relative(&entry.path);
                let Some(step) = parse_step(&entry.name) else {
                    report.foreign.push(path);
                    continue;
                };
                report.readable(&path, self.read_checkpoint(&trajectory, step))?;
                report.checkpoints += 1;
            }
            self.list_or_report(report, &entry.path.join(PARTS))?;
        }
        Ok(())
    }

    /// Checks that locks are files, and that what must be a folder is one. What is in a working folder is the program's own.
    fn verify_places(&self, report: &mut VerifyReport) -> Result<()> {
        for entry in self.list_or_report(report, &self.dir(WORK))? {
            let path = self.relative(&entry.path);
            match parse_work(&entry.name) {
                Some(_) if entry.is_dir => {}
                Some(_) => {
                    report
                        .unreadable
                        .push(UnreadableFile { path, reason: "it is in the place of a folder".to_owned() });
                }
                None => report.foreign.push(path),
            }
        }
        for folder in [TEMPORARY, QUARANTINE, LOGS, JOBS, PROGRESS, FAILURES] {
            self.list_or_report(report, &self.dir(folder))?;
        }
        let mut folders = vec![self.dir(LOCKS)];
        while let Some(folder) = folders.pop() {
            for entry in self.list_or_report(report, &folder)? {
                let is_folder = folder == self.dir(LOCKS) && LOCK_FOLDERS.contains(&entry.name.as_str());
                match (is_folder, disk::look(&entry.path)?) {
                    (true, _) => folders.push(entry.path),
                    (false, Found::Damaged(reason)) => {
                        report.unreadable.push(UnreadableFile { path: self.relative(&entry.path), reason });
                    }
                    (false, _) => {}
                }
            }
        }
        Ok(())
    }

    /// Lists a folder. If it is damaged, that is reported and it counts as empty.
    fn list_or_report(&self, report: &mut VerifyReport, folder: &Path) -> Result<Vec<Entry>> {
        let listed = disk::list(folder);
        let path = match &listed {
            Err(StoreError::Record { path, .. }) => self.relative(path),
            _ => self.relative(folder),
        };
        Ok(report.readable(&path, listed)?.unwrap_or_default())
    }

    /// Lists a divided folder. Damaged shards are reported and count as empty. Of damaged files only those of objects are returned.
    fn sharded_or_report(&self, report: &mut VerifyReport, folder: &str) -> Result<Vec<Listed>> {
        let listed = self.list_sharded(folder);
        let listed = report.readable(Path::new(folder), listed)?.unwrap_or_default();
        let mut sound = Vec::new();
        for file in listed {
            match &file.damage {
                Some(reason) if file.name.is_none() || folder != OBJECTS => {
                    report.unreadable.push(UnreadableFile { path: self.relative(&file.path), reason: reason.clone() });
                }
                _ => sound.push(file),
            }
        }
        Ok(sound)
    }
}

impl VerifyReport {
    /// Adds a damaged file to the report. Passes on errors that are not about what is there.
    fn readable<T>(&mut self, path: &Path, read: Result<T>) -> Result<Option<T>> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(StoreError::Record { reason, .. }) => {
                self.unreadable.push(UnreadableFile { path: path.to_owned(), reason });
                Ok(None)
            }
            Err(error) if error.is_damage() => {
                self.unreadable.push(UnreadableFile { path: path.to_owned(), reason: error.to_string() });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn sort(&mut self) {
        self.damaged.sort();
        self.missing.sort();
        self.missing.dedup();
        self.promised.sort();
        self.promised.dedup();
        self.unreadable.sort();
        self.unreadable.dedup();
        self.foreign.sort();
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
        fs::create_dir(store.work_folder(&key).unwrap().path().join("out")).unwrap();
        (folder, store)
    }

    fn verify(store: &Store) -> VerifyReport {
        Store::open_damaged(store.root()).unwrap().verify(&crate::testing::no_manifest, &mut |_, _| ()).unwrap()
    }

    fn replace(path: &Path, bytes: &[u8]) {
        fs::remove_file(path).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Returns every file that is not empty, which leaves out locks, and without the reserve, whose bytes do not matter.
    fn all_files(folder: &Path) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for entry in disk::list(folder).unwrap() {
            if entry.is_dir { files.extend(all_files(&entry.path)) } else { files.push(entry.path) }
        }
        files.retain(|path| fs::metadata(path).unwrap().len() > 0 && !path.ends_with(RESERVE));
        files
    }

    #[test]
    fn a_store_is_clean_and_everything_in_it_was_read() {
        let (_folder, store) = everything();
        let mut told = Vec::new();
        let report = store.verify(&crate::testing::no_manifest, &mut |done, total| told.push((done, total))).unwrap();
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
        for path in &files {
            let right = fs::read(path).unwrap();
            let mut wrong = right.clone();
            let middle = wrong.len() / 2;
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
        for path in &all_files(store.root()) {
            replace(path, b"rot\n");
        }
        let report = verify(&store);
        assert_eq!((report.damaged.len(), report.unreadable.len()), (7, 6), "{report:?}");
        store.repair(&report, &crate::testing::no_manifest, at(9)).unwrap();
        let report = verify(&store);
        assert!(report.is_clean() && report.foreign.is_empty(), "{report:?}");
        assert_eq!(store.result(&key).unwrap(), None);
        assert_eq!(store.usage().unwrap().quarantine.count, 13);
    }

    /// Whatever is in the place of a file, verification goes on, and a repair sets it aside.
    #[test]
    fn what_is_not_a_file_is_reported_and_set_aside() {
        let (_folder, store) = everything();
        let files = all_files(store.root());
        let put_there: [&dyn Fn(&Path); 5] = [
            &|path| fs::create_dir(path).unwrap(),
            &|path| std::os::unix::fs::symlink("nowhere", path).unwrap(),
            &|path| std::os::unix::fs::symlink(path, path).unwrap(),
            &|path| fs::write(path, "").unwrap(),
            &|path| drop(std::os::unix::net::UnixListener::bind(path)),
        ];
        for put in put_there {
            let (_folder, store) = everything();
            for path in &files {
                let path = store.root().join(path.strip_prefix(files_root(&files)).unwrap());
                fs::remove_file(&path).unwrap();
                // The name of a socket has little room.
                put(&path);
            }
            let report = verify(&store);
            let found = report.damaged.len() + report.unreadable.len();
            assert!(found >= 12, "{report:?}");
            let store = Store::open_damaged(store.root()).unwrap();
            store.repair(&report, &crate::testing::no_manifest, at(9)).unwrap();
            let report = verify(&store);
            assert!(report.is_clean(), "{report:?}");
            Store::open(store.root()).unwrap();
        }
    }

    /// Returns the folder of the store that has these files.
    fn files_root(files: &[PathBuf]) -> &Path {
        files.iter().find(|path| path.ends_with("format")).unwrap().parent().unwrap()
    }

    #[test]
    fn a_folder_that_is_not_one_is_reported_and_set_aside() {
        let folders = [
            OBJECTS,
            ACTIONS,
            PROVENANCE,
            PROMISES,
            CHECKPOINTS,
            "refs/studies",
            "refs/runs",
            "refs",
            TEMPORARY,
            LOCKS,
        ];
        let work = format!("work/{}", everything().1.runs().unwrap()[0].keys[0]);
        for name in
            folders.into_iter().chain(["locks/actions", "locks/work", "locks/sweep", QUARANTINE, JOBS, WORK, &work])
        {
            let (_folder, store) = everything();
            if name == "locks/sweep" {
                fs::remove_file(store.dir(name)).unwrap();
                fs::create_dir(store.dir(name)).unwrap();
            } else {
                let _ = fs::remove_dir_all(store.dir(name));
                fs::write(store.dir(name), "").unwrap();
            }
            let report = verify(&store);
            assert!(!report.is_clean(), "{name}");
            store.repair(&report, &crate::testing::no_manifest, at(9)).unwrap();
            let report = verify(&store);
            assert!(report.is_clean(), "{name}: {report:?}");
        }
        let (_folder, store) = everything();
        let shard = all_files(&store.dir(OBJECTS))[0].parent().unwrap().to_owned();
        fs::remove_dir_all(&shard).unwrap();
        fs::write(&shard, "").unwrap();
        let report = verify(&store);
        assert!(report.unreadable.iter().any(|file| store.root().join(&file.path) == shard), "{report:?}");
        store.repair(&report, &crate::testing::no_manifest, at(9)).unwrap();
        assert!(verify(&store).is_clean());
    }

    #[test]
    fn a_log_that_is_not_a_file_is_reported_and_set_aside() {
        let (_folder, store) = everything();
        let key = store.runs().unwrap()[0].keys[0];
        store.save_log(&key, b"said\n").unwrap();
        assert!(verify(&store).is_clean());
        fs::remove_file(store.log_path(&key)).unwrap();
        fs::create_dir(store.log_path(&key)).unwrap();
        let report = verify(&store);
        assert_eq!(report.unreadable.len(), 1, "{report:?}");
        store.repair(&report, &crate::testing::no_manifest, at(9)).unwrap();
        assert!(verify(&store).is_clean());
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
        let foreign = [
            "notes.txt",
            "objects/x",
            "objects/ab/y",
            "objects/zz/z",
            "actions/q",
            "checkpoints/w",
            "logs/ab/z.txt",
            "work/v",
        ];
        for path in foreign {
            fs::create_dir_all(store.root().join(path).parent().unwrap()).unwrap();
            fs::write(store.root().join(path), "").unwrap();
        }
        let report = verify(&store);
        assert!(report.is_clean());
        assert_eq!(report.foreign.len(), 8, "{:?}", report.foreign);
    }
}
