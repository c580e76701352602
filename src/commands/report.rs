//! `pipe report`

use std::path::PathBuf;

use clap::Args;
use pipe_engine::unfinished;
use pipe_store::Digest;
use pipe_views::report;

use crate::{
    failure::Failure,
    logging::Logging,
    output::{print, print_bytes},
    publish::{self, Existing},
    report_folder,
    store_args::StoreArgs,
};

/// Write the report of a study, a self-contained HTML page
///
/// The page is the same, byte for byte, as the one that `pipe run` writes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe report
  pipe report shapes~1 --output before.html")]
pub(crate) struct Report {
    /// A study's name or hash [default: the latest]
    study: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// Write to this file instead of the folder of the store; `-` is standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Report {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let found = unfinished::find(&store, self.study.as_deref())?;
        let path = match self.output {
            None => {
                let name = found.name.as_deref().unwrap_or("study");
                report_folder::write(&store, name, &found.hash, &found.study)?.report
            }
            Some(path) => {
                let html = report::html(&store, &found)?;
                if path.as_os_str() == "-" {
                    return print_bytes(html.as_bytes());
                }
                publish::file(&path, html.as_bytes(), &Digest::of(html.as_bytes()), Existing::Replace)?;
                path
            }
        };
        print(&format!("{}\n", path.display()))
    }
}
