//! A short name for the folder for temporary files. The address of a socket has at most 108 bytes, and libraries put theirs into a
//! folder of that folder.

use std::{
    env, fs,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
};

use pipe_stages::program::TMP;
use rustix::process::getuid;

/// A longer path leaves too little for the name of a socket.
const LONGEST: usize = 60;

/// The path that a program is told. If it leads through a link, the link is removed when this is dropped. One that a kill left is used
/// by the next run.
pub(super) struct Temporary {
    path: PathBuf,
    link: Option<PathBuf>,
}

impl Temporary {
    /// Returns the path for a program that works in `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self::within(folder, &env::temp_dir())
    }

    fn within(folder: &Path, links: &Path) -> Self {
        let path = folder.join(TMP);
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let link = links.join(format!("pipe-{}", name.chars().take(16).collect::<String>()));
        if path.as_os_str().len() <= LONGEST || link.as_os_str().len() >= path.as_os_str().len() {
            return Self { path, link: None };
        }
        // The folder belongs to everybody. A link of somebody else may lead elsewhere tomorrow.
        let is_ours = || {
            let is_mine = link.symlink_metadata().is_ok_and(|link| link.uid() == getuid().as_raw());
            is_mine && fs::read_link(&link).is_ok_and(|target| target == path)
        };
        if symlink(&path, &link).is_ok() || is_ours() {
            return Self { path: link.clone(), link: Some(link) };
        }
        Self { path, link: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            // It does no harm.
            let _ = fs::remove_file(link);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_has_a_short_name_while_it_is_used() {
        let links = tempfile::tempdir().unwrap();
        let long = Path::new("/home/somebody/a/project/with/a/long/name/.pipe/work").join("ab".repeat(32));
        let link = links.path().join("pipe-abababababababab");
        let temporary = Temporary::within(&long, links.path());
        assert_eq!((temporary.path(), fs::read_link(&link).unwrap()), (&*link, long.join(TMP)));
        // As after a kill.
        std::mem::forget(temporary);
        drop(Temporary::within(&long, links.path()));
        assert!(link.symlink_metadata().is_err());
        symlink("/elsewhere", &link).unwrap();
        assert_eq!(Temporary::within(&long, links.path()).path(), long.join(TMP));
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("/elsewhere"));
        assert_eq!(Temporary::within(Path::new("/work"), links.path()).path(), Path::new("/work/tmp"));
    }
}
