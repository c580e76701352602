//! A node of two studies.

use pipe_engine::{names::trial_number, study::StudyNode};
use pipe_stages::StageName;
use pipe_store::{Digest, Store};

use crate::{ViewError, outputs::Outputs};

/// A node that is in one of the studies or in both.
pub(super) struct Pair<'a> {
    pub(super) name: &'a str,
    pub(super) old: Option<&'a StudyNode>,
    pub(super) new: Option<&'a StudyNode>,
}

impl<'a> Pair<'a> {
    /// Returns the node, as it is in the newer study that has it.
    pub(super) fn any(&self) -> &'a StudyNode {
        self.new.or(self.old).expect("a pair has a node")
    }

    /// Returns the number of the trial whose training this is.
    pub(super) fn trial(&self) -> Option<u32> {
        trial_number(self.name, &self.any().part_of, StageName::Train)
    }

    pub(super) fn both(&self) -> Option<(&'a StudyNode, &'a StudyNode)> {
        self.old.zip(self.new)
    }

    /// Returns whether its action differs, or it is in one study alone.
    pub(super) fn is_asked_differently(&self) -> bool {
        self.both().is_none_or(|(old, new)| old.action != new.action)
    }

    /// Returns the digests of the output trees.
    pub(super) fn trees(&self) -> [Option<Digest>; 2] {
        [self.old, self.new].map(|node| node.and_then(StudyNode::tree))
    }

    /// Returns whether its output trees differ, or it has one in one study alone.
    pub(super) fn came_out_differently(&self) -> bool {
        let [old, new] = self.trees();
        old != new
    }

    /// Returns the outputs.
    pub(super) fn outputs(&self, store: &'a Store) -> Result<[Option<Outputs<'a>>; 2], ViewError> {
        let of = |node: Option<&StudyNode>| {
            node.map(|node| Outputs::of(store, self.name, node)).transpose().map(Option::flatten)
        };
        Ok([of(self.old)?, of(self.new)?])
    }
}
