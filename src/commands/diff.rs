//! `pipe diff`

use clap::Args;
use pipe_engine::study;
use pipe_views::diff;

use crate::{
    failure::Failure,
    logging::Logging,
    output::{json, print},
    store_args::StoreArgs,
};

/// Compare two studies and their results
///
/// Shows the differences between the pipelines with the nodes that they affect, then the differences in the results. Nodes
/// with equal keys but different outputs come last: the same action gave different bytes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe diff shapes~1 shapes
  pipe diff v1 v2 --json")]
pub(crate) struct Diff {
    /// A study's name or hash; `name~1` is the study before the latest of that name
    a: String,
    /// The study to compare it with
    b: String,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        match self.compare() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::silent(1)),
            // 1 means that the studies differ.
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
