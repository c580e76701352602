//! Concluding an action: its record, its outputs, its result and its provenance become durable together, and with them what other threads
//! conclude meanwhile.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;

use crate::{
    ActionKey, ActionResult, LoggedKeys, Store, actions,
    disk::Existing,
    drafted::{self, Concluded, DraftedEnding, DraftedObject},
    encoding::Encoding,
    error::Result,
    group::Outcome,
};

/// How an action ended, and what is to be stored with its result.
#[derive(Debug)]
pub struct Ending<'a> {
    /// Objects that may not be stored yet: the record of the action, the files of the tree, and the tree. What the result names and is
    /// not among them must be stored.
    pub objects: Vec<Cow<'a, [u8]>>,
    /// The result.
    pub result: ActionResult,
    /// When, where and how it came about.
    pub provenance: &'a Value,
    /// Whether it takes the place of the result that there may be.
    pub replaces: bool,
    /// The log of the run that names the action, if it may not be durable yet. It is, before an object has its name.
    pub log: Option<LoggedKeys>,
}

impl<'a> Ending<'a> {
    /// Returns how an action ended of which everything but the result is stored.
    pub fn new(result: ActionResult, provenance: &'a Value) -> Self {
        Self { objects: Vec::new(), result, provenance, replaces: false, log: None }
    }
}

/// The most objects, and the most bytes of them, that a result holds back until its group is stored. Each object is an open file.
const MOST: (usize, usize) = (10, 4 << 20);

impl Store {
    /// Stores the result of an action and its provenance. If there already is a result, it stays and nothing is written, unless it
    /// is damaged or names a missing object. Returns the result that is stored in the end.
    ///
    /// # Errors
    /// As for [`conclude`](Self::conclude).
    pub fn commit(&self, key: &ActionKey, result: &ActionResult, provenance: &Value) -> Result<ActionResult> {
        self.conclude(key, &Ending::new(result.clone(), provenance))
    }

    /// Stores the result of an action and its provenance in the place of the result that there may be. At every moment one of the two
    /// stands.
    ///
    /// # Errors
    /// As for [`conclude`](Self::conclude).
    pub fn replace(&self, key: &ActionKey, result: &ActionResult, provenance: &Value) -> Result<()> {
        self.conclude(key, &Ending { replaces: true, ..Ending::new(result.clone(), provenance) }).map(drop)
    }

    /// Stores the objects of a result, the result of the action and its provenance, and returns when they are durable. If there already is
    /// a result, it stays, unless it is damaged or names a missing object, or is to be replaced. Returns the result that is stored in the
    /// end.
    ///
    /// At no moment a result is there without everything that it names, whatever happens.
    ///
    /// # Errors
    /// [`StoreError::Missing`](crate::StoreError::Missing) if the action, the tree or one of its files is neither given, stored nor
    /// promised, [`StoreError::LostPage`](crate::StoreError::LostPage) if what was read from the store may have been wrong. Also if a
    /// file cannot be read or written.
    pub fn conclude(&self, key: &ActionKey, ending: &Ending<'_>) -> Result<ActionResult> {
        self.check_reads()?;
        let _no_sweep = self.hold_off_sweeps()?;
        let concluded = match self.0.group.join(self.draft_ending(key, ending)?, drafted::publish) {
            Outcome::Failed(error) => return Err(error),
            // Again without the others, so that each has its own error. What was named before may not be durable.
            Outcome::GroupFailed => {
                drafted::publish(vec![DraftedEnding { is_again: true, ..self.draft_ending(key, ending)? }])?[0]
            }
            Outcome::Done(concluded) => concluded,
        };
        match concluded {
            Concluded::Stored => Ok(ending.result.clone()),
            Concluded::IsTaken => self.commit_beside(key, ending),
        }
    }

    /// Stores several results as one group.
    ///
    /// # Errors
    /// As for [`conclude`](Self::conclude). Each of them may be stored or not.
    #[cfg(feature = "faults")]
    pub fn conclude_all(&self, endings: &[(ActionKey, Ending<'_>)]) -> Result<()> {
        self.check_reads()?;
        let _no_sweep = self.hold_off_sweeps()?;
        let drafts = endings.iter().map(|(key, ending)| self.draft_ending(key, ending)).collect::<Result<_>>()?;
        drafted::publish(drafts).map(drop)
    }

    /// Writes the files of an ending, without their names.
    fn draft_ending(&self, key: &ActionKey, ending: &Ending<'_>) -> Result<DraftedEnding> {
        let (mut written, mut objects, mut found) = (BTreeMap::new(), Vec::new(), Vec::new());
        let size: usize = ending.objects.iter().map(|bytes| bytes.len()).sum();
        if ending.objects.len() > MOST.0 || size > MOST.1 {
            // They are stored before, because their files would stay open until then.
            ending.log.iter().try_for_each(|log| log.0.sync())?;
            let names = self.put_all(ending.objects.iter().map(|bytes| &**bytes))?;
            written.extend(names.into_iter().zip(ending.objects.iter().map(|bytes| &**bytes)));
        } else {
            for bytes in &ending.objects {
                let (name, object) = self.write_object(bytes)?;
                written.insert(name, &**bytes);
                match object {
                    Some(object) => objects.push(DraftedObject {
                        path: self.object_path(&name, object.encoding),
                        outdated: self.outdated([&object]),
                        draft: object.draft,
                    }),
                    None => found.push(self.object_path(&name, Encoding::Raw)),
                }
            }
        }
        self.freshen_named(key, &ending.result, &written)?;
        let record = self.draft()?;
        record.write(&actions::encode(key, &ending.result))?;
        Ok(DraftedEnding {
            objects,
            found,
            record: (record, self.record_path(key)),
            existing: if ending.replaces { Existing::Replace } else { Existing::Keep },
            provenance: (self.draft_provenance(key, ending.provenance)?, self.provenance_path(key)),
            log: ending.log.as_ref().map(|log| log.0.clone()),
            is_again: false,
        })
    }

    /// Stores a result in whose place there is another. That one stays if it counts. Returns the one that is stored in the end.
    fn commit_beside(&self, key: &ActionKey, ending: &Ending<'_>) -> Result<ActionResult> {
        let path = self.record_path(key);
        loop {
            if let Some(stands) = self.standing(key)? {
                return Ok(stands);
            }
            {
                // One process at a time, so that none removes a result with which another has just replaced one that does not count.
                let _lock = self.lock_dead_records()?;
                if let Some(stands) = self.standing(key)? {
                    return Ok(stands);
                }
                self.set_aside(&self.relative(&path))?;
            }
            if self.write(&actions::encode(key, &ending.result), &path, Existing::Keep)? {
                self.write_provenance(key, ending.provenance)?;
                return Ok(ending.result.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use serde_json::json;

    use super::*;
    use crate::{
        Digest, StoreError, Tree, disk,
        testing::{files, store},
    };

    /// Returns an action, its output and what is stored of them.
    fn objects(name: &str) -> (ActionKey, Vec<Cow<'static, [u8]>>, ActionResult) {
        let outputs = files(&[("out.txt", name), ("same.txt", "same")]);
        let action = format!("action {name}").into_bytes();
        let tree = Tree::of(&outputs).unwrap().to_bytes();
        let (key, result) = (ActionKey(Digest::of(&action)), ActionResult::Tree(Digest::of(&tree)));
        (key, [action].into_iter().chain(outputs.into_values()).chain([tree]).map(Cow::Owned).collect(), result)
    }

    #[test]
    fn what_many_threads_conclude_at_once_is_all_there() {
        let (_folder, store) = store();
        let run = store.open_run("r", "study", std::time::SystemTime::UNIX_EPOCH).unwrap();
        let names: Vec<_> = (0..40).map(|i| format!("{}", i % 30)).collect();
        thread::scope(|scope| {
            for name in &names {
                let (store, run) = (&store, &run);
                scope.spawn(move || {
                    let (key, objects, result) = objects(name);
                    run.append(&key).unwrap();
                    let provenance = json!({ "name": name });
                    let log = Some(run.so_far());
                    let ending = Ending { objects, log, ..Ending::new(result.clone(), &provenance) };
                    assert_eq!(store.conclude(&key, &ending).unwrap(), result);
                    assert_eq!(store.result(&key).unwrap(), Some(result));
                    assert_eq!(store.provenance(&key).unwrap(), Some(provenance));
                });
            }
        });
    }

    #[test]
    fn one_of_a_group_that_cannot_be_stored_does_not_hinder_the_others() {
        let (_folder, store) = store();
        let [bad, good] = ["bad", "good"].map(objects);
        let provenance = json!(1);
        let path = store.record_path(&bad.0);
        disk::make_dir(&path, disk::Access::PRIVATE).unwrap();
        let start = store.0.group.wait_for(2);
        thread::scope(|scope| {
            let [bad, good] = [bad, good].map(|(key, objects, result)| {
                let (store, provenance) = (&store, &provenance);
                scope.spawn(move || {
                    let ending = Ending { objects, replaces: true, ..Ending::new(result, provenance) };
                    store.conclude(&key, &ending).map(|result| (store.result(&key).unwrap(), result))
                })
            });
            start();
            let (stored, result) = good.join().unwrap().unwrap();
            assert_eq!(stored, Some(result));
            assert!(matches!(bad.join().unwrap(), Err(StoreError::Record { .. })));
        });
    }

    #[test]
    fn many_or_large_objects_are_stored_with_their_result_too() {
        let (_folder, store) = store();
        let large = vec![("large".to_owned(), vec![7; MOST.1 + 1])];
        let many = (0..MOST.0 + 70).map(|i| (format!("{i}.txt"), i.to_string().into_bytes())).collect();
        for outputs in [large, many] {
            let outputs: BTreeMap<String, Vec<u8>> = outputs.into_iter().collect();
            let key = crate::testing::action(&store, outputs.keys().next().unwrap());
            let tree = Tree::of(&outputs).unwrap().to_bytes();
            let result = ActionResult::Tree(Digest::of(&tree));
            let ending = Ending::new(result.clone(), &Value::Null);
            let error = store.conclude(&key, &ending).unwrap_err();
            assert!(matches!(error, StoreError::Missing(_)), "nothing of it is given: {error}");
            let objects = outputs.values().chain([&tree]).map(|bytes| Cow::Borrowed(bytes.as_slice())).collect();
            assert_eq!(store.conclude(&key, &Ending { objects, ..ending }).unwrap(), result);
            assert_eq!(store.result(&key).unwrap(), Some(result));
        }
    }
}
