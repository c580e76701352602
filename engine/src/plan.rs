//! A plan: the nodes of a pipeline in order, and what is known about each before it runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use pipe_stages::{DeviceKind, Precision, command, stage::Stage, words::closest};
use pipe_store::{Tree, TreeEntry};
use serde_json::Value;

use crate::{
    action::Action,
    how::How,
    names::{NameError, is_in_group, resolve},
};

/// One execution of a stage.
#[derive(Clone)]
pub struct Node {
    /// Its name: `data`, `search/train/003`.
    pub name: String,
    /// The stage of the pipeline that it belongs to: `search`.
    pub part_of: String,
    /// The stage that is executed.
    pub stage: Arc<dyn Stage>,
    /// The stage's parameters as the action holds them.
    pub params: Arc<Value>,
    /// The seed, which random numbers are drawn from.
    pub seed: u64,
    /// The origin of each input file, by slot.
    pub inputs: BTreeMap<String, Edge>,
    /// The node that decides whether this one is executed at all: its index, which is smaller. No key depends on it.
    pub after: Option<usize>,
    /// How its program is run, if it runs one. No key depends on it.
    pub how: Option<Arc<How>>,
}

impl Node {
    /// Returns the nodes that must have ended before this one is executed, in the order of its slots. Some may come twice.
    pub fn sources(&self) -> impl Iterator<Item = usize> {
        self.inputs.values().map(|edge| edge.node).chain(self.after)
    }
}

/// A file in the output tree of another node, or a folder, whose files have slots of their own. Only the digests enter the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The index of that node. It is smaller than the index of the node that reads the file.
    pub node: usize,
    /// The file's path in the tree. A folder ends with `/`, and the empty path is the whole tree.
    pub path: String,
}

impl Edge {
    /// Returns whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.path.is_empty() || self.path.ends_with('/')
    }
}

/// Everything that a study executes. Invariant: a node comes after the nodes it reads from.
#[derive(Clone)]
pub struct Plan {
    /// The study's name, which no key depends on.
    pub name: String,
    /// The pipeline as a canonical record.
    pub pipeline: Vec<u8>,
    /// The kind of device that it computes on.
    pub device: DeviceKind,
    /// The precision of its products.
    pub precision: Precision,
    /// The nodes, in an order in which they can run.
    pub nodes: Vec<Node>,
    /// What the user is told before it runs. No key depends on it.
    pub notes: Vec<String>,
    /// The searches. No key depends on them.
    pub searches: Vec<SearchTrials>,
}

/// The trials of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchTrials {
    /// The name of the search.
    pub name: String,
    /// The search is given up if this many trials all fail alike before any other has ended.
    pub lag: usize,
    /// The nodes that train and score its trials, in the order of the trials.
    pub nodes: Vec<usize>,
    /// The nodes that can stop it, each with the number of trials that it has then.
    pub stops: BTreeMap<usize, u32>,
    /// The nodes that others read of each trial: its link of the parameters, and its link of the scores.
    pub links: Vec<[usize; 2]>,
    /// The node that selects its best trial. All nodes of trials come before it.
    pub select: usize,
}

/// What a search that stops leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped<'p> {
    /// The search.
    pub search: &'p SearchTrials,
    /// The number of trials that it has.
    pub trials: u32,
    /// The nodes that are left out.
    pub nodes: Range<usize>,
    /// The nodes among them that are read from outside, each with the one that stands in for it.
    pub stand_ins: BTreeMap<usize, usize>,
}

impl Plan {
    /// Returns the indices of the nodes that `text` means: all nodes of a stage of the pipeline, all nodes of the stages whose names
    /// begin with `text` and a slash, or one node, as [`resolve`] finds it.
    ///
    /// # Errors
    /// If there is no such stage or node, or several nodes may be meant. The suggested name may be that of stages.
    pub fn find(&self, text: &str) -> Result<BTreeSet<usize>, NameError> {
        let nodes = || self.nodes.iter().enumerate();
        let of_stage: BTreeSet<_> = nodes().filter(|(_, node)| node.part_of == text).map(|(index, _)| index).collect();
        if !of_stage.is_empty() {
            return Ok(of_stage);
        }
        let of_group: BTreeSet<_> =
            nodes().filter(|(_, node)| is_in_group(&node.part_of, text)).map(|(index, _)| index).collect();
        if !of_group.is_empty() {
            return Ok(of_group);
        }
        let name = resolve(self.nodes.iter().map(|node| node.name.as_str()), text).map_err(|error| match error {
            NameError::Unknown { text, candidates } => {
                let stages = self.stages();
                let groups = stages.iter().filter_map(|stage| Some(stage.rsplit_once('/')?.0));
                let known = stages.iter().copied().chain(groups).chain(candidates.iter().map(String::as_str));
                NameError::Unknown { candidates: closest(&text, known).map(str::to_owned).into_iter().collect(), text }
            }
            error => error,
        })?;
        Ok(nodes().filter(|(_, node)| node.name == name).map(|(index, _)| index).collect())
    }

    /// Returns what is left out if the node at `index` stops its search. `None` if it can stop none.
    pub fn stopped_by(&self, index: usize) -> Option<Stopped<'_>> {
        let search = self.searches.iter().find(|search| search.stops.contains_key(&index))?;
        let trials = search.stops[&index];
        let (kept, last) = (search.links.get((trials as usize).checked_sub(1)?)?, search.links.last()?);
        let stand_ins = last.iter().copied().zip(kept.iter().copied()).collect();
        Some(Stopped { search, trials, nodes: index + 1..search.select, stand_ins })
    }

    /// Returns the names of the pipeline's stages.
    pub fn stages(&self) -> BTreeSet<&str> {
        self.nodes.iter().map(|node| node.part_of.as_str()).collect()
    }

    /// Returns `nodes` and all nodes that they read from, directly or not.
    pub fn with_ancestors(&self, nodes: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut wanted = nodes.clone();
        for index in (0..self.nodes.len()).rev() {
            if wanted.contains(&index) {
                wanted.extend(self.nodes[index].sources());
            }
        }
        wanted
    }

    /// Returns the action of the node at `index`, given the output trees of the nodes it reads from.
    ///
    /// # Errors
    /// If one of those trees lacks the file that is read, because its stage did not write it.
    ///
    /// # Panics
    /// If one of those trees is missing.
    pub fn action(&self, index: usize, trees: &[Option<Tree>]) -> Result<Action, MissingFile> {
        let (action, pending) = self.action_so_far(index, trees)?;
        assert!(pending.is_empty(), "a node is asked for its action when its inputs are known");
        Ok(action)
    }

    /// Returns the action of the node at `index` as far as it is known, and the slots of the inputs that are not, because the
    /// nodes that write them have no output tree yet.
    ///
    /// # Errors
    /// If a tree lacks the file that is read, because its stage did not write it.
    pub fn action_so_far(&self, index: usize, trees: &[Option<Tree>]) -> Result<(Action, Vec<&str>), MissingFile> {
        let node = &self.nodes[index];
        let (mut inputs, mut pending) = (BTreeMap::new(), Vec::new());
        for (slot, edge) in &node.inputs {
            let Some(tree) = &trees[edge.node] else {
                pending.push(slot.as_str());
                continue;
            };
            let missing = || MissingFile { node: self.nodes[edge.node].name.clone(), path: edge.path.clone() };
            if edge.is_folder() {
                let inside =
                    tree.files.iter().filter_map(|(path, entry)| Some((path.strip_prefix(&edge.path)?, entry)));
                let before = inputs.len();
                inputs.extend(inside.map(|(rest, entry)| (slot_of(&format!("{slot}/{rest}"), entry), entry.digest)));
                if inputs.len() == before {
                    return Err(missing());
                }
                continue;
            }
            let entry = tree.files.get(&edge.path).ok_or_else(missing)?;
            inputs.insert(slot_of(slot, entry), entry.digest);
        }
        Ok((Action::new(&*node.stage, node.params.clone(), inputs, node.seed, (self.device, self.precision)), pending))
    }
}

/// Returns the slot of a file that a program reads. A file that is a program itself has another one, since that matters to who runs it.
fn slot_of(slot: &str, entry: &TreeEntry) -> String {
    match slot.strip_prefix(command::INPUT).filter(|_| entry.executable) {
        Some(name) => format!("{}{name}", command::PROGRAM),
        None => slot.to_owned(),
    }
}

/// The outputs of a node lack a file that another node reads.
#[derive(Debug, thiserror::Error)]
#[error("`{node}` has no output `{path}`")]
pub struct MissingFile {
    /// The node that should have written it.
    pub node: String,
    /// The file's path.
    pub path: String,
}
