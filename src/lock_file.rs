//! The lock file beside the pipeline file: `pipeline.lock`.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use pipe_engine::{
    lockfile::{Deviation, LockFile},
    plan::Plan,
    run::{Event, How},
    study::Study,
};
use pipe_store::{Digest, Store};

use crate::{
    failure::Failure,
    publish::{self, Existing},
};

/// Returns the path of the lock file of a pipeline file.
pub(crate) fn path(pipeline: &Path) -> PathBuf {
    pipeline.with_extension("lock")
}

/// The longest lock file that is read. One of 10,000 trials has 2 MB.
const LONGEST: u64 = 64 << 20;

/// Reads a lock file, which may come from elsewhere.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    match text.len() as u64 > LONGEST {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 64 MiB")),
        false => Ok(text),
    }
}

/// What writing the lock file did.
#[derive(Default)]
pub(crate) struct Written {
    /// Whether the file is new or has changed.
    pub(crate) changed: bool,
    /// What the user should know.
    pub(crate) warnings: Vec<String>,
}

/// Writes the lock file of a complete study, unless it says the same already. A file that cannot be written is a warning: the
/// study is in the store.
pub(crate) fn write(store: &Store, path: &Path, hash: &Digest, study: &Study) -> Written {
    let mut written = Written::default();
    let Some(lock) = LockFile::of(store, hash, study) else {
        written.warnings.push(format!("`{}` was not written: an action of the study cannot be read", path.display()));
        return written;
    };
    let text = lock.to_string();
    let before = read(path).unwrap_or_default();
    if before.lines().eq(text.lines()) {
        return written;
    }
    if let Ok(before) = before.parse::<LockFile>() {
        let of_node = |name: &String| before.nodes.get(name).zip(lock.nodes.get(name));
        let same_key = lock.nodes.keys().filter_map(|name| Some((name, of_node(name)?)));
        for (name, (old, new)) in same_key.filter(|(_, (old, new))| old.key == new.key && old.tree != new.tree) {
            let (old, new) = (old.tree, new.tree);
            let path = path.display();
            written.warnings.push(format!(
                "the output of `{name}` is {new}, and {path} had {old} for the same key: it was not reproduced"
            ));
        }
    }
    match publish::file(path, text.as_bytes(), &Digest::of(text.as_bytes()), Existing::Replace) {
        Ok(()) => written.changed = true,
        Err(error) => {
            let error = pipe_engine::run::with_causes(&error);
            written.warnings.push(format!("`{}` was not written: {error}", path.display()));
        }
    }
    written
}

const WANTED: &str = "if the change is wanted, `pipe run` writes the file anew";

/// Compares a run with the lock file while it runs.
pub(crate) struct Comparison<'a> {
    path: PathBuf,
    lock: LockFile,
    store: &'a Store,
    plan: &'a Plan,
    places: BTreeMap<&'a str, usize>,
    /// The nodes that differ, by their places in the plan.
    found: BTreeMap<usize, Deviation>,
}

impl<'a> Comparison<'a> {
    /// Reads the lock file.
    pub(crate) fn new(path: PathBuf, store: &'a Store, plan: &'a Plan) -> Result<Self, Failure> {
        let shown = path.display();
        let text = read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::usage(format!("there is no `{shown}`"))
                .hint("`pipe run` writes it after a complete run; commit it beside the pipeline file"),
            _ => Failure::usage(format!("`{shown}` cannot be read: {error}")),
        })?;
        let lock = text.parse().map_err(|error| {
            Failure::usage(format!("`{shown}` is not a lock file: {error}"))
                .hint("take it from version control again, or remove it: `pipe run` writes it after a complete run")
        })?;
        let places = plan.nodes.iter().enumerate().map(|(index, node)| (node.name.as_str(), index)).collect();
        Ok(Self { path, lock, store, plan, places, found: BTreeMap::new() })
    }

    /// Compares the outcome of a node. Returns what is to be told at once: the first difference in the order of the plan so far.
    pub(crate) fn hear(&mut self, event: &Event<'_>) -> Option<String> {
        let Event::Settled { node, how, key, tree, .. } = event else { return None };
        if *how == How::Interrupted {
            return None;
        }
        let index = *self.places.get(node)?;
        let deviation = self.lock.compare(self.store, self.plan, index, *key, *tree)?;
        let is_first = self.found.keys().next().is_none_or(|first| index < *first);
        let text = format!("differs from {}: `{node}`: {deviation}", self.path.display());
        self.found.insert(index, deviation);
        is_first.then_some(text)
    }

    /// Ends the comparison. `whole` says that all nodes of the plan were run. Returns a line for the user, or the failure that names
    /// the first difference.
    pub(crate) fn end(&self, hash: &Digest, whole: bool) -> Result<String, Failure> {
        let path = self.path.display();
        let removed: Vec<&str> = if whole { self.lock.removed(self.plan).collect() } else { Vec::new() };
        let first = self.found.first_key_value().map(|(index, found)| (self.plan.nodes[*index].name.as_str(), found));
        let first = first.or_else(|| removed.first().map(|name| (*name, &Deviation::Removed)));
        if let Some((node, deviation)) = first {
            let more = self.found.len() + removed.len() - 1;
            let more = match more {
                0 => String::new(),
                1 => "1 more node differs; ".to_owned(),
                n => format!("{n} more nodes differ; "),
            };
            let advice = match deviation {
                Deviation::Output { .. } => {
                    format!("`pipe run --check '{node}'` executes it again and compares the results")
                }
                Deviation::Nothing => format!("`pipe logs '{node}'` shows what it said"),
                _ => WANTED.to_owned(),
            };
            return Err(Failure::work(format!("the run differs from {path}: `{node}`: {deviation}"))
                .hint(format!("{more}{advice}")));
        }
        if whole && *hash != self.lock.study {
            return Err(Failure::work(format!(
                "all nodes are the same as in {path}, but the study is {hash} instead of {}: the pipeline file has changed",
                self.lock.study
            ))
            .hint(WANTED));
        }
        Ok(format!("same as {path}"))
    }

    /// Returns the names of the nodes that differ, with how, in the order of the plan.
    pub(crate) fn found(&self) -> impl Iterator<Item = (&str, &Deviation)> {
        self.found.iter().map(|(index, deviation)| (self.plan.nodes[*index].name.as_str(), deviation))
    }
}
