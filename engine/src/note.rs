//! Notes: what users write about studies. They are beside a study and change neither its hash nor its results.

use std::time::SystemTime;

use pipe_stages::{params, records::Version};
use pipe_store::{Digest, RefKind, Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::study::StudyError;

/// A note of a study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// When it was written, in seconds since 1970.
    pub at: u64,
    /// What was written.
    pub text: String,
}

/// The record of a note. The fields are sorted.
#[derive(Serialize, Deserialize)]
struct Written {
    format: Version<1>,
    text: String,
}

/// Adds a note to a study. Nothing changes if its latest note is the same.
///
/// # Errors
/// If the store cannot be read or written.
pub fn add(store: &Store, study: &Digest, text: &str, now: SystemTime) -> Result<(), StudyError> {
    let record = params::sorted_record(&Written { format: Version, text: text.to_owned() });
    let digest = store.put(&record)?;
    store.ref_append(RefKind::Notes, &study.to_string(), &digest, now)?;
    Ok(())
}

/// Returns the notes of a study, the oldest first.
///
/// # Errors
/// If a note is damaged or cannot be read.
pub fn of(store: &Store, study: &Digest) -> Result<Vec<Note>, StudyError> {
    let mut notes = Vec::new();
    for entry in store.ref_log(RefKind::Notes, &study.to_string())? {
        let not_a = |source| StudyError::NotA { kind: "a note", digest: entry.digest, source };
        let Written { text, .. } = serde_json::from_slice(&store.read_record(&entry.digest)?).map_err(not_a)?;
        notes.push(Note { at: entry.at, text });
    }
    Ok(notes)
}

/// Removes note `at` of a study, counted from 0 in the order of [`of`]. Returns whether there was one.
///
/// # Errors
/// If the store cannot be read or written.
pub fn delete(store: &Store, study: &Digest, at: usize) -> Result<bool, StudyError> {
    let name = study.to_string();
    let Some(gone) = store.ref_log(RefKind::Notes, &name)?.get(at).copied() else { return Ok(false) };
    Ok(store.ref_retain(RefKind::Notes, &name, |entry| *entry != gone)? > 0)
}

/// Returns the records of all notes with the hashes of their studies.
///
/// # Errors
/// If the store cannot be read.
pub(crate) fn entries(store: &Store) -> Result<Vec<(String, Digest)>, StoreError> {
    let mut entries = Vec::new();
    for study in store.ref_names(RefKind::Notes)? {
        let log = store.ref_log(RefKind::Notes, &study)?;
        entries.extend(log.into_iter().map(|entry| (study.clone(), entry.digest)));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn notes_stay_in_their_order_and_one_is_removed_by_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (study, other) = (Digest::of(b"study"), Digest::of(b"other"));
        let add = |text, second| add(&store, &study, text, UNIX_EPOCH + Duration::from_secs(second)).unwrap();
        let texts = |study| of(&store, study).unwrap().into_iter().map(|note| (note.at, note.text)).collect::<Vec<_>>();
        assert_eq!(texts(&study), []);
        add("wide kernels help", 1);
        add("not with seed 8", 2);
        add("not with seed 8", 3);
        add("wide kernels help", 4);
        let [help, not, again] = [(1, "wide kernels help"), (2, "not with seed 8"), (4, "wide kernels help")]
            .map(|(at, text)| (at, text.to_owned()));
        assert_eq!(texts(&study), [help.clone(), not, again.clone()]);
        assert_eq!(texts(&other), []);
        assert!(delete(&store, &study, 1).unwrap() && !delete(&store, &study, 2).unwrap());
        assert_eq!(texts(&study), [help, again]);
    }
}
