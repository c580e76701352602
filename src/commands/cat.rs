//! `pipe cat`

use clap::Args;
use pipe_engine::unfinished;
use pipe_store::{Digest, ObjectSource};

use super::export::{Output, find_output};
use crate::{failure::Failure, logging::Logging, output::print_bytes, store_args::StoreArgs};

/// Write an object or an output file to standard output
///
/// For example `pipe cat search/train/003/history.csv`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe cat test/evaluation.json
  pipe cat retrain_best/history.csv")]
pub(crate) struct Cat {
    /// A hash, a unique prefix of a hash, or an output file of a node
    #[arg(value_name = "HASH|NODE/PATH")]
    what: String,
    /// The study to look for a node in [default: the latest]
    #[arg(long, value_name = "STUDY")]
    study: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
}

impl Cat {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let is_hash = self.what.len() >= 4 && self.what.bytes().all(|b| b.is_ascii_hexdigit());
        let by_hash = if is_hash { store.resolve_prefix(&self.what).ok() } else { None };
        let digest: Digest = match by_hash {
            Some(digest) => digest,
            None => {
                let found = unfinished::find(&store, self.study.as_deref())?;
                match find_output(&store, &found, &self.what)? {
                    Output::File { entry, .. } => entry.digest,
                    Output::Tree(files) => {
                        let files: Vec<_> =
                            files.into_iter().map(|(path, _)| format!("{}/{path}", self.what)).collect();
                        return Err(Failure::usage(format!("`{}` has several files", self.what)).hint(files.join(", ")));
                    }
                }
            }
        };
        print_bytes(&store.read(&digest)?)
    }
}
