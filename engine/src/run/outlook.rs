//! What a run would do with each node and why, or what it did, with the nodes that are the cause of it. Nothing is run.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
};

use pipe_stages::StageName;
use pipe_store::{ActionKey, ActionResult, Digest, Store, StoreError, Tree};
use serde::Serialize;

use super::{
    left_out::{self, LeftOut},
    why::{self, Why},
};
use crate::{
    action::Action,
    plan::Plan,
    study::{self, Outcome, Study},
};

/// What a run would do with a node, or what it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// Its result is known.
    Reused,
    /// Its inputs are known and its result is not.
    #[serde(rename = "will run")]
    WillRun,
    /// Its inputs are not known yet. It runs unless it turns out that its result is known.
    #[serde(rename = "may run")]
    MayRun,
    /// Its result is known to be a failure, or it cannot have one.
    Fails,
    /// A node that it needs fails.
    Skipped,
    /// Its result, or something that it needs, is damaged, and the run would stop.
    Damaged,
    /// Its action was new in the study that is looked at.
    Ran,
    /// It had no result in the study that is looked at.
    Failed,
}

impl Expected {
    /// Returns the form of the word in a sentence about a node: "`data` would run".
    pub fn in_sentence(self) -> &'static str {
        match self {
            Self::Reused => "would be reused",
            Self::WillRun => "would run",
            Self::MayRun => "may run",
            Self::Fails => "would fail",
            Self::Skipped => "would be skipped",
            Self::Damaged => "is damaged",
            Self::Ran => "ran",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reused => "reused",
            Self::WillRun => "will run",
            Self::MayRun => "may run",
            Self::Fails => "fails",
            Self::Skipped => "skipped",
            Self::Damaged => "damaged",
            Self::Ran => "ran",
            Self::Failed => "failed",
        })
    }
}

/// What a run would do with a node, or what it did, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Prospect {
    /// What it would do.
    pub expected: Expected,
    /// Why.
    pub why: Why,
    /// The key of its action, if its inputs are known.
    pub key: Option<ActionKey>,
    /// Its output tree, if it has one.
    pub tree: Option<Digest>,
}

/// The prospects of the nodes of a plan.
pub struct Outlook<'a> {
    plan: &'a Plan,
    left_out: LeftOut,
    prospects: BTreeMap<usize, Prospect>,
}

/// The nodes whose own change is the cause of what happens to a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots {
    /// The first of them in the order of the plan.
    pub nodes: Vec<usize>,
    /// Whether there are others.
    pub more: bool,
}

/// The most causes of one node that are named. In a search of a thousand trials, the last ones may have a thousand.
const NAMED: usize = 3;

impl<'a> Outlook<'a> {
    /// Returns what a run would do with the `wanted` nodes of `plan`, which must include all nodes that they read from, given
    /// the results in the store. `previous` is the latest study of the same name, and `rerun` the nodes that would be executed
    /// although their results are known.
    ///
    /// # Errors
    /// If the store cannot be read. Damage is not an error, but a prospect.
    pub fn of_run(
        store: &Store,
        plan: &'a Plan,
        wanted: &BTreeSet<usize>,
        previous: Option<&Study>,
        rerun: &BTreeSet<usize>,
    ) -> Result<Self, StoreError> {
        let mut trees: Vec<Option<Tree>> = vec![None; plan.nodes.len()];
        let mut outlook = Self { plan, left_out: LeftOut::default(), prospects: BTreeMap::new() };
        for &index in wanted {
            if outlook.left_out.has(index) {
                continue;
            }
            let prospect = match outlook.without_input(index) {
                Some(prospect) => prospect,
                None => match plan.action_so_far(index, &trees) {
                    Err(missing) => Prospect {
                        expected: Expected::Fails,
                        why: Why::Failed { message: missing.to_string(), hint: None },
                        key: None,
                        tree: None,
                    },
                    Ok((action, mut pending)) => {
                        // Whether it is executed at all is not known yet.
                        if plan.nodes[index].after.is_some_and(|after| trees[after].is_none()) {
                            pending.push(StageName::Stop.as_str());
                        }
                        let rerun = rerun.contains(&index);
                        let (prospect, tree) = looked_up(store, plan, previous, index, &action, &pending, rerun)?;
                        trees[index] = tree;
                        prospect
                    }
                },
            };
            outlook.prospects.insert(index, prospect);
            if let (Some(stopped), Some(tree)) = (plan.stopped_by(index), &trees[index])
                && left_out::reason(store, tree)?.is_some()
            {
                outlook.left_out.add(&stopped);
                stopped.stand_ins.iter().for_each(|(left_out, stand_in)| trees[*left_out] = trees[*stand_in].clone());
            }
        }
        Ok(outlook)
    }

    /// Returns what the run that gave `study` did with its nodes, compared with `previous`, the study before it of the same
    /// name. `plan` is the plan of the study's pipeline.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn of_study(
        store: &Store,
        plan: &'a Plan,
        study: &Study,
        previous: Option<&Study>,
    ) -> Result<Self, StoreError> {
        let mut prospects = BTreeMap::new();
        for (index, node) in plan.nodes.iter().enumerate() {
            let Some(of_study) = study.nodes.get(&node.name) else { continue };
            let before = previous.and_then(|study| study.nodes.get(&node.name));
            let (key, tree) = (of_study.key(), of_study.tree());
            let unchanged = key.is_some() && before.is_some_and(|before| before.key() == key && before.tree() == tree);
            let (expected, why) = match (&of_study.outcome, key) {
                (Outcome::Skipped(needs), _) => (Expected::Skipped, Why::Skipped { needs: needs.clone() }),
                (Outcome::Failure(message), _) => {
                    (Expected::Failed, Why::Failed { message: message.clone(), hint: None })
                }
                (_, None) => (Expected::Failed, Why::Unfinished),
                (Outcome::Tree(_), Some(_)) if unchanged => (Expected::Reused, Why::Unchanged),
                (outcome, Some(key)) => {
                    let why = match study::action(store, &key.0) {
                        Ok(action) => why::reason(store, plan, previous, index, &action, &[], false),
                        Err(_) => Why::Changed { differences: Vec::new() },
                    };
                    (if matches!(outcome, Outcome::Tree(_)) { Expected::Ran } else { Expected::Failed }, why)
                }
            };
            prospects.insert(index, Prospect { expected, why, key, tree });
        }
        Ok(Self { plan, left_out: LeftOut::default(), prospects })
    }

    /// Stores the actions of the nodes that would run and whose inputs are known, so that they can be executed by their keys.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub fn store_actions(&self, store: &Store) -> Result<(), StoreError> {
        let mut trees: Vec<Option<Tree>> = vec![None; self.plan.nodes.len()];
        for (&index, prospect) in &self.prospects {
            if let Some(tree) = &prospect.tree {
                trees[index] = Some(store.tree(tree)?);
            }
            self.left_out.stand_ins_of(index).iter().for_each(|left_out| trees[*left_out] = trees[index].clone());
            if prospect.expected == Expected::WillRun
                && prospect.key.is_some()
                && let Ok(action) = self.plan.action(index, &trees)
            {
                store.put(&action.record())?;
            }
        }
        Ok(())
    }

    /// Returns the nodes with their prospects, in the order of the plan.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, usize, &Prospect)> {
        let plan = self.plan;
        self.prospects.iter().map(move |(index, prospect)| (plan.nodes[*index].name.as_str(), *index, prospect))
    }

    /// Returns the prospect of a node, if it is wanted.
    pub fn get(&self, index: usize) -> Option<&Prospect> {
        self.prospects.get(&index)
    }

    /// Returns for each node the nodes whose own change is the cause of what happens to it: those at the ends of all ways
    /// upstream along inputs that changed or may change. A node that is a cause itself is among its own.
    pub fn roots(&self) -> BTreeMap<usize, Roots> {
        let mut roots: BTreeMap<usize, Roots> = BTreeMap::new();
        for &index in self.prospects.keys() {
            let mut found = Roots::default();
            for source in self.sources(index) {
                let of_source = &roots[&source];
                found.more |= of_source.more;
                found.nodes.extend(&of_source.nodes);
            }
            if self.is_root(index) {
                found.nodes.push(index);
            }
            found.nodes.sort_unstable();
            found.nodes.dedup();
            found.more |= found.nodes.len() > NAMED;
            found.nodes.truncate(NAMED);
            roots.insert(index, found);
        }
        roots
    }

    /// Returns the part of a sentence that names the causes of what happens to a node, if they are not in itself.
    pub fn because(&self, index: usize, roots: &Roots) -> String {
        let needed = |name: &str| matches!(&self.prospects[&index].why, Why::Skipped { needs } if needs == name);
        let names = roots.nodes.iter().filter(|root| **root != index && !needed(&self.plan.nodes[**root].name));
        let names: Vec<_> = names.map(|root| format!("`{}`", self.plan.nodes[*root].name)).collect();
        match names.split_last() {
            None => String::new(),
            Some(_) if roots.more => format!(", because of {} and others", names.join(", ")),
            Some((last, [])) => format!(", because of {last}"),
            Some((last, names)) => format!(", because of {} and {last}", names.join(", ")),
        }
    }

    /// Returns the shortest way upstream from a node to another whose own change is a cause: the node first, the cause last.
    /// Returns only the node if all causes are in itself.
    pub fn chain(&self, index: usize) -> Vec<usize> {
        let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
        let mut queue = VecDeque::from([index]);
        while let Some(at) = queue.pop_front() {
            if at != index && self.is_root(at) || self.sources(at).is_empty() {
                let mut chain = vec![at];
                let mut at = at;
                while let Some(before) = came_from.get(&at).filter(|_| at != index) {
                    chain.push(*before);
                    at = *before;
                }
                chain.reverse();
                return chain;
            }
            for source in self.sources(at) {
                if source != index && !came_from.contains_key(&source) {
                    came_from.insert(source, at);
                    queue.push_back(source);
                }
            }
        }
        vec![index]
    }

    /// Returns the prospect of a node that has no outputs because a node that it needs has none.
    fn without_input(&self, index: usize) -> Option<Prospect> {
        let node = &self.plan.nodes[index];
        let sources = || node.sources().map(|source| self.left_out.instead_of(source));
        let find = |wanted: &[Expected]| sources().find(|source| wanted.contains(&self.prospects[source].expected));
        let (expected, source) = match find(&[Expected::Damaged]) {
            Some(source) => (Expected::Damaged, source),
            None => (Expected::Skipped, find(&[Expected::Fails, Expected::Skipped])?),
        };
        let why = Why::Skipped { needs: self.plan.nodes[source].name.clone() };
        Some(Prospect { expected, why, key: None, tree: None })
    }

    /// Returns whether a node is left out, because its search stops before.
    pub fn leaves_out(&self, index: usize) -> bool {
        self.left_out.has(index)
    }

    /// Returns the nodes whose outputs changed or may change and are read by the node, in the order of the plan.
    fn sources(&self, index: usize) -> BTreeSet<usize> {
        let mut sources = BTreeSet::new();
        let Prospect { why, expected, .. } = &self.prospects[&index];
        for edge in self.plan.nodes[index].inputs.values() {
            let source = self.left_out.instead_of(edge.node);
            let name = &self.plan.nodes[edge.node].name;
            let changed = why.differences().iter().any(|difference| difference.source() == Some(name));
            let needed = match why {
                Why::Skipped { needs } => needs == name,
                // It had no result because its inputs had none, and they are still not known.
                Why::Unfinished if *expected == Expected::MayRun => {
                    self.prospects.get(&source).is_some_and(|source| source.tree.is_none())
                }
                _ => false,
            };
            // The input of a node can change although its source has not: because the node reads another file.
            let reason = self.prospects.get(&source).map(|source| &source.why);
            if (changed || needed) && reason.is_some_and(|why| *why != Why::Unchanged) {
                sources.insert(source);
            }
        }
        sources
    }

    /// Returns whether something about the node itself is a reason for what happens to it.
    fn is_root(&self, index: usize) -> bool {
        let why = &self.prospects[&index].why;
        match why {
            Why::Unfinished => self.sources(index).is_empty(),
            Why::Unchanged | Why::Skipped { .. } | Why::Meanwhile | Why::Interrupted => false,
            Why::Changed { differences } | Why::Known { differences } => {
                let sources = self.sources(index);
                differences.is_empty()
                    || differences.iter().any(|difference| match difference.source() {
                        None => true,
                        Some(name) => !sources.iter().any(|source| self.plan.nodes[*source].name == name),
                    })
            }
            _ => true,
        }
    }
}

/// Returns the prospect of a node whose inputs exist or will exist, and its output tree if it is known.
fn looked_up(
    store: &Store,
    plan: &Plan,
    previous: Option<&Study>,
    index: usize,
    action: &Action,
    pending: &[&str],
    rerun: bool,
) -> Result<(Prospect, Option<Tree>), StoreError> {
    let reason = |known| why::reason(store, plan, previous, index, action, pending, known);
    if !pending.is_empty() {
        let why = if rerun { Why::Forced { compared: None } } else { reason(false) };
        return Ok((Prospect { expected: Expected::MayRun, why, key: None, tree: None }, None));
    }
    let key = action.key();
    let prospect = |expected, why, tree| Prospect { expected, why, key: Some(key), tree };
    let known = store.result(&key).and_then(|result| match result {
        Some(ActionResult::Tree(name)) => Ok(Some(Ok((name, store.tree(&name)?)))),
        Some(ActionResult::Failure(failure)) => Ok(Some(Err(failure))),
        None => Ok(None),
    });
    Ok(match known {
        Err(error) if error.is_damage() => {
            let why = Why::Damaged { message: error.to_string() };
            (prospect(Expected::Damaged, why, None), None)
        }
        Err(error) => return Err(error),
        Ok(Some(Ok((name, tree)))) => {
            let (expected, why) = match rerun {
                true => (Expected::WillRun, Why::Forced { compared: None }),
                false => (Expected::Reused, reason(true)),
            };
            (prospect(expected, why, Some(name)), Some(tree))
        }
        Ok(_) if rerun => (prospect(Expected::WillRun, Why::Forced { compared: None }, None), None),
        Ok(Some(Err(failure))) => {
            let why = Why::Failed { message: failure.message, hint: failure.hint };
            (prospect(Expected::Fails, why, None), None)
        }
        Ok(None) => (prospect(Expected::WillRun, reason(false), None), None),
    })
}
