//! Opens a store, or makes a new one.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use crate::{
    disk::{self, Access, DRAFT, Draft, Existing, Found},
    drafted::{Concluded, DraftedEnding},
    error::{At, FORMAT, Result, StoreError},
    group::Group,
    mapped, sealed,
    verified::Verified,
};

/// A content-addressed store in a folder. Cheap to clone.
///
/// Invariants:
/// - A file is complete before it has its name.
/// - A record names only what was stored before it.
/// - A process may be killed at any instruction, and nothing needs to be cleaned up afterwards.
/// - Several processes may use the same store at once.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    root: PathBuf,
    pub(crate) access: Access,
    /// The number in the file `format`. 0 if that file is damaged.
    format: AtomicU32,
    pub(crate) verified: Mutex<Verified>,
    /// The endings that wait for the disk.
    pub(crate) group: Group<DraftedEnding, Concluded>,
}

/// The file `format`, sealed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Format {
    format: u32,
}

/// What the file `format` of a store of format 1 holds.
const FIRST: &[u8] = b"1\n";

impl Store {
    /// Opens the store in the folder `root`. Makes a new store if the folder is empty or does not exist; otherwise writes nothing.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] if the folder holds something else, [`StoreError::Format`] if a newer `pipe` wrote the store,
    /// [`StoreError::Record`] if its file `format` is damaged. Also if the folder cannot be read or written.
    pub fn open(root: &Path) -> Result<Self> {
        let store = Self::open_damaged(root)?;
        if store.format() == 0 {
            let path = store.format_path();
            let reason = read_format(&path)?.err().unwrap_or_else(|| "it is gone".to_owned());
            return Err(StoreError::Record { path, reason });
        }
        Ok(store)
    }

    /// Opens a store like [`open`](Self::open), but also if its file `format` is damaged. Use it only to verify and repair.
    ///
    /// # Errors
    /// As for [`open`](Self::open), except for a damaged file `format`.
    pub fn open_damaged(root: &Path) -> Result<Self> {
        let root = std::path::absolute(root).at("find", root)?;
        let path = root.join("format");
        if disk::exists(&root)? && !disk::is_dir(&root) {
            return Err(StoreError::Foreign(root));
        }
        let format = match disk::look(&path)? {
            Found::Absent => create(&root, &path)?,
            _ => read_format(&path)?.unwrap_or(0),
        };
        if format > FORMAT {
            return Err(StoreError::Format { path: root, found: format });
        }
        let access = Access::of(&root)?;
        let format = AtomicU32::new(format);
        Ok(Self(Arc::new(Inner { root, access, format, verified: Mutex::default(), group: Group::default() })))
    }

    /// Opens a store like [`open`](Self::open), and lets the group of its folder use it: whatever a user's umask is, the group may
    /// write to everything in it, as with `core.sharedRepository = group` in git.
    ///
    /// # Errors
    /// As for [`open`](Self::open). Also if the permissions cannot be set.
    pub fn open_shared(root: &Path) -> Result<Self> {
        let store = Self::open(root)?;
        // These two belong to users of the store, who must find them open.
        for folder in ["partial", "reports"] {
            disk::make_dir(&store.root().join(folder), Access::PRIVATE)?;
        }
        Access::share(store.root())?;
        Self::open(root)
    }

    /// Returns the store's folder, as an absolute path.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// Gives a file or folder that the caller has made in the store's folder, with everything in it, the permissions that the store
    /// gives its own. Does nothing unless the store is shared.
    ///
    /// # Errors
    /// If the permissions cannot be set.
    pub fn share_with_group(&self, path: &Path) -> Result<()> {
        if self.0.access == Access::PRIVATE { Ok(()) } else { Access::share(path) }
    }

    /// Checks that the bytes that were read from this store so far were what the disk holds.
    ///
    /// # Errors
    /// [`StoreError::LostPage`] if the disk lost a page of a mapped object while it was read. Then nothing that depends on what was
    /// read must be committed.
    pub fn check_reads(&self) -> Result<()> {
        check_reads_in(self.root())
    }

    /// Returns the number of the store's format. 0 if the file is damaged.
    pub(crate) fn format(&self) -> u32 {
        self.0.format.load(Ordering::Relaxed)
    }

    /// Makes a store of an older format one of this format. Call it before writing what only this format has.
    pub(crate) fn upgrade(&self) -> Result<()> {
        if self.format() == FORMAT { Ok(()) } else { self.write_format() }
    }

    /// Writes the file `format`.
    pub(crate) fn write_format(&self) -> Result<()> {
        self.write(&format_file(), &self.format_path(), Existing::Replace)?;
        self.0.format.store(FORMAT, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn format_path(&self) -> PathBuf {
        self.root().join("format")
    }
}

/// Checks that the bytes that were read from any store so far were what its disk holds.
///
/// # Errors
/// As for [`Store::check_reads`].
pub fn check_reads() -> Result<()> {
    check_reads_in(Path::new("/"))
}

fn check_reads_in(folder: &Path) -> Result<()> {
    mapped::lost_page(folder).map_or(Ok(()), |path| Err(StoreError::LostPage(path)))
}

/// Returns the bytes of the file `format`.
fn format_file() -> Vec<u8> {
    (sealed::seal(&Format { format: FORMAT }) + "\n").into_bytes()
}

/// Returns the number in the file `format`, or what is wrong with the file.
pub(crate) fn read_format(path: &Path) -> Result<Result<u32, String>> {
    let bytes = match disk::open(path)?.then(path, |file| file.read_up_to(LONGEST_FORMAT))? {
        Found::Sound(bytes) => bytes,
        Found::Absent => return Ok(Err("it is gone".to_owned())),
        Found::Damaged(reason) => return Ok(Err(reason)),
    };
    if bytes == FIRST {
        return Ok(Ok(1));
    }
    let line = bytes.strip_suffix(b"\n").ok_or_else(|| "it is cut off".to_owned());
    Ok(line.and_then(sealed::open::<Format>).map(|format| format.format))
}

/// No file `format` is longer.
const LONGEST_FORMAT: u64 = 4 << 10;

/// Makes a store by writing its file `format`. Until that is there the folder counts as empty, so a kill does no harm. Returns the
/// number of the format.
fn create(root: &Path, format: &Path) -> Result<u32> {
    let entries = disk::list(root)?;
    if entries.iter().any(|entry| entry.is_dir || !entry.name.starts_with(DRAFT)) {
        // Another process may have made the store since we looked.
        let found = read_format(format)?;
        let known = ["objects", "refs", "actions"].iter().all(|name| disk::is_dir(&root.join(name)));
        return match found {
            Ok(number) => Ok(number),
            Err(_) if known => Ok(0),
            Err(_) => Err(StoreError::Foreign(root.to_owned())),
        };
    }
    disk::make_dir(root, Access::PRIVATE)?;
    let access = Access::of(root)?;
    let draft = Draft::new(root, access, access.read_only)?;
    let published = draft.write(&format_file()).and_then(|()| draft.publish(format, Existing::Replace));
    match published {
        // Another process made the store at the same time and removed our draft, which it took for a leftover.
        Err(_) if disk::exists(format)? => {}
        published => drop(published?),
    }
    entries.iter().try_for_each(|entry| disk::remove(&entry.path).map(drop))?;
    Ok(FORMAT)
}
#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_store_is_made_in_an_absent_or_empty_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a/b");
        assert_eq!(Store::open(&root).unwrap().root(), root);
        let format = "{\"check\":\"ce132ddc7353156366cf5be2c4660e1a1f664534a6ca346453e232b7011df7cd\",\"format\":2}\n";
        assert_eq!(fs::read_to_string(root.join("format")).unwrap(), format);
        let before = fs::metadata(&root).unwrap().modified().unwrap();
        Store::open(&root).unwrap();
        assert_eq!(fs::metadata(&root).unwrap().modified().unwrap(), before);
    }

    #[test]
    fn a_store_that_was_killed_while_it_was_made_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pipe-x7f"), "").unwrap();
        Store::open(folder.path()).unwrap();
        assert!(!folder.path().join("pipe-x7f").exists());
    }

    #[test]
    fn a_folder_with_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "").unwrap();
        assert!(matches!(Store::open(folder.path()), Err(StoreError::Foreign(_))));
        assert!(matches!(Store::open(&folder.path().join("thesis.tex")), Err(StoreError::Foreign(_))));
    }

    #[test]
    fn a_store_of_a_newer_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("format"), sealed::seal(&Format { format: 3 }) + "\n").unwrap();
        let error = Store::open(folder.path()).err().unwrap();
        assert!(error.to_string().contains("has format 3; this build reads formats up to 2"), "{error}");
    }

    #[test]
    fn a_store_of_format_1_is_read_and_the_first_name_makes_it_format_2() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("format"), FIRST).unwrap();
        let store = Store::open(folder.path()).unwrap();
        let digest = store.put(b"x").unwrap();
        assert_eq!(fs::read(folder.path().join("format")).unwrap(), FIRST);
        store.ref_append(crate::RefKind::Studies, "s", &digest, std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(fs::read(folder.path().join("format")).unwrap(), format_file());
    }

    #[test]
    fn a_damaged_format_is_damage() {
        let whole = format_file();
        let flipped = (0..whole.len()).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        });
        let damaged = flipped.chain([Vec::new(), b"2\n".to_vec(), b"1".to_vec(), vec![b'1'; 100_000]]);
        for bytes in damaged {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("format"), &bytes).unwrap();
            let error = Store::open(folder.path()).err().unwrap();
            assert!(error.is_damage(), "{error}");
            assert!(Store::open_damaged(folder.path()).is_ok());
        }
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("objects")).unwrap();
        let error = Store::open(folder.path()).err().unwrap();
        assert!(matches!(&error, StoreError::Foreign(_)), "{error}");
    }
}
