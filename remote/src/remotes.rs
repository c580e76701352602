//! Which remotes a store has: the file `remotes.ron` in its folder.

use std::collections::{BTreeMap, BTreeSet};

use pipe_store::Store;
use serde::{Deserialize, Serialize};

use crate::{
    error::{RemoteError, Result},
    keys::Signer,
    place::Place,
};

/// What is written about a remote. There are no secrets in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Where it is.
    pub url: String,
    /// Whether `pipe run --remote` writes results to it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub write: bool,
    /// Whether the server can create a file only if there is none. If not, results are read again after they were written.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub conditional: bool,
    /// Whose signatures are demanded. With none, results need no signature.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub trusted: BTreeSet<Signer>,
}

impl Record {
    /// Returns the record of a remote at this place.
    pub fn new(url: String) -> Self {
        Self { url, write: false, conditional: true, trusted: BTreeSet::new() }
    }
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "`serde` calls it")]
fn is_true(flag: &bool) -> bool {
    *flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "`serde` calls it")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// The remotes of a store, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Remotes(pub BTreeMap<String, Record>);

/// What the file begins with.
const HEAD: &str = "// The remotes of this store: `pipe help remote`. No secrets belong here.\n";

impl Remotes {
    /// Reads the remotes of a store.
    ///
    /// # Errors
    /// [`RemoteError::File`] if the file has a mistake. Also if it cannot be read.
    pub fn of(store: &Store) -> Result<Self> {
        Self::parse(store, store.remotes_file()?)
    }

    fn parse(store: &Store, bytes: Option<Vec<u8>>) -> Result<Self> {
        let Some(bytes) = bytes else { return Ok(Self::default()) };
        let mistake = |reason| RemoteError::File { path: store.remotes_path(), reason };
        let text = String::from_utf8(bytes).map_err(|error| mistake(error.to_string()))?;
        let remotes: Self = ron::from_str(&text).map_err(|error| mistake(error.to_string()))?;
        for (name, record) in &remotes.0 {
            check_name(name)
                .and_then(|()| Place::parse(&record.url).map(drop))
                .map_err(|error| mistake(error.to_string()))?;
        }
        Ok(remotes)
    }

    /// Returns the remote with this name. Without a name, returns the only one.
    ///
    /// # Errors
    /// [`RemoteError::Unknown`] if there is no such remote, or it is not clear which is meant.
    pub fn find(&self, name: Option<&str>) -> Result<(&str, &Record)> {
        let known = || self.0.keys().cloned().collect();
        let found = match name {
            Some(name) => self.0.get_key_value(name),
            None if self.0.len() == 1 => self.0.first_key_value(),
            None => None,
        };
        let found = found.map(|(name, record)| (name.as_str(), record));
        found.ok_or_else(|| RemoteError::Unknown { name: name.unwrap_or_default().to_owned(), known: known() })
    }

    /// Checks that a remote can be added.
    ///
    /// # Errors
    /// [`RemoteError::Taken`] if another one has the name, [`RemoteError::Name`] if it cannot be a name.
    pub fn check_new(&self, name: &str, record: &Record) -> Result<()> {
        check_name(name)?;
        match self.0.get(name) {
            Some(other) if other.url != record.url => {
                Err(RemoteError::Taken { name: name.to_owned(), url: other.url.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Adds a remote to a store, or replaces what is written about it.
    ///
    /// # Errors
    /// [`RemoteError::Taken`] if another one has the name, [`RemoteError::Name`] if it cannot be a name. Also if the file has a
    /// mistake, or cannot be read or written.
    pub fn add(store: &Store, name: &str, record: Record) -> Result<()> {
        Self::change(store, |remotes| {
            remotes.check_new(name, &record)?;
            remotes.0.insert(name.to_owned(), record);
            Ok(())
        })
    }

    /// Demands signatures of `signer` for what comes from a remote, or no longer if `revoke`.
    ///
    /// # Errors
    /// As for [`remove`](Self::remove).
    pub fn trust(store: &Store, name: &str, signer: Signer, revoke: bool) -> Result<()> {
        Self::change(store, |remotes| {
            remotes.find(Some(name))?;
            let trusted = remotes.0.get_mut(name).map(|record| &mut record.trusted);
            trusted.map(|trusted| if revoke { trusted.remove(&signer) } else { trusted.insert(signer) });
            Ok(())
        })
    }

    /// Removes a remote from a store. What is there stays there.
    ///
    /// # Errors
    /// [`RemoteError::Unknown`] if there is none. Otherwise as for [`add`](Self::add).
    pub fn remove(store: &Store, name: &str) -> Result<()> {
        Self::change(store, |remotes| {
            remotes.find(Some(name))?;
            remotes.0.remove(name);
            Ok(())
        })
    }

    fn change(store: &Store, change: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        store.change_remotes(|bytes| {
            let mut remotes = Self::parse(store, bytes)?;
            change(&mut remotes)?;
            let pretty = ron::ser::PrettyConfig::new().depth_limit(1);
            let text = ron::ser::to_string_pretty(&remotes, pretty).expect("the remotes are plain data");
            Ok(format!("{HEAD}{text}\n").into_bytes())
        })
    }
}

/// Checks the name of a remote.
fn check_name(name: &str) -> Result<()> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.starts_with(['-', '.']) {
        "it begins with `-` or `.`"
    } else if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        "it may have letters, digits, `-`, `_` and `.`"
    } else {
        return Ok(());
    };
    Err(RemoteError::Name { name: name.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(url: &str) -> Record {
        Record::new(url.to_owned())
    }

    #[test]
    fn remotes_are_added_found_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        assert!(matches!(Remotes::of(&store).unwrap().find(None), Err(RemoteError::Unknown { .. })));
        Remotes::add(&store, "lab", record("s3://lab/pipe")).unwrap();
        assert_eq!(Remotes::of(&store).unwrap().find(None).unwrap(), ("lab", &record("s3://lab/pipe")));
        let mine = Record { write: true, conditional: false, ..record("file:///mnt/x") };
        Remotes::add(&store, "mine", mine.clone()).unwrap();
        let remotes = Remotes::of(&store).unwrap();
        assert_eq!(remotes.find(Some("mine")).unwrap().1, &mine);
        assert!(matches!(remotes.find(None), Err(RemoteError::Unknown { known, .. }) if known == ["lab", "mine"]));
        assert!(matches!(Remotes::add(&store, "lab", record("s3://other")), Err(RemoteError::Taken { .. })));
        let text = String::from_utf8(store.remotes_file().unwrap().unwrap()).unwrap();
        let expected = "{\n    \"lab\": (url: \"s3://lab/pipe\"),\n    \"mine\": (url: \"file:///mnt/x\", write: true, conditional: false),\n}\n";
        assert_eq!(text, format!("{HEAD}{expected}"));
        Remotes::remove(&store, "lab").unwrap();
        assert!(Remotes::remove(&store, "lab").is_err());
        assert!(store.verify(&|_| Err(String::new()), &mut |_, _| ()).unwrap().foreign.is_empty());
    }

    #[test]
    fn a_mistake_in_the_file_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        for (text, reason) in [
            ("{\"lab\": (url: 1)}", "1:15"),
            ("{\"lab\": (url: \"s3://u:p@b\")}", "password"),
            ("{\"a/b\": (url: \"s3://b\")}", "letters"),
            ("{\"lab\": (url: \"s3://b\", secret: \"x\")}", "secret"),
        ] {
            store.change_remotes::<RemoteError>(|_| Ok(text.into())).unwrap();
            let error = Remotes::of(&store).unwrap_err().to_string();
            assert!(error.contains("remotes.ron") && error.contains(reason), "{error}");
        }
    }
}
