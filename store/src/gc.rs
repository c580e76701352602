//! Decides what a garbage collection removes. The result is a plan that can be printed; [`Store::sweep`] carries it out.
//!
//! The store does not know what a study names, so a collection needs its caller. The steps are:
//!
//! 1. [`Store::gc_roots`] returns what unfinished runs keep.
//! 2. The caller reads the refs and adds to the roots what the studies that it keeps name.
//! 3. [`Store::gc_plan`] makes the plan.
//! 4. The caller drops the studies that it does not keep, with [`Store::ref_retain`].
//! 5. [`Store::sweep`] removes the files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use crate::{
    ActionKey, ActionResult, Digest, RefEntry, RefKind, Store, Tally, WorkEntry,
    disk::{self, DRAFT, Entry, Found},
    encoding::Encoding,
    error::{Result, StoreError},
    layout::{ACTIONS, FAILURES, JOBS, LOGS, OBJECTS, PARTS, PROGRESS, PROMISES, PROVENANCE, TEMPORARY},
    paths::Listed,
};

/// What a collection keeps, together with everything it names. [`Store::gc_roots`] makes one, and the caller adds to it.
#[derive(Debug, Clone)]
pub struct GcRoots {
    /// Actions that stay, with their results, trees and files.
    pub actions: BTreeSet<ActionKey>,
    /// Trees that stay, with their files, whether or not a result names them.
    pub trees: BTreeSet<Digest>,
    /// Objects that stay.
    pub objects: BTreeSet<Digest>,
    /// The ids of unfinished runs that are given up. Their actions are not kept.
    pub abandoned: BTreeSet<String>,
    /// The values of all refs before the caller began to read them.
    seen: SeenRefs,
}

/// What some actions and trees name.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    /// The actions, the trees and the files of the trees.
    pub(crate) objects: BTreeSet<Digest>,
    /// The trees that do not exist.
    pub(crate) missing: BTreeSet<Digest>,
}

/// The number of times that each ref has each value.
pub(crate) type SeenRefs = BTreeMap<(RefKind, String, RefEntry), usize>;

/// What a collection will remove and what it keeps.
#[derive(Debug, Clone, Serialize)]
pub struct GcPlan {
    /// The files to remove, in this order: records come before the objects they name.
    pub items: Vec<GcItem>,
    /// The objects that stay.
    pub kept: Tally,
    /// Files that were written or used after this time stay.
    pub cutoff: SystemTime,
    /// The id of the running run that makes the cutoff earlier than the grace period does, if there is one.
    pub held_back_by: Option<String>,
    /// Missing trees that kept results name. These results do not count, and their actions will run again.
    pub missing: BTreeSet<Digest>,
    #[serde(skip)]
    pub(crate) seen: SeenRefs,
}

/// One file that a collection will remove, or the working folder of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GcItem {
    /// What the file is.
    pub kind: GcKind,
    /// The path within the store's folder.
    pub path: PathBuf,
    /// The number of bytes that this frees on the disk.
    pub size: u64,
    /// When the file was last written or used. If this changes before the sweep, the file stays.
    pub modified: SystemTime,
}

/// The kind of a file to remove, which says why it is removed. In the order of the sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum GcKind {
    /// The result of an action that no study and no run names.
    Record {
        /// The action.
        key: ActionKey,
    },
    /// The provenance of a result that is removed.
    Provenance {
        /// The action.
        key: ActionKey,
    },
    /// What an execution said whose result is removed, or that gave none.
    Log {
        /// The action.
        key: ActionKey,
    },
    /// A state of a training that is older than the grace period.
    Checkpoint {
        /// The training, without its length.
        trajectory: Digest,
    },
    /// Part of a checkpoint that a killed process did not complete.
    CheckpointPart {
        /// The training, without its length.
        trajectory: Digest,
    },
    /// The working folder of a program, with everything in it, that no process has.
    WorkFolder {
        /// The action.
        key: ActionKey,
    },
    /// An object that nothing names, or only what is removed too.
    Object {
        /// The object.
        name: Digest,
    },
    /// The promise of an object that nothing names, or that is here.
    Promise {
        /// The object.
        name: Digest,
    },
    /// A file that a killed process was writing.
    Temporary,
    /// The file of a lock that no process holds.
    Lock,
}

impl GcPlan {
    /// Returns the number and the length of the files that the plan removes.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.items.iter().for_each(|item| total.add(item.size));
        total
    }
}

impl fmt::Display for GcKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Record { .. } => "result that no study or run needs",
            Self::Provenance { .. } => "provenance of a result that no study or run needs",
            Self::Log { .. } => "what an execution said that no study or run needs",
            Self::Checkpoint { .. } => "checkpoint past the grace period",
            Self::CheckpointPart { .. } => "part of an incomplete checkpoint",
            Self::WorkFolder { .. } => "working folder past the grace period",
            Self::Object { .. } => "object that nothing refers to",
            Self::Promise { .. } => "promise of a remote that nothing needs",
            Self::Temporary => "left by a process that was killed",
            Self::Lock => "unused lock",
        })
    }
}

impl fmt::Display for GcPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in &self.items {
            writeln!(f, "{:>14}  {}  {}", item.size, item.path.display(), item.kind)?;
        }
        let (removed, kept) = (self.total(), self.kept);
        writeln!(
            f,
            "{:>14}  bytes in {} files to remove; {} bytes in {} objects to keep",
            removed.bytes, removed.count, kept.bytes, kept.count
        )
    }
}

/// The most that the clocks of machines that share a store, and of its file system, may differ.
const CLOCK_SLACK: Duration = Duration::from_secs(60);

impl Store {
    /// Returns the roots of a collection: the actions of all unfinished runs.
    ///
    /// The caller adds what the studies name. It must read the refs after this call. If a study is added after that,
    /// [`sweep`](Self::sweep) refuses the plan.
    ///
    /// # Errors
    /// If a ref or a run's log cannot be read or is damaged.
    pub fn gc_roots(&self) -> Result<GcRoots> {
        let seen = self.seen_refs()?;
        let (mut actions, mut objects) = (BTreeSet::new(), BTreeSet::new());
        for run in self.runs()? {
            actions.extend(run.keys);
            objects.extend(run.objects);
        }
        Ok(GcRoots { actions, trees: BTreeSet::new(), objects, abandoned: BTreeSet::new(), seen })
    }

    /// Plans to remove everything that `roots` do not reach, old checkpoints, and what killed processes left behind.
    ///
    /// Files stay if they were written or used less than `grace` before `now`, and so does everything that a result of that age
    /// names. While a run is running, files also stay if they are newer than a minute before its start.
    ///
    /// # Errors
    /// If a file cannot be read, or if a record or tree that says what to keep is damaged. Nothing should be removed then.
    pub fn gc_plan(&self, roots: &GcRoots, now: SystemTime, grace: Duration) -> Result<GcPlan> {
        let (cutoff, held_back_by) = self.gc_cutoff(now.checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH))?;
        // Objects are listed before records. So if a listed object has a record by now, that record is listed too.
        let objects = self.list_sharded(OBJECTS)?;
        let records = self.list_sharded(ACTIONS)?;

        let (mut actions, mut live) = (roots.actions.clone(), roots.objects.clone());
        let mut unfinished = BTreeSet::new();
        for run in self.runs()?.into_iter().filter(|run| !roots.abandoned.contains(&run.id)) {
            unfinished.extend(run.keys);
            live.extend(run.objects);
        }
        actions.extend(&unfinished);
        actions.extend(records.iter().filter(|record| record.modified > cutoff).filter_map(Listed::key));
        let Reached { objects: reached, missing } = self.reach(&actions, &roots.trees)?;
        live.extend(reached);

        let mut items = Vec::new();
        for record in &records {
            if let Some(key) = record.key()
                && !actions.contains(&key)
            {
                self.doom(&mut items, cutoff, GcKind::Record { key }, record);
            }
        }
        for provenance in &self.list_sharded(PROVENANCE)? {
            if let Some(key) = provenance.key()
                && !actions.contains(&key)
            {
                self.doom(&mut items, cutoff, GcKind::Provenance { key }, provenance);
            }
        }
        for log in &self.list_sharded(LOGS)? {
            if let Some(key) = log.key_of_log()
                && !actions.contains(&key)
            {
                self.doom(&mut items, cutoff, GcKind::Log { key }, log);
            }
        }
        self.doom_checkpoints(&mut items, cutoff)?;
        self.doom_work_folders(&mut items, cutoff, &unfinished)?;
        let mut kept = Tally::default();
        for object in &objects {
            let Some((name, suffix)) = &object.name else { continue };
            let known = Encoding::from_suffix(suffix).is_some();
            let goes = known && !live.contains(name);
            if !(goes && self.doom(&mut items, cutoff, GcKind::Object { name: *name }, object)) {
                kept.add(object.length);
            }
        }
        let here: BTreeSet<_> =
            objects.iter().filter_map(|object| object.name.as_ref().map(|(name, _)| *name)).collect();
        for promise in &self.list_sharded(PROMISES)? {
            if let Some(name) = promise.promised()
                && (here.contains(&name) || !live.contains(&name))
            {
                self.doom(&mut items, cutoff, GcKind::Promise { name }, promise);
            }
        }
        self.doom_leftovers(&mut items, cutoff)?;
        items.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
        Ok(GcPlan { items, kept, cutoff, held_back_by, missing, seen: roots.seen.clone() })
    }

    /// Returns the time after which files stay, and the id of the running run that makes it earlier than `cutoff`, if there is one.
    pub(crate) fn gc_cutoff(&self, cutoff: SystemTime) -> Result<(SystemTime, Option<String>)> {
        let running = self.runs()?.into_iter().filter(|run| run.running);
        let starts =
            running.map(|run| (run.started.checked_sub(CLOCK_SLACK).unwrap_or(SystemTime::UNIX_EPOCH), run.id));
        let earliest = starts.min().filter(|(start, _)| *start < cutoff);
        Ok(earliest.map_or((cutoff, None), |(start, id)| (start, Some(id))))
    }

    /// Returns every value of every ref, with the number of times it occurs.
    pub(crate) fn seen_refs(&self) -> Result<SeenRefs> {
        let mut seen = SeenRefs::new();
        for kind in RefKind::ALL {
            for name in self.ref_names(kind)? {
                for entry in self.ref_log(kind, &name)? {
                    *seen.entry((kind, name.clone(), entry)).or_default() += 1;
                }
            }
        }
        Ok(seen)
    }

    /// Returns what `actions`, their results and `trees` name.
    pub(crate) fn reach(&self, actions: &BTreeSet<ActionKey>, trees: &BTreeSet<Digest>) -> Result<Reached> {
        let mut reached = Reached::default();
        let mut trees = trees.clone();
        for key in actions {
            reached.objects.insert(key.0);
            if let Some(ActionResult::Tree(name)) = self.record(key)? {
                trees.insert(name);
            }
        }
        for name in trees {
            reached.objects.insert(name);
            match self.tree(&name) {
                Ok(tree) => reached.objects.extend(tree.files.values().map(|file| file.digest)),
                Err(StoreError::Missing(name)) => drop(reached.missing.insert(name)),
                Err(error) => return Err(error),
            }
        }
        Ok(reached)
    }

    /// Plans to remove a file, unless it is too new or something else is in its place. Returns whether it will be removed.
    fn doom(&self, items: &mut Vec<GcItem>, cutoff: SystemTime, kind: GcKind, file: &Listed) -> bool {
        let goes = file.damage.is_none() && file.modified <= cutoff;
        if goes {
            items.push(GcItem { kind, path: self.relative(&file.path), size: file.length, modified: file.modified });
        }
        goes
    }

    fn doom_entry(&self, items: &mut Vec<GcItem>, cutoff: SystemTime, kind: GcKind, entry: &Entry) -> Result<()> {
        if let Found::Sound(metadata) = disk::look(&entry.path)? {
            let (length, modified) = (metadata.len(), disk::modified(&entry.path, &metadata)?);
            let file = Listed { path: entry.path.clone(), length, modified, name: None, damage: None };
            self.doom(items, cutoff, kind, &file);
        }
        Ok(())
    }

    fn doom_checkpoints(&self, items: &mut Vec<GcItem>, cutoff: SystemTime) -> Result<()> {
        for entry in self.checkpoints()?.iter().filter(|entry| entry.modified <= cutoff) {
            let path = self.relative(&self.step_path(&entry.trajectory, entry.step));
            let kind = GcKind::Checkpoint { trajectory: entry.trajectory };
            items.push(GcItem { kind, path, size: entry.size, modified: entry.modified });
        }
        for trajectory in self.trajectories()? {
            let mut named = BTreeSet::new();
            for step in self.steps(&trajectory)? {
                if let Ok((name, tree)) = self.checkpoint_tree(&trajectory, step) {
                    named.insert(name.to_string());
                    named.extend(tree.files.values().map(|part| part.digest.to_string()));
                }
            }
            let parts = disk::list(&self.trajectory_dir(&trajectory).join(PARTS))?;
            for part in parts.iter().filter(|part| !named.contains(&part.name)) {
                self.doom_entry(items, cutoff, GcKind::CheckpointPart { trajectory }, part)?;
            }
        }
        Ok(())
    }

    /// Plans to remove working folders. An action that is done needs none, so only those of unfinished runs stay.
    fn doom_work_folders(
        &self,
        items: &mut Vec<GcItem>,
        cutoff: SystemTime,
        unfinished: &BTreeSet<ActionKey>,
    ) -> Result<()> {
        for WorkEntry { key, path, files, modified } in self.work_folders()? {
            if modified <= cutoff && (path != self.work_path(&key) || !unfinished.contains(&key)) {
                let (kind, path) = (GcKind::WorkFolder { key }, self.relative(&path));
                items.push(GcItem { kind, path, size: files.bytes, modified });
            }
        }
        Ok(())
    }

    fn doom_leftovers(&self, items: &mut Vec<GcItem>, cutoff: SystemTime) -> Result<()> {
        // Two processes that make the same store at once may leave a file beside `format`.
        let unborn = disk::list(self.root())?.into_iter().filter(|entry| entry.name.starts_with(DRAFT));
        for entry in unborn {
            self.doom_entry(items, cutoff, GcKind::Temporary, &entry)?;
        }
        for folder in [TEMPORARY, JOBS, PROGRESS, FAILURES] {
            for entry in disk::list(&self.dir(folder))? {
                self.doom_entry(items, cutoff, GcKind::Temporary, &entry)?;
            }
        }
        for entry in self.lock_files()? {
            self.doom_entry(items, cutoff, GcKind::Lock, &entry)?;
        }
        Ok(())
    }
}
