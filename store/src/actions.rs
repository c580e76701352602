//! The action cache: the result of each action, and a record of how it came about.

use std::{collections::BTreeMap, path::Path};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ActionKey, Digest, Store, Tree,
    disk::{self, Draft, Existing},
    encoding::Encoding,
    error::{Damage, RECORD_FORMAT, Result, StoreError},
    layout::ACTIONS,
    sealed,
    tree::TreeEntry,
};

/// The files of a tree from which on several threads look for them.
const MANY: usize = 4096;

/// The result of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionResult {
    /// It succeeded with this output tree.
    Tree(Digest),
    /// It fails in the same way every time.
    Failure(FailureRecord),
}

impl ActionResult {
    /// Returns the record of the result of the action `key`: one line of JSON with sorted keys.
    pub fn record(&self, key: &ActionKey) -> Vec<u8> {
        encode(key, self)
    }

    /// Reads a record of the result of the action `key`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn from_record(key: &ActionKey, bytes: &[u8]) -> Result<Self, String> {
        decode(key, bytes)
    }
}

/// The record of a deterministic failure. The fields are sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureRecord {
    /// What the user can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What went wrong.
    pub message: String,
}

/// A result as it is written. The fields are sorted.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    action: ActionKey,
    /// The digest of the record's JSON without this field. The file is named by its action, so its name cannot verify it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<FailureRecord>,
    format: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tree: Option<Digest>,
}

impl Record {
    fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record is plain data with string keys")
    }
}

/// The provenance of a result as it is written, sealed. The fields are sorted.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Provenance {
    action: ActionKey,
    provenance: Value,
}

/// Reads the provenance of the result of an action. In a store of format 1 it is not sealed and does not name the action.
fn read_provenance(key: &ActionKey, bytes: &[u8]) -> Result<Value, String> {
    let line = bytes.strip_suffix(b"\n").ok_or("it is cut off")?;
    let value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if value.get("format").is_some() && value.get("provenance").is_none() {
        return Ok(value);
    }
    let bound: Provenance = sealed::open(line)?;
    if bound.action != *key {
        return Err(format!("it is the provenance of action {}", bound.action));
    }
    Ok(bound.provenance)
}

/// Returns a result's canonical bytes: one line of JSON with sorted keys.
pub(crate) fn encode(key: &ActionKey, result: &ActionResult) -> Vec<u8> {
    let (tree, failure) = match result {
        ActionResult::Tree(tree) => (Some(*tree), None),
        ActionResult::Failure(failure) => (None, Some(failure.clone())),
    };
    let mut record = Record { action: *key, check: None, failure, format: RECORD_FORMAT, tree };
    record.check = Some(Digest::of(&record.json()));
    let mut bytes = record.json();
    bytes.push(b'\n');
    bytes
}

/// Reads a result. Accepts exactly what [`encode`] writes.
fn decode(key: &ActionKey, bytes: &[u8]) -> Result<ActionResult, String> {
    let record: Record = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let result = match (record.tree, record.failure) {
        (Some(tree), None) => ActionResult::Tree(tree),
        (None, Some(failure)) => ActionResult::Failure(failure),
        (Some(_), Some(_)) => return Err("it holds both a tree and a failure".to_owned()),
        (None, None) => return Err("it holds neither a tree nor a failure".to_owned()),
    };
    if encode(key, &result) != bytes {
        return Err("its checksum is wrong".to_owned());
    }
    Ok(result)
}

impl Store {
    /// Returns the result of an action, if it is known and everything it names is stored: the action itself, the tree and the
    /// tree's files, which may also be promised. If an object is missing, a warning says which one, and the action should run again.
    ///
    /// While a collection runs, the result is only safe if the key was [appended](crate::Run::append) to an open run before.
    ///
    /// # Errors
    /// If the record or the tree is damaged, or a file has the wrong length. Also if a file cannot be read.
    pub fn result(&self, key: &ActionKey) -> Result<Option<ActionResult>> {
        let Some(result) = self.record(key)? else { return Ok(None) };
        match self.first_missing(key, &result)? {
            None => Ok(Some(result)),
            Some(missing) => {
                tracing::warn!(action = %key, object = %missing, "a result names an object that is missing; its action will run again");
                Ok(None)
            }
        }
    }

    /// Adds a field to the provenance of an action's result, in the place of the field of that name that there may be.
    ///
    /// # Errors
    /// As for [`provenance`](Self::provenance). Also if a file cannot be written.
    pub fn annotate(&self, key: &ActionKey, field: &str, value: Value) -> Result<()> {
        let _no_sweep = self.hold_off_sweeps()?;
        // One process at a time, so that no field is lost that another adds.
        let _lock = self.lock_dead_records()?;
        let mut provenance = self.provenance(key)?.and_then(|known| known.as_object().cloned()).unwrap_or_default();
        provenance.insert(field.to_owned(), value);
        self.write_provenance(key, &provenance.into())
    }

    pub(crate) fn write_provenance(&self, key: &ActionKey, provenance: &Value) -> Result<()> {
        let draft = self.draft_provenance(key, provenance)?;
        draft.file().sync()?;
        // A loss of power may lose this name. Nothing depends on it.
        draft.name(&self.provenance_path(key), Existing::Replace).map(drop)
    }

    pub(crate) fn draft_provenance(&self, key: &ActionKey, provenance: &Value) -> Result<Draft> {
        let bound = Provenance { action: *key, provenance: provenance.clone() };
        let draft = self.draft()?;
        draft.write((sealed::seal(&bound) + "\n").as_bytes())?;
        Ok(draft)
    }

    /// Returns when, where and how the action's result came about, if that is recorded.
    ///
    /// # Errors
    /// [`StoreError::Record`] if the record is damaged. Also if its file cannot be read.
    pub fn provenance(&self, key: &ActionKey) -> Result<Option<Value>> {
        let path = self.provenance_path(key);
        let Some(bytes) = disk::read(&path)?.record(&path)? else { return Ok(None) };
        read_provenance(key, &bytes).map(Some).map_err(|reason| StoreError::Record { path, reason })
    }

    /// Returns the action's result, if it counts.
    pub(crate) fn standing(&self, key: &ActionKey) -> Result<Option<ActionResult>> {
        match self.result(key) {
            Err(StoreError::Record { .. } | StoreError::Corrupt { .. } | StoreError::NotATree { .. }) => Ok(None),
            result => result,
        }
    }

    /// Moves the results that do not count to `quarantine/`, so that their actions run again. Returns how many there were.
    pub(crate) fn set_aside_dead_records(&self) -> Result<usize> {
        let mut count = 0;
        for listed in self.list_sharded(ACTIONS)? {
            let Some(key) = listed.key().filter(|_| listed.damage.is_none()) else { continue };
            if !self.is_dead(&key)? {
                continue;
            }
            // As in `commit`: one process at a time.
            let _lock = self.lock_dead_records()?;
            if self.is_dead(&key)? {
                count += usize::from(self.set_aside(&self.relative(&listed.path))?.is_some());
            }
        }
        Ok(count)
    }

    /// Removes the result of an action if it does not count, so that nothing is said of it any more. Its action will run again.
    ///
    /// # Errors
    /// If a file cannot be read or removed.
    pub fn drop_dead_result(&self, key: &ActionKey) -> Result<()> {
        // As in `commit`: one process at a time.
        let _lock = self.lock_dead_records()?;
        if self.is_dead(key)? {
            disk::remove(&self.record_path(key))?;
        }
        Ok(())
    }

    /// Returns whether the action has a result that does not count: it is damaged, or something it names is damaged or missing.
    fn is_dead(&self, key: &ActionKey) -> Result<bool> {
        let missing = self.record(key).and_then(|result| match result {
            Some(result) => self.first_missing(key, &result),
            None => Ok(None),
        });
        match missing {
            Ok(missing) => Ok(missing.is_some()),
            Err(error) if error.is_damage() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Returns the recorded result of an action. What it names may be missing.
    ///
    /// # Errors
    /// [`StoreError::Record`] if the record is damaged. Also if its file cannot be read.
    pub fn record(&self, key: &ActionKey) -> Result<Option<ActionResult>> {
        let path = self.record_path(key);
        let Some(bytes) = disk::read(&path)?.record(&path)? else { return Ok(None) };
        decode(key, &bytes).map(Some).map_err(|reason| StoreError::Record { path, reason })
    }

    /// Returns the first missing object that `result` needs in order to count.
    pub(crate) fn first_missing(&self, key: &ActionKey, result: &ActionResult) -> Result<Option<Digest>> {
        if !self.contains(&key.0)? {
            return Ok(Some(key.0));
        }
        let ActionResult::Tree(name) = result else { return Ok(None) };
        // A tree that is remembered may be gone from the disk.
        if self.remembers(name) && !self.contains(name)? {
            return Ok(Some(*name));
        }
        let tree = match self.tree(name) {
            Err(StoreError::Missing(name)) => return Ok(Some(name)),
            tree => tree?,
        };
        let lacks = |file: &TreeEntry| match self.find(&file.digest) {
            Err(error) => Some(Err(error)),
            Ok(None) => match self.promised(&file.digest) {
                Ok(None) => Some(Ok(Some(file.digest))),
                Ok(Some(_)) => None,
                Err(error) => Some(Err(error)),
            },
            Ok(Some((Encoding::Raw, found))) if found != file.size => {
                let path = self.object_path(&file.digest, Encoding::Raw);
                let found = Damage::Length { found, expected: file.size };
                Some(Err(StoreError::Corrupt { name: file.digest, found, path }))
            }
            Ok(Some(_)) => None,
        };
        if tree.files.len() < MANY {
            return tree.files.values().find_map(lacks).unwrap_or(Ok(None));
        }
        let files: Vec<_> = tree.files.values().collect();
        files.into_par_iter().find_map_first(lacks).unwrap_or(Ok(None))
    }

    /// Sets the time of everything that `result` names to the present, so that a sweep planned earlier spares it. What is in `written` is
    /// new.
    pub(crate) fn freshen_named(
        &self,
        key: &ActionKey,
        result: &ActionResult,
        written: &BTreeMap<Digest, &[u8]>,
    ) -> Result<()> {
        let (mut named, mut files) = (vec![key.0], Vec::new());
        if let ActionResult::Tree(name) = result {
            named.push(*name);
            let tree = match written.get(name) {
                Some(bytes) => {
                    Tree::from_bytes(bytes).map_err(|reason| StoreError::NotATree { name: *name, reason })?
                }
                None => self.tree(name)?,
            };
            files.extend(tree.files.into_values().map(|file| file.digest));
        }
        // Another user's object cannot be freshened, but it exists.
        let is_here = |digest: &Digest| {
            Ok(written.contains_key(digest) || self.freshen_object(digest, None)? || self.contains(digest)?)
        };
        for digest in named {
            if !is_here(&digest)? {
                return Err(StoreError::Missing(digest));
            }
        }
        for digest in files {
            if !is_here(&digest)? && self.promised(&digest)?.is_none() {
                return Err(StoreError::Missing(digest));
            }
        }
        Ok(())
    }

    /// Writes a small file. Returns false if there is one already and `existing` says to keep it.
    pub(crate) fn write(&self, bytes: &[u8], path: &Path, existing: Existing) -> Result<bool> {
        let draft = self.draft()?;
        draft.write(bytes)?;
        Ok(draft.publish(path, existing)?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::testing::{action, files, store};

    fn tree(store: &Store, text: &str) -> ActionResult {
        ActionResult::Tree(store.put_tree(&files(&[("out.txt", text)])).unwrap().0)
    }

    fn failure(message: &str) -> ActionResult {
        ActionResult::Failure(FailureRecord { message: message.to_owned(), hint: Some("mend it".to_owned()) })
    }

    #[test]
    fn the_bytes_of_a_record_do_not_change() {
        let key = ActionKey(Digest::from_bytes([1; 32]));
        let zeros = "01".repeat(32);
        let check = |result, unchecked: String, checked: &dyn Fn(&str) -> String| {
            let digest = Digest::of(unchecked.as_bytes()).to_string();
            assert_eq!(String::from_utf8(encode(&key, &result)).unwrap(), checked(&digest));
            assert_eq!(decode(&key, checked(&digest).as_bytes()), Ok(result));
        };
        check(
            ActionResult::Tree(Digest::from_bytes([1; 32])),
            format!(r#"{{"action":"{zeros}","format":1,"tree":"{zeros}"}}"#),
            &|digest| format!("{{\"action\":\"{zeros}\",\"check\":\"{digest}\",\"format\":1,\"tree\":\"{zeros}\"}}\n"),
        );
        check(
            failure("no"),
            format!(r#"{{"action":"{zeros}","failure":{{"hint":"mend it","message":"no"}},"format":1}}"#),
            &|digest| {
                format!(
                    "{{\"action\":\"{zeros}\",\"check\":\"{digest}\",\"failure\":{{\"hint\":\"mend it\",\"message\":\"no\"}},\"format\":1}}\n"
                )
            },
        );
    }

    #[test]
    fn the_first_committed_result_is_kept() {
        let (_folder, store) = store();
        let key = action(&store, "a");
        let (one, two) = (tree(&store, "one"), tree(&store, "two"));
        assert_eq!(store.result(&key).unwrap(), None);
        assert_eq!(store.commit(&key, &one, &json!({"seconds": 1})).unwrap(), one);
        assert_eq!(store.commit(&key, &two, &json!({"seconds": 2})).unwrap(), one);
        assert_eq!(store.result(&key).unwrap(), Some(one));
        assert_eq!(store.provenance(&key).unwrap(), Some(json!({"seconds": 1})));
    }

    #[test]
    fn if_two_commit_at_once_both_get_the_same_result() {
        let (_folder, store) = store();
        for i in 0..20 {
            let key = action(&store, &format!("a{i}"));
            let (one, two) = (failure("one"), tree(&store, "two"));
            let (by_one, by_two) = std::thread::scope(|scope| {
                let by_one = scope.spawn(|| store.commit(&key, &one, &Value::Null).unwrap());
                let by_two = scope.spawn(|| store.commit(&key, &two, &Value::Null).unwrap());
                (by_one.join().unwrap(), by_two.join().unwrap())
            });
            assert_eq!(by_one, by_two);
            assert_eq!(store.result(&key).unwrap(), Some(by_one));
        }
    }

    #[test]
    fn a_failure_is_a_result() {
        let (_folder, store) = store();
        let key = action(&store, "a");
        store.commit(&key, &failure("three classes expected"), &Value::Null).unwrap();
        assert_eq!(store.result(&key).unwrap(), Some(failure("three classes expected")));
    }

    #[test]
    fn a_result_stands_until_its_successor_does() {
        let (_folder, store) = store();
        let key = action(&store, "a");
        let (one, two) = (tree(&store, "one"), tree(&store, "two"));
        store.commit(&key, &one, &json!(1)).unwrap();
        let absent = ActionResult::Tree(Digest::of(b"absent"));
        assert!(store.replace(&key, &absent, &json!(2)).is_err());
        assert_eq!((store.result(&key).unwrap(), store.provenance(&key).unwrap()), (Some(one), Some(json!(1))));
        store.replace(&key, &two, &json!(2)).unwrap();
        assert_eq!((store.result(&key).unwrap(), store.provenance(&key).unwrap()), (Some(two), Some(json!(2))));
    }

    #[test]
    fn provenance_belongs_to_its_action_and_no_byte_of_it_can_change() {
        let (_folder, store) = store();
        let [a, b] = ["a", "b"].map(|name| {
            let key = action(&store, name);
            store.commit(&key, &failure(name), &json!({ "format": 1, "seconds": 2.5 })).unwrap();
            key
        });
        let path = store.provenance_path(&a);
        let right = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        for at in 0..right.len() {
            let mut wrong = right.clone();
            wrong[at] ^= 1;
            fs::write(&path, wrong).unwrap();
            assert!(matches!(store.provenance(&a), Err(StoreError::Record { .. })), "byte {at}");
        }
        fs::copy(store.provenance_path(&b), &path).unwrap_or_else(|_| panic!("the copy is made"));
        let error = store.provenance(&a).unwrap_err().to_string();
        assert!(error.contains(&format!("it is the provenance of action {b}")), "{error}");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "{\"format\":1,\"seconds\":2.5}\n").unwrap();
        assert_eq!(store.provenance(&a).unwrap(), Some(json!({ "format": 1, "seconds": 2.5 })), "as in format 1");
    }

    #[test]
    fn nothing_that_names_a_missing_object_is_committed() {
        let (_folder, store) = store();
        let key = action(&store, "a");
        let absent = Digest::of(b"absent");
        let commit = |key, tree| store.commit(key, &ActionResult::Tree(tree), &Value::Null);
        assert!(matches!(commit(&key, absent), Err(StoreError::Missing(name)) if name == absent));
        let unstored = store.put(&Tree::of(&files(&[("a", "not put")])).unwrap().to_bytes()).unwrap();
        assert!(matches!(commit(&key, unstored), Err(StoreError::Missing(_))));
        let stored = store.put_tree(&files(&[])).unwrap().0;
        assert!(matches!(commit(&ActionKey(absent), stored), Err(StoreError::Missing(name)) if name == absent));
        assert_eq!(store.result(&key).unwrap(), None);
    }

    #[test]
    fn a_result_counts_only_while_everything_it_names_exists() {
        let (_folder, store) = store();
        let key = action(&store, "a");
        let result = tree(&store, "one");
        let ActionResult::Tree(name) = result else { unreachable!() };
        let file = store.tree(&name).unwrap().files["out.txt"].digest;
        for digest in [file, name, key.0] {
            store.commit(&key, &result, &Value::Null).unwrap();
            let path = store.object_path(&digest, Encoding::Raw);
            let aside = store.root().join("aside");
            fs::rename(&path, &aside).unwrap();
            assert_eq!(store.result(&key).unwrap(), None);
            assert_eq!(Store::open(store.root()).unwrap().result(&key).unwrap(), None);
            fs::rename(&aside, &path).unwrap();
            assert_eq!(store.result(&key).unwrap(), Some(result.clone()));
        }
        // A result that does not count is replaced.
        store.quarantine(&file).unwrap();
        assert_eq!(store.commit(&key, &tree(&store, "two"), &Value::Null).unwrap(), tree(&store, "two"));
    }

    #[test]
    fn a_truncated_output_is_damage_and_not_missing() {
        let (_folder, store) = store();
        let key = action(&store, "a");
        store.commit(&key, &tree(&store, "one"), &Value::Null).unwrap();
        let path = store.object_path(&Digest::of(b"one"), Encoding::Raw);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "on").unwrap();
        let error = store.result(&key).unwrap_err();
        assert!(error.to_string().contains("it has 2 bytes instead of 3"), "{error}");
    }

    #[test]
    fn every_flipped_byte_of_a_record_is_noticed() {
        let (_folder, store) = store();
        for result in [tree(&store, "one"), failure("a message")] {
            let key = action(&store, &format!("{result:?}"));
            store.commit(&key, &result, &Value::Null).unwrap();
            let path = store.record_path(&key);
            let right = fs::read(&path).unwrap();
            for i in 0..right.len() {
                for bit in 0..8 {
                    let mut wrong = right.clone();
                    wrong[i] ^= 1 << bit;
                    fs::remove_file(&path).unwrap();
                    fs::write(&path, &wrong).unwrap();
                    assert!(matches!(store.result(&key), Err(StoreError::Record { .. })), "byte {i}, bit {bit}");
                }
            }
            assert_eq!(store.commit(&key, &result, &Value::Null).unwrap(), result);
        }
    }

    #[test]
    fn a_result_under_anothers_name_does_not_count() {
        let (_folder, store) = store();
        let (a, b) = (action(&store, "a"), action(&store, "b"));
        store.commit(&a, &tree(&store, "one"), &Value::Null).unwrap();
        disk::make_dir(store.record_path(&b).parent().unwrap(), disk::Access::PRIVATE).unwrap();
        fs::copy(store.record_path(&a), store.record_path(&b)).unwrap();
        assert!(matches!(store.result(&b), Err(StoreError::Record { .. })));
    }
}
