//! A node in two studies.

use pipe_engine::{names::trial_number, study::StudyNode};
use pipe_stages::StageName;
use pipe_store::{Digest, Store};

use crate::{ViewError, outputs::Outputs};

/// A node, as it is in the old and in the new study. At least one of them has it.
pub(super) struct Pair<'a> {
    pub(super) name: &'a str,
    pub(super) old: Option<&'a StudyNode>,
    pub(super) new: Option<&'a StudyNode>,
}

impl<'a> Pair<'a> {
    /// Returns the node of the new study, or of the old one if the new one lacks it.
    pub(super) fn any(&self) -> &'a StudyNode {
        self.new.or(self.old).expect("a pair has a node")
    }

    /// Returns the number of the trial if the node is the training of a trial.
    pub(super) fn trial(&self) -> Option<u32> {
        trial_number(self.name, &self.any().part_of, StageName::Train)
    }

    pub(super) fn both(&self) -> Option<(&'a StudyNode, &'a StudyNode)> {
        self.old.zip(self.new)
    }

    /// Returns whether the actions differ, or only one study has the node.
    pub(super) fn has_other_action(&self) -> bool {
        self.both().is_none_or(|(old, new)| old.action != new.action)
    }

    /// Returns the digests of the old and the new output tree.
    pub(super) fn trees(&self) -> [Option<Digest>; 2] {
        [self.old, self.new].map(|node| node.and_then(StudyNode::tree))
    }

    /// Returns whether the output trees differ, or only one exists.
    pub(super) fn has_other_outputs(&self) -> bool {
        let [old, new] = self.trees();
        old != new
    }

    /// Returns the old and the new outputs.
    pub(super) fn outputs(&self, store: &'a Store) -> Result<[Option<Outputs<'a>>; 2], ViewError> {
        let of = |node: Option<&StudyNode>| {
            node.map(|node| Outputs::of(store, self.name, node)).transpose().map(Option::flatten)
        };
        Ok([of(self.old)?, of(self.new)?])
    }
}
