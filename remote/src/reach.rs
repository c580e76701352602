//! What a study reaches in the store of this machine.

use std::collections::{BTreeMap, BTreeSet};

use pipe_engine::study::{self, Outcome, Study, StudyNode};
use pipe_stages::StageName;
use pipe_store::{ActionKey, ActionResult, Digest, FailureRecord, Store, StoreError, Stored, Tree};

use crate::{
    closure::{Closure, Without},
    error::{RemoteError, Result},
};

/// What a study reaches.
pub(crate) struct Reach {
    /// Everything by name.
    pub(crate) closure: Closure,
    /// How its objects are stored here. The logs are not among them.
    pub(crate) objects: BTreeMap<Digest, Stored>,
    /// The files that are not here, because the remote has promised them.
    pub(crate) promised: BTreeSet<Digest>,
    /// What executions said, by its digest.
    pub(crate) logs: BTreeMap<Digest, Vec<u8>>,
    /// The results.
    pub(crate) results: BTreeMap<ActionKey, ActionResult>,
    /// A node with each action.
    pub(crate) nodes: BTreeMap<ActionKey, String>,
}

impl Reach {
    /// Finds what the study with this hash, called `name`, reaches. Files may be missing that `remote` has promised.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if another part of it is not here, [`RemoteError::Elsewhere`] if files are at another remote. Also if the
    /// store cannot be read.
    pub(crate) fn of(
        store: &Store,
        name: &str,
        hash: &Digest,
        without: &BTreeSet<Without>,
        remote: &str,
    ) -> Result<Self> {
        let study = Study::load(store, hash)?;
        let mut closure = Closure::new(name, *hash, without.clone());
        let (mut wanted, mut left_out) = (BTreeSet::from([*hash, study.pipeline]), BTreeSet::new());
        let (mut results, mut nodes) = (BTreeMap::new(), BTreeMap::new());
        let mut trees = Vec::new();
        for (name, node) in &study.nodes {
            if let Some(key) = node.key() {
                if store.contains(&key.0)? {
                    wanted.insert(key.0);
                } else if node.tree().is_some() {
                    return Err(StoreError::Missing(key.0).into());
                }
                nodes.entry(key).or_insert_with(|| name.clone());
                if let Outcome::Failure(message) = &node.outcome {
                    results.insert(key, ActionResult::Failure(failure(store, &key, message)?));
                }
            }
            if let Some(name) = node.tree() {
                let tree = store.tree(&name)?;
                let (gone, kept): (Vec<_>, Vec<_>) =
                    tree.files.iter().partition(|(path, _)| is_left_out(node, &tree, path, without));
                wanted.insert(name);
                wanted.extend(kept.into_iter().map(|(_, file)| file.digest));
                left_out.extend(gone.into_iter().map(|(_, file)| file.digest));
                trees.push((node.key(), name, tree));
            }
        }
        // A result from which a file was left out does not count elsewhere. The same file may be wanted as another.
        for (key, name, tree) in trees {
            let lacks =
                tree.files.values().any(|file| left_out.contains(&file.digest) && !wanted.contains(&file.digest));
            if let Some(key) = key.filter(|_| !lacks) {
                results.insert(key, ActionResult::Tree(name));
                closure.results.insert(key, name);
            }
        }
        let (mut objects, mut promised) = (BTreeMap::new(), BTreeSet::new());
        let mut elsewhere: BTreeMap<String, usize> = BTreeMap::new();
        for digest in wanted {
            match (store.stored(&digest)?, store.promised(&digest)?) {
                (Some(stored), _) => {
                    closure.objects.insert(digest, stored.into());
                    objects.insert(digest, stored);
                }
                (None, Some(of)) if of == remote => drop(promised.insert(digest)),
                (None, Some(of)) => *elsewhere.entry(of).or_default() += 1,
                (None, None) => return Err(StoreError::Missing(digest).into()),
            }
        }
        if let Some((remote, files)) = elsewhere.pop_first() {
            return Err(RemoteError::Elsewhere { study: name.to_owned(), remote, files });
        }
        let mut logs = BTreeMap::new();
        for (key, result) in &results {
            if let ActionResult::Failure(failure) = result {
                closure.failures.insert(*key, failure.clone());
            }
            // Both are beside a result, and damage of them is no reason to keep the result here.
            if let Ok(Some(provenance)) = store.provenance(key) {
                closure.provenance.insert(*key, provenance);
            }
            if !without.contains(&Without::Logs)
                && let Ok(Some(log)) = store.log(key)
            {
                let digest = Digest::of(&log);
                closure.logs.insert(*key, digest);
                if !objects.contains_key(&digest) {
                    let stored = Stored { encoding: pipe_store::Encoding::Raw, length: log.len() as u64 };
                    closure.objects.insert(digest, stored.into());
                    logs.insert(digest, log);
                }
            }
        }
        Ok(Self { closure, objects, promised, logs, results, nodes })
    }
}

/// Returns the record of a failure that a study names by its message.
fn failure(store: &Store, key: &ActionKey, message: &str) -> Result<FailureRecord, StoreError> {
    match store.record(key) {
        Ok(Some(ActionResult::Failure(failure))) if failure.message == message => Ok(failure),
        Err(error) if !error.is_damage() => Err(error),
        _ => Ok(FailureRecord { message: message.to_owned(), hint: None }),
    }
}

/// Returns whether an output of a node is left out.
fn is_left_out(node: &StudyNode, tree: &Tree, path: &str, without: &BTreeSet<Without>) -> bool {
    match node.kind() {
        // A folder of this disk is not to be had elsewhere.
        Some(StageName::Fetch) => without.contains(&Without::Data) && !tree.files.contains_key(LISTING),
        Some(StageName::Decode) => without.contains(&Without::Data),
        Some(StageName::Train) => without.contains(&Without::Weights) && path.ends_with(WEIGHTS),
        _ => false,
    }
}

/// The output of a fetched folder that lists its files.
const LISTING: &str = "listing.json";
/// What the names of files with weights end with.
const WEIGHTS: &str = ".safetensors";

/// Returns the study that a user means, with its name.
///
/// # Errors
/// If there is no such study. [`RemoteError::Unfit`] if it has not come to its end, or has no name.
pub(crate) fn found(store: &Store, text: Option<&str>) -> Result<(String, Digest)> {
    let found = study::find(store, text)?;
    match found.name {
        Some(name) => Ok((name, found.hash)),
        None => Err(RemoteError::Unfit(format!(
            "the study {} has no name here, and a remote finds studies by their names",
            found.hash.short()
        ))),
    }
}
