//! `pipe export`

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use pipe_engine::study::{self, Found};
use pipe_store::{Digest, ObjectSource, Store};
use pipe_views::export::{
    onnx, results,
    tensorboard::{self, TensorboardError},
};

use crate::{
    failure::{EXIT_CODES, Failure},
    logging::Logging,
    store_args::StoreArgs,
};

/// Copy output files out of the store, or convert them for ONNX or TensorBoard
///
/// For example `pipe export retrain_best/best/weights.safetensors weights.safetensors` copies one file. The copies are
/// independent of the store.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Export {
    /// A node or one of its files; a study [default: the latest] with `--tensorboard` or `--results`
    #[arg(value_name = "NODE[/PATH]", required_unless_present_any = ["tensorboard", "results"])]
    what: Option<String>,
    /// Where to write: a folder, or a file if only one is copied
    #[arg(required_unless_present_any = ["tensorboard", "results"], conflicts_with_all = ["tensorboard", "results"])]
    dest: Option<PathBuf>,
    /// Write the trained network as an ONNX model
    ///
    /// The input is [n, channels, height, width], with values from 0 to 255.
    #[arg(long, conflicts_with_all = ["tensorboard", "results"])]
    onnx: bool,
    /// Write the study as event files for `tensorboard --logdir DIR`
    #[arg(long, value_name = "DIR", conflicts_with = "results")]
    tensorboard: Option<PathBuf>,
    /// Write a JSON file for each trial, as Hyperopt-Keras-CNN-CIFAR-100 does
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// The study to look for the node in [default: the latest]
    #[arg(long, value_name = "STUDY")]
    study: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// Overwrite existing files
    #[arg(long)]
    force: bool,
}

impl Export {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        if let Some(folder) = self.tensorboard.as_ref().or(self.results.as_ref()) {
            let found = study::find(&store, self.what.as_deref().or(self.study.as_deref()))?;
            return self.write_study(&store, &found, folder);
        }
        let found = study::find(&store, self.study.as_deref())?;
        let (what, folder) = self.what.as_deref().zip(self.dest.as_deref()).expect("the arguments are required");
        if self.onnx {
            let name = found.study.resolve(what)?;
            return self.write_bytes(&onnx::of_node(&store, &found.study, name)?, folder);
        }
        match find_output(&store, &found, what)? {
            Output::File { path, digest } => {
                let name = path.rsplit('/').next().unwrap_or(&path);
                let dest = if folder.is_dir() { folder.join(name) } else { folder.to_owned() };
                self.write_bytes(&store.read(&digest)?, &dest)
            }
            Output::Tree(files) => {
                if !self.force {
                    // Nothing is written if one of the files exists.
                    let taken = files.iter().map(|(path, _)| folder.join(path)).find(|dest| dest.exists());
                    if let Some(taken) = taken {
                        return Err(Self::exists(&taken));
                    }
                }
                files.iter().try_for_each(|(path, digest)| self.write_bytes(&store.read(digest)?, &folder.join(path)))
            }
        }
    }

    /// Writes the files of a whole study.
    fn write_study(&self, store: &Store, found: &Found, folder: &Path) -> Result<(), Failure> {
        if self.tensorboard.is_some() {
            return tensorboard::export(store, &found.study, |(path, bytes)| {
                self.write_bytes(&bytes, &folder.join(path))
            });
        }
        let files = results::files(store, &found.study)?;
        if files.is_empty() {
            eprintln!("no trial of the study was trained");
        }
        files.iter().try_for_each(|(path, text)| self.write_bytes(text.as_bytes(), &folder.join(path)))
    }

    fn write_bytes(&self, bytes: &[u8], dest: &Path) -> Result<(), Failure> {
        if dest.exists() && !self.force {
            return Err(Self::exists(dest));
        }
        let folder = dest.parent().filter(|folder| !folder.as_os_str().is_empty());
        let written = folder.map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(dest, bytes));
        written.map_err(|error| Failure::work(format!("`{}` cannot be written: {error}", dest.display())))?;
        eprintln!("{}", dest.display());
        Ok(())
    }

    fn exists(dest: &Path) -> Failure {
        Failure::usage(format!("`{}` exists already", dest.display())).hint("`--force` overwrites it")
    }
}

impl From<TensorboardError> for Failure {
    fn from(error: TensorboardError) -> Self {
        match error {
            TensorboardError::View(error) => error.into(),
            error => Self::from_error(&error),
        }
    }
}

/// The outputs that `NODE[/PATH]` names.
pub(super) enum Output {
    File { path: String, digest: Digest },
    Tree(Vec<(String, Digest)>),
}

/// Returns the outputs that `what` names. The longest prefix that is a node is the node, and the rest a path in its tree.
pub(super) fn find_output(store: &Store, found: &Found, what: &str) -> Result<Output, Failure> {
    let ends = what.match_indices('/').map(|(at, _)| at).chain([what.len()]);
    let node =
        ends.rev().find_map(|end| Some((found.study.resolve(&what[..end]).ok()?, what[end..].trim_start_matches('/'))));
    let Some((name, path)) = node else {
        return Err(match found.study.resolve(what) {
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
    Err(failure.hint(match pipe_stages::words::closest(path, files.iter().copied()) {
        Some(close) => format!("did you mean `{close}`?"),
        None => format!("it has {}", files.join(", ")),
    }))
}
