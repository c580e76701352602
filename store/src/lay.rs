//! Lays objects out as files for programs that know nothing of a store. What a program does with such a file never reaches the object:
//! the file is a copy, or shares blocks with the object until one of them is written to. It is never a second name of the object.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use crate::{
    Digest, Store,
    disk::{self, Found, Laid},
    encoding::Encoding,
    error::{Damage, Result, StoreError},
    verified,
};

/// A file to be laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaidFile {
    /// Where it will be.
    pub path: PathBuf,
    /// The object with its bytes.
    pub digest: Digest,
    /// Whether it is a program.
    pub executable: bool,
}

/// From this length on, a file system is asked to share blocks. Shorter files are copied sooner than it answers.
const SHARE_FROM: u64 = 64 << 10;

impl Store {
    /// Writes the verified bytes of an object to a new file, which nobody may write to. Makes its folder if there is none. The bytes
    /// are never in memory as a whole, and the file shares the object's blocks if the file system can do that.
    ///
    /// It is for folders that only the caller uses: the file has its name before it is whole, and a loss of power may take it away.
    ///
    /// # Errors
    /// [`StoreError::Missing`] or [`StoreError::Promised`] if there is no such object here, [`StoreError::Corrupt`] if it is damaged. Also if something has the path, or
    /// if a file cannot be read or written. Then there is no file.
    pub fn lay(&self, digest: &Digest, path: &Path, executable: bool) -> Result<()> {
        disk::make_passing_dir(disk::folder(path), self.0.access)?;
        self.lay_in(digest, path, executable)
    }

    /// Lays out `files` on all cores. Otherwise as [`lay`](Self::lay).
    ///
    /// # Errors
    /// As for [`lay`](Self::lay). Other files may be there then.
    pub fn lay_all(&self, files: &[LaidFile]) -> Result<()> {
        let folders: BTreeSet<_> = files.iter().map(|file| disk::folder(&file.path)).collect();
        folders.into_iter().try_for_each(|folder| disk::make_passing_dir(folder, self.0.access))?;
        let lay = |file: &LaidFile| self.lay_in(&file.digest, &file.path, file.executable);
        files.par_iter().try_for_each(lay)
    }

    fn lay_in(&self, digest: &Digest, path: &Path, executable: bool) -> Result<()> {
        let mode = if executable { 0o555 } else { 0o444 };
        for encoding in Encoding::ALL {
            if lay_file(&self.object_path(digest, encoding), encoding, digest, path, mode)? {
                return Ok(());
            }
        }
        Err(self.absent(digest))
    }
}

/// Writes the verified bytes of the file `from` to the new file `to`. Returns whether there is a file `from`.
pub(crate) fn lay_file(from: &Path, encoding: Encoding, name: &Digest, to: &Path, mode: u32) -> Result<bool> {
    let corrupt = |found| StoreError::Corrupt { name: *name, found, path: from.to_owned() };
    let source = match disk::open(from)? {
        Found::Sound(source) => source,
        Found::Absent => return Ok(false),
        Found::Damaged(reason) => return Err(corrupt(Damage::Unreadable(reason))),
    };
    // It is removed unless it is kept.
    let laid = Laid::new(to, mode)?;
    let shares = encoding == Encoding::Raw && source.length()? >= SHARE_FROM && laid.share(&source);
    let checked = if shares {
        verified::check_open(laid.file(), from, encoding, name)?
    } else {
        verified::copy(&source, encoding, name, laid.file())?
    };
    checked.map_err(corrupt)?;
    laid.keep();
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt, PermissionsExt},
    };

    use super::*;
    use crate::testing::{noise, store};

    #[test]
    fn an_object_becomes_a_file_of_its_own_at_every_size_and_in_both_encodings() {
        let (folder, store) = store();
        for (i, bytes) in
            [Vec::new(), b"a".to_vec(), noise(5000), vec![7; 5000], noise(3 << 20), vec![8; 3 << 20]].iter().enumerate()
        {
            let digest = store.put(bytes).unwrap();
            for (executable, mode) in [(false, 0o444), (true, 0o555)] {
                let path = folder.path().join(format!("work/{i}/{executable}"));
                store.lay(&digest, &path, executable).unwrap();
                assert_eq!(fs::read(&path).unwrap(), *bytes);
                let metadata = fs::metadata(&path).unwrap();
                assert_eq!((metadata.permissions().mode() & 0o777 & !mode, metadata.nlink()), (0, 1));
                assert_eq!(metadata.permissions().mode() & 0o500, mode & 0o500);
                // What is done to it does not reach the object.
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
                fs::write(&path, "changed").unwrap();
            }
            let found = store.verify(&crate::testing::no_manifest, &mut |_, _| ()).unwrap();
            assert!(found.is_clean(), "{found:?}");
        }
    }

    #[test]
    fn what_is_damaged_or_missing_is_not_laid_out() {
        let (folder, store) = store();
        let path = folder.path().join("work/x");
        for bytes in [b"a".to_vec(), noise(100_000), vec![7; 100_000]] {
            let digest = store.put(&bytes).unwrap();
            let (encoding, _) = store.find(&digest).unwrap().unwrap();
            let object = store.object_path(&digest, encoding);
            let right = fs::read(&object).unwrap();
            let middle = right.len() / 2;
            let flipped = [&right[..middle], &[right[middle] ^ 1], &right[middle + 1..]].concat();
            for wrong in [flipped, right[..middle].to_vec(), [&right[..], &right].concat()] {
                fs::remove_file(&object).unwrap();
                fs::write(&object, wrong).unwrap();
                let error = store.lay(&digest, &path, false).unwrap_err();
                assert!(matches!(&error, StoreError::Corrupt { path, .. } if *path == object), "{error}");
                assert!(!path.exists());
            }
            fs::remove_file(&object).unwrap();
            assert!(matches!(store.lay(&digest, &path, false), Err(StoreError::Missing(_))));
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_path_that_is_taken_is_an_error_and_keeps_what_it_has() {
        let (folder, store) = store();
        let (digest, path) = (store.put(b"x").unwrap(), folder.path().join("taken"));
        fs::write(&path, "mine").unwrap();
        let error = store.lay(&digest, &path, false).unwrap_err();
        assert!(matches!(&error, StoreError::Io { path: named, .. } if *named == path), "{error}");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).unwrap();
        assert!(store.lay(&digest, &path, false).is_err(), "no link is followed");
        assert!(!folder.path().join("elsewhere").exists());
    }

    #[test]
    fn many_files_are_laid_out_together() {
        let (folder, store) = store();
        let digests: Vec<_> = (0..10).map(|i| store.put(format!("{i}").as_bytes()).unwrap()).collect();
        let path = |i: usize| folder.path().join(format!("work/{}/{i}", i % 7));
        let files: Vec<_> =
            (0..300).map(|i| LaidFile { path: path(i), digest: digests[i % 10], executable: i % 2 == 0 }).collect();
        store.lay_all(&files).unwrap();
        for i in 0..300 {
            assert_eq!(fs::read_to_string(path(i)).unwrap(), format!("{}", i % 10));
            assert_eq!(fs::metadata(path(i)).unwrap().permissions().mode() & 0o100 != 0, i % 2 == 0);
        }
        let missing = LaidFile { path: path(301), digest: Digest::of(b"missing"), executable: false };
        assert!(matches!(store.lay_all(&[missing]), Err(StoreError::Missing(_))));
    }
}
