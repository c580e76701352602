//! Plans a collection that leaves a store of at most a given size, as far as that is possible.

use std::time::{Duration, SystemTime};

use crate::{GcItem, GcKind, GcPlan, GcRoots, Store, error::Result};

/// A plan for a store of at most a given size.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// The plan.
    pub plan: GcPlan,
    /// The length of all files in the store's folder once the plan is carried out, in bytes.
    pub left: u64,
}

/// The number of times that the grace period is halved in search of the longest that is short enough.
const HALVINGS: u32 = 12;

impl Store {
    /// Plans to remove what [`gc_plan`](Self::gc_plan) does. If the store is still longer than `limit` bytes then, plans to remove more,
    /// until it is not: first all that killed processes left, then results and objects that `roots` do not reach, by a shorter grace
    /// period, then checkpoints and the working folders of programs, the oldest first. Never plans to remove what `roots` reach, or what is newer than the start of a
    /// running run.
    ///
    /// # Errors
    /// As for [`gc_plan`](Self::gc_plan).
    pub fn gc_plan_to_fit(&self, roots: &GcRoots, now: SystemTime, grace: Duration, limit: u64) -> Result<Fitted> {
        let total = self.total()?.bytes;
        let plan = self.gc_plan(roots, now, grace)?;
        let left = |items: &[GcItem]| total.saturating_sub(items.iter().map(|item| item.size).sum());
        if left(&plan.items) <= limit {
            return Ok(Fitted { left: left(&plan.items), plan });
        }
        // Whatever its age.
        let all = self.gc_plan(roots, now, Duration::ZERO)?;
        let of = |plan: &GcPlan, rank| plan.items.iter().filter(move |item| Rank::of(item) == rank).cloned().collect();
        let leftovers: Vec<_> = of(&all, Rank::Leftover);
        let checkpoints: Vec<_> = of(&plan, Rank::Checkpoint);
        let with = |garbage: Vec<GcItem>| [leftovers.clone(), checkpoints.clone(), garbage].concat();
        let mut garbage = of(&plan, Rank::Garbage);
        let mut kept = plan.kept;
        if left(&with(garbage.clone())) > limit {
            (garbage, kept) = (of(&all, Rank::Garbage), all.kept);
            let (mut fits, mut long) = (Duration::ZERO, grace);
            let enough = left(&with(garbage.clone())) <= limit;
            for _ in (0..HALVINGS).take_while(|_| enough) {
                let grace = fits + (long - fits) / 2;
                let shorter = self.gc_plan(roots, now, grace)?;
                let of_shorter = of(&shorter, Rank::Garbage);
                if left(&with(of_shorter.clone())) <= limit {
                    (fits, garbage, kept) = (grace, of_shorter, shorter.kept);
                } else {
                    long = grace;
                }
            }
        }
        let mut items = with(garbage);
        let mut more: Vec<_> = of(&all, Rank::Checkpoint);
        more.retain(|item| !items.contains(item));
        more.sort_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)));
        for checkpoint in more {
            if left(&items) <= limit {
                break;
            }
            items.push(checkpoint);
        }
        items.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
        Ok(Fitted { left: left(&items), plan: GcPlan { items, kept, ..all } })
    }
}

/// The order in which more is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rank {
    Leftover,
    Garbage,
    Checkpoint,
}

impl Rank {
    fn of(item: &GcItem) -> Self {
        match item.kind {
            GcKind::Temporary | GcKind::Lock | GcKind::CheckpointPart { .. } => Self::Leftover,
            GcKind::Checkpoint { .. } | GcKind::WorkFolder { .. } => Self::Checkpoint,
            GcKind::Record { .. }
            | GcKind::Provenance { .. }
            | GcKind::Log { .. }
            | GcKind::Object { .. }
            | GcKind::Promise { .. } => Self::Garbage,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        ActionKey, ActionResult, Digest,
        testing::{action, age, age_all, files, noise, store},
    };

    const DAY: u64 = 86_400;
    const GRACE: Duration = Duration::from_secs(14 * DAY);
    const SIZE: usize = 100_000;

    fn commit(store: &Store, name: &str) -> ActionKey {
        let key = action(store, name);
        let mut bytes = noise(SIZE);
        bytes.extend(name.as_bytes());
        let (tree, _) = store.put_tree(&[("out".to_owned(), bytes)].into()).unwrap();
        store.commit(&key, &ActionResult::Tree(tree), &Value::Null).unwrap();
        key
    }

    fn known(store: &Store, key: &ActionKey) -> bool {
        Store::open(store.root()).unwrap().result(key).unwrap().is_some()
    }

    /// Returns a store with a result that the roots reach, a young one that they do not reach, an older one, a checkpoint of a
    /// day, one of two, and a file in `tmp/`. Also returns the three actions.
    fn full() -> (tempfile::TempDir, Store, [ActionKey; 3]) {
        let (folder, store) = store();
        let old = commit(&store, "old");
        let state = |name: &str| {
            let mut parts = files(&[("name", name)]);
            parts.insert("state".to_owned(), [noise(SIZE), name.as_bytes().to_vec()].concat());
            parts
        };
        store.save_checkpoint(&Digest::of(b"old"), 1, &state("old"), 1).unwrap();
        age_all(store.root(), 2 * DAY);
        store.save_checkpoint(&Digest::of(b"new"), 1, &state("new"), 1).unwrap();
        age(&store.step_path(&Digest::of(b"new"), 1), DAY);
        let kept = commit(&store, "kept");
        let young = commit(&store, "young");
        std::fs::write(store.dir("tmp").join("left"), noise(SIZE)).unwrap();
        (folder, store, [kept, old, young])
    }

    /// Collects until the store has at most `limit` bytes, and returns whether the results and the checkpoints are there: kept, old,
    /// young, old, new.
    fn collect(store: &Store, kept: &ActionKey, limit: u64) -> u64 {
        let mut roots = store.gc_roots().unwrap();
        roots.actions.insert(*kept);
        let fitted = store.gc_plan_to_fit(&roots, SystemTime::now(), GRACE, limit).unwrap();
        store.sweep(&fitted.plan).unwrap();
        let found = store.total().unwrap().bytes;
        assert!(found <= fitted.left, "{found} bytes are left and {} were expected", fitted.left);
        fitted.left
    }

    fn there(store: &Store, [kept, old, young]: &[ActionKey; 3]) -> [bool; 5] {
        let checkpoint = |name: &str| store.latest_checkpoint(&Digest::of(name.as_bytes()), 9).is_some();
        [known(store, kept), known(store, old), known(store, young), checkpoint("old"), checkpoint("new")]
    }

    #[test]
    fn working_folders_go_with_the_checkpoints_the_oldest_first() {
        let (_folder, store) = store();
        let trajectory = Digest::of(b"t");
        store.save_checkpoint(&trajectory, 1, &[("state".to_owned(), noise(SIZE))].into(), 1).unwrap();
        let [older, newer] = [b"older", b"newer"].map(|name| {
            let key = ActionKey(Digest::of(name));
            let held = store.work_folder(&key).unwrap();
            std::fs::write(held.path().join("state"), noise(SIZE)).unwrap();
            key
        });
        for (path, days) in [(store.work_path(&older), 3), (store.work_path(&newer), 1)] {
            age(&path.join("state"), days * DAY);
            age(&path, days * DAY);
        }
        age(&store.step_path(&trajectory, 1), 2 * DAY);
        let total = store.total().unwrap().bytes;
        let doomed = |limit| {
            let roots = store.gc_roots().unwrap();
            let plan = store.gc_plan_to_fit(&roots, SystemTime::now(), GRACE, limit).unwrap().plan;
            let large = plan.items.into_iter().filter(|item| item.size >= SIZE as u64);
            large.map(|item| item.kind).collect::<Vec<_>>()
        };
        let checkpoint = GcKind::Checkpoint { trajectory };
        let folder = |key| GcKind::WorkFolder { key };
        assert_eq!(doomed(total), []);
        assert_eq!(doomed(total - 1), [folder(older)]);
        assert_eq!(doomed(total - SIZE as u64 - 1000), [checkpoint, folder(older)]);
        assert_eq!(doomed(0).len(), 3);
    }

    #[test]
    fn a_store_that_is_small_enough_stays_as_it_is() {
        let (_folder, store, keys) = full();
        let total = store.total().unwrap().bytes;
        assert_eq!(collect(&store, &keys[0], total), total);
        assert_eq!(there(&store, &keys), [true; 5]);
    }

    #[test]
    fn more_is_removed_in_order_and_no_more_than_needed() {
        let (_folder, store, keys) = full();
        let total = store.total().unwrap().bytes;
        let without = |n: u64| total - n * SIZE as u64 + SIZE as u64 / 2;
        let steps = [
            (1, [true; 5]),
            (2, [true, false, true, true, true]),
            (3, [true, false, false, true, true]),
            (4, [true, false, false, false, true]),
            (5, [true, false, false, false, false]),
        ];
        for (n, expected) in steps {
            let left = collect(&store, &keys[0], without(n));
            assert_eq!(there(&store, &keys), expected, "step {n}");
            assert!(left <= without(n), "step {n}");
            assert!(!store.dir("tmp").join("left").exists());
        }
        // What the roots reach stays, although that is more than the limit.
        let left = collect(&store, &keys[0], 0);
        assert!(left > SIZE as u64, "{left}");
        assert_eq!(there(&store, &keys), [true, false, false, false, false]);
        assert!(store.verify(&crate::testing::no_manifest, &mut |_, _| ()).unwrap().is_clean());
    }

    #[test]
    fn what_a_running_run_may_use_stays() {
        let (_folder, store, keys) = full();
        let start = SystemTime::now() - Duration::from_secs(3 * DAY);
        let run = store.open_run("r", "s", start).unwrap();
        collect(&store, &keys[0], 0);
        assert_eq!(there(&store, &keys), [true; 5], "all is newer than the start of the run");
        run.append(&keys[2]).unwrap();
        drop(run);
        collect(&store, &keys[0], 0);
        assert_eq!(there(&store, &keys), [true, false, true, false, false], "an unfinished run keeps what it noted");
    }
}
