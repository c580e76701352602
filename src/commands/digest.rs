//! `pipe digest`

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::Args;
use pipe_stages::fetch::{DiskError, Look, Measured, Network, Snapshot, Sources, measure, measure_file};
use serde_json::{Value, json};

use crate::{
    failure::Failure, logging::Logging, looking::Looking, output::print, plan_args::partial, store_args::StoreArgs,
};

/// Print the size and the digest of files, as a pipeline file has them
///
/// A URL is downloaded. If there is a store, what came is kept there, and `pipe run` does not download it again. Of a folder, prints
/// the digest of its listing, which is what the key of `Folder(..)` has, and how much is in it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe digest https://example.org/flowers.tar.gz
  pipe digest ../pictures")]
pub(crate) struct Digest {
    /// A file, a folder or a URL
    #[arg(value_name = "FILE|FOLDER|URL", required = true)]
    sources: Vec<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON, one line for each
    #[arg(long)]
    json: bool,
}

/// What was found.
enum Found {
    File(Measured),
    Folder { listing: pipe_store::Digest, files: usize, bytes: u64 },
}

impl Digest {
    pub(crate) fn run(self, logging: &Logging) -> Result<(), Failure> {
        let mut failed = None;
        for source in &self.sources {
            match self.find(source, logging) {
                Ok(found) => print(&self.text(source, &found))?,
                // The others are told nevertheless.
                Err(failure) => {
                    if let Some(earlier) = failed.replace(failure) {
                        earlier.say();
                    }
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn find(&self, source: &str, logging: &Logging) -> Result<Found, Failure> {
        let looking = Looking::new(logging.quiet);
        if source.contains("://") {
            let root = self.store.root();
            let scratch = tempfile::tempdir()
                .map_err(|error| Failure::work(format!("a temporary folder cannot be made: {error}")))?;
            let partial_dir = if root.join("format").exists() { partial(&root) } else { scratch.path().to_owned() };
            let network = Network::default();
            let sources = Sources { partial_dir: &partial_dir, network: &network, host: &looking };
            return measure(source, &sources)
                .map(Found::File)
                .map_err(|why| Failure::work(format!("`{source}`: {why}")));
        }
        let path = Path::new(source);
        let refused = |error: DiskError| Failure::work(format!("`{source}` {error}"));
        match measure_file(path, &looking) {
            Ok(measured) => Ok(Found::File(measured)),
            Err(DiskError::NotAFile) => {
                // Without a store there are no notes, and everything is read.
                let (skip, notes): ([PathBuf; 1], _) = ([path.join(".pipe")], Path::new(""));
                let look =
                    Look { skip: &skip, notes, now: SystemTime::now(), tell: &|progress| looking.tell(progress) };
                let snapshot = Snapshot::of(path, &look).map_err(refused)?;
                let files = &snapshot.listing().files;
                let bytes = files.iter().map(|file| file.size).sum();
                Ok(Found::Folder { listing: snapshot.digest(), files: files.len(), bytes })
            }
            Err(error) => Err(refused(error)),
        }
    }

    fn text(&self, source: &str, found: &Found) -> String {
        if self.json {
            let mut line: Value = match found {
                Found::File(Measured { size, sha256 }) => json!({ "kind": "file", "size": size, "sha256": sha256 }),
                Found::Folder { listing, files, bytes } => {
                    json!({ "kind": "folder", "listing": listing, "files": files, "bytes": bytes })
                }
            };
            line["source"] = json!(source);
            return format!("{line}\n");
        }
        let text = match found {
            Found::File(measured) => measured.fields(),
            Found::Folder { listing, files: 1, bytes } => format!("listing: \"{listing}\", 1 file, {bytes} bytes"),
            Found::Folder { listing, files, bytes } => {
                format!("listing: \"{listing}\", {files} files, {bytes} bytes")
            }
        };
        // A comment, so that the line can be pasted as it is.
        let name = if self.sources.len() > 1 { format!("  // {source}") } else { String::new() };
        format!("{text}{name}\n")
    }
}
