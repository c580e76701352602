//! `pipe diff`

use clap::Args;
use pipe_engine::study;
use pipe_views::diff;

use super::{Failure, StoreArgs, json, print};

/// Compare two studies: first what was asked differently and what follows from it, then what came of it.
///
/// Nodes with equal keys and different outputs are told apart, loudly: the same action gave other bytes.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0    the studies are the same
  1    they differ
  2    they could not be compared
  3    the store is damaged")]
pub(super) struct Diff {
    /// A study's name (`name~1` is the one before its latest) or hash
    a: String,
    /// The other one
    b: String,
    #[command(flatten)]
    store: StoreArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub fn run(self) -> Result<(), Failure> {
        match self.compare() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::silent(1)),
            // 1 says that they differ.
            Err(failure) => Err(Failure { code: failure.code.max(2), ..failure }),
        }
    }

    fn compare(&self) -> Result<bool, Failure> {
        let store = self.store.open_existing()?;
        let a = study::find(&store, Some(&self.a))?;
        let b = study::find(&store, Some(&self.b))?;
        let diff = diff::compare(&store, &a.study, &b.study)?;
        print(&if self.json { json(&diff) } else { diff::render(&diff, [&self.a, &self.b]) })?;
        Ok(diff.is_same())
    }
}
