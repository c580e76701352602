//! What killed pushes leave in a folder: files that were being written. `object_store` calls them `NAME#1`, and lists them never.

use std::{fs, io, path::Path, time::SystemTime};

/// What was removed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Staged {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Removes what was written before this time and has the name of an unfinished file. If `dry`, only counts it.
///
/// # Errors
/// If a folder cannot be listed, or a file not removed.
pub(crate) fn remove(folder: &Path, before: SystemTime, dry: bool) -> io::Result<Staged> {
    let mut all = Staged::default();
    let entries = match fs::read_dir(folder) {
        // Another collection may have removed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let inner = remove(&entry.path(), before, dry)?;
            all.files += inner.files;
            all.bytes += inner.bytes;
        } else if kind.is_file() && is_staged(&entry.file_name().to_string_lossy()) {
            // Its push may have come to its end meanwhile.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.modified()? < before {
                all.files += 1;
                all.bytes += metadata.len();
                match if dry { Ok(()) } else { fs::remove_file(entry.path()) } {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
    }
    Ok(all)
}

fn is_staged(name: &str) -> bool {
    let suffix = name.split_once('#').map(|(_, suffix)| suffix);
    suffix.is_some_and(|suffix| !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_unfinished_files_that_are_old_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("objects/ab")).unwrap();
        let names = ["objects/ab/cd#1", "objects/ab/cd", "actions.json#12", "a#b", "c#"];
        names.iter().for_each(|name| fs::write(folder.path().join(name), "x").unwrap());
        let now = SystemTime::now();
        assert_eq!(remove(folder.path(), now - Duration::from_secs(60), false).unwrap(), Staged::default());
        let later = now + Duration::from_secs(60);
        assert_eq!(remove(&folder.path().join("gone"), later, false).unwrap(), Staged::default());
        let expected = Staged { files: 2, bytes: 2 };
        assert_eq!(remove(folder.path(), later, true).unwrap(), expected);
        assert_eq!(remove(folder.path(), later, false).unwrap(), expected);
        assert_eq!(names.map(|name| folder.path().join(name).exists()), [false, true, false, true, true]);
    }
}
