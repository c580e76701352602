//! What takes how much room in a store.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use pipe_store::{ActionKey, ActionResult, Digest, RefKind, Store, StoreError};
use serde::Serialize;

use super::Forgotten;
use crate::study;

/// What keeps objects in a store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "name")]
pub enum Owner {
    /// All studies of this name that are not forgotten.
    Study(String),
    /// The study with this tag.
    Tag(String),
    /// The run with this id, which is not finished.
    Run(String),
}

/// The objects that an owner keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Takes {
    /// What keeps them.
    #[serde(flatten)]
    pub owner: Owner,
    /// Their length on the disk, in bytes.
    pub bytes: u64,
    /// The length of those that nothing else keeps.
    pub alone: u64,
    /// The number of studies, or 1.
    pub entries: usize,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Study(name) => write!(f, "study {name}"),
            Self::Tag(name) => write!(f, "tag {name}"),
            Self::Run(id) => write!(f, "run {id}, which is not finished"),
        }
    }
}

/// Returns the objects that each study, tag and unfinished run keeps, the largest first.
///
/// # Errors
/// If a log, a study or a tree cannot be read.
pub fn takes(store: &Store, forgotten: &Forgotten) -> Result<Vec<Takes>, StoreError> {
    let mut owned: BTreeMap<Owner, (BTreeSet<Digest>, usize)> = BTreeMap::new();
    for (kind, owner) in [(RefKind::Studies, Owner::Study as fn(String) -> Owner), (RefKind::Tags, Owner::Tag)] {
        for name in store.ref_names(kind)? {
            let log = store.ref_log(kind, &name)?;
            let keep = forgotten.keep.get(&name).copied().filter(|_| kind == RefKind::Studies).unwrap_or(log.len());
            let (objects, entries) = owned.entry(owner(name)).or_default();
            for entry in &log[log.len() - keep.min(log.len())..] {
                *entries += 1;
                objects.insert(entry.digest);
                let Ok(named) = study::manifest(&store.read_record(&entry.digest)?) else { continue };
                objects.extend(named.objects);
                for tree in named.results.values().flatten().chain(&named.trees) {
                    add_tree(store, objects, tree)?;
                }
                objects.extend(named.results.into_keys().map(|key| key.0));
            }
        }
    }
    for run in store.runs()? {
        let (objects, entries) = owned.entry(Owner::Run(run.id)).or_default();
        *entries = 1;
        objects.extend(run.objects);
        for ActionKey(key) in run.keys {
            objects.insert(key);
            if let Some(ActionResult::Tree(tree)) = store.result(&ActionKey(key))? {
                add_tree(store, objects, &tree)?;
            }
        }
    }
    let sizes = store.object_sizes()?;
    let mut owners: BTreeMap<Digest, usize> = BTreeMap::new();
    owned.values().flat_map(|(objects, _)| objects).for_each(|object| *owners.entry(*object).or_default() += 1);
    let size = |object: &Digest| sizes.get(object).copied().unwrap_or(0);
    let mut takes: Vec<_> = owned
        .into_iter()
        .map(|(owner, (objects, entries))| Takes {
            owner,
            bytes: objects.iter().map(size).sum(),
            alone: objects.iter().filter(|object| owners[object] == 1).map(size).sum(),
            entries,
        })
        .collect();
    takes.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.owner.cmp(&b.owner)));
    Ok(takes)
}

fn add_tree(store: &Store, objects: &mut BTreeSet<Digest>, name: &Digest) -> Result<(), StoreError> {
    if objects.insert(*name) {
        match store.tree(name) {
            Ok(tree) => objects.extend(tree.files.values().map(|file| file.digest)),
            // It takes no room.
            Err(StoreError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
