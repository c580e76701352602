//! Removes from a store what a verification has found to be damaged, so that the rest can be relied on and added to.

use std::path::Path;

use crate::{Digest, RefKind, Store, VerifyReport, error::Result, lines};

/// What a repair did. Everything that it took out of the store is in `quarantine/`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// The number of objects, results, checkpoints and other files that were moved to `quarantine/`.
    pub files: usize,
    /// The values that were dropped from a ref because their object is missing, each with the ref's name.
    pub forgotten: Vec<(String, Digest)>,
    /// The refs with lines that could not be read, each with the number of such lines.
    pub dropped: Vec<(String, usize)>,
}

impl Store {
    /// Moves what `report` lists as damaged or unreadable to `quarantine/`, then the results that name a missing object, so that
    /// their actions run again. Drops the values of refs whose object is missing. Damage that was repaired since the report was made
    /// is left alone.
    ///
    /// # Errors
    /// If a file cannot be read, written or moved.
    pub fn repair(&self, report: &VerifyReport) -> Result<Repaired> {
        let mut repaired = Repaired::default();
        for object in &report.damaged {
            repaired.files += self.quarantine(&object.name)?.len();
        }
        let mut refs = Vec::new();
        for kind in RefKind::ALL {
            let names = self.ref_names(kind)?.into_iter();
            refs.extend(names.filter(|name| lines::check_name(name).is_ok()).map(|name| (kind, name)));
        }
        let is_log = |path: &Path| refs.iter().any(|(kind, name)| self.relative(&self.ref_path(*kind, name)) == path);
        for file in report.unreadable.iter().filter(|file| !is_log(&file.path)) {
            repaired.files += usize::from(self.set_aside(&file.path)?.is_some());
        }
        // After the objects: a result that named a damaged object names a missing one now.
        repaired.files += self.set_aside_dead_records()?;
        for (kind, name) in refs {
            let mended = self.mend_ref(kind, &name)?;
            repaired.forgotten.extend(mended.forgotten.into_iter().map(|digest| (name.clone(), digest)));
            if mended.unreadable > 0 {
                repaired.dropped.push((name, mended.unreadable));
            }
        }
        Ok(repaired)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    use super::*;
    use crate::{
        ActionResult,
        encoding::Encoding,
        testing::{action, at, files, store},
    };

    const STUDIES: RefKind = RefKind::Studies;

    fn verify(store: &Store) -> VerifyReport {
        Store::open(store.root()).unwrap().verify(&mut |_, _| ()).unwrap()
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
        let repaired = store.repair(&report).unwrap();
        let forgotten = vec![("s".to_owned(), old), ("t".to_owned(), old)];
        assert_eq!(repaired, Repaired { files: 1, forgotten, dropped: vec![] });
        assert!(verify(&store).is_clean());
        assert_eq!(store.ref_log(STUDIES, "s").unwrap().iter().map(|e| e.digest).collect::<Vec<_>>(), [new]);
        assert_eq!(store.ref_names(STUDIES).unwrap(), ["s"]);
        assert_eq!(fs::read(store.root().join("quarantine/refs-studies-s")).unwrap(), log);
        assert_eq!(store.result(&keys[0]).unwrap(), None);
        assert!(store.result(&keys[1]).unwrap().is_some());
        assert_eq!(store.repair(&verify(&store)).unwrap(), Repaired::default());
    }

    #[test]
    fn repairing_a_log_keeps_the_lines_that_can_be_read() {
        let (_folder, store) = store();
        let [a, b] = [b"a", b"b"].map(|text| store.put(text).unwrap());
        store.ref_append(STUDIES, "s", &a, at(1)).unwrap();
        store.ref_append(STUDIES, "s", &b, at(2)).unwrap();
        let path = store.ref_path(STUDIES, "s");
        let whole = fs::read(&path).unwrap();
        let first = whole.len() / 2;
        let cases: [(&[u8], &[Digest], &str); 5] = [
            (b"", &[], "it is empty"),
            (&whole[..first - 1], &[], "its last line is cut off"),
            (&whole[..first + 9], &[a], "its last line is cut off"),
            (&[b"\xff\n", &whole[..]].concat(), &[a, b], ""),
            (&[&whole[..first], b"{}\n", &whole[first..]].concat(), &[a, b], ""),
        ];
        for (damaged, kept, reason) in cases {
            fs::write(&path, damaged).unwrap();
            let report = verify(&store);
            assert_eq!(report.unreadable.len(), 1, "{report:?}");
            assert!(report.unreadable[0].reason.contains(reason), "{report:?}");
            let repaired = store.repair(&report).unwrap();
            assert_eq!(repaired, Repaired { files: 0, forgotten: vec![], dropped: vec![("s".to_owned(), 1)] });
            let log = store.ref_log(STUDIES, "s").unwrap();
            assert_eq!(log.iter().map(|entry| entry.digest).collect::<Vec<_>>(), kept);
            assert!(verify(&store).is_clean());
        }
        assert_eq!(store.usage().unwrap().quarantine.count, 5);
    }
}
