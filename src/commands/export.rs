//! `pipe export`

use std::path::{Path, PathBuf};

use clap::Args;
use pipe_engine::{
    study::{self, Found},
    unfinished,
};
use pipe_store::{Digest, ObjectSource, Store, TreeEntry};
use pipe_views::export::{
    mlflow, onnx, results,
    tensorboard::{self, TensorboardError},
    trackio,
};
use url::Url;

use crate::{
    choice,
    failure::Failure,
    logging::Logging,
    publish::{self, Existing, ExistingFolder, Folder, Published},
    store_args::StoreArgs,
    talk,
};

/// Copy output files out of the store, or write a study for other programs
///
/// For example `pipe export retrain_best/best/weights.safetensors weights.safetensors` copies one file. The copies are
/// independent of the store. A file or a folder appears when it is complete; if something fails, nothing is left behind.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe export retrain_best/best/weights.safetensors weights.safetensors
  pipe export --onnx retrain_best model.onnx
  pipe export --tensorboard runs
  pipe export --mlflow mlruns
  pipe export --trackio trackio")]
pub(crate) struct Export {
    /// A node or one of its files; a study [default: the latest] with `--tensorboard`, `--results`, `--mlflow` or `--trackio`
    #[arg(value_name = "NODE[/PATH]", required_unless_present_any = ["tensorboard", "results", "mlflow", "trackio"])]
    what: Option<String>,
    /// Where to write: a folder that is empty or does not exist, or a file if only one is copied
    #[arg(required_unless_present_any = ["tensorboard", "results", "mlflow", "trackio"], conflicts_with_all = ["tensorboard", "results", "mlflow", "trackio"])]
    dest: Option<PathBuf>,
    /// Write the trained network as an ONNX model
    ///
    /// The input is [n, channels, height, width], with values from 0 to 255.
    #[arg(long, conflicts_with_all = ["tensorboard", "results", "mlflow", "trackio"])]
    onnx: bool,
    /// Write the study as event files for `tensorboard --logdir DIR`, to a folder of its own in DIR
    #[arg(long, value_name = "DIR", conflicts_with_all = ["results", "mlflow", "trackio"])]
    tensorboard: Option<PathBuf>,
    /// Write a JSON file for each trial, as Hyperopt-Keras-CNN-CIFAR-100 does, to a folder of the study in DIR
    #[arg(long, value_name = "DIR", conflicts_with_all = ["mlflow", "trackio"])]
    results: Option<PathBuf>,
    /// Write the study as an experiment in the folder `mlruns` of MLflow, to a folder of its own in DIR
    #[arg(long, value_name = "DIR", conflicts_with = "trackio")]
    mlflow: Option<PathBuf>,
    /// Write the study as a project of Trackio, to a folder of its own in the inbox of DIR, which is read by `TRACKIO_DIR=DIR trackio show`
    #[arg(long, value_name = "DIR")]
    trackio: Option<PathBuf>,
    /// The study to look for the node in [default: the latest]
    #[arg(long, value_name = "STUDY")]
    study: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// Replace an existing file, an earlier export of the node, or the study's folder
    #[arg(long)]
    force: bool,
}

impl Export {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let of_study = [&self.tensorboard, &self.results, &self.mlflow, &self.trackio];
        if let Some(folder) = of_study.into_iter().flatten().next() {
            let found = unfinished::find(&store, self.what.as_deref().or(self.study.as_deref()))?;
            return self.write_study(&store, &found, folder);
        }
        let found = unfinished::find(&store, self.study.as_deref())?;
        let (what, dest) = self.what.as_deref().zip(self.dest.as_deref()).expect("the arguments are required");
        if self.onnx {
            let name = choice::training(&found.study, what)?;
            let model = onnx::of_node(&store, &found.study, name)?;
            return self.write_file(&model, TreeEntry::of(Digest::of(&model), model.len() as u64), dest);
        }
        match find_output(&store, &found, what)? {
            Output::File { path, entry } => {
                let name = path.rsplit('/').next().unwrap_or(&path);
                let dest = if dest.is_dir() { dest.join(name) } else { dest.to_owned() };
                self.write_file(&store.read(&entry.digest)?, entry, &dest)
            }
            Output::Tree(files) => {
                let mut folder = Folder::named(dest)?;
                for (path, TreeEntry { digest, executable, .. }) in &files {
                    let add = if *executable { Folder::add_program } else { Folder::add };
                    add(&mut folder, path, &store.read(digest)?, digest)?;
                }
                let existing = if self.force { ExistingFolder::ReplaceSameFiles } else { ExistingFolder::Keep };
                let published = folder.publish(existing)?;
                say_published(published, dest, files.iter().map(|(path, _)| path.as_str()));
                Ok(())
            }
        }
    }

    /// Writes the files of a whole study to its own folder in `parent`.
    fn write_study(&self, store: &Store, found: &Found, parent: &Path) -> Result<(), Failure> {
        let name = found.name.as_deref().unwrap_or("study");
        let short = found.hash.short();
        // TensorBoard shows the folders as levels of the names of its runs.
        let dest = match self.tensorboard {
            Some(_) => parent.join(name).join(&short),
            None if self.mlflow.is_some() => parent.join(mlflow::experiment(&found.hash)),
            None if self.trackio.is_some() => parent.join("inbox").join(format!("pipe-{name}-{short}")),
            None => parent.join(format!("{name}-{short}")),
        };
        let mut paths = Vec::new();
        let mut folder = Folder::new(&dest)?;
        let mut add = |path: String, bytes: &[u8]| {
            folder.add(&path, bytes, &Digest::of(bytes))?;
            paths.push(path);
            Ok::<_, Failure>(())
        };
        if self.tensorboard.is_some() {
            tensorboard::export(store, &found.study, |(path, bytes)| add(path, &bytes))?;
        } else if self.mlflow.is_some() {
            // MLflow's experiments have different names.
            let absolute =
                std::path::absolute(&dest).map_err(|error| Failure::work(format!("`{}`: {error}", dest.display())))?;
            let url = Url::from_directory_path(absolute).expect("an absolute path is a URL");
            let files =
                mlflow::files(store, &found.study, &format!("{name}-{short}"), url.as_str().trim_end_matches('/'))?;
            files.into_iter().try_for_each(|(path, text)| add(path, text.as_bytes()))?;
        } else if self.trackio.is_some() {
            let lines = trackio::lines(store, &found.study, &format!("{name}-{short}"))?;
            add(trackio::FILE.to_owned(), lines.as_bytes())?;
        } else {
            let files = results::files(store, &found.study)?;
            if files.is_empty() {
                talk::say("no trial of the study was trained");
                return Ok(());
            }
            files.into_iter().try_for_each(|(path, text)| add(path, text.as_bytes()))?;
        }
        let published = folder.publish(if self.force { ExistingFolder::Replace } else { ExistingFolder::Keep })?;
        say_published(published, &dest, paths.iter().map(String::as_str));
        Ok(())
    }

    fn write_file(&self, bytes: &[u8], entry: TreeEntry, dest: &Path) -> Result<(), Failure> {
        let write = if entry.executable { publish::program } else { publish::file };
        write(dest, bytes, &entry.digest, if self.force { Existing::Force } else { Existing::Keep })?;
        talk::say(&dest.display().to_string());
        Ok(())
    }
}

/// Says which files are in the folder `dest` now.
fn say_published<'a>(published: Published, dest: &Path, paths: impl Iterator<Item = &'a str>) {
    match published {
        Published::Written => paths.for_each(|path| talk::say(&dest.join(path).display().to_string())),
        Published::AlreadyThere => talk::say(&format!("{} is already there", dest.display())),
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
    File { path: String, entry: TreeEntry },
    Tree(Vec<(String, TreeEntry)>),
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
        return Ok(Output::Tree(tree.files.into_iter().collect()));
    }
    if let Some(entry) = tree.files.get(path) {
        return Ok(Output::File { path: path.to_owned(), entry: *entry });
    }
    let folder = format!("{path}/");
    let inside: Vec<_> =
        tree.files.iter().filter_map(|(file, entry)| Some((file.strip_prefix(&folder)?.to_owned(), *entry))).collect();
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
