//! Removes what a garbage collection has planned to remove.

use std::{collections::BTreeSet, mem::discriminant};

use rayon::prelude::*;

use crate::{
    GcItem, GcKind, GcPlan, Store, Tally,
    disk::{self, Found},
    error::{Result, StoreError},
    locks, work,
};

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Swept {
    /// The files that were removed.
    pub removed: Tally,
    /// The files that the plan lists but that have been used or removed since.
    pub spared: Tally,
}

impl Swept {
    fn add(&mut self, other: Self) {
        self.removed.add_all(other.removed);
        self.spared.add_all(other.spared);
    }
}

/// The number of files that a thread removes at a time. With fewer, threads cost more than they save.
const AT_ONCE: usize = 1000;

/// Removes `items`, one by one. `removes` tells whether it removed the item or spared it.
fn sweep_items(items: &[GcItem], removes: impl Fn(&GcItem) -> Result<bool>) -> Result<Swept> {
    let mut swept = Swept::default();
    for item in items {
        if removes(item)? { &mut swept.removed } else { &mut swept.spared }.add(item.size);
    }
    Ok(swept)
}

impl Store {
    /// Removes what `plan` lists, except files that have been used since the plan was made: their time has changed, or a run has
    /// noted their action.
    ///
    /// Records are removed before the objects they name. A process that is killed in between leaves objects that nothing names, but
    /// never a result without its objects.
    ///
    /// # Errors
    /// [`StoreError::StalePlan`] if a study was added since the roots were read; make a new plan then. Also if a file cannot be
    /// read or removed.
    pub fn sweep(&self, plan: &GcPlan) -> Result<Swept> {
        // Until this is dropped, no other process can freshen an object, append a key to a run or name a study.
        let _sweeping = self.start_sweeping()?;
        let added = |(value, count): (_, &usize)| plan.seen.get(value).is_none_or(|seen| seen < count);
        if self.seen_refs()?.iter().any(added) {
            return Err(StoreError::StalePlan);
        }
        let (cutoff, _) = self.gc_cutoff(plan.cutoff)?;
        let runs = self.runs()?;
        let noted: BTreeSet<_> = runs.iter().flat_map(|run| &run.keys).copied().collect();
        let mut reached = self.reach(&noted, &BTreeSet::new())?.objects;
        reached.extend(runs.iter().flat_map(|run| &run.objects));
        let spares = |item: &GcItem| match &item.kind {
            GcKind::Record { key } | GcKind::Provenance { key } | GcKind::Log { key } => noted.contains(key),
            GcKind::Object { name } | GcKind::Promise { name } => reached.contains(name),
            GcKind::WorkFolder { key } => noted.contains(key) && self.root().join(&item.path) == self.work_path(key),
            _ => false,
        };
        let removes = |item: &GcItem| Ok(item.modified <= cutoff && !spares(item) && self.remove_item(item)?);
        let is_record = |item: &&GcItem| matches!(item.kind, GcKind::Record { .. });
        let record_folders = plan.items.iter().filter(is_record).filter_map(|item| item.path.parent());
        let records: BTreeSet<_> = record_folders.map(|folder| self.root().join(folder)).collect();
        let mut swept = Swept::default();
        for items in plan.items.chunk_by(|a, b| discriminant(&a.kind) == discriminant(&b.kind)) {
            if matches!(items[0].kind, GcKind::Object { .. }) {
                // No loss of power must bring back a record that names them.
                records.iter().try_for_each(|folder| disk::sync_dir(folder))?;
            }
            // Objects may be removed in any order, and no lock is taken for them: a thread of the pool that waited for one could be the
            // one that holds it.
            if items.len() > AT_ONCE && matches!(items[0].kind, GcKind::Object { .. }) {
                let parts: Vec<_> = items.par_chunks(AT_ONCE).map(|items| sweep_items(items, removes)).collect();
                for part in parts {
                    swept.add(part?);
                }
            } else {
                swept.add(sweep_items(items, removes)?);
            }
        }
        Ok(swept)
    }

    /// Removes a file if it has not changed since the plan was made. Returns whether it did.
    fn remove_item(&self, item: &GcItem) -> Result<bool> {
        let path = self.root().join(&item.path);
        if let GcKind::WorkFolder { key } = &item.kind {
            // If a program works there, it stays.
            let Some(_lock) = self.try_lock_work(key)? else { return Ok(false) };
            if disk::measure(&path)?.is_none_or(|(_, modified)| modified != item.modified) {
                return Ok(false);
            }
            return match work::remove_folder(&path) {
                // A program of another user made folders there that only that user can empty.
                Err(error) if error.is_denied() => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "a working folder is passed over");
                    Ok(false)
                }
                removed => removed.map(|()| true),
            };
        }
        let _lock = match &item.kind {
            GcKind::Checkpoint { trajectory } | GcKind::CheckpointPart { trajectory } => {
                // If a training holds the lock it is using its checkpoints, so they stay.
                let Some(lock) = self.try_lock_trajectory(trajectory)? else { return Ok(false) };
                Some(lock)
            }
            _ => None,
        };
        let Found::Sound(metadata) = disk::look(&path)? else { return Ok(false) };
        if disk::modified(&path, &metadata)? != item.modified {
            return Ok(false);
        }
        match &item.kind {
            GcKind::Lock => locks::remove_unused(&path),
            GcKind::Checkpoint { trajectory } => {
                disk::remove(&path)?;
                self.drop_unnamed_parts(trajectory).map(|()| true)
            }
            GcKind::CheckpointPart { trajectory } => {
                // A checkpoint that was completed since may name it, so remove only what none names.
                self.drop_unnamed_parts(trajectory)?;
                Ok(!disk::exists(&path)?)
            }
            _ => disk::remove(&path),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        fs::{self, File},
        time::{Duration, SystemTime},
    };

    use serde_json::Value;

    use super::*;
    use crate::{
        ActionKey, ActionResult, Digest, GcRoots, ObjectSource, RefKind,
        testing::{action, age, age_all, at, files, store},
    };

    const DAY: u64 = 86_400;

    fn commit(store: &Store, name: &str, outputs: &[(&str, &str)]) -> ActionKey {
        let key = action(store, name);
        let (tree, _) = store.put_tree(&files(outputs)).unwrap();
        store.commit(&key, &ActionResult::Tree(tree), &Value::Null).unwrap();
        key
    }

    fn plan(store: &Store, roots: &GcRoots, grace_days: u64) -> GcPlan {
        store.gc_plan(roots, SystemTime::now(), Duration::from_secs(grace_days * DAY)).unwrap()
    }

    fn collect(store: &Store, actions: &[ActionKey], grace_days: u64) -> Swept {
        let mut roots = store.gc_roots().unwrap();
        roots.actions.extend(actions);
        store.sweep(&plan(store, &roots, grace_days)).unwrap()
    }

    fn known(store: &Store, key: &ActionKey) -> bool {
        Store::open(store.root()).unwrap().result(key).unwrap().is_some()
    }

    #[test]
    fn what_the_roots_reach_stays_and_the_rest_is_removed() {
        let (_folder, store) = store();
        let kept = commit(&store, "kept", &[("a", "shared"), ("b", "only kept")]);
        let gone = commit(&store, "gone", &[("a", "shared"), ("b", "only gone")]);
        age_all(store.root(), 10 * DAY);
        collect(&store, &[kept], 1);
        assert!(known(&store, &kept) && !known(&store, &gone));
        assert!(store.provenance(&kept).unwrap().is_some() && store.provenance(&gone).unwrap().is_none());
        assert!(store.contains(&Digest::of(b"shared")).unwrap());
        assert!(!store.contains(&Digest::of(b"only gone")).unwrap() && !store.contains(&gone.0).unwrap());
        assert_eq!(store.objects().len(), 4);
        assert_eq!(collect(&store, &[kept], 1), Swept::default(), "there is nothing left to do");
    }

    #[test]
    fn what_an_execution_said_goes_with_its_result() {
        let (_folder, store) = store();
        let (kept, gone) = (commit(&store, "kept", &[]), commit(&store, "gone", &[]));
        let (no_result, young) = (action(&store, "no result"), action(&store, "young"));
        for key in [&kept, &gone, &no_result] {
            store.save_log(key, b"said\n").unwrap();
        }
        age_all(store.root(), 10 * DAY);
        store.save_log(&young, b"said\n").unwrap();
        let mut roots = store.gc_roots().unwrap();
        roots.actions.insert(kept);
        let plan = plan(&store, &roots, 1);
        let logs = plan.items.iter().filter(|item| matches!(item.kind, GcKind::Log { .. }));
        assert_eq!(logs.count(), 2);
        store.sweep(&plan).unwrap();
        let said = [kept, gone, no_result, young].map(|key| store.log(&key).unwrap().is_some());
        assert_eq!(said, [true, false, false, true]);
        assert_eq!(collect(&store, &[kept], 1), Swept::default());
    }

    #[test]
    fn within_the_grace_period_a_result_stays_with_all_it_names() {
        let (_folder, store) = store();
        let key = commit(&store, "a", &[("a", "one")]);
        store.put(b"lonely").unwrap();
        age_all(store.root(), 10 * DAY);
        // Only the record is new, as after a new action whose outputs existed already.
        File::open(store.record_path(&key)).unwrap().set_modified(SystemTime::now()).unwrap();
        collect(&store, &[], 1);
        assert!(known(&store, &key));
        assert!(!store.contains(&Digest::of(b"lonely")).unwrap());
        age_all(store.root(), 10 * DAY);
        collect(&store, &[], 1);
        assert_eq!((known(&store, &key), store.objects().len()), (false, 0));
    }

    #[test]
    fn a_plan_lists_what_a_sweep_removes_and_changes_nothing() {
        let (_folder, store) = store();
        commit(&store, "a", &[("a", "one")]);
        age_all(store.root(), 10 * DAY);
        let plan = plan(&store, &store.gc_roots().unwrap(), 1);
        assert_eq!(store.objects().len(), 3);
        let kinds: Vec<_> = plan.items.iter().map(|item| item.kind.to_string()).collect();
        let object = "object that nothing refers to";
        let result = "result that no study or run needs";
        assert_eq!(kinds, [result, &format!("provenance of a {result}"), object, object, object]);
        let text = plan.to_string();
        assert!(text.contains("bytes in 5 files to remove; 0 bytes in 0 objects to keep"), "{text}");
        assert_eq!(serde_json::to_value(&plan).unwrap()["items"].as_array().unwrap().len(), 5);
    }

    #[test]
    fn what_an_unfinished_run_has_noted_stays_until_it_is_abandoned() {
        let (_folder, store) = store();
        let key = commit(&store, "a", &[("a", "one")]);
        let run = store.open_run("r", "s", SystemTime::now()).unwrap();
        run.append(&key).unwrap();
        age_all(store.root(), 10 * DAY);
        collect(&store, &[], 1);
        assert!(known(&store, &key));
        drop(run);
        collect(&store, &[], 1);
        assert!(known(&store, &key));
        store.abandon_run("r").unwrap();
        collect(&store, &[], 1);
        assert!(!known(&store, &key));
    }

    #[test]
    fn nothing_newer_than_the_start_of_a_running_run_is_removed() {
        let (_folder, store) = store();
        let (old, new) = (store.put(b"old").unwrap(), store.put(b"new").unwrap());
        age(&store.object_path(&old, crate::encoding::Encoding::Raw), 3 * DAY);
        age(&store.object_path(&new, crate::encoding::Encoding::Raw), DAY);
        let run = store.open_run("r", "s", SystemTime::now() - Duration::from_secs(2 * DAY)).unwrap();
        let plan = plan(&store, &store.gc_roots().unwrap(), 0);
        assert_eq!(plan.held_back_by.as_deref(), Some("r"));
        store.sweep(&plan).unwrap();
        assert_eq!(store.objects(), [new].into());
        drop(run);
        collect(&store, &[], 0);
        assert!(store.objects().is_empty());
    }

    #[test]
    fn what_is_used_between_plan_and_sweep_stays() {
        let (_folder, store) = store();
        let (noted, put, gone) = (
            commit(&store, "noted", &[("a", "noted")]),
            commit(&store, "put", &[("a", "put")]),
            commit(&store, "gone", &[("a", "gone")]),
        );
        age_all(store.root(), 10 * DAY);
        let plan = plan(&store, &store.gc_roots().unwrap(), 1);
        let run = store.open_run("r", "s", SystemTime::now()).unwrap();
        run.append(&noted).unwrap();
        store.put(b"put").unwrap();
        store.sweep(&plan).unwrap();
        assert!(known(&store, &noted));
        assert!(store.contains(&Digest::of(b"put")).unwrap() && !known(&store, &put) && !known(&store, &gone));
    }

    #[test]
    fn a_study_added_between_plan_and_sweep_makes_the_plan_stale() {
        let (_folder, store) = store();
        let study = store.put(b"study").unwrap();
        store.ref_append(RefKind::Studies, "s", &study, at(1)).unwrap();
        let roots = store.gc_roots().unwrap();
        let plan = plan(&store, &roots, 0);
        // Dropping a value does not make the plan stale: it was a root, so what it names is kept this time.
        store.ref_retain(RefKind::Studies, "s", |_| false).unwrap();
        store.sweep(&plan).unwrap();
        store.ref_append(RefKind::Studies, "t", &store.put(b"study").unwrap(), at(1)).unwrap();
        assert!(matches!(store.sweep(&plan), Err(StoreError::StalePlan)));
    }

    #[test]
    fn a_sweep_killed_anywhere_leaves_no_result_without_its_objects() {
        let steps = {
            let (_folder, store) = sweepable();
            plan(&store, &store.gc_roots().unwrap(), 1).items.len()
        };
        assert!(steps > 16);
        for step in 0..=steps {
            let (_folder, store) = sweepable();
            let mut plan = plan(&store, &store.gc_roots().unwrap(), 1);
            plan.items.truncate(step);
            store.sweep(&plan).unwrap();
            for record in store.list_sharded(crate::layout::ACTIONS).unwrap() {
                let (name, _) = record.name.unwrap();
                assert!(known(&store, &ActionKey(name)), "after {step} steps a result names what is gone");
            }
        }
    }

    /// Returns a store without roots, in which everything is old.
    fn sweepable() -> (tempfile::TempDir, Store) {
        let (folder, store) = store();
        for i in 0..4 {
            let tree = store.dummy_tree(&files(&[("a", &format!("{i}")), ("b", "shared")]));
            store.dummy_record(&ActionKey(store.dummy(&format!("action {i}"))), &ActionResult::Tree(tree));
        }
        age_all(store.root(), 10 * DAY);
        (folder, store)
    }

    #[test]
    fn checkpoints_and_leftovers_of_killed_processes_are_removed_after_the_grace_period() {
        let (_folder, store) = store();
        let trajectory = Digest::of(b"t");
        for step in [1, 2] {
            store.save_checkpoint(&trajectory, step, &files(&[("state", &step.to_string())]), 2).unwrap();
        }
        fs::write(store.part_path(&trajectory, &Digest::of(b"torn")), "torn").unwrap();
        fs::write(store.root().join("tmp/pipe-killed"), "half of it").unwrap();
        drop(store.lock_action(&ActionKey(trajectory)).unwrap());
        collect(&store, &[], 1);
        assert_eq!(store.checkpoints().unwrap().len(), 2, "too new to be removed");
        assert!(store.root().join("tmp/pipe-killed").exists());
        age_all(store.root(), 10 * DAY);
        let lock = store.lock_action(&ActionKey(Digest::of(b"held"))).unwrap();
        age_all(&store.root().join("locks"), 10 * DAY);
        collect(&store, &[], 1);
        assert!(store.checkpoints().unwrap().is_empty());
        for path in ["checkpoints", "tmp"] {
            assert_eq!(fs::read_dir(store.root().join(path)).unwrap().count(), 0, "{path}");
        }
        drop(lock);
        let left = fs::read_dir(store.root().join("locks/actions")).unwrap().count();
        assert_eq!(left, 1, "the lock that is held stays");
    }

    /// Makes a working folder with a file in it.
    fn work(store: &Store, name: &str) -> ActionKey {
        let key = ActionKey(Digest::of(name.as_bytes()));
        let held = store.work_folder(&key).unwrap();
        fs::create_dir(held.path().join("state")).unwrap();
        fs::write(held.path().join("state/weights"), name).unwrap();
        key
    }

    /// Makes everything in the working folders ten days older, and the folders, too.
    fn age_work(store: &Store) {
        let work = store.root().join("work");
        age_all(&work, 10 * DAY);
        for entry in fs::read_dir(&work).unwrap() {
            let path = entry.unwrap().path();
            let state = path.join("state");
            [state, path].iter().filter(|path| path.exists()).for_each(|path| age(path, 10 * DAY));
        }
    }

    #[test]
    fn working_folders_go_unless_they_are_young_held_or_of_an_unfinished_run() {
        let (_folder, store) = store();
        let [gone, held, noted, done, young] =
            ["gone", "held", "noted", "done", "young"].map(|name| work(&store, name));
        let run = store.open_run("r", "s", SystemTime::now()).unwrap();
        run.append(&noted).unwrap();
        age_work(&store);
        fs::write(store.work_path(&young).join("state/weights"), "newer").unwrap();
        drop(run);
        let lock = store.work_folder(&held).unwrap();
        let mut roots = store.gc_roots().unwrap();
        // A study names its result, so its folder is of no use.
        roots.actions.insert(done);
        let plan = plan(&store, &roots, 1);
        let planned: BTreeSet<_> = (plan.items.iter())
            .filter_map(|item| match item.kind {
                GcKind::WorkFolder { key } => Some((key, item.size, item.kind.to_string())),
                _ => None,
            })
            .collect();
        let text = "working folder past the grace period".to_owned();
        let expected = [(gone, 4, text.clone()), (held, 4, text.clone()), (done, 4, text)];
        assert_eq!(planned, expected.into());
        let swept = store.sweep(&plan).unwrap();
        assert_eq!((swept.removed.bytes, swept.spared.count), (8, 1));
        let there = |store: &Store| [gone, held, noted, done, young].map(|key| store.work_path(&key).exists());
        assert_eq!(there(&store), [false, true, true, false, true]);
        drop(lock);
        store.abandon_run("r").unwrap();
        collect(&store, &[], 1);
        assert_eq!(there(&store), [false, false, false, false, true]);
        let report = store.verify(&crate::testing::no_manifest, &mut |_, _| ()).unwrap();
        assert!(report.is_clean() && report.foreign.is_empty(), "{report:?}");
    }

    #[test]
    fn a_working_folder_that_is_used_between_plan_and_sweep_stays() {
        let (_folder, store) = store();
        let [written, noted, gone] = ["written", "noted", "gone"].map(|name| work(&store, name));
        age_work(&store);
        let plan = plan(&store, &store.gc_roots().unwrap(), 1);
        fs::write(store.work_path(&written).join("state/weights"), "newer").unwrap();
        let run = store.open_run("r", "s", SystemTime::now()).unwrap();
        run.append(&noted).unwrap();
        store.sweep(&plan).unwrap();
        assert_eq!([written, noted, gone].map(|key| store.work_path(&key).exists()), [true, true, false]);
    }

    #[test]
    fn a_working_folder_that_a_killed_process_was_removing_goes() {
        let (_folder, store) = store();
        let key = work(&store, "a");
        let going = store.root().join(format!("work/pipe-{key}"));
        fs::rename(store.work_path(&key), &going).unwrap();
        // The run goes on, with a folder of its own.
        let run = store.open_run("r", "s", SystemTime::now()).unwrap();
        run.append(&key).unwrap();
        drop(run);
        work(&store, "a");
        age_work(&store);
        collect(&store, &[], 1);
        assert!(!going.exists() && store.work_path(&key).exists());
    }

    #[test]
    fn nothing_is_removed_while_a_record_that_says_what_to_keep_is_damaged() {
        let (_folder, store) = store();
        let key = commit(&store, "a", &[("a", "one")]);
        let tree = store.put_tree(&files(&[("a", "one")])).unwrap().0;
        for path in [store.record_path(&key), store.object_path(&tree, crate::encoding::Encoding::Raw)] {
            let right = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            fs::write(&path, "rot").unwrap();
            let store = Store::open(store.root()).unwrap();
            let mut roots = store.gc_roots().unwrap();
            roots.actions.insert(key);
            assert!(store.gc_plan(&roots, SystemTime::now(), Duration::ZERO).is_err());
            fs::write(&path, &right).unwrap();
        }
    }

    #[test]
    fn a_sweep_and_the_use_of_an_object_wait_for_each_other() {
        let (_folder, store) = store();
        let digest = store.put(b"x").unwrap();
        let (key, run) = (action(&store, "a"), store.open_run("r", "s", SystemTime::now()).unwrap());
        let waits = |held: &dyn Fn() -> Box<dyn std::any::Any>, wanting: &(dyn Fn() + Sync)| {
            let held = held();
            std::thread::scope(|scope| {
                let wanting = scope.spawn(wanting);
                std::thread::sleep(Duration::from_millis(30));
                assert!(!wanting.is_finished());
                drop(held);
                wanting.join().unwrap();
            });
        };
        let sweeping = || -> Box<dyn std::any::Any> { Box::new(store.start_sweeping().unwrap()) };
        waits(&sweeping, &|| drop(store.put(b"x")));
        waits(&sweeping, &|| run.append(&key).unwrap());
        waits(&sweeping, &|| assert!(store.ref_append(RefKind::Studies, "s", &digest, at(1)).unwrap()));
        waits(&sweeping, &|| drop(store.open_run("q", "s", at(1)).unwrap()));
        let plan = plan(&store, &store.gc_roots().unwrap(), 1);
        waits(&|| Box::new(store.hold_off_sweeps().unwrap()), &|| assert!(store.sweep(&plan).is_ok()));
    }

    /// Forgets all studies but the latest, and returns what it names as roots, as a caller that knows studies does.
    fn study_roots(store: &Store) -> GcRoots {
        let mut roots = store.gc_roots().unwrap();
        let log = store.ref_log(RefKind::Studies, "s").unwrap();
        if let Some((latest, superseded)) = log.split_last() {
            store.ref_retain(RefKind::Studies, "s", |entry| !superseded.contains(entry)).unwrap();
            let study = store.read(&latest.digest).unwrap();
            let text = std::str::from_utf8(&study).unwrap();
            roots.actions.extend(text.lines().map(|key| key.parse::<ActionKey>().unwrap()));
            roots.objects.insert(latest.digest);
        }
        roots
    }

    /// Runs a study of some actions as the engine does, and returns their keys.
    fn run_study(store: &Store, round: u64, random: &mut fastrand::Rng) -> Vec<ActionKey> {
        let run = store.open_run("r", "s", SystemTime::now()).unwrap();
        let mut keys = Vec::new();
        for _ in 0..4 {
            let name = format!("action {}", random.usize(..12));
            let key = ActionKey(Digest::of(name.as_bytes()));
            run.append(&key).unwrap();
            if store.result(&key).unwrap().is_none() {
                assert_eq!(action(store, &name.replace("action ", "")), key);
                let shared = format!("file {}", random.usize(..3));
                commit(store, &name.replace("action ", ""), &[("own", &name), ("shared", &shared)]);
            }
            keys.push(key);
        }
        let study: String = keys.iter().map(|key| format!("{key}\n")).collect();
        let study = store.put(study.as_bytes()).unwrap();
        store.ref_append(RefKind::Studies, "s", &study, at(round)).unwrap();
        run.finish().unwrap();
        keys
    }

    #[test]
    fn many_objects_are_removed_by_several_threads() {
        let (_folder, store) = store();
        let n = 2 * AT_ONCE + 1;
        let kept = store.dummy("kept");
        for i in 0..n {
            store.dummy(&format!("object {i}"));
        }
        age_all(store.root(), 10 * DAY);
        let mut roots = store.gc_roots().unwrap();
        roots.objects.insert(kept);
        let swept = store.sweep(&plan(&store, &roots, 1)).unwrap();
        assert_eq!((swept.removed.count, swept.spared.count), (n as u64, 0));
        assert_eq!(store.objects(), BTreeSet::from([kept]));
    }

    #[test]
    fn a_study_that_runs_beside_collections_has_all_its_results_in_the_end() {
        let (_folder, store) = store();
        let mut random = fastrand::Rng::with_seed(5);
        let mut swept = 0;
        for round in 0..15 {
            let running = std::sync::atomic::AtomicBool::new(true);
            let keys = std::thread::scope(|scope| {
                let collector = scope.spawn(|| {
                    let mut removed = 0;
                    while running.load(std::sync::atomic::Ordering::Relaxed) {
                        match store.sweep(&plan(&store, &study_roots(&store), 1)) {
                            Ok(swept) => removed += swept.removed.count,
                            Err(StoreError::StalePlan) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                    removed
                });
                let keys = run_study(&store, round, &mut random);
                running.store(false, std::sync::atomic::Ordering::Relaxed);
                swept += collector.join().unwrap();
                keys
            });
            assert!(keys.iter().all(|key| known(&store, key)), "round {round}");
            let report = store.verify(&crate::testing::no_manifest, &mut |_, _| ()).unwrap();
            assert!(report.is_clean(), "{report:?}");
            // The results of earlier rounds are old now. Those that the latest study does not name can be removed while the next one uses them.
            age_all(store.root(), 10 * DAY);
        }
        assert!(swept > 10, "the collections removed something: {swept}");
    }

    /// Random actions share random files. Each file is old or new. Some actions are roots, some belong to an unfinished run.
    #[test]
    fn a_collection_agrees_with_an_obvious_model() {
        for seed in 0..25 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (_folder, store) = store();
            let mut names: BTreeMap<ActionKey, Vec<Digest>> = BTreeMap::new();
            for i in 0..6 {
                let outputs: Vec<_> = (0..random.usize(..4)).map(|_| format!("file {}", random.usize(..8))).collect();
                let outputs: BTreeMap<_, _> =
                    (outputs.iter().enumerate()).map(|(n, text)| (n.to_string(), text.clone().into_bytes())).collect();
                let tree_name = store.dummy_tree(&outputs);
                let tree = crate::Tree::of(&outputs).unwrap();
                let key = ActionKey(store.dummy(&format!("action {i}")));
                store.dummy_record(&key, &ActionResult::Tree(tree_name));
                let files = tree.files.values().map(|file| file.digest);
                names.insert(key, [key.0, tree_name].into_iter().chain(files).collect());
            }
            for i in 0..3 {
                store.dummy(&format!("lonely {i}"));
            }
            let mut old = BTreeSet::new();
            for object in store.objects() {
                if random.usize(..3) > 0 {
                    age(&store.object_path(&object, crate::encoding::Encoding::Raw), 10 * DAY);
                    old.insert(object);
                }
            }
            let mut live_actions = BTreeSet::new();
            let mut roots = store.gc_roots().unwrap();
            let run = store.open_run("r", "s", at(0)).unwrap();
            for key in names.keys() {
                match random.usize(..5) {
                    0 => drop(roots.actions.insert(*key)),
                    1 => run.append(key).unwrap(),
                    // A record within the grace period.
                    2 => {}
                    _ => {
                        age(&store.record_path(key), 10 * DAY);
                        continue;
                    }
                }
                live_actions.insert(*key);
            }
            drop(run);
            let lonely_root = Digest::of(b"lonely 0");
            roots.objects.insert(lonely_root);

            let named = |object: &Digest| live_actions.iter().any(|key| names[key].contains(object));
            let stays = |object: &Digest| !old.contains(object) || named(object) || *object == lonely_root;
            let expected: BTreeSet<_> = store.objects().into_iter().filter(stays).collect();
            store.sweep(&plan(&store, &roots, 1)).unwrap();
            assert_eq!(store.objects(), expected, "seed {seed}");
            for key in names.keys() {
                assert_eq!(known(&store, key), live_actions.contains(key), "seed {seed}");
            }
        }
    }
}
