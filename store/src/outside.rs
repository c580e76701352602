//! Stores the bytes of files that the store does not own. However many and however large they are, few of their bytes are in memory.

use std::{
    io::{self, Cursor, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rayon::prelude::*;

use crate::{
    Digest, Store,
    digest::Hasher,
    disk::{self, Found, Handle},
    encoding::Encoding,
    error::{At, Result, StoreError},
    objects::{BATCH, Written},
    together,
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

/// A file that a program wrote, and that the store does not own. Nobody has read it yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Where it is.
    pub path: PathBuf,
    /// The number of its bytes.
    pub size: u64,
    /// Whether it is a program itself.
    pub executable: bool,
}

/// Files up to this size are read as a whole, several at a time. Larger ones are copied a piece at a time.
const SMALL: u64 = 4 << 20;
/// The room beyond their length that files are read into.
const SPARE: u64 = 64;
/// The most bytes that are read together.
const TOGETHER: u64 = 64 << 20;

/// A file to be stored.
#[derive(Clone, Copy)]
struct Outside<'a> {
    path: &'a Path,
    size: u64,
    /// What its bytes must be, if that is known. Then it may be a link to a file. If not, it is a file that must not change while it is
    /// read.
    digest: Option<&'a Digest>,
}

impl<'a> From<&'a KnownFile> for Outside<'a> {
    fn from(file: &'a KnownFile) -> Self {
        Self { path: &file.path, size: file.size, digest: Some(&file.digest) }
    }
}

impl<'a> From<&'a FoundFile> for Outside<'a> {
    fn from(file: &'a FoundFile) -> Self {
        Self { path: &file.path, size: file.size, digest: None }
    }
}

/// Where bytes are stored.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// Among the objects.
    Objects,
    /// Among the parts of the checkpoints of this trajectory, whose lock the caller holds.
    Parts(&'a Digest),
}

impl FoundFile {
    /// Looks at the file `path`.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if there is no file.
    pub(crate) fn look(path: &Path) -> Result<Self> {
        let metadata = found(path, disk::look(path)?)?;
        Ok(Self { path: path.to_owned(), size: metadata.len(), executable: metadata.mode() & 0o100 != 0 })
    }
}

impl Store {
    /// Stores `files`. One whose object is stored already is not read. `watch` is called with the number of bytes that are stored so
    /// far, and says whether to go on.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if a file has other bytes, [`StoreError::Interrupted`] if `watch` says so. Also if a file cannot be read
    /// or an object cannot be written.
    pub fn put_known<'a>(
        &self,
        files: impl IntoIterator<Item = &'a KnownFile>,
        watch: &mut dyn FnMut(u64) -> bool,
    ) -> Result<()> {
        self.put_outside(Place::Objects, files.into_iter().map(Outside::from), watch).map(drop)
    }

    /// Stores `files`, and returns the digests of their bytes. Otherwise as [`put_known`](Self::put_known).
    ///
    /// # Errors
    /// [`StoreError::Changed`] if one is not a file, has another size, or changes while it is read. Otherwise as for
    /// [`put_known`](Self::put_known).
    pub fn put_found<'a>(
        &self,
        files: impl IntoIterator<Item = &'a FoundFile>,
        watch: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Vec<Digest>> {
        self.put_outside(Place::Objects, files.into_iter().map(Outside::from), watch)
    }

    /// Stores `files` among the parts of a trajectory, whose lock the caller holds. Returns the digests of their bytes.
    pub(crate) fn put_parts<'a>(
        &self,
        trajectory: &Digest,
        files: impl IntoIterator<Item = &'a FoundFile>,
    ) -> Result<Vec<Digest>> {
        self.put_outside(Place::Parts(trajectory), files.into_iter().map(Outside::from), &mut |_| true)
    }

    fn put_outside<'a>(
        &self,
        place: Place<'_>,
        files: impl Iterator<Item = Outside<'a>>,
        watch: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Vec<Digest>> {
        let (mut done, mut together) = (0, 0);
        // The names are in the order of the files, and those of a batch follow when it is stored.
        let (mut names, mut batch) = (Vec::new(), Vec::new());
        for (at, file) in files.enumerate() {
            let there = match file.digest {
                Some(name) => self.is_there(place, name, file.size)?,
                None => false,
            };
            names.push(file.digest.copied());
            if !there && file.size > SMALL {
                names[at] = Some(self.put_large(place, file, &mut |copied| watch(done + copied))?);
            } else if !there {
                batch.push((at, file));
                together += file.size;
            }
            done += file.size;
            if batch.len() == BATCH || together > TOGETHER {
                self.put_small(place, &batch, &mut names)?;
                batch.clear();
                together = 0;
            }
            if !watch(done) {
                return Err(StoreError::Interrupted);
            }
        }
        self.put_small(place, &batch, &mut names)?;
        Ok(names.into_iter().map(|name| name.expect("every file is stored")).collect())
    }

    /// Returns whether these bytes are stored.
    fn is_there(&self, place: Place<'_>, name: &Digest, size: u64) -> Result<bool> {
        match place {
            Place::Objects => self.freshen_object(name, Some(size)),
            Place::Parts(trajectory) => self.has_part(trajectory, name),
        }
    }

    fn publish(&self, place: Place<'_>, written: Vec<Written>) -> Result<()> {
        match place {
            Place::Objects => self.publish_objects(written),
            Place::Parts(trajectory) => {
                let place = |part: Written| (part.draft, self.part_path(trajectory, &part.name));
                together::publish_all(written.into_iter().map(place).collect())
            }
        }
    }

    /// Stores files, all of which are in memory at once, and notes their names.
    fn put_small(&self, place: Place<'_>, files: &[(usize, Outside<'_>)], names: &mut [Option<Digest>]) -> Result<()> {
        let read = |(_, file): &(usize, Outside<'_>)| {
            // With room for what shows that there is no more, so that it does not grow to twice its length.
            let mut bytes = Vec::with_capacity(usize::try_from(file.size + SPARE).expect("it is small"));
            let opened = Opened::new(*file)?;
            (&opened.handle).take(file.size + 1).read_to_end(&mut bytes).at("read", file.path)?;
            let name = Digest::of(&bytes);
            opened.check(bytes.len() as u64, &name)?;
            let encoding = place.judge(&mut Cursor::new(&bytes), file.size).at("read", file.path)?;
            Ok((name, encoding, bytes))
        };
        let mut read: Vec<_> = match files {
            [file] => vec![read(file)?],
            files => files.par_iter().map(read).collect::<Result<_>>()?,
        };
        for ((at, _), (name, ..)) in files.iter().zip(&read) {
            names[*at] = Some(*name);
        }
        // Two files may have the same bytes.
        read.sort_by_key(|(name, ..)| *name);
        read.dedup_by_key(|(name, ..)| *name);
        let known = |name: &Digest| files.iter().any(|(_, file)| file.digest == Some(name));
        let mut written = Vec::new();
        for (name, encoding, bytes) in read {
            // Of a file that is known we have asked before.
            if known(&name) || !self.is_there(place, &name, bytes.len() as u64)? {
                let draft = self.draft()?;
                encoding.encode(&bytes, draft.file()).at("write", draft.path())?;
                written.push(Written { name, encoding, draft });
            }
        }
        self.publish(place, written)
    }

    /// Copies a file a piece at a time. Returns its name.
    fn put_large(&self, place: Place<'_>, file: Outside<'_>, watch: &mut dyn FnMut(u64) -> bool) -> Result<Digest> {
        let opened = Opened::new(file)?;
        let encoding = place.judge(&mut &opened.handle, file.size).at("read", file.path)?;
        let draft = self.draft()?;
        let mut pieces = Pieces {
            source: &opened.handle,
            left: file.size,
            copied: 0,
            hasher: Hasher::default(),
            failed: None,
            watch,
        };
        let copied = encoding.encode_file(&mut pieces, file.size, draft.file());
        let Pieces { left, hasher, failed, .. } = pieces;
        match failed {
            Some(Failed::Stopped) => return Err(StoreError::Interrupted),
            Some(Failed::Read(error)) => return Err(error).at("read", file.path),
            // What is too short fails in the encoder, too, with a worse reason.
            None if left > 0 => {
                return Err(changed(file.path, format!("it has {} bytes instead of {}", file.size - left, file.size)));
            }
            None => copied.at("write", draft.path())?,
        }
        let longer = u64::from((&opened.handle).read(&mut [0]).at("read", file.path)? > 0);
        let name = hasher.finish();
        opened.check(file.size + longer, &name)?;
        // Of a file that is known we have asked before.
        if file.digest.is_some() || !self.is_there(place, &name, file.size)? {
            self.publish(place, vec![Written { name, encoding, draft }])?;
        }
        Ok(name)
    }
}

impl Place<'_> {
    /// Returns how to store bytes here.
    fn judge(self, source: &mut (impl Read + io::Seek), length: u64) -> io::Result<Encoding> {
        match self {
            Self::Objects => Encoding::judge(source, length),
            Self::Parts(_) => Ok(Encoding::Raw),
        }
    }
}

/// A file that is being read.
struct Opened<'a> {
    file: Outside<'a>,
    handle: Handle,
    state: State,
}

/// What of a file changes whenever its bytes do: its length, and the times of its last change and of the last change of its status.
type State = (u64, SystemTime, (i64, i64));

impl<'a> Opened<'a> {
    fn new(file: Outside<'a>) -> Result<Self> {
        let handle = if file.digest.is_some() {
            match disk::open_foreign(file.path) {
                Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    return Err(changed(file.path, "it is gone".to_owned()));
                }
                opened => opened?,
            }
        } else {
            found(file.path, disk::open(file.path)?)?
        };
        let state = state(&handle)?;
        Ok(Self { file, handle, state })
    }

    /// Checks what was read of the file. One byte too many stands for all.
    fn check(&self, length: u64, digest: &Digest) -> Result<()> {
        let Outside { path, size, digest: expected } = self.file;
        match () {
            () if length > size => Err(changed(path, format!("it has more than its {size} bytes"))),
            () if length < size => Err(changed(path, format!("it has {length} bytes instead of {size}"))),
            () if expected.is_some_and(|expected| expected != digest) => {
                Err(changed(path, "it has other bytes".to_owned()))
            }
            () if expected.is_none() && state(&self.handle)? != self.state => {
                Err(changed(path, "it was written to while it was read".to_owned()))
            }
            () => Ok(()),
        }
    }
}

fn state(file: &Handle) -> Result<State> {
    let metadata = file.metadata().at("look at", file.path())?;
    Ok((metadata.len(), disk::modified(file.path(), &metadata)?, (metadata.ctime(), metadata.ctime_nsec())))
}

/// Returns what is at a path at which there must be a file.
fn found<T>(path: &Path, found: Found<T>) -> Result<T> {
    match found {
        Found::Sound(found) => Ok(found),
        Found::Absent => Err(changed(path, "it is gone".to_owned())),
        Found::Damaged(reason) => Err(changed(path, reason)),
    }
}

fn changed(path: &Path, found: String) -> StoreError {
    StoreError::Changed { path: path.to_owned(), found }
}

/// A file that is read a piece at a time, at most as many bytes as it had, and hashed.
struct Pieces<'a> {
    source: &'a Handle,
    left: u64,
    copied: u64,
    hasher: Hasher,
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
            .put_tree_with(&listing, &files, &BTreeMap::new(), &mut |done| {
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

    fn found(folder: &Path, name: &str, bytes: &[u8]) -> FoundFile {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        FoundFile { path, size: bytes.len() as u64, executable: false }
    }

    #[test]
    fn found_files_of_every_size_are_stored_and_their_tree_names_them() {
        let (folder, store) = store();
        let large = SMALL as usize + 70_000;
        let mut contents = vec![Vec::new(), noise(large), b"a".to_vec(), b"a".to_vec(), vec![7; large], vec![8; 5000]];
        // Two batches, and in each there are files that are there already.
        contents.extend((0..2 * BATCH).map(|i| format!("{}", i % 70).into_bytes()));
        contents.extend([noise(large), vec![9; large]]);
        let files: BTreeMap<_, _> = (contents.iter().enumerate())
            .map(|(i, bytes)| (format!("out/{i:03}"), found(folder.path(), &i.to_string(), bytes)))
            .collect();
        let listing = crate::testing::files(&[("listing.json", "{}")]);
        let known = [("known".to_owned(), known(folder.path(), "known", b"known"))].into();
        let mut told = 0;
        let (_, tree) = store
            .put_tree_with(&listing, &known, &files, &mut |done| {
                assert!(done >= told);
                told = done;
                true
            })
            .unwrap();
        assert_eq!(told, 5 + contents.iter().map(|bytes| bytes.len() as u64).sum::<u64>());
        assert_eq!(tree.files.len(), 2 + contents.len());
        for (i, bytes) in contents.iter().enumerate() {
            let entry = tree.files[&format!("out/{i:03}")];
            assert_eq!((entry.digest, entry.size), (Digest::of(bytes), bytes.len() as u64));
            assert_eq!(*store.read(&entry.digest).unwrap(), **bytes);
        }
        assert_eq!(fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn a_found_file_that_is_stored_already_is_freshened_and_not_written_again() {
        let (folder, store) = store();
        for size in [5000, SMALL as usize + 1] {
            let bytes = noise(size);
            let file = found(folder.path(), "x", &bytes);
            let name = store.put_found([&file], &mut |_| true).unwrap()[0];
            let path = store.object_path(&name, Encoding::Raw);
            crate::testing::age(&path, 1000);
            let before = fs::metadata(&path).unwrap();
            assert_eq!(store.put_found([&file], &mut |_| true).unwrap(), [name]);
            let after = fs::metadata(&path).unwrap();
            assert_eq!((before.ino(), fs::metadata(&file.path).unwrap().nlink()), (after.ino(), 1));
            assert!(after.modified().unwrap() > before.modified().unwrap());
        }
    }

    #[test]
    fn a_found_file_that_is_another_one_now_is_named_and_leaves_nothing() {
        let (folder, store) = store();
        for size in [5000, SMALL as usize + 5000] {
            let check = |change: &dyn Fn(&Path), expected: &str| {
                let file = found(folder.path(), "x", &noise(size));
                change(&file.path);
                let error = store.put_found([&file], &mut |_| true).unwrap_err();
                let text = format!("`{}` has changed since it was looked at: {expected}", file.path.display());
                assert_eq!(error.to_string(), text);
                assert!(store.objects().is_empty());
                assert_eq!(fs::read_dir(store.root().join("tmp")).map_or(0, Iterator::count), 0);
                fs::remove_file(&file.path).or_else(|_| fs::remove_dir(&file.path)).unwrap_or_default();
            };
            check(&|path| fs::remove_file(path).unwrap(), "it is gone");
            check(&|path| fs::write(path, noise(size + 1)).unwrap(), &format!("it has more than its {size} bytes"));
            let fewer = format!("it has {} bytes instead of {size}", size - 1);
            check(&|path| fs::write(path, noise(size - 1)).unwrap(), &fewer);
            let elsewhere = folder.path().join("elsewhere");
            fs::write(&elsewhere, noise(size)).unwrap();
            let link = |path: &Path| {
                fs::remove_file(path).unwrap();
                std::os::unix::fs::symlink(&elsewhere, path).unwrap();
            };
            check(&link, "it is a link");
            let in_its_place = |path: &Path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            };
            check(&in_its_place, "it is a folder");
        }
    }

    #[test]
    fn a_found_file_that_is_written_to_while_it_is_read_is_an_error() {
        let (folder, store) = store();
        let file = found(folder.path(), "x", &noise(SMALL as usize * 2));
        // It keeps its length, and nobody knows what its bytes should be.
        let mut writes = |done: u64| {
            if done > SMALL {
                use std::os::unix::fs::FileExt;
                let opened = fs::File::options().write(true).open(&file.path).unwrap();
                opened.write_all_at(&[done as u8 ^ 0x55], 7).unwrap();
                crate::testing::age(&file.path, 3);
            }
            true
        };
        let error = store.put_found([&file], &mut writes).unwrap_err();
        assert!(error.to_string().ends_with("it was written to while it was read"), "{error}");
        assert!(store.objects().is_empty());
    }
}
