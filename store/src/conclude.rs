//! Concluding an action: its record, its outputs, its result and its provenance become durable together, and with them what other threads
//! conclude meanwhile.
//!
//! A result waits for the disk three times, however many others wait with it:
//!
//! 1. All files are synced under temporary names, and the log of the run.
//! 2. The objects get their names, and the folders of these are synced.
//! 3. The results get their names, and the folders of these are synced. Then the provenance, on which nothing depends.
//!
//! While one group is at it, the results that are ready meanwhile queue up. They are the next group.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

use crate::{
    ActionKey, ActionResult, Digest, LoggedKeys, Store, actions,
    disk::{self, Draft, Existing},
    encoding::Encoding,
    error::{Result, StoreError},
    objects::Written,
    together::{Unsynced, sync_all, sync_folders},
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
    /// Stores the objects of a result, the result of the action and its provenance, and returns when they are durable. If there already is
    /// a result, it stays, unless it is damaged or names a missing object, or is to be replaced. Returns the result that is stored in the
    /// end.
    ///
    /// At no moment a result is there without everything that it names, whatever happens.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the action, the tree or one of its files is neither given, stored nor promised, [`StoreError::LostPage`]
    /// if what was read from the store may have been wrong. Also if a file cannot be read or written.
    pub fn conclude(&self, key: &ActionKey, ending: &Ending<'_>) -> Result<ActionResult> {
        self.check_reads()?;
        let _no_sweep = self.hold_off_sweeps()?;
        let concluded = match self.0.group.conclude(self, self.draft_ending(key, ending)?) {
            Outcome::Failed(error) => return Err(error),
            // Again without the others, so that each has its own error. What was named before may not be durable.
            Outcome::GroupFailed => {
                self.publish_endings(vec![DraftedEnding { is_again: true, ..self.draft_ending(key, ending)? }])?[0]
            }
            Outcome::Concluded(concluded) => concluded,
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
        self.publish_endings(drafts).map(drop)
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
                    Some(object) => {
                        let path = self.object_path(&object.name, object.encoding);
                        objects.push((object, path));
                    }
                    None => found.push(name),
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
            log: ending.log.clone(),
            is_again: false,
        })
    }

    /// Names the files of several endings, and makes everything durable. Returns for each what became of it.
    ///
    /// Invariant: everything that a result names is durable before the result has its name.
    fn publish_endings(&self, mut group: Vec<DraftedEnding>) -> Result<Vec<Concluded>> {
        sync_files(&group)?;
        let mut folders = BTreeSet::new();
        for ending in &mut group {
            let objects = mem::take(&mut ending.objects);
            let outdated = self.outdated(objects.iter().map(|(object, _)| object));
            for (object, path) in objects {
                object.draft.name(&path, Existing::Replace)?;
                folders.insert(disk::folder(&path).to_owned());
            }
            outdated.iter().try_for_each(|path| disk::remove(path).map(drop))?;
            if ending.is_again {
                let paths = ending.found.iter().map(|name| self.object_path(name, Encoding::Raw));
                folders.extend(paths.map(|path| disk::folder(&path).to_owned()));
            }
        }
        sync_folders(&folders)?;
        let (mut concluded, mut provenances) = (Vec::new(), Vec::new());
        folders.clear();
        for DraftedEnding { record: (draft, path), provenance, existing, is_again, .. } in group {
            let is_named = draft.name(&path, existing)?.is_some();
            if is_named || is_again {
                folders.insert(disk::folder(&path).to_owned());
            }
            if is_named {
                provenances.push(provenance);
            }
            concluded.push(if is_named { Concluded::Stored } else { Concluded::IsTaken });
        }
        sync_folders(&folders)?;
        for (draft, path) in provenances {
            // A loss of power may lose this name. Nothing depends on it.
            draft.name(&path, Existing::Replace)?;
        }
        Ok(concluded)
    }
}

/// The files of an ending, which are written and have no names yet.
struct DraftedEnding {
    objects: Vec<(Written, PathBuf)>,
    /// The objects that are stored already.
    found: Vec<Digest>,
    record: (Draft, PathBuf),
    existing: Existing,
    provenance: (Draft, PathBuf),
    log: Option<LoggedKeys>,
    /// Whether this was tried before. Then names that are there already may not be durable.
    is_again: bool,
}

/// What became of an ending.
#[derive(Debug, Clone, Copy)]
enum Concluded {
    Stored,
    /// Another result has its place.
    IsTaken,
}

/// Makes durable what must be before anything has its name: the bytes, the log, and the folders of the names.
fn sync_files(group: &[DraftedEnding]) -> Result<()> {
    let mut changed = BTreeSet::new();
    let mut files = Vec::new();
    for ending in group {
        let objects = ending.objects.iter().map(|(object, path)| (&object.draft, path));
        let records = [&ending.record, &ending.provenance].map(|(draft, path)| (draft, path));
        for (draft, path) in objects.chain(records) {
            draft.make_folder(path, &mut changed)?;
            if ending.is_again {
                changed.extend(disk::folder(path).parent().map(Path::to_owned));
            }
            files.push(Unsynced::File(draft.file()));
        }
    }
    let logs: BTreeMap<_, _> =
        group.iter().filter_map(|ending| Some((ending.log.as_ref()?.0.path(), &*ending.log.as_ref()?.0))).collect();
    files.extend(logs.into_values().map(Unsynced::File));
    files.extend(changed.iter().map(|folder| Unsynced::Folder(folder)));
    sync_all(&files)
}

/// The endings of one store that wait for the disk.
#[derive(Default)]
pub(crate) struct Group {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<(DraftedEnding, Arc<Mutex<Option<Outcome>>>)>,
    /// Whether a thread is publishing a group.
    is_led: bool,
}

/// What the thread of an ending is told.
enum Outcome {
    Concluded(Concluded),
    /// It was alone and failed.
    Failed(StoreError),
    /// Its group failed, perhaps not because of it.
    GroupFailed,
}

impl Group {
    /// Publishes an ending with those of other threads. One of the threads does it for all that wait.
    fn conclude(&self, store: &Store, ending: DraftedEnding) -> Outcome {
        let own = Arc::new(Mutex::new(None));
        let mut queue = lock(&self.queue);
        queue.waiting.push((ending, own.clone()));
        loop {
            if let Some(outcome) = lock(&own).take() {
                return outcome;
            }
            if queue.is_led {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            queue.is_led = true;
            let (endings, outcomes): (Vec<_>, Vec<_>) = mem::take(&mut queue.waiting).into_iter().unzip();
            drop(queue);
            let is_alone = endings.len() == 1;
            let published = catch_unwind(AssertUnwindSafe(|| store.publish_endings(endings)));
            let (published, panic): (Vec<_>, _) = match published {
                Ok(Ok(concluded)) => (concluded.into_iter().map(Outcome::Concluded).collect(), None),
                Ok(Err(error)) if is_alone => (vec![Outcome::Failed(error)], None),
                Ok(Err(_)) => (outcomes.iter().map(|_| Outcome::GroupFailed).collect(), None),
                // The others do not wait for a thread that is gone.
                Err(panic) => (outcomes.iter().map(|_| Outcome::GroupFailed).collect(), Some(panic)),
            };
            for (outcome, published) in outcomes.iter().zip(published) {
                *lock(outcome) = Some(published);
            }
            queue = lock(&self.queue);
            queue.is_led = false;
            self.changed.notify_all();
            if let Some(panic) = panic {
                drop(queue);
                resume_unwind(panic);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use serde_json::json;

    use super::*;
    use crate::{
        Tree,
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
        // Nobody leads until both wait.
        lock(&store.0.group.queue).is_led = true;
        thread::scope(|scope| {
            let [bad, good] = [bad, good].map(|(key, objects, result)| {
                let (store, provenance) = (&store, &provenance);
                scope.spawn(move || {
                    let ending = Ending { objects, replaces: true, ..Ending::new(result, provenance) };
                    store.conclude(&key, &ending).map(|result| (store.result(&key).unwrap(), result))
                })
            });
            while lock(&store.0.group.queue).waiting.len() < 2 {
                thread::yield_now();
            }
            lock(&store.0.group.queue).is_led = false;
            store.0.group.changed.notify_all();
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
