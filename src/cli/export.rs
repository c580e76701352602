//! `pipe export`

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use pipe_store::{Digest, ObjectSource, Store};

use super::{EXIT_CODES, Failure, StoreArgs};
use crate::{
    show,
    study::{self, Found},
};

/// Copy a node's output files out of the store: `pipe export retrain_best/best/weights.safetensors weights.safetensors`.
///
/// The copies are plain files of their own: changing them changes nothing in the store.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Export {
    /// A node, or one of its files
    #[arg(value_name = "NODE[/PATH]")]
    what: String,
    /// A folder for all of a node's files; a file or a folder for one
    dest: PathBuf,
    /// The study the node is looked for in [default: the latest]
    #[arg(long, value_name = "STUDY")]
    study: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// Write over files that are there
    #[arg(long)]
    force: bool,
}

impl Export {
    pub fn run(self) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let found = study::find(&store, self.study.as_deref())?;
        match find_output(&store, &found, &self.what)? {
            Output::File { path, digest } => {
                let name = path.rsplit('/').next().unwrap_or(&path);
                let dest = if self.dest.is_dir() { self.dest.join(name) } else { self.dest.clone() };
                self.write(&store, &digest, &dest)
            }
            Output::Tree(files) => {
                if !self.force {
                    // All or nothing: a clash is told before anything is written.
                    let taken = files.iter().map(|(path, _)| self.dest.join(path)).find(|dest| dest.exists());
                    if let Some(taken) = taken {
                        return Err(Self::exists(&taken));
                    }
                }
                files.iter().try_for_each(|(path, digest)| self.write(&store, digest, &self.dest.join(path)))
            }
        }
    }

    fn write(&self, store: &Store, digest: &Digest, dest: &Path) -> Result<(), Failure> {
        if dest.exists() && !self.force {
            return Err(Self::exists(dest));
        }
        let bytes = store.read(digest)?;
        let folder = dest.parent().filter(|folder| !folder.as_os_str().is_empty());
        let written = folder.map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(dest, &*bytes));
        written.map_err(|error| Failure::work(format!("`{}` cannot be written: {error}", dest.display())))?;
        eprintln!("{}", dest.display());
        Ok(())
    }

    fn exists(dest: &Path) -> Failure {
        Failure::usage(format!("`{}` exists already", dest.display())).hint("`--force` writes over it")
    }
}

/// What `NODE[/PATH]` names.
pub(super) enum Output {
    File { path: String, digest: Digest },
    Tree(Vec<(String, Digest)>),
}

/// Returns the outputs that `what` names in a study: the longest beginning that is a node, then a path in its tree.
pub(super) fn find_output(store: &Store, found: &Found, what: &str) -> Result<Output, Failure> {
    let ends = what.match_indices('/').map(|(at, _)| at).chain([what.len()]);
    let node = ends
        .rev()
        .find_map(|end| Some((show::resolve(&found.study, &what[..end]).ok()?, what[end..].trim_start_matches('/'))));
    let Some((name, path)) = node else {
        return Err(match show::resolve(&found.study, what) {
            Err(error) => error.into(),
            Ok(_) => unreachable!("the whole text was tried"),
        });
    };
    let tree = study::tree_of(store, &found.study.nodes[name])?
        .ok_or_else(|| Failure::work(format!("`{name}` has no outputs")))?;
    if path.is_empty() {
        return Ok(Output::Tree(tree.files.into_iter().map(|(path, entry)| (path, entry.digest)).collect()));
    }
    if let Some(entry) = tree.files.get(path) {
        return Ok(Output::File { path: path.to_owned(), digest: entry.digest });
    }
    let folder = format!("{path}/");
    let inside: Vec<_> = tree
        .files
        .iter()
        .filter_map(|(file, entry)| Some((file.strip_prefix(&folder)?.to_owned(), entry.digest)))
        .collect();
    if !inside.is_empty() {
        return Ok(Output::Tree(inside));
    }
    let files: Vec<_> = tree.files.keys().map(String::as_str).collect();
    let failure = Failure::usage(format!("`{name}` has no output `{path}`"));
    Err(failure.hint(match crate::pipeline::problem::closest(path, files.iter().copied()) {
        Some(close) => format!("did you mean `{close}`?"),
        None => format!("it has {}", files.join(", ")),
    }))
}
