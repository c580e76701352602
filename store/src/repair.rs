//! Removes from a store what a verification has found to be damaged, so that the rest can be relied on and added to.
//!
//! What is damaged is looked at again before it is moved. Nothing sound becomes garbage because the record beside it was damaged:
//! results that a study names are written again, studies whose line in a log is damaged are named again, and what a lost record may
//! have named is kept until `pipe gc --abandon`.

use std::{collections::BTreeSet, path::Path, time::SystemTime};

use crate::{
    ActionResult, Digest, RefKind, Store, StoreError, VerifyReport,
    actions::encode,
    disk::{self, Existing, Found},
    encoding::Encoding,
    error::Result,
    layout::{ACTIONS, OBJECTS},
    names::check_name,
    paths::Listed,
    store::read_format,
    verified,
    verify::{Manifest, ReadManifest},
};

/// What a repair did. Everything that it took out of the store is in `quarantine/`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// The number of objects, results, checkpoints and other files that were moved to `quarantine/`.
    pub files: usize,
    /// The values that were dropped from a ref because their object is missing, each with the ref's name.
    pub forgotten: Vec<(String, Digest)>,
    /// The refs with lines that could not be read, each with the number of such lines.
    pub dropped: Vec<(String, usize)>,
    /// The studies that are named again, because they are in the store and a line of the ref could not be read, each with the ref's
    /// name.
    pub recovered: Vec<(String, Digest)>,
    /// The number of results that were written again, because a study names them.
    pub restored: usize,
    /// The number of results and objects that nothing names any more. They are kept as an unfinished run.
    pub kept: usize,
}

impl Store {
    /// Moves what is damaged or unreadable to `quarantine/`, then the results that name a missing object, so that their actions run
    /// again. Drops the values of refs whose object is missing. `report` says which objects are damaged. Damage that was repaired since
    /// the report was made is left alone.
    ///
    /// # Errors
    /// If a file cannot be read, written or moved.
    pub fn repair(&self, report: &VerifyReport, manifest: ReadManifest<'_>, now: SystemTime) -> Result<Repaired> {
        let mut repaired = Repaired::default();
        if read_format(&self.format_path())?.is_err() {
            repaired.files += usize::from(self.set_aside(&self.relative(&self.format_path()))?.is_some());
            self.write_format()?;
        }
        // A repair that was killed has not kept what it should have.
        let mut lost_records = disk::exists(&self.run_path(REPAIRING))?;
        if !report.is_clean() {
            self.keep_everything(now)?;
        }
        let mut objects = BTreeSet::new();
        let refs = self.refs()?;
        let is_log = |path: &Path| refs.iter().any(|(kind, name)| self.relative(&self.ref_path(*kind, name)) == path);
        let runs = self.relative(&self.run_path("x"));
        // Setting a folder aside may bring to light what is wrong with what is beside it.
        for _ in 0..ROUNDS {
            let unreadable = self.verify_names(manifest)?.0.unreadable;
            let files: Vec<_> = unreadable.iter().filter(|file| !is_log(&file.path)).collect();
            if files.is_empty() {
                break;
            }
            for file in files {
                if file.path.parent() == runs.parent()
                    && let Some(id) = file.path.file_name().and_then(|name| name.to_str())
                {
                    objects.extend(self.salvage_run(id)?);
                }
                lost_records = true;
                repaired.files += usize::from(self.set_aside(&file.path)?.is_some());
            }
        }
        for object in &report.damaged {
            if self.is_still_damaged(&object.path)? {
                repaired.files += usize::from(self.set_aside(&object.path)?.is_some());
                // It may have been a tree or a study, which names others.
                lost_records = true;
            }
        }
        // After the objects: a result that named a damaged object names a missing one now.
        let dead = self.set_aside_dead_records()?;
        repaired.files += dead;
        lost_records |= dead > 0;

        let unnamed =
            if self.any_ref_is_damaged(&refs)? { self.unnamed_manifests(&refs, manifest)? } else { BTreeSet::new() };
        for (kind, name) in &refs {
            // A tag names one study, and which it was is lost. What is a study was never in a ledger of readings.
            let found = if *kind == RefKind::Studies { &unnamed } else { &BTreeSet::new() };
            let mended = self.mend_ref(*kind, name, found)?;
            let named = |digest: Digest| (name.clone(), digest);
            lost_records |= mended.unreadable > 0 || !mended.forgotten.is_empty();
            repaired.forgotten.extend(mended.forgotten.into_iter().map(named));
            repaired.recovered.extend(mended.recovered.into_iter().map(named));
            if mended.unreadable > 0 {
                repaired.dropped.push((name.clone(), mended.unreadable));
            }
        }
        let studies = self.named_by_refs(manifest)?;
        repaired.restored = self.restore_results(&studies)?;
        if lost_records {
            repaired.kept = self.keep_what_is_lost(&studies, objects, now)?;
        }
        disk::remove(&self.run_path(REPAIRING))?;
        Ok(repaired)
    }

    /// Keeps all results and objects until the repair is done, so that one that is killed loses nothing.
    fn keep_everything(&self, now: SystemTime) -> Result<()> {
        // What is in the place of a folder is set aside later, and has nothing to keep.
        let listed = |folder| match self.list_sharded(folder) {
            Err(error) if error.is_damage() => Ok(Vec::new()),
            listed => listed,
        };
        let keys: Vec<_> = listed(ACTIONS)?.iter().filter_map(Listed::key).collect();
        let objects = listed(OBJECTS)?.into_iter().filter_map(|file| file.name.map(|(name, _)| name)).collect();
        for _ in 0..ROUNDS {
            match self.keep(REPAIRING, &keys, &objects, now) {
                // Something is in the way of the log itself.
                Err(StoreError::Record { path, .. }) => drop(self.set_aside(&self.relative(&path))?),
                kept => return kept,
            }
        }
        Ok(())
    }

    /// Looks again at a file of an object.
    fn is_still_damaged(&self, path: &Path) -> Result<bool> {
        let path = self.root().join(path);
        let listed = self.list_sharded(OBJECTS)?.into_iter().find(|listed| listed.path == path);
        let Some((name, suffix)) = listed.and_then(|listed| listed.name) else { return Ok(false) };
        let Some(encoding) = Encoding::from_suffix(&suffix) else { return Ok(false) };
        Ok(matches!(verified::check_file(&path, encoding, &name)?, Some(Err(_))))
    }

    fn refs(&self) -> Result<Vec<(RefKind, String)>> {
        let mut refs = Vec::new();
        for kind in RefKind::ALL {
            // A folder of refs that is damaged is set aside as a whole.
            let names = match self.ref_names(kind) {
                Err(error) if error.is_damage() => Vec::new(),
                names => names?,
            };
            refs.extend(names.into_iter().filter(|name| check_name(name).is_ok()).map(|name| (kind, name)));
        }
        Ok(refs)
    }

    fn any_ref_is_damaged(&self, refs: &[(RefKind, String)]) -> Result<bool> {
        for (kind, name) in refs {
            match self.ref_log(*kind, name) {
                Err(error) if error.is_damage() => return Ok(true),
                log => drop(log?),
            }
        }
        Ok(false)
    }

    /// Returns the objects that are manifests and that no sound line of a ref names.
    fn unnamed_manifests(&self, refs: &[(RefKind, String)], manifest: ReadManifest<'_>) -> Result<BTreeSet<Digest>> {
        let mut named = BTreeSet::new();
        for (kind, name) in refs {
            named.extend(self.sound_entries(*kind, name)?);
        }
        let mut unnamed = BTreeSet::new();
        for listed in self.list_sharded(OBJECTS)? {
            let Some((name, _)) = listed.name.filter(|(name, _)| listed.damage.is_none() && !named.contains(name))
            else {
                continue;
            };
            match self.read_record(&name) {
                Ok(bytes) if manifest(&bytes).is_ok() => drop(unnamed.insert(name)),
                Ok(_) => {}
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(unnamed)
    }

    /// Returns what the values of all refs name.
    fn named_by_refs(&self, manifest: ReadManifest<'_>) -> Result<Manifest> {
        let mut all = Manifest::default();
        let mut entries = Vec::new();
        for (kind, name) in self.refs()? {
            entries.extend(self.ref_log(kind, &name)?);
        }
        entries.sort_by_key(crate::RefEntry::order);
        for entry in entries {
            all.objects.insert(entry.digest);
            let bytes = match self.read_record(&entry.digest) {
                Err(error) if error.is_damage() => continue,
                bytes => bytes?,
            };
            if let Ok(Manifest { results, trees, objects }) = manifest(&bytes) {
                all.trees.extend(results.values().flatten().chain(&trees));
                // The latest study decides.
                all.results.extend(results);
                all.objects.extend(objects);
            }
        }
        Ok(all)
    }

    /// Writes the results again that studies name, that have no record, and of which nothing is missing.
    fn restore_results(&self, studies: &Manifest) -> Result<usize> {
        let mut restored = 0;
        for (key, tree) in studies.results.iter().filter_map(|(key, tree)| Some((key, (*tree)?))) {
            let path = self.record_path(key);
            if matches!(disk::look(&path)?, Found::Absent) {
                let result = ActionResult::Tree(tree);
                let complete = match self.first_missing(key, &result) {
                    Err(error) if error.is_damage() => false,
                    missing => missing?.is_none(),
                };
                restored += usize::from(complete && self.write(&encode(key, &result), &path, Existing::Keep)?);
            }
        }
        Ok(restored)
    }

    /// Keeps the results and objects that no study and no other run names as an unfinished run. Returns how many there are. `objects`
    /// are kept in any case.
    fn keep_what_is_lost(&self, studies: &Manifest, mut objects: BTreeSet<Digest>, now: SystemTime) -> Result<usize> {
        let mut reached = studies.objects.clone();
        let mut named: BTreeSet<_> = studies.results.keys().copied().collect();
        for run in self.runs()?.into_iter().filter(|run| run.id != REPAIRING) {
            named.extend(run.keys);
            reached.extend(run.objects);
        }
        reached.extend(named.iter().map(|key| key.0));
        let records: BTreeSet<_> = self.list_sharded(ACTIONS)?.iter().filter_map(Listed::key).collect();
        let trees: BTreeSet<_> = studies.trees.iter().filter(|tree| self.tree(tree).is_ok()).copied().collect();
        reached.extend(self.reach(&records, &trees)?.objects);
        for listed in self.list_sharded(OBJECTS)? {
            objects.extend(listed.name.map(|(name, _)| name).filter(|name| !reached.contains(name)));
        }
        let keys: Vec<_> = records.difference(&named).copied().collect();
        let kept = keys.len() + objects.len();
        if kept > 0 {
            let names = self.run_entries()?;
            let free = |n: &u32| !names.iter().any(|entry| entry.name == format!("{KEPT}{n}"));
            let n = (1..).find(free).expect("there are more numbers than runs");
            self.keep(&format!("{KEPT}{n}"), &keys, &objects, now)?;
        }
        Ok(kept)
    }
}

/// The most times that a repair looks for what a repair has brought to light.
const ROUNDS: usize = 4;
/// The id of the run that keeps everything while a repair is under way.
const REPAIRING: &str = "repairing";
/// The beginning of the ids of the runs that keep what a repair found.
const KEPT: &str = "repaired-";

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    use super::*;
    use crate::{
        ActionResult,
        encoding::Encoding,
        testing::{action, at, files, no_manifest, store},
    };

    const STUDIES: RefKind = RefKind::Studies;

    fn verify(store: &Store) -> VerifyReport {
        Store::open(store.root()).unwrap().verify(&crate::testing::no_manifest, &mut |_, _| ()).unwrap()
    }

    #[test]
    fn what_names_a_missing_object_is_removed_and_the_rest_stays() {
        let (_folder, store) = store();
        let keys = ["a", "b"].map(|name| {
            let key = action(&store, name);
            let (tree, _) = store.put_tree(&files(&[("out", name)])).unwrap();
            store.commit(&key, &ActionResult::Tree(tree), &Value::Null).unwrap();
            key
        });
        let [old, new] = [b"old", b"new"].map(|text| store.put(text).unwrap());
        store.ref_append(STUDIES, "s", &old, at(1)).unwrap();
        store.ref_append(STUDIES, "s", &new, at(2)).unwrap();
        store.ref_append(STUDIES, "t", &old, at(1)).unwrap();
        let log = fs::read(store.ref_path(STUDIES, "s")).unwrap();
        for missing in [Digest::of(b"a"), old] {
            fs::remove_file(store.object_path(&missing, Encoding::Raw)).unwrap();
        }
        let report = verify(&store);
        assert_eq!(report.missing.len(), 3, "{report:?}");
        let repaired = store.repair(&report, &no_manifest, at(9)).unwrap();
        let forgotten = vec![("s".to_owned(), old), ("t".to_owned(), old)];
        assert_eq!(repaired, Repaired { files: 1, forgotten, kept: 3, ..Repaired::default() });
        assert!(verify(&store).is_clean());
        assert_eq!(store.ref_log(STUDIES, "s").unwrap().iter().map(|e| e.digest).collect::<Vec<_>>(), [new]);
        assert_eq!(store.ref_names(STUDIES).unwrap(), ["s"]);
        assert_eq!(fs::read(store.root().join("quarantine/refs-studies-s")).unwrap(), log);
        assert_eq!(store.result(&keys[0]).unwrap(), None);
        assert!(store.result(&keys[1]).unwrap().is_some());
        assert_eq!(store.repair(&verify(&store), &no_manifest, at(9)).unwrap(), Repaired::default());
    }

    #[test]
    fn repairing_a_log_keeps_the_lines_that_can_be_read() {
        let (_folder, store) = store();
        let [a, b] = [b"a", b"b"].map(|text| store.put(text).unwrap());
        store.ref_append(STUDIES, "s", &a, at(1)).unwrap();
        store.ref_append(STUDIES, "s", &b, at(2)).unwrap();
        let path = store.ref_path(STUDIES, "s");
        let whole = fs::read(&path).unwrap();
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let cases: [(&[u8], &[Digest], &str); 6] = [
            (b"", &[], "it is empty"),
            (&whole[..first - 2], &[], "its last line is cut off"),
            (&whole[..first - 1], &[a], "its last line is cut off"),
            (&whole[..first + 9], &[a], "its last line is cut off"),
            (&[b"\xff\n", &whole[..]].concat(), &[a, b], ""),
            (&[&whole[..first], b"{}\n", &whole[first..]].concat(), &[a, b], ""),
        ];
        for (i, (damaged, kept, reason)) in cases.into_iter().enumerate() {
            fs::write(&path, damaged).unwrap();
            let report = verify(&store);
            assert_eq!(report.unreadable.len(), 1, "{report:?}");
            assert!(report.unreadable[0].reason.contains(reason), "{report:?}");
            let repaired = store.repair(&report, &no_manifest, at(9)).unwrap();
            assert_eq!(
                repaired,
                Repaired {
                    dropped: vec![("s".to_owned(), 1)],
                    // Afterwards they are kept already.
                    kept: if i == 0 { 2 } else { 0 },
                    ..Repaired::default()
                }
            );
            let log = store.ref_log(STUDIES, "s").unwrap();
            assert_eq!(log.iter().map(|entry| entry.digest).collect::<Vec<_>>(), kept);
            assert!(verify(&store).is_clean());
        }
        assert_eq!(store.usage().unwrap().quarantine.count, 6);
    }
}
