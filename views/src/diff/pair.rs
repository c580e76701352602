//! A node in two studies.

use pipe_engine::study::{Study, StudyNode, Trial};
use pipe_store::{Digest, Store};

use crate::{ViewError, outputs::Outputs};

/// A node, as it is in the old and in the new study. At least one of them has it.
pub(super) struct Pair<'a> {
    pub(super) name: &'a str,
    pub(super) old: Option<&'a StudyNode>,
    pub(super) new: Option<&'a StudyNode>,
    /// The trial that it belongs to in the old and in the new study.
    pub(super) trials: [Option<Trial<'a>>; 2],
}

impl<'a> Pair<'a> {
    /// Returns the node `name` of two studies, or None if it is the same in both.
    pub(super) fn of_different(name: &'a str, old: &'a Study, new: &'a Study) -> Option<Self> {
        let nodes = [old, new].map(|study| study.nodes.get(name));
        let pair = || Self { name, old: nodes[0], new: nodes[1], trials: [old, new].map(|study| study.trial_of(name)) };
        (nodes[0] != nodes[1]).then(pair)
    }

    /// Returns the node of the new study, or of the old one if the new one lacks it.
    pub(super) fn any(&self) -> &'a StudyNode {
        self.new.or(self.old).expect("a pair has a node")
    }

    /// Returns whether the node belongs to a trial of a search.
    pub(super) fn is_of_trial(&self) -> bool {
        self.trials.iter().any(Option::is_some)
    }

    /// Returns the names of the nodes that gave the trial its hyperparameters, in the old and in the new study.
    pub(super) fn proposals(&self) -> impl Iterator<Item = &'a str> {
        self.trials.into_iter().flatten().filter_map(|trial| trial.proposal).map(|(name, _)| name)
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
