//! Stores files whose digests are known before they are read.

use std::{
    io::{self, Cursor, Read},
    path::PathBuf,
};

use rayon::prelude::*;

use crate::{
    Digest, Store,
    disk::{self, Handle},
    encoding::Encoding,
    error::{At, Result, StoreError},
    objects::{BATCH, Written},
};

/// A file that the store does not own, and what its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFile {
    /// Where it is.
    pub path: PathBuf,
    /// The digest of its bytes.
    pub digest: Digest,
    /// The number of its bytes.
    pub size: u64,
}

/// Files up to this size are read as a whole, several at a time. Larger ones are copied a piece at a time.
const SMALL: u64 = 4 << 20;
/// The most bytes that are read together.
const TOGETHER: u64 = 64 << 20;

impl Store {
    /// Stores `files`. One whose object is stored already is not read. `watch` is called with the number of bytes that are stored so
    /// far, and says whether to go on. However many and however large the files are, few of their bytes are in memory.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if a file has other bytes, [`StoreError::Interrupted`] if `watch` says so. Also if a file cannot be read
    /// or an object cannot be written.
    pub fn put_known<'a>(
        &self,
        files: impl IntoIterator<Item = &'a KnownFile>,
        watch: &mut dyn FnMut(u64) -> bool,
    ) -> Result<()> {
        let (mut done, mut together, mut batch) = (0, 0, Vec::new());
        for file in files {
            if !self.freshen_object(&file.digest, Some(file.size))? {
                if file.size > SMALL {
                    let written = self.copy(file, &mut |copied| watch(done + copied))?;
                    self.publish_objects(vec![written])?;
                } else {
                    batch.push(file);
                    together += file.size;
                }
            }
            done += file.size;
            if batch.len() == BATCH || together > TOGETHER {
                self.put_small(&batch)?;
                batch.clear();
                together = 0;
            }
            if !watch(done) {
                return Err(StoreError::Interrupted);
            }
        }
        self.put_small(&batch)
    }

    /// Stores files, all of which are in memory at once.
    fn put_small(&self, files: &[&KnownFile]) -> Result<()> {
        let read = |file: &&KnownFile| {
            let mut bytes = Vec::new();
            let opened = open(file)?;
            (&opened).take(file.size + 1).read_to_end(&mut bytes).at("read", &file.path)?;
            check(file, bytes.len() as u64, Digest::of(&bytes))?;
            let encoding = Encoding::judge(&mut Cursor::new(&bytes), file.size).at("read", &file.path)?;
            Ok((file.digest, encoding, bytes))
        };
        let read: Vec<_> = match files {
            [file] => vec![read(file)?],
            files => files.par_iter().map(read).collect::<Result<_>>()?,
        };
        let write = |(name, encoding, bytes): (Digest, Encoding, Vec<u8>)| {
            let draft = self.draft()?;
            encoding.encode(&bytes, draft.file()).at("write", draft.path())?;
            Ok(Written { name, encoding, draft })
        };
        let mut written: Vec<Written> = read.into_iter().map(write).collect::<Result<_>>()?;
        // Two files may have the same bytes.
        written.sort_by_key(|object| object.name);
        written.dedup_by_key(|object| object.name);
        self.publish_objects(written)
    }

    /// Copies a file a piece at a time.
    fn copy(&self, file: &KnownFile, watch: &mut dyn FnMut(u64) -> bool) -> Result<Written> {
        let source = open(file)?;
        let encoding = Encoding::judge(&mut &source, file.size).at("read", &file.path)?;
        let draft = self.draft()?;
        let mut pieces =
            Pieces { source: &source, left: file.size, copied: 0, hasher: blake3::Hasher::new(), failed: None, watch };
        let copied = encoding.encode_file(&mut pieces, file.size, draft.file());
        let Pieces { left, hasher, failed, .. } = pieces;
        match failed {
            Some(Failed::Stopped) => return Err(StoreError::Interrupted),
            Some(Failed::Read(error)) => return Err(error).at("read", &file.path),
            // What is too short fails in the encoder, too, with a worse reason.
            None if left > 0 => {
                return Err(changed(file, format!("it has {} bytes instead of {}", file.size - left, file.size)));
            }
            None => copied.at("write", draft.path())?,
        }
        let longer = u64::from((&source).read(&mut [0]).at("read", &file.path)? > 0);
        check(file, file.size + longer, hasher.finalize().into())?;
        Ok(Written { name: file.digest, encoding, draft })
    }
}

/// Returns the file, opened.
fn open(file: &KnownFile) -> Result<Handle> {
    match disk::open_foreign(&file.path) {
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Err(changed(file, "it is gone".to_owned()))
        }
        opened => opened,
    }
}

/// Checks what was read of a file. One byte too many stands for all.
fn check(file: &KnownFile, length: u64, digest: Digest) -> Result<()> {
    match () {
        () if length > file.size => Err(changed(file, format!("it has more than its {} bytes", file.size))),
        () if length < file.size => Err(changed(file, format!("it has {length} bytes instead of {}", file.size))),
        () if digest != file.digest => Err(changed(file, "it has other bytes".to_owned())),
        () => Ok(()),
    }
}

fn changed(file: &KnownFile, found: String) -> StoreError {
    StoreError::Changed { path: file.path.clone(), found }
}

/// A file that is read a piece at a time, at most as many bytes as it had, and hashed.
struct Pieces<'a> {
    source: &'a Handle,
    left: u64,
    copied: u64,
    hasher: blake3::Hasher,
    failed: Option<Failed>,
    watch: &'a mut dyn FnMut(u64) -> bool,
}

/// Why reading ended early. The writer that reads can only pass on an I/O error, and its own errors are others.
enum Failed {
    Stopped,
    Read(io::Error),
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if !(self.watch)(self.copied) {
            self.failed = Some(Failed::Stopped);
            return Err(io::ErrorKind::Other.into());
        }
        let n = match self.source.read(&mut buffer[..room]) {
            Ok(n) => n,
            Err(error) => {
                self.failed = Some(Failed::Read(error));
                return Err(io::ErrorKind::Other.into());
            }
        };
        self.hasher.update(&buffer[..n]);
        self.left -= n as u64;
        self.copied += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use super::*;
    use crate::{
        ObjectSource,
        testing::{noise, store},
    };

    fn known(folder: &std::path::Path, name: &str, bytes: &[u8]) -> KnownFile {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        KnownFile { path, digest: Digest::of(bytes), size: bytes.len() as u64 }
    }

    #[test]
    fn files_of_every_size_are_stored_and_their_tree_names_them() {
        let (folder, store) = store();
        let large = SMALL as usize + 70_000;
        let contents = [Vec::new(), b"a".to_vec(), b"a".to_vec(), noise(large), vec![7; large], vec![8; 5000]];
        let files: BTreeMap<_, _> = (contents.iter().enumerate())
            .map(|(i, bytes)| (format!("files/{i}"), known(folder.path(), &i.to_string(), bytes)))
            .collect();
        let listing = crate::testing::files(&[("listing.json", "{}")]);
        let mut told = 0;
        let (_, tree) = store
            .put_tree_with(&listing, &files, &mut |done| {
                assert!(done >= told);
                told = done;
                true
            })
            .unwrap();
        assert_eq!(told, contents.iter().map(|bytes| bytes.len() as u64).sum::<u64>());
        assert_eq!(tree.files.len(), 7);
        for (i, bytes) in contents.iter().enumerate() {
            assert_eq!(*store.read(&tree.files[&format!("files/{i}")].digest).unwrap(), **bytes);
        }
    }

    #[test]
    fn a_file_whose_object_is_stored_is_not_read() {
        let (folder, store) = store();
        let file = known(folder.path(), "x", &noise(9000));
        store.put_known([&file], &mut |_| true).unwrap();
        fs::remove_file(&file.path).unwrap();
        store.put_known([&file], &mut |_| true).unwrap();
    }

    #[test]
    fn a_file_that_changed_is_named_and_leaves_nothing() {
        let (folder, store) = store();
        for size in [5000, SMALL as usize + 5000] {
            let check = |change: &dyn Fn(&KnownFile), expected: &str| {
                let file = known(folder.path(), "x", &noise(size));
                change(&file);
                let error = store.put_known([&file], &mut |_| true).unwrap_err();
                let found = format!("`{}` has changed since it was looked at: {expected}", file.path.display());
                assert_eq!(error.to_string(), found);
                assert!(!store.contains(&file.digest).unwrap());
                assert_eq!(fs::read_dir(store.root().join("tmp")).map_or(0, Iterator::count), 0);
            };
            let write = |bytes: Vec<u8>| move |file: &KnownFile| fs::write(&file.path, &bytes).unwrap();
            check(&|file| fs::remove_file(&file.path).unwrap(), "it is gone");
            check(&write(vec![1; size]), "it has other bytes");
            check(&write(noise(size + 1)), &format!("it has more than its {size} bytes"));
            check(&write(noise(size - 1)), &format!("it has {} bytes instead of {size}", size - 1));
        }
    }

    #[test]
    fn storing_can_be_stopped_within_a_file() {
        let (folder, store) = store();
        let file = known(folder.path(), "x", &noise(SMALL as usize * 2));
        let stopped = store.put_known([&file], &mut |done| done < SMALL);
        assert!(matches!(stopped, Err(StoreError::Interrupted)));
        assert!(!store.contains(&file.digest).unwrap());
    }
}
