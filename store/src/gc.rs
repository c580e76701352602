//! Decides what a collection removes. Nothing is removed here: the plan can be printed, and [`Store::sweep`] carries it out.
//!
//! The caller knows what studies name, the store does not. In this order: [`Store::gc_roots`]; read the refs and add what
//! the studies to be kept name; [`Store::gc_plan`]; drop the other values with [`Store::ref_retain`]; [`Store::sweep`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use crate::{
    ActionKey, ActionResult, Digest, RefEntry, RefKind, Store,
    disk::{self, Entry},
    encoding::Encoding,
    error::{Result, StoreError},
    layout::{ACTIONS, Listed, OBJECTS, PARTS, PROVENANCE, TEMPORARY},
    store::UNBORN,
};

/// What a collection keeps, with all that it names. From [`Store::gc_roots`]; the caller adds what studies name.
#[derive(Debug, Clone)]
pub struct GcRoots {
    /// Their actions, results, trees and files stay.
    pub actions: BTreeSet<ActionKey>,
    /// These objects stay.
    pub objects: BTreeSet<Digest>,
    /// Unfinished runs that are given up: what they have noted is no root.
    pub abandoned: BTreeSet<String>,
    /// The values that the refs had before the caller began to read them.
    seen: SeenRefs,
}

/// How often each ref has each value.
pub(crate) type SeenRefs = BTreeMap<(RefKind, String, RefEntry), usize>;

/// What a collection is going to remove, in this order, and what it keeps.
#[derive(Debug, Clone, Serialize)]
pub struct GcPlan {
    /// Records before the objects they name.
    pub items: Vec<GcItem>,
    /// The objects that stay.
    pub kept: Tally,
    /// Nothing that was written or used after this goes.
    pub cutoff: SystemTime,
    /// The running run that holds the cutoff back, if one does.
    pub held_back_by: Option<String>,
    /// Trees that kept results name and that are missing: the results do not count, and these actions will run again.
    pub missing: BTreeSet<Digest>,
    #[serde(skip)]
    pub(crate) seen: SeenRefs,
}

/// One file that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GcItem {
    pub kind: GcKind,
    /// From the store's folder on.
    pub path: PathBuf,
    /// What is freed, in bytes.
    pub size: u64,
    /// When it was last written or used. If that changes before the sweep, the file stays.
    pub modified: SystemTime,
}

/// What goes, and so why. In the order of the sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum GcKind {
    /// The result of an action that no study and no run names.
    Record { key: ActionKey },
    /// What is noted beside such a result.
    Provenance { key: ActionKey },
    /// A state of a training, past the grace period.
    Checkpoint { trajectory: Digest },
    /// Bytes that a killed process kept for a checkpoint it did not complete.
    CheckpointPart { trajectory: Digest },
    /// An object that nothing that stays names.
    Object { name: Digest },
    /// What a killed process was writing.
    Temporary,
    /// A lock that nobody holds.
    Lock,
}

/// How many, and how large.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub count: u64,
    /// On the disk.
    pub bytes: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

impl GcPlan {
    /// Returns how much goes.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.items.iter().for_each(|item| total.add(item.size));
        total
    }
}

impl fmt::Display for GcKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Record { .. } => "result that no study or run names",
            Self::Provenance { .. } => "provenance of such a result",
            Self::Checkpoint { .. } => "checkpoint past the grace period",
            Self::CheckpointPart { .. } => "part of an incomplete checkpoint",
            Self::Object { .. } => "object that nothing names",
            Self::Temporary => "left by a process that was killed",
            Self::Lock => "lock that nobody holds",
        })
    }
}

impl fmt::Display for GcPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in &self.items {
            writeln!(f, "{:>14}  {}  {}", item.size, item.path.display(), item.kind)?;
        }
        let (goes, stays) = (self.total(), self.kept);
        writeln!(
            f,
            "{:>14}  bytes in {} files go; {} bytes in {} objects stay",
            goes.bytes, goes.count, stays.bytes, stays.count
        )
    }
}

/// Clocks of machines that share a store, and of their file systems, may differ by this much.
const CLOCK_SLACK: Duration = Duration::from_secs(60);

impl Store {
    /// Returns what the runs that are not finished keep. The caller adds what the studies name, and must read the refs for
    /// that after this call: a study that is added later makes the sweep refuse.
    pub fn gc_roots(&self) -> Result<GcRoots> {
        let seen = self.seen_refs()?;
        let actions = self.runs()?.into_iter().flat_map(|run| run.keys).collect();
        Ok(GcRoots { actions, objects: BTreeSet::new(), abandoned: BTreeSet::new(), seen })
    }

    /// Decides what to remove: what the roots do not reach, as long as neither it nor a result that names it was written or
    /// used less than `grace` before `now`, or since a minute before a run that is still running began; checkpoints of that
    /// age; and what killed processes left.
    ///
    /// # Errors
    /// If a record or tree that would tell what to keep is damaged: then nothing should be removed.
    pub fn gc_plan(&self, roots: &GcRoots, now: SystemTime, grace: Duration) -> Result<GcPlan> {
        let (cutoff, held_back_by) = self.gc_cutoff(now.checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH))?;
        // Before the records: an object that is listed has had its record written by the time that is listed.
        let objects = self.list_sharded(OBJECTS)?;
        let records = self.list_sharded(ACTIONS)?;
        let old = |file: &Listed| disk::modified(&file.path, &file.metadata).map(|modified| modified <= cutoff);

        let mut actions = roots.actions.clone();
        let kept_runs = self.runs()?.into_iter().filter(|run| !roots.abandoned.contains(&run.id));
        actions.extend(kept_runs.flat_map(|run| run.keys));
        for record in &records {
            if let Some(key) = record.key()
                && !old(record)?
            {
                actions.insert(key);
            }
        }
        let mut missing = BTreeSet::new();
        let mut live = self.reach(&actions, &mut missing)?;
        live.extend(&roots.objects);

        let mut items = Vec::new();
        for record in &records {
            if let Some(key) = record.key()
                && !actions.contains(&key)
            {
                self.doom(&mut items, cutoff, GcKind::Record { key }, record)?;
            }
        }
        for provenance in &self.list_sharded(PROVENANCE)? {
            if let Some(key) = provenance.key()
                && !actions.contains(&key)
            {
                self.doom(&mut items, cutoff, GcKind::Provenance { key }, provenance)?;
            }
        }
        self.doom_checkpoints(&mut items, cutoff)?;
        let mut kept = Tally::default();
        for object in &objects {
            let Some((name, suffix)) = &object.name else { continue };
            let known = Encoding::from_suffix(suffix).is_some();
            let goes = known && !live.contains(name);
            if !(goes && self.doom(&mut items, cutoff, GcKind::Object { name: *name }, object)?) {
                kept.add(object.metadata.len());
            }
        }
        self.doom_leftovers(&mut items, cutoff)?;
        items.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
        Ok(GcPlan { items, kept, cutoff, held_back_by, missing, seen: roots.seen.clone() })
    }

    /// Returns the latest time that what goes may have, and the run that makes it earlier than `cutoff`.
    pub(crate) fn gc_cutoff(&self, cutoff: SystemTime) -> Result<(SystemTime, Option<String>)> {
        let running = self.runs()?.into_iter().filter(|run| run.running);
        let starts =
            running.map(|run| (run.started.checked_sub(CLOCK_SLACK).unwrap_or(SystemTime::UNIX_EPOCH), run.id));
        let earliest = starts.min().filter(|(start, _)| *start < cutoff);
        Ok(earliest.map_or((cutoff, None), |(start, id)| (start, Some(id))))
    }

    /// Returns every value of every ref.
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

    /// Returns the actions with their trees and the trees' files.
    pub(crate) fn reach(
        &self,
        actions: &BTreeSet<ActionKey>,
        missing: &mut BTreeSet<Digest>,
    ) -> Result<BTreeSet<Digest>> {
        let mut live = BTreeSet::new();
        for key in actions {
            live.insert(key.0);
            let Some(ActionResult::Tree(name)) = self.record(key)? else { continue };
            live.insert(name);
            match self.tree(&name) {
                Ok(tree) => live.extend(tree.files.values().map(|file| file.digest)),
                Err(StoreError::Missing(name)) => drop(missing.insert(name)),
                Err(error) => return Err(error),
            }
        }
        Ok(live)
    }

    /// Plans to remove a file, unless it is too new. Returns whether it goes.
    fn doom(&self, items: &mut Vec<GcItem>, cutoff: SystemTime, kind: GcKind, file: &Listed) -> Result<bool> {
        let modified = disk::modified(&file.path, &file.metadata)?;
        if modified <= cutoff {
            items.push(GcItem { kind, path: self.relative(&file.path), size: file.metadata.len(), modified });
        }
        Ok(modified <= cutoff)
    }

    fn doom_entry(&self, items: &mut Vec<GcItem>, cutoff: SystemTime, kind: GcKind, entry: &Entry) -> Result<()> {
        if entry.is_dir {
            return Ok(());
        }
        let Some(metadata) = disk::metadata(&entry.path)? else { return Ok(()) };
        self.doom(items, cutoff, kind, &Listed { path: entry.path.clone(), metadata, name: None }).map(drop)
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

    fn doom_leftovers(&self, items: &mut Vec<GcItem>, cutoff: SystemTime) -> Result<()> {
        // Two processes that make one store at once may leave a file beside `format`.
        let unborn = disk::list(self.root())?.into_iter().filter(|entry| entry.name.starts_with(UNBORN));
        for entry in disk::list(&self.dir(TEMPORARY))?.into_iter().chain(unborn) {
            self.doom_entry(items, cutoff, GcKind::Temporary, &entry)?;
        }
        for entry in self.lock_files()? {
            self.doom_entry(items, cutoff, GcKind::Lock, &entry)?;
        }
        Ok(())
    }
}
