//! A pipeline as a plan: each stage becomes its nodes.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use pipe_stages::{decode::Decode, stage::Stage};
use serde::Serialize;
use serde_json::Value;

use super::{
    spec::{Pipeline, Stages},
    stages::plain,
};
use crate::{
    action::derive_seed,
    plan::{Edge, Node, Plan},
};

/// How bytes from outside come in. Nothing here reaches a key.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Base addresses that are tried before a stage's own.
    pub mirrors: Vec<pipe_stages::fetch::Mirror>,
    /// Where broken downloads wait to be resumed.
    pub partial: PathBuf,
}

/// Returns the plan of `pipeline`, which must have been checked by reading it.
pub fn expand(pipeline: &Pipeline, sources: &Sources) -> Plan {
    let plan = Plan {
        name: pipeline.name.clone(),
        pipeline: pipeline.record(),
        device: pipeline.device,
        nodes: Vec::new(),
        notes: Vec::new(),
    };
    let mut expansion = Expansion { pipeline, sources, plan, made: BTreeMap::new() };
    for (name, _) in pipeline.stages.iter() {
        expansion.node_of(name);
    }
    expansion.plan
}

/// An input of a node: its slot, and the node and the output file that it comes from.
pub type Input<'s> = (&'s str, usize, &'s str);

/// A plan while stages add their nodes.
pub struct Expansion<'p> {
    pipeline: &'p Pipeline,
    sources: &'p Sources,
    plan: Plan,
    /// The stages that are in the plan, each with the node that others read from.
    made: BTreeMap<String, usize>,
}

impl<'p> Expansion<'p> {
    /// Returns the node of the stage called `name` that others read from, adding all its nodes and those they read from where
    /// they are missing.
    pub(super) fn node_of(&mut self, name: &str) -> usize {
        if let Some(node) = self.made.get(name) {
            return *node;
        }
        let spec = self.stages().get(name).expect("names are checked when a pipeline is read");
        let node = spec.expand(name, self);
        self.made.insert(name.to_owned(), node);
        node
    }

    /// Returns the stages of the pipeline.
    pub(super) fn stages(&self) -> &'p Stages {
        &self.pipeline.stages
    }

    /// Returns the data set that the stage called `name` makes.
    pub(super) fn data_set(&self, name: &str) -> &'p Decode {
        self.stages().data_set(name).expect("kinds are checked when a pipeline is read")
    }

    /// Returns how bytes from outside come in.
    pub(super) fn sources(&self) -> &'p Sources {
        self.sources
    }

    /// Adds what is to be said before the plan runs.
    pub(super) fn note(&mut self, note: Option<String>) {
        self.plan.notes.extend(note);
    }

    /// Adds a node and returns its index. Nodes with equal work, inputs and `repeat` have equal keys.
    pub(super) fn add<'s, S: Stage + Serialize + 'static>(
        &mut self,
        name: &str,
        part_of: &str,
        stage: S,
        inputs: impl IntoIterator<Item = Input<'s>>,
        repeat: u64,
    ) -> usize {
        let params = Arc::new(plain(&stage));
        self.push(name, part_of, Arc::new(stage), params, inputs, repeat)
    }

    /// Adds a node, as [`add`](Self::add) does, whose parameters were made before.
    pub(super) fn push<'s>(
        &mut self,
        name: &str,
        part_of: &str,
        stage: Arc<dyn Stage>,
        params: Arc<Value>,
        inputs: impl IntoIterator<Item = Input<'s>>,
        repeat: u64,
    ) -> usize {
        let inputs = inputs
            .into_iter()
            .map(|(slot, node, path)| (slot.to_owned(), Edge { node, path: path.to_owned() }))
            .collect();
        let seed = derive_seed(self.pipeline.seed, stage.id().name, repeat);
        self.plan.nodes.push(Node { name: name.to_owned(), part_of: part_of.to_owned(), stage, params, seed, inputs });
        self.plan.nodes.len() - 1
    }
}
