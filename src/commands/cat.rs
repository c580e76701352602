//! `pipe cat`

use std::io::Write;

use clap::Args;
use pipe_engine::study;
use pipe_store::{Digest, ObjectSource};

use super::{
    EXIT_CODES, Failure, StoreArgs,
    export::{Output, find_output},
};

/// Write an object or an output file to standard output: `pipe cat search/train/003/history.csv`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Cat {
    /// A hash or a unique prefix of one, or a node's file
    #[arg(value_name = "HASH|NODE/PATH")]
    what: String,
    /// The study a node is looked for in [default: the latest]
    #[arg(long, value_name = "STUDY")]
    study: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
}

impl Cat {
    pub fn run(self) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let is_hash = self.what.len() >= 4 && self.what.bytes().all(|b| b.is_ascii_hexdigit());
        let by_hash = if is_hash { store.resolve_prefix(&self.what).ok() } else { None };
        let digest: Digest = match by_hash {
            Some(digest) => digest,
            None => {
                let found = study::find(&store, self.study.as_deref())?;
                match find_output(&store, &found, &self.what)? {
                    Output::File { digest, .. } => digest,
                    Output::Tree(files) => {
                        let files: Vec<_> =
                            files.into_iter().map(|(path, _)| format!("{}/{path}", self.what)).collect();
                        return Err(Failure::usage(format!("`{}` is several files", self.what)).hint(files.join(", ")));
                    }
                }
            }
        };
        let bytes = store.read(&digest)?;
        match std::io::stdout().lock().write_all(&bytes) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Failure::work(format!("standard output: {error}")))
            }
            _ => Ok(()),
        }
    }
}
