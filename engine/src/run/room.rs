//! What the trainings of a run need on the disk.

use std::{collections::BTreeSet, path::Path};

use pipe_stages::stage::{Inputs, Room, StageError};
use pipe_store::{Store, StoreError, Tree};
use serde::Serialize;

use super::{spent::Trainings, worker::KEEP_RUNNING};
use crate::plan::Plan;

/// An estimate of what the trainings of a run need on the disk, and what is free there. In bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RoomNeeded {
    /// The checkpoints that exist at the same time.
    pub checkpoints: u64,
    /// The weights that become outputs.
    pub outputs: u64,
    /// The number of trainings whose network is not known, because their data are not there yet or at a remote. They are not counted.
    pub unknown: usize,
    /// What is free on the disk of the store, if it is known.
    pub free: Option<u64>,
}

/// A run that needs at least this much says so.
const MUCH: u64 = 1 << 30;

impl RoomNeeded {
    /// Returns all that is needed.
    pub fn total(&self) -> u64 {
        self.checkpoints.saturating_add(self.outputs)
    }

    /// Returns whether it is more than is free.
    pub fn is_too_much(&self) -> bool {
        self.free.is_some_and(|free| self.total() > free)
    }

    /// Returns whether it is worth saying: more than 1 GiB, or than half of what is free.
    pub fn is_much(&self) -> bool {
        self.total() > MUCH || self.free.is_some_and(|free| self.total() > free / 2)
    }
}

/// Returns what the given trainings of a plan need, of which at most `jobs` run at the same time. `trees` are the output trees that
/// are known.
///
/// # Errors
/// If the store cannot be read.
pub fn room(
    store: &Store,
    plan: &Plan,
    nodes: &BTreeSet<usize>,
    trees: &[Option<Tree>],
    jobs: usize,
) -> Result<RoomNeeded, StoreError> {
    let trainings = Trainings::new(plan);
    let meant: BTreeSet<_> = trainings.nodes.iter().copied().filter(|node| nodes.contains(node)).collect();
    let mut needed = RoomNeeded { free: free(store.root()), ..RoomNeeded::default() };
    let mut largest = 0;
    for &index in &meant {
        let Ok((action, _)) = plan.action_so_far(index, trees) else { continue };
        match plan.nodes[index].stage.room(&Inputs::new(&action.inputs, store)) {
            Ok(Some(Room { checkpoint, outputs })) => {
                largest = largest.max(checkpoint);
                needed.outputs = needed.outputs.saturating_add(outputs);
            }
            Ok(None) => needed.unknown += 1,
            Err(StageError::Input { source: StoreError::Promised { .. }, .. }) => needed.unknown += 1,
            Err(StageError::Input { source, .. }) => return Err(source),
            // A stage that cannot estimate this cannot run either, and then reports a better reason.
            Err(_) => {}
        }
    }
    let running = jobs.min(meant.len()) * KEEP_RUNNING;
    let most = trainings.most_kept(&meant).saturating_add(running) as u64;
    needed.checkpoints = largest.saturating_mul(most);
    Ok(needed)
}

/// Returns what is free for this user on the disk of `folder`, in bytes. If the folder does not exist, on that of the nearest that
/// does.
fn free(folder: &Path) -> Option<u64> {
    let folder = std::path::absolute(folder).ok()?;
    let status = folder.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok())?;
    Some(status.f_bavail.saturating_mul(status.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_known_also_before_there_is_a_store() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free(&folder.path().join("a/b")).is_some_and(|bytes| bytes > 0));
    }

    #[test]
    fn much_is_more_than_a_gibibyte_or_half_of_what_is_free() {
        let needed = |checkpoints, outputs, free| RoomNeeded { checkpoints, outputs, unknown: 0, free };
        assert!(!needed(MUCH - 1, 1, None).is_much() && needed(MUCH, 1, None).is_much());
        assert!(!needed(5, 0, Some(10)).is_much() && needed(5, 1, Some(10)).is_much());
        assert!(!needed(10, 0, Some(10)).is_too_much() && needed(10, 1, Some(10)).is_too_much());
        assert!(!needed(u64::MAX, u64::MAX, None).is_too_much());
    }
}
