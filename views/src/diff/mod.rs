//! Two studies compared: first what was asked differently, then what came out differently, and apart from both what came
//! out differently although the same was asked.
//!
//! Objects are read only where digests differ.

mod answer;
mod question;
mod render;

use std::collections::BTreeMap;

use pipe_engine::{
    leaves::Change,
    names::trial_number,
    study::{Outcome, Study, StudyNode},
};
use pipe_stages::{StageName, params::Float};
use pipe_store::{ActionKey, Digest, Store};
use serde::Serialize;
use serde_json::Value;

pub use self::render::render;
use crate::{ViewError, outputs::Outputs};

/// All that differs between two studies, and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Diff {
    pub question: Question,
    pub answer: Answer,
    /// Nodes with equal action keys and different results.
    pub divergences: Vec<Divergence>,
}

/// What was asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Question {
    /// Differences with what follows from each.
    pub causes: Vec<Cause>,
    /// The stages or nodes that were asked for, if they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selection: Option<[Vec<String>; 2]>,
    /// Nodes whose actions differ though no cause reaches them: an input has other bytes.
    pub unexplained: Vec<Follow>,
}

/// Differences that belong together: of one stage of the pipeline, of the whole study, or of a stage's implementation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cause {
    /// The pipeline's stage; absent for what concerns several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    pub changes: Vec<Change>,
    /// The nodes whose actions differ for this reason, perhaps among others.
    pub follows: Vec<Follow>,
}

/// Nodes of one kind of one of the pipeline's stages.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Follow {
    pub part_of: String,
    /// The kind of stage: `train`.
    pub stage: String,
    /// How many are in both studies with other actions, in the old one only, and in the new one only.
    pub changed: usize,
    pub removed: usize,
    pub added: usize,
}

/// What came out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Answer {
    pub outcomes: Vec<OutcomeChange>,
    pub metrics: Vec<MetricChange>,
    pub best: Vec<BestChange>,
    pub curves: Vec<CurveChange>,
    pub pictures: Vec<FileChange>,
    pub files: Vec<FileChange>,
}

/// A node that has outputs in one study alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutcomeChange {
    pub node: String,
    pub old: String,
    pub new: String,
}

/// A figure of an evaluation or of a training's score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricChange {
    pub node: String,
    pub metric: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Float>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Float>,
    /// New minus old.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Float>,
}

/// The best trial of a search.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BestChange {
    pub search: String,
    /// Number of the trial and its loss.
    pub old_trial: Option<u64>,
    pub new_trial: Option<u64>,
    pub old_loss: Option<Float>,
    pub new_loss: Option<Float>,
    /// Labels whose values differ.
    pub labels: Vec<Change>,
}

/// Two trainings that went the same way and then parted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CurveChange {
    pub node: String,
    /// The last epoch after which the weights were equal.
    pub equal_until: usize,
    pub old_epochs: usize,
    pub new_epochs: usize,
}

/// An output file with other bytes, or in one study alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    pub node: String,
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Digest>,
}

/// One action, two results: the work is not deterministic, or was done by other kernels or another build.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Divergence {
    pub node: String,
    pub key: ActionKey,
    /// The output tree's digest or the failure.
    pub old: String,
    pub new: String,
    pub files: Vec<FileChange>,
    /// Where the result came about that the store holds now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Value>,
}

impl Diff {
    /// Returns whether nothing differs: whether the study hashes are equal.
    pub fn is_same(&self) -> bool {
        *self == Self::default()
    }
}

/// A node that is in one of the studies or in both.
pub(crate) struct Pair<'a> {
    pub(crate) name: &'a str,
    pub(crate) old: Option<&'a StudyNode>,
    pub(crate) new: Option<&'a StudyNode>,
}

impl<'a> Pair<'a> {
    /// Returns the node, as it is in the newer study that has it.
    pub(crate) fn any(&self) -> &'a StudyNode {
        self.new.or(self.old).expect("a pair has a node")
    }

    /// Returns the number of the trial whose training this is.
    pub(crate) fn trial(&self) -> Option<u32> {
        trial_number(self.name, &self.any().part_of, StageName::Train)
    }

    fn both(&self) -> Option<(&'a StudyNode, &'a StudyNode)> {
        self.old.zip(self.new)
    }

    /// Returns whether its action differs, or it is in one study alone.
    fn is_asked_differently(&self) -> bool {
        self.both().is_none_or(|(old, new)| old.action != new.action)
    }

    /// Returns the digests of the output trees.
    fn trees(&self) -> [Option<Digest>; 2] {
        [self.old, self.new].map(|node| node.and_then(StudyNode::tree))
    }

    /// Returns whether its output trees differ, or it has one in one study alone.
    fn came_out_differently(&self) -> bool {
        let [old, new] = self.trees();
        old != new
    }

    /// Returns the outputs.
    fn outputs(&self, store: &'a Store) -> Result<[Option<Outputs<'a>>; 2], ViewError> {
        let of = |node: Option<&StudyNode>| {
            node.map(|node| Outputs::of(store, self.name, node)).transpose().map(Option::flatten)
        };
        Ok([of(self.old)?, of(self.new)?])
    }
}

/// Compares two studies of one store.
///
/// # Errors
/// If a record that differs cannot be read.
pub fn compare(store: &Store, old: &Study, new: &Study) -> Result<Diff, ViewError> {
    let mut pairs: BTreeMap<&str, Pair<'_>> = BTreeMap::new();
    for (name, node) in &old.nodes {
        pairs.insert(name, Pair { name, old: Some(node), new: None });
    }
    for (name, node) in &new.nodes {
        pairs.entry(name).or_insert(Pair { name, old: None, new: None }).new = Some(node);
    }
    let pairs: Vec<_> = pairs.into_values().filter(|pair| pair.old != pair.new).collect();
    Ok(Diff {
        question: question::compare(store, old, new, &pairs)?,
        answer: answer::compare(store, &pairs)?,
        divergences: divergences(store, &pairs)?,
    })
}

fn divergences(store: &Store, pairs: &[Pair<'_>]) -> Result<Vec<Divergence>, ViewError> {
    let mut divergences = Vec::new();
    for pair in pairs.iter().filter(|pair| !pair.is_asked_differently()) {
        let Some((old, new)) = pair.both() else { continue };
        let Some(key) = old.key() else { continue };
        let result = |node: &StudyNode| match &node.outcome {
            Outcome::Tree(tree) => Some(tree.to_string()),
            Outcome::Failure(message) => Some(format!("failed: {message}")),
            Outcome::Crash | Outcome::Skipped(_) => None,
        };
        let (Some(old), Some(new)) = (result(old), result(new)) else { continue };
        let files = answer::file_changes(pair.name, &pair.outputs(store)?);
        let provenance = store.provenance(&key)?;
        divergences.push(Divergence { node: pair.name.to_owned(), key, old, new, files, provenance });
    }
    Ok(divergences)
}

#[cfg(test)]
mod tests;
