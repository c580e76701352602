//! The record of one whole run, and how it is found in the store.

use std::collections::{BTreeMap, BTreeSet};

use pipe_stages::{StageName, params, records::Version};
use pipe_store::{ActionKey, Digest, Manifest, ObjectSource, RefEntry, RefKind, Store, StoreError, Tree};
use serde::{Deserialize, Serialize};

use crate::{
    action::Action,
    names::{NameError, SHOWN, is_in_group, resolve, selection_node, trial_node, trial_number},
    pipeline::spec::Pipeline,
    tag,
};

/// One whole run: every node with its action and its outcome. The digest of its record is the **study hash**. The study's
/// name is not part of it, so two names can share a hash. The fields are sorted by name, as in the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// 1.
    pub format: Version<1>,
    /// The nodes, by name.
    pub nodes: BTreeMap<String, StudyNode>,
    /// The digest of the pipeline's canonical record.
    pub pipeline: Digest,
    /// The stages or nodes selected with `--stage`. Empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selection: Vec<String>,
    /// Whether every node has outputs.
    pub status: StudyStatus,
}

/// Whether every node of a study has outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StudyStatus {
    /// Every node has outputs.
    Complete,
    /// Some nodes have none.
    Failed,
}

/// One node of a study. The fields are sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyNode {
    /// The key of its action. `None` if one of its inputs never existed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Digest>,
    /// Its outcome.
    pub outcome: Outcome,
    /// The stage of the pipeline that it belongs to: `search` for `search/train/003`.
    pub part_of: String,
    /// The name of the stage that it executes: `train`.
    pub stage: String,
}

/// The outcome of a node. Whether it was executed or reused is not part of a study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The digest of its output tree.
    Tree(Digest),
    /// A failure that is a result: the same action fails the same way every time.
    Failure(String),
    /// It crashed, or something outside it failed. There is no result, and the next run executes it again.
    Crash,
    /// A node that it needs, with this name, has no outputs.
    Skipped(String),
}

impl StudyNode {
    /// Returns the digest of its output tree, if it has one.
    pub fn tree(&self) -> Option<Digest> {
        match self.outcome {
            Outcome::Tree(tree) => Some(tree),
            _ => None,
        }
    }

    /// Returns the key of its action, if it has one.
    pub fn key(&self) -> Option<ActionKey> {
        self.action.map(ActionKey)
    }

    /// Returns the stage that it executes. `None` if this build does not have that stage.
    pub fn kind(&self) -> Option<StageName> {
        StageName::find(&self.stage)
    }

    /// Returns whether it executes `stage`.
    pub fn is(&self, stage: StageName) -> bool {
        self.stage == stage.as_str()
    }
}

/// A node with its name.
pub type Named<'a> = (&'a str, &'a StudyNode);

/// One trial of a search, and its nodes. A study of selected nodes may lack some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial<'a> {
    /// The name of the search, which is a stage of the pipeline.
    pub search: &'a str,
    /// Its number in the search, from 0.
    pub number: u32,
    /// The node that gave its hyperparameters (`proposal.json`): `propose`, or `promote` if it continues an earlier trial.
    pub proposal: Option<Named<'a>>,
    /// The node that trained and scored it (`score.json`): `train`, or `command` for a program of the user's own.
    pub training: Option<Named<'a>>,
}

/// The stages that are executed once for each trial.
const OF_TRIALS: [StageName; 6] = [
    StageName::Propose,
    StageName::Promote,
    StageName::Split,
    StageName::Train,
    StageName::Command,
    StageName::History,
];

impl Study {
    /// Returns the study of these nodes.
    pub fn new(pipeline: Digest, selection: Vec<String>, nodes: BTreeMap<String, StudyNode>) -> Self {
        let complete = nodes.values().all(|node| node.tree().is_some());
        let status = if complete { StudyStatus::Complete } else { StudyStatus::Failed };
        Self { format: Version, pipeline, selection, status, nodes }
    }

    /// Returns the canonical record.
    pub fn record(&self) -> Vec<u8> {
        params::sorted_record(self)
    }

    /// Returns the study hash.
    pub fn hash(&self) -> Digest {
        Digest::of(&self.record())
    }

    /// Returns the study with this study hash.
    ///
    /// # Errors
    /// If it cannot be read, or is not a study.
    pub fn load(store: &Store, hash: &Digest) -> Result<Self, StudyError> {
        read_record(store, hash, "a study")
    }

    /// Returns the nodes of the pipeline's stage `part_of`, sorted by name.
    pub fn part<'a>(&'a self, part_of: &'a str) -> impl Iterator<Item = Named<'a>> {
        self.nodes.iter().filter(move |(_, node)| node.part_of == part_of).map(|(name, node)| (name.as_str(), node))
    }

    /// Returns the name of the node that `text` means, as [`resolve`] finds it.
    ///
    /// # Errors
    /// If there is no such node, or several may be meant. If it is a stage of the pipeline, or a group of stages, the error names
    /// nodes of it.
    pub fn resolve(&self, text: &str) -> Result<&str, NameError> {
        resolve(self.nodes.keys().map(String::as_str), text).map_err(|error| match error {
            NameError::Unknown { text, candidates } => {
                let is_meant = |node: &StudyNode| node.part_of == text || is_in_group(&node.part_of, &text);
                let meant = self.nodes.iter().filter(|(_, node)| is_meant(node)).map(|(name, _)| name.clone());
                let meant: Vec<_> = meant.take(SHOWN).collect();
                NameError::Unknown { text, candidates: if meant.is_empty() { candidates } else { meant } }
            }
            error @ NameError::Ambiguous { .. } => error,
        })
    }

    /// Returns the pipeline that was run.
    ///
    /// # Errors
    /// If it cannot be read, or is not a pipeline.
    pub fn read_pipeline(&self, store: &Store) -> Result<Pipeline, StudyError> {
        let bytes = store.read(&self.pipeline)?;
        let not_a = |source| StudyError::NotA { kind: "a pipeline", digest: self.pipeline, source };
        Pipeline::from_record(&bytes).map_err(not_a)
    }

    /// Returns the node called `name`, if there is one.
    pub fn node(&self, name: &str) -> Option<Named<'_>> {
        self.nodes.get_key_value(name).map(|(name, node)| (name.as_str(), node))
    }

    /// Returns the names of the searches, sorted.
    pub fn searches(&self) -> impl Iterator<Item = &str> {
        let names: BTreeSet<_> =
            self.nodes.iter().filter(|(name, node)| number(name, node).is_some()).map(|(_, n)| &n.part_of).collect();
        names.into_iter().map(String::as_str)
    }

    /// Returns the trials of a search, sorted by number.
    pub fn trials<'a>(&'a self, search: &'a str) -> impl Iterator<Item = Trial<'a>> {
        let numbers: BTreeSet<_> = self.part(search).filter_map(|(name, node)| number(name, node)).collect();
        numbers.into_iter().map(move |number| self.trial(search, number))
    }

    /// Returns the trial that a node belongs to, if it belongs to one.
    pub fn trial_of(&self, name: &str) -> Option<Trial<'_>> {
        let (name, node) = self.node(name)?;
        Some(self.trial(&node.part_of, number(name, node)?))
    }

    fn trial<'a>(&'a self, search: &'a str, number: u32) -> Trial<'a> {
        let find = |stage| self.node(&trial_node(search, stage, number));
        let proposal = find(StageName::Propose).or_else(|| find(StageName::Promote));
        Trial { search, number, proposal, training: find(StageName::Train).or_else(|| find(StageName::Command)) }
    }

    /// Returns the node that selects the best trial of a search.
    pub fn selection(&self, search: &str) -> Option<Named<'_>> {
        self.node(&selection_node(search))
    }
}

/// Returns the number of the trial that a node belongs to, if it belongs to one.
fn number(name: &str, node: &StudyNode) -> Option<u32> {
    let stage = node.kind().filter(|stage| OF_TRIALS.contains(stage))?;
    trial_number(name, &node.part_of, stage)
}

/// Returns what the study with this record names. This is how the store finds what a study needs.
///
/// # Errors
/// If it is not the record of a study.
pub fn manifest(record: &[u8]) -> Result<Manifest, String> {
    let study: Study = serde_json::from_slice(record).map_err(|error| error.to_string())?;
    let mut named = Manifest { objects: [study.pipeline].into(), ..Manifest::default() };
    for node in study.nodes.values() {
        match node.key() {
            Some(key) => drop(named.results.insert(key, node.tree())),
            None => named.trees.extend(node.tree()),
        }
    }
    Ok(named)
}

/// Returns a node's output tree, if it has one.
///
/// # Errors
/// If the tree cannot be read.
pub fn tree_of(store: &Store, node: &StudyNode) -> Result<Option<Tree>, StoreError> {
    node.tree().map(|tree| store.tree(&tree)).transpose()
}

/// Returns the action with this key.
///
/// # Errors
/// If it cannot be read, or is not an action.
pub fn action(store: &Store, key: &Digest) -> Result<Action, StudyError> {
    read_record(store, key, "an action")
}

fn read_record<T: serde::de::DeserializeOwned>(
    store: &Store,
    digest: &Digest,
    kind: &'static str,
) -> Result<T, StudyError> {
    let bytes = store.read_record(digest)?;
    serde_json::from_slice(&bytes).map_err(|source| StudyError::NotA { kind, digest: *digest, source })
}

/// Why a study or a part of it cannot be found or read.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// An object is not the record that it should be.
    #[error("{digest} is not {kind}")]
    NotA {
        /// What it should be, with its article: `a study`.
        kind: &'static str,
        /// The digest of the object.
        digest: Digest,
        /// Why it is not.
        source: serde_json::Error,
    },
    /// No study has this name, and none has a hash that begins with it.
    #[error("there is no study `{name}`")]
    Unknown {
        /// What the user wrote.
        name: String,
        /// The names of all studies, and all tags.
        known: Vec<String>,
    },
    /// There are fewer studies of this name.
    #[error("there is no study `{name}~{back}`: the store has {studies} of that name")]
    TooFarBack {
        /// The name.
        name: String,
        /// How many before the latest the user wants.
        back: usize,
        /// How many there are.
        studies: usize,
    },
    /// The store has no studies.
    #[error("there are no studies in this store yet")]
    Empty,
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A study that a user asked for.
#[derive(Debug, Clone)]
pub struct Found {
    /// The name that it was last run under, if it has one. Otherwise the tag by which it was found.
    pub name: Option<String>,
    /// Its study hash.
    pub hash: Digest,
    /// The study.
    pub study: Study,
    /// The run that has not come to its end. The study then has the nodes that are done. `None` for a study that was recorded.
    pub open: Option<OpenRun>,
}

/// A run that has not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenRun {
    /// The id of the run, by which it says what is going on.
    pub run: String,
    /// Whether a process is running it. Otherwise it was stopped.
    pub running: bool,
    /// When it was started, in seconds since 1970.
    pub started: u64,
    /// The number of nodes of the whole study, by stage of the pipeline.
    pub parts: BTreeMap<String, usize>,
}

impl OpenRun {
    /// Returns the number of nodes of the whole study.
    pub fn planned(&self) -> usize {
        self.parts.values().sum()
    }
}

/// Returns the study that `text` names: a study's name, `name~n` for the n-th before its latest, a tag, a hash, or a prefix of
/// one with at least 4 digits. Without `text`, returns the study that was run last.
///
/// # Errors
/// If there is no such study, several may be meant, or the store cannot be read.
pub fn find(store: &Store, text: Option<&str>) -> Result<Found, StudyError> {
    let all = list(store)?;
    let Some(text) = text else {
        let latest = all.iter().max_by_key(|(_, entry)| entry.order()).ok_or(StudyError::Empty)?;
        return load(store, Some(latest.0.clone()), latest.1.digest);
    };
    let (name, back) = match text.rsplit_once('~') {
        Some((name, back)) if !name.is_empty() => (name, back.parse().unwrap_or(usize::MAX)),
        _ => (text, 0),
    };
    let of_name: Vec<_> = all.iter().filter(|(known, _)| known == name).collect();
    if let Some((name, entry)) = of_name.iter().rev().nth(back) {
        return load(store, Some(name.clone()), entry.digest);
    }
    if !of_name.is_empty() && back != usize::MAX {
        return Err(StudyError::TooFarBack { name: name.to_owned(), back, studies: of_name.len() });
    }
    let tags = tag::list(store)?;
    if let Some((tag, entry)) = tags.iter().find(|(tag, _)| tag == text) {
        let last_run = all.iter().filter(|(_, other)| other.digest == entry.digest).max_by_key(|(_, other)| other.at);
        let name = last_run.map_or(tag, |(name, _)| name);
        return load(store, Some(name.clone()), entry.digest);
    }
    let by_hash = all.iter().rev().find(|(_, entry)| text.len() >= 4 && entry.digest.to_string().starts_with(text));
    if let Some((name, entry)) = by_hash {
        let others =
            all.iter().any(|(_, other)| other.digest != entry.digest && other.digest.to_string().starts_with(text));
        // For an ambiguous prefix, the store's error names the candidates.
        let hash = if others { store.resolve_prefix(text)? } else { entry.digest };
        return load(store, Some(name.clone()), hash);
    }
    if text.len() >= 4 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return load(store, None, store.resolve_prefix(text)?);
    }
    let mut known: Vec<_> = all.into_iter().map(|(name, _)| name).collect();
    known.dedup();
    known.extend(tags.into_iter().map(|(tag, _)| tag));
    if known.is_empty() { Err(StudyError::Empty) } else { Err(StudyError::Unknown { name: text.to_owned(), known }) }
}

fn load(store: &Store, name: Option<String>, hash: Digest) -> Result<Found, StudyError> {
    Ok(Found { name, hash, study: Study::load(store, &hash)?, open: None })
}

/// Returns all entries of the studies' logs, with their names: sorted by name, then oldest first.
///
/// # Errors
/// If a log cannot be read.
pub fn list(store: &Store) -> Result<Vec<(String, RefEntry)>, StudyError> {
    let mut all = Vec::new();
    for name in store.ref_names(RefKind::Studies)? {
        all.extend(store.ref_log(RefKind::Studies, &name)?.into_iter().map(|entry| (name.clone(), entry)));
    }
    Ok(all)
}

/// Returns the latest study with this name, if there is one and it can be read, to compare a run with. If it is of selected
/// stages only, the other nodes are as they were in the studies before it.
///
/// # Errors
/// If the name's log cannot be read.
pub fn find_latest(store: &Store, name: &str) -> Result<Option<Study>, StudyError> {
    Ok(latest_of(store, &store.ref_log(RefKind::Studies, name)?))
}

/// Returns the last study in `log`, completed as [`find_latest`] does.
pub fn latest_of(store: &Store, log: &[RefEntry]) -> Option<Study> {
    // A lost study must not keep a run from starting. It only means that less can be explained.
    let (last, before) = log.split_last()?;
    let mut latest = Study::load(store, &last.digest).ok()?;
    let mut is_partial = !latest.selection.is_empty();
    for entry in before.iter().rev() {
        if !is_partial {
            break;
        }
        let Ok(study) = Study::load(store, &entry.digest) else { break };
        is_partial = !study.selection.is_empty();
        for (name, node) in study.nodes {
            latest.nodes.entry(name).or_insert(node);
        }
    }
    Some(latest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study(nodes: &[(&str, &str)]) -> Study {
        let node = |&(name, stage): &(&str, &str)| {
            let part_of = name.split('/').next().unwrap_or_default().to_owned();
            let outcome = Outcome::Tree(Digest::of(b"tree"));
            (name.to_owned(), StudyNode { action: None, outcome, part_of, stage: stage.to_owned() })
        };
        Study::new(Digest::of(b"pipeline"), Vec::new(), nodes.iter().map(node).collect())
    }

    #[test]
    fn the_latest_study_is_the_one_that_was_recorded_last_whatever_the_clock_said() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let record = |name: &str, node: &str, seconds: u64| {
            let hash = store.put(&study(&[(node, "decode")]).record()).unwrap();
            let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            assert!(store.ref_append(RefKind::Studies, name, &hash, at).unwrap());
            hash
        };
        // The clock is set back twice, and two studies are recorded within a second.
        let steps = [("z", "a", 900), ("y", "b", 500), ("z", "c", 100), ("x", "d", 100)];
        for (name, node, seconds) in steps {
            let hash = record(name, node, seconds);
            assert_eq!(find(&store, None).unwrap().hash, hash, "{name}");
            assert_eq!(find(&store, Some(name)).unwrap().hash, hash, "{name}");
        }
        assert_eq!(find(&store, Some("z~1")).unwrap().hash, study(&[("a", "decode")]).hash());
    }

    #[test]
    fn a_trial_is_its_proposal_or_promotion_and_its_training() {
        let study = study(&[
            ("data", "decode"),
            ("s/history/000", "history"),
            ("s/promote/1000", "promote"),
            ("s/propose/000", "propose"),
            ("s/propose/999", "propose"),
            ("s/select", "select"),
            ("s/split/999", "split"),
            ("s/train/000", "train"),
            ("s/train/1000", "train"),
            ("train", "train"),
        ]);
        let shown = |trial: Trial<'_>| {
            let name = |node: Option<Named<'_>>| node.map_or_else(|| "-".to_owned(), |(name, _)| name.to_owned());
            format!("{} {} {} {}", trial.search, trial.number, name(trial.proposal), name(trial.training))
        };
        let trials: Vec<_> = study.trials("s").map(shown).collect();
        let expected = ["s 0 s/propose/000 s/train/000", "s 999 s/propose/999 -", "s 1000 s/promote/1000 s/train/1000"];
        assert_eq!(trials, expected);
        assert_eq!(study.searches().collect::<Vec<_>>(), ["s"]);
        assert_eq!(study.selection("s").map(|(name, _)| name), Some("s/select"));
        assert_eq!(study.trials("train").count() + study.trials("data").count(), 0);
        for (name, trial) in
            [("s/history/000", Some(0)), ("s/split/999", Some(999)), ("s/select", None), ("train", None)]
        {
            assert_eq!(study.trial_of(name).map(|trial| trial.number), trial, "{name}");
        }
    }
}
