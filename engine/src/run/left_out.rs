//! The nodes that are left out because their searches stop before their last trial.

use std::collections::{BTreeMap, BTreeSet};

use pipe_stages::records::{self, Record, StopRecord};
use pipe_store::{ObjectSource, Store, StoreError, Tree};

use crate::plan::Stopped;

/// The nodes that are left out because their searches have stopped.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    nodes: BTreeSet<usize>,
    /// For each node that stands in for nodes that are left out, those nodes.
    stands_in_for: BTreeMap<usize, Vec<usize>>,
}

impl LeftOut {
    /// Returns whether a node is left out.
    pub(super) fn has(&self, node: usize) -> bool {
        self.nodes.contains(&node)
    }

    /// Leaves nodes out.
    pub(super) fn add(&mut self, stopped: &Stopped<'_>) {
        self.nodes.extend(stopped.nodes.clone());
        for (left_out, stand_in) in &stopped.stand_ins {
            self.stands_in_for.entry(*stand_in).or_default().push(*left_out);
        }
    }

    /// Returns the nodes for which this one stands in.
    pub(super) fn stand_ins_of(&self, node: usize) -> &[usize] {
        self.stands_in_for.get(&node).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the node that is read instead of this one.
    pub(super) fn instead_of(&self, node: usize) -> usize {
        let stand_in = self.stands_in_for.iter().find(|(_, nodes)| nodes.contains(&node));
        stand_in.map_or(node, |(stand_in, _)| *stand_in)
    }
}

/// Returns why the search stops, if the output tree of a node that decides it says so.
///
/// # Errors
/// If the record cannot be read.
pub(super) fn reason(store: &Store, tree: &Tree) -> Result<Option<String>, StoreError> {
    let Some(file) = tree.files.get(StopRecord::FILE) else { return Ok(None) };
    let record: Option<StopRecord> = records::read(&store.read(&file.digest)?).ok();
    Ok(record.filter(|record| record.stop).map(|record| record.reason.unwrap_or_default()))
}
