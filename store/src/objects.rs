//! Objects: immutable bytes, named by their digest.

use std::{
    io::{Cursor, Seek},
    path::{Path, PathBuf},
    sync::PoisonError,
};

use crate::{
    Bytes, Digest, ObjectSource, Store,
    disk::{self, Draft, Found, Freshened},
    encoding::Encoding,
    error::{At, Damage, Result, StoreError},
    layout::OBJECTS,
    together, verified,
};

/// The most bytes of a record. A study of 100,000 trials has about 100 MB.
pub(crate) const LONGEST_RECORD: u64 = 256 << 20;

/// The most objects that are published together.
pub(crate) const BATCH: usize = 64;

/// An object that has been written but not published under its name.
pub(crate) struct Written {
    pub(crate) name: Digest,
    pub(crate) encoding: Encoding,
    pub(crate) draft: Draft,
}

impl Store {
    /// Stores `bytes` and returns their name. If they are stored already, only the time of their file is set to the present, so that
    /// a collection planned earlier spares it.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest> {
        self.put_all(std::iter::once(bytes)).map(|digests| digests[0])
    }

    /// Stores several objects and returns their names. This is cheaper than storing them one by one: see [`together`](crate::together).
    pub(crate) fn put_all<'a>(&self, objects: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Digest>> {
        let (mut names, mut written) = (Vec::new(), Vec::new());
        for bytes in objects {
            let (name, object) = self.write_object(bytes)?;
            written.extend(object);
            names.push(name);
            // Each of these is an open file.
            if written.len() == BATCH {
                self.publish_objects(std::mem::take(&mut written))?;
            }
        }
        self.publish_objects(written)?;
        Ok(names)
    }

    /// Stores the bytes of a file and returns their name. The file is never in memory as a whole.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the file changes meanwhile. Also if it cannot be read or the object cannot be written.
    pub fn put_file(&self, path: &Path) -> Result<Digest> {
        let file = disk::open_foreign(path)?;
        let name = Digest::of_reader(&mut &file).at("read", path)?;
        let length = (&file).stream_position().at("read", path)?;
        if !self.freshen_object(&name, Some(length))? {
            let draft = self.draft()?;
            (&file).rewind().at("read", path)?;
            let encoding = Encoding::judge(&mut &file, length).at("read", path)?;
            encoding.encode_file(&file, length, draft.file()).at("write", draft.path())?;
            // The file may have changed after it was hashed.
            match verified::check_file(draft.path(), encoding, &name)?.ok_or(StoreError::Missing(name))? {
                Ok(()) => self.publish_objects(vec![Written { name, encoding, draft }])?,
                Err(found) => return Err(StoreError::Corrupt { name, found, path: path.to_owned() }),
            }
        }
        Ok(name)
    }

    /// Returns whether there is an object of this name. Does not read its bytes.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if something else is in its place. Also if its file cannot be looked at.
    pub fn contains(&self, digest: &Digest) -> Result<bool> {
        Ok(self.find(digest)?.is_some())
    }

    /// Returns the verified bytes of an object that is a record: an action, a tree or a study. Unlike [`read`](ObjectSource::read), it
    /// refuses an object of more than 256 MiB before it reads it: no record is as large.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] if it is larger. Otherwise as for [`read`](ObjectSource::read).
    pub fn read_record(&self, name: &Digest) -> Result<Bytes> {
        if let Some(bytes) = self.remembered(name) {
            return Ok(bytes);
        }
        for encoding in Encoding::ALL {
            let path = self.object_path(name, encoding);
            let declared = disk::open(&path)?.then(&path, |file| {
                let metadata = file.metadata()?;
                encoding.declared_length(&file, metadata.len())
            })?;
            if let Found::Sound(Some(length)) = declared
                && length > LONGEST_RECORD
            {
                return Err(StoreError::TooLarge { name: *name, length, what: "a record", limit: LONGEST_RECORD });
            }
        }
        self.read(name)
    }

    /// Returns whether an object's bytes are in memory. If so, [`read`](ObjectSource::read) does not look at the disk.
    pub(crate) fn remembers(&self, digest: &Digest) -> bool {
        self.remembered(digest).is_some()
    }

    fn remembered(&self, digest: &Digest) -> Option<Bytes> {
        self.0.verified.lock().unwrap_or_else(PoisonError::into_inner).small(digest)
    }

    /// Returns the encoding of an object and its length on the disk.
    pub(crate) fn find(&self, digest: &Digest) -> Result<Option<(Encoding, u64)>> {
        for encoding in Encoding::ALL {
            let path = self.object_path(digest, encoding);
            match disk::look(&path)? {
                Found::Sound(metadata) => return Ok(Some((encoding, metadata.len()))),
                Found::Absent => {}
                Found::Damaged(reason) => {
                    return Err(StoreError::Corrupt { name: *digest, found: Damage::Unreadable(reason), path });
                }
            }
        }
        Ok(None)
    }

    /// Returns the name of the object whose digest starts with `prefix`, which has 4 to 64 hexadecimal digits. This finds action
    /// keys, too, because actions are objects.
    ///
    /// # Errors
    /// [`StoreError::Prefix`] if `prefix` is malformed, [`StoreError::UnknownPrefix`] if there is no such object, and
    /// [`StoreError::AmbiguousPrefix`] if there are several. Also if the objects cannot be listed.
    pub fn resolve_prefix(&self, prefix: &str) -> Result<Digest> {
        let prefix = prefix.to_ascii_lowercase();
        if !(4..=64).contains(&prefix.len()) || !prefix.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(StoreError::Prefix(prefix));
        }
        let mut candidates = Vec::new();
        let shard = &prefix[..2];
        for entry in disk::list(&self.dir(OBJECTS).join(shard))? {
            let Some(digits) = entry.name.get(..62) else { continue };
            if let Ok(digest) = format!("{shard}{digits}").parse::<Digest>()
                && digits.starts_with(&prefix[2..])
                && Encoding::from_suffix(&entry.name[62..]).is_some()
            {
                candidates.push(digest);
            }
        }
        candidates.dedup();
        match candidates[..] {
            [] => Err(StoreError::UnknownPrefix(prefix)),
            [digest] => Ok(digest),
            _ => Err(StoreError::AmbiguousPrefix { prefix, candidates }),
        }
    }

    /// Sets the object's time to the present. Returns whether it did: false if there is no such object, if it is another user's, or
    /// if it cannot have the given length.
    ///
    /// This waits for a running sweep, so an object that was freshened is not removed a moment later.
    pub(crate) fn freshen_object(&self, digest: &Digest, length: Option<u64>) -> Result<bool> {
        let _sweeps_wait = self.hold_off_sweeps()?;
        for encoding in Encoding::ALL {
            let path = self.object_path(digest, encoding);
            let declared = disk::open(&path)?.then(&path, |file| {
                let metadata = file.metadata()?;
                encoding.declared_length(&file, metadata.len())
            })?;
            let Found::Sound(declared) = declared else { continue };
            if (length.is_none() || declared == length) && disk::freshen(&path)? == Freshened::Done {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn publish_objects(&self, objects: Vec<Written>) -> Result<()> {
        let outdated = self.outdated(&objects);
        let place = |object: Written| (object.draft, self.object_path(&object.name, object.encoding));
        together::publish_all(objects.into_iter().map(place).collect())?;
        outdated.iter().try_for_each(|path| disk::remove(path).map(drop))
    }

    /// Returns the files in the other encoding of objects, to be removed when the objects are published: `freshen_object` did not accept
    /// them, so they are damaged or another user's.
    pub(crate) fn outdated<'a>(&self, objects: impl IntoIterator<Item = &'a Written>) -> Vec<PathBuf> {
        let mut outdated = Vec::new();
        for Written { name, encoding, .. } in objects {
            let others = Encoding::ALL.into_iter().filter(|other| other != encoding);
            outdated.extend(others.map(|other| self.object_path(name, other)));
        }
        outdated
    }

    /// Writes an object without its name, unless it is stored. Then its file's time is set to the present.
    pub(crate) fn write_object(&self, bytes: &[u8]) -> Result<(Digest, Option<Written>)> {
        let (name, length) = (Digest::of(bytes), bytes.len() as u64);
        if self.freshen_object(&name, Some(length))? {
            return Ok((name, None));
        }
        let draft = self.draft()?;
        let encoding = Encoding::judge(&mut Cursor::new(bytes), length).at("read", draft.path())?;
        encoding.encode(bytes, draft.file()).at("write", draft.path())?;
        Ok((name, Some(Written { name, encoding, draft })))
    }
}

impl ObjectSource for Store {
    /// Returns the verified bytes of the object named `digest`. Large objects are mapped, and hashed once by this process; small
    /// ones are remembered.
    fn read(&self, digest: &Digest) -> Result<Bytes> {
        if let Some(bytes) = self.remembered(digest) {
            return Ok(bytes);
        }
        for encoding in Encoding::ALL {
            if let Some(bytes) =
                verified::read(&self.0.verified, &self.object_path(digest, encoding), digest, encoding)?
            {
                return Ok(bytes);
            }
        }
        Err(self.absent(digest))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        os::unix::fs::{FileExt, MetadataExt, PermissionsExt},
    };

    use super::*;
    use crate::testing::{noise, store};

    /// Returns the path of an object within the store's folder.
    fn place(store: &Store, digest: &Digest) -> String {
        let (encoding, _) = store.find(digest).unwrap().unwrap();
        store.relative(&store.object_path(digest, encoding)).display().to_string()
    }

    #[test]
    fn the_path_of_the_empty_object_does_not_change() {
        let (_folder, store) = store();
        let digest = store.put(b"").unwrap();
        let expected = "objects/af/1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(place(&store, &digest), expected);
        assert_eq!(&*store.read(&digest).unwrap(), b"");
    }

    #[test]
    fn what_is_put_is_read_at_every_size_and_in_both_encodings() {
        let (_folder, store) = store();
        for size in [0, 1, 4096, 4097, 65_535, 65_536, 65_537, 300_000] {
            for (bytes, suffix) in [(noise(size), ""), (vec![7; size], if size > 4096 { ".zst" } else { "" })] {
                let digest = store.put(&bytes).unwrap();
                assert_eq!(digest, Digest::of(&bytes));
                assert!(place(&store, &digest).ends_with(&format!("{}{suffix}", &digest.to_string()[2..])), "{size}");
                let again = Store::open(store.root()).unwrap();
                for _ in 0..2 {
                    assert_eq!(*again.read(&digest).unwrap(), *bytes, "{size}");
                }
            }
        }
    }

    #[test]
    fn float_weights_stay_raw_so_that_they_can_be_mapped() {
        let (_folder, store) = store();
        // Initial weights are normal, and a sum of uniform numbers is close enough to that.
        let uniforms = noise(12 * 40_000);
        let weights: Vec<u8> = (uniforms.chunks_exact(12))
            .flat_map(|u| {
                (u.iter().map(|x| f32::from(*x) / 255.0 + 1e-3 * f32::from(u[0])).sum::<f32>() - 6.0).to_le_bytes()
            })
            .collect();
        assert_eq!(place(&store, &store.put(&weights).unwrap()).len(), "objects/ab/".len() + 62);
    }

    #[test]
    fn a_file_is_stored_as_its_bytes_are() {
        let (folder, store) = store();
        for bytes in [noise(200_000), vec![1; 200_000], Vec::new()] {
            let path = folder.path().join("input");
            fs::write(&path, &bytes).unwrap();
            let digest = store.put_file(&path).unwrap();
            assert_eq!(*store.read(&digest).unwrap(), *bytes);
            assert_eq!(store.put_file(&path).unwrap(), digest);
            assert_eq!(store.put(&bytes).unwrap(), digest);
        }
    }

    #[test]
    fn an_object_that_exists_is_freshened_but_not_written_again() {
        let (_folder, store) = store();
        for bytes in [noise(10_000), vec![3; 10_000]] {
            let digest = store.put(&bytes).unwrap();
            let path = store.root().join(place(&store, &digest));
            crate::testing::age(&path, 1000);
            let before = fs::metadata(&path).unwrap();
            store.put(&bytes).unwrap();
            let after = fs::metadata(&path).unwrap();
            assert_eq!(before.ino(), after.ino(), "the file was written again");
            assert!(after.modified().unwrap() > before.modified().unwrap());
        }
    }

    #[test]
    fn a_truncated_object_is_written_again_when_it_is_put() {
        let (_folder, store) = store();
        for bytes in [noise(10_000), vec![3; 10_000]] {
            let digest = store.put(&bytes).unwrap();
            let path = store.root().join(place(&store, &digest));
            fs::remove_file(&path).unwrap();
            fs::write(&path, "").unwrap();
            store.put(&bytes).unwrap();
            assert_eq!(*store.read(&digest).unwrap(), *bytes);
        }
    }

    #[test]
    fn objects_are_read_only() {
        let (_folder, store) = store();
        let digest = store.put(b"x").unwrap();
        assert!(fs::metadata(store.root().join(place(&store, &digest))).unwrap().permissions().readonly());
    }

    #[test]
    fn a_missing_object_is_an_error_that_names_it() {
        let (_folder, store) = store();
        let digest = Digest::of(b"never stored");
        assert_eq!(store.read(&digest).err().unwrap().to_string(), format!("object {digest} is missing"));
        assert!(!store.contains(&digest).unwrap());
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let (_folder, store) = store();
        let text: Vec<u8> = (0..5000u32).map(|i| (i * i % 7) as u8).collect();
        for bytes in [b"a small record\n".to_vec(), text, noise(4500)] {
            let digest = store.put(&bytes).unwrap();
            let path = store.root().join(place(&store, &digest));
            let right = fs::read(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            for (i, byte) in right.iter().enumerate() {
                file.write_all_at(&[byte ^ (1 << (i % 8))], i as u64).unwrap();
                match Store::open(store.root()).unwrap().read(&digest) {
                    Err(error @ StoreError::Corrupt { .. }) => {
                        let message = error.to_string();
                        assert!(message.contains(&digest.to_string()) && message.contains("pipe verify --repair"));
                    }
                    // A few bits of the zstd header do not affect the bytes.
                    Ok(read) => assert!(path.extension().is_some() && *read == *bytes, "byte {i} was not noticed"),
                    Err(other) => panic!("byte {i}: {other}"),
                }
                file.write_all_at(&[*byte], i as u64).unwrap();
            }
        }
    }

    #[test]
    fn a_mapped_object_that_changes_is_hashed_again() {
        let (_folder, store) = store();
        let mut bytes = noise(100_000);
        let digest = store.put(&bytes).unwrap();
        assert_eq!(*store.read(&digest).unwrap(), *bytes);
        let path = store.root().join(place(&store, &digest));
        bytes[50_000] ^= 1;
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bytes).unwrap();
        crate::testing::age(&path, 7);
        assert!(matches!(store.read(&digest), Err(StoreError::Corrupt { .. })));
    }

    #[test]
    fn a_unique_prefix_names_an_object() {
        let (_folder, store) = store();
        let digests: Vec<_> = (0..150u32).map(|i| store.dummy(&i.to_string())).collect();
        for digest in &digests {
            assert_eq!(store.resolve_prefix(&digest.to_string()[..12]).unwrap(), *digest);
            assert_eq!(store.resolve_prefix(&digest.to_string().to_uppercase()).unwrap(), *digest);
        }
        let large = store.put(&vec![0; 10_000]).unwrap();
        assert_eq!(store.resolve_prefix(&large.short()).unwrap(), large);
    }

    #[test]
    fn an_ambiguous_prefix_lists_the_candidates() {
        let (_folder, store) = store();
        let name = |end: &str| format!("abcd{}{end}", "0".repeat(60 - end.len()));
        fs::create_dir_all(store.root().join("objects/ab")).unwrap();
        for end in ["1", "2"] {
            fs::write(store.root().join("objects/ab").join(&name(end)[2..]), "").unwrap();
        }
        let error = store.resolve_prefix("abcd").unwrap_err();
        assert_eq!(error.to_string(), format!("`abcd` is the start of 2 hashes: {}, {}", name("1"), name("2")));
        assert_eq!(store.resolve_prefix(&name("2")).unwrap().to_string(), name("2"));
        assert!(matches!(store.resolve_prefix("abce"), Err(StoreError::UnknownPrefix(_))));
        for prefix in ["", "abc", "wxyz", "../../etc/passwd", "äöüä"] {
            assert!(matches!(store.resolve_prefix(prefix), Err(StoreError::Prefix(_))), "{prefix}");
        }
    }

    #[test]
    fn two_threads_that_put_the_same_bytes_both_succeed() {
        let (_folder, store) = store();
        let bytes = noise(50_000);
        for round in 0..20u8 {
            let bytes = [&bytes[..], &[round]].concat();
            let put = || store.put(&bytes).unwrap();
            let (one, two) = std::thread::scope(|scope| {
                let (one, two) = (scope.spawn(put), scope.spawn(put));
                (one.join().unwrap(), two.join().unwrap())
            });
            assert_eq!(one, two);
            assert_eq!(*store.read(&one).unwrap(), *bytes);
        }
        assert_eq!(fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn an_unwritable_store_is_an_error_with_the_path() {
        let (_folder, store) = store();
        // Permissions would not do: the tests may run as root.
        fs::write(store.root().join("objects"), "in the way").unwrap();
        let error = store.put(b"x").unwrap_err();
        assert!(matches!(&error, StoreError::Record { path, .. } if path.starts_with(store.root())), "{error}");
    }
}
