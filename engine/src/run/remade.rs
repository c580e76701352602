//! Nodes whose results turned out not to be whole.

use std::collections::BTreeMap;

use pipe_store::Digest;

/// The nodes that are executed after all, because files of their results were only promised and are not to be had.
#[derive(Default)]
pub(super) struct Remade {
    /// The output tree that each of them had.
    pub(super) trees: BTreeMap<usize, Digest>,
    /// The nodes that wait for each of them.
    pub(super) readers: BTreeMap<usize, Vec<usize>>,
}

impl Remade {
    /// Returns the nodes that wait for this one, if it was settled before.
    pub(super) fn readers(&mut self, index: usize) -> Option<Vec<usize>> {
        self.readers.remove(&index)
    }

    /// Returns the output tree that the node had when it was settled before.
    pub(super) fn tree(&self, index: usize) -> Option<Digest> {
        self.trees.get(&index).copied()
    }
}
