//! Where the files of a store are, and what its divided folders hold.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use rayon::prelude::*;

use crate::{
    ActionKey, Digest, Store,
    disk::{self, Draft, Entry, Found},
    encoding::Encoding,
    error::{Result, StoreError},
    layout::{ACTIONS, CHECKPOINTS, LOGS, OBJECTS, PROMISES, PROVENANCE, TEMPORARY},
};

/// A file in one of the folders that are divided into shards by the first two digits of the name.
pub(crate) struct Listed {
    pub(crate) path: PathBuf,
    /// In bytes, on the disk.
    pub(crate) length: u64,
    /// When it was last written or freshened.
    pub(crate) modified: SystemTime,
    /// The digest in the file's name and the suffix after it. `None` if the store does not give such names.
    pub(crate) name: Option<(Digest, String)>,
    /// What is wrong, if this is not a file although it has the name of one, or a shard that cannot be listed.
    pub(crate) damage: Option<String>,
}

impl Listed {
    /// Returns the action whose result or provenance this is.
    pub(crate) fn key(&self) -> Option<ActionKey> {
        self.named(".json").map(ActionKey)
    }

    /// Returns the action whose log this is.
    pub(crate) fn key_of_log(&self) -> Option<ActionKey> {
        self.named(".txt").map(ActionKey)
    }

    /// Returns the object that this promises.
    pub(crate) fn promised(&self) -> Option<Digest> {
        self.named("")
    }

    fn named(&self, suffix: &str) -> Option<Digest> {
        self.name.as_ref().filter(|(_, of)| of == suffix).map(|(digest, _)| *digest)
    }
}

impl Store {
    /// Returns the path of one of the store's folders.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    pub(crate) fn object_path(&self, digest: &Digest, encoding: Encoding) -> PathBuf {
        self.sharded(OBJECTS, digest, encoding.suffix())
    }

    pub(crate) fn record_path(&self, key: &ActionKey) -> PathBuf {
        self.sharded(ACTIONS, &key.0, ".json")
    }

    pub(crate) fn provenance_path(&self, key: &ActionKey) -> PathBuf {
        self.sharded(PROVENANCE, &key.0, ".json")
    }

    pub(crate) fn log_path(&self, key: &ActionKey) -> PathBuf {
        self.sharded(LOGS, &key.0, ".txt")
    }

    pub(crate) fn promise_path(&self, object: &Digest) -> PathBuf {
        self.sharded(PROMISES, object, "")
    }

    pub(crate) fn trajectory_dir(&self, trajectory: &Digest) -> PathBuf {
        self.dir(CHECKPOINTS).join(trajectory.to_string())
    }

    /// Creates a file in `tmp/` that will be read only.
    pub(crate) fn draft(&self) -> Result<Draft> {
        self.draft_of(self.0.access.read_only)
    }

    /// Creates a file in `tmp/` that will have these permissions.
    pub(crate) fn draft_of(&self, mode: u32) -> Result<Draft> {
        Draft::new(&self.dir(TEMPORARY), self.0.access, mode)
    }

    /// Returns `path` relative to the store's folder, as reports and plans have it.
    pub(crate) fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.root()).unwrap_or(path).to_owned()
    }

    fn sharded(&self, folder: &str, digest: &Digest, suffix: &str) -> PathBuf {
        let digits = digest.to_string();
        self.root().join(folder).join(&digits[..2]).join(format!("{}{suffix}", &digits[2..]))
    }

    /// Returns the files of a divided folder, sorted by path.
    pub(crate) fn list_sharded(&self, folder: &str) -> Result<Vec<Listed>> {
        let shards = disk::list(&self.dir(folder))?;
        let files: Result<Vec<_>> = if shards.len() < ALONE {
            shards.iter().map(list_shard).collect()
        } else {
            shards.par_iter().map(list_shard).collect()
        };
        Ok(files?.into_iter().flatten().collect())
    }
}

/// With fewer folders than this, threads cost more than they save.
const ALONE: usize = 64;

/// Returns the files in one shard of a divided folder, or the file itself if it is beside the shards.
fn list_shard(shard: &Entry) -> Result<Vec<Listed>> {
    let damaged = |path: &Path, reason: String| Listed {
        path: path.to_owned(),
        length: 0,
        modified: SystemTime::UNIX_EPOCH,
        name: None,
        damage: Some(reason),
    };
    let is_shard = shard.name.len() == 2 && shard.name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_shard && !shard.is_dir {
        return Ok(vec![damaged(&shard.path, "it is in the place of a folder".to_owned())]);
    }
    let inner = match disk::list(&shard.path) {
        _ if !shard.is_dir => vec![shard.clone()],
        Err(StoreError::Record { reason, .. }) => return Ok(vec![damaged(&shard.path, reason)]),
        inner => inner?,
    };
    let mut files = Vec::new();
    for entry in inner {
        let name = if shard.is_dir { parse(&shard.name, &entry.name) } else { None };
        match disk::look(&entry.path)? {
            Found::Sound(metadata) => {
                let modified = disk::modified(&entry.path, &metadata)?;
                files.push(Listed { path: entry.path, length: metadata.len(), modified, name, damage: None });
            }
            Found::Absent => {}
            Found::Damaged(reason) if name.is_some() => files.push(Listed { name, ..damaged(&entry.path, reason) }),
            Found::Damaged(_) => files.push(Listed { damage: None, ..damaged(&entry.path, String::new()) }),
        }
    }
    Ok(files)
}

/// Returns the digest that the names of a shard and a file make up, and what follows it.
fn parse(shard: &str, file: &str) -> Option<(Digest, String)> {
    let (digits, suffix) = file.split_at_checked(62)?;
    let digest = format!("{shard}{digits}").parse().ok()?;
    (shard.len() == 2).then(|| (digest, suffix.to_owned()))
}
