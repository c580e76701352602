//! `pipe report`

use std::{path::PathBuf, time::Duration};

use clap::Args;
use pipe_engine::{study::Found, unfinished};
use pipe_store::{Digest, Store};
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
/// The page is the same, byte for byte, as the one that `pipe run` writes. Of a study that is running or was stopped, it has what is done
/// so far.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe report
  pipe report --watch
  pipe report shapes~1 --output before.html")]
pub(crate) struct Report {
    /// A study's name or hash [default: the latest]
    study: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// Write to this file instead of the folder of the store; `-` is standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write it again whenever there is something new, until the study is no longer running
    ///
    /// A browser that shows the page loads it again by itself.
    #[arg(long)]
    watch: bool,
}

/// The time between two looks at the store.
const EVERY: Duration = Duration::from_secs(2);

impl Report {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let mut written = None;
        loop {
            let found = unfinished::find(&store, self.study.as_deref())?;
            let is_running = found.open.as_ref().is_some_and(|open| open.running);
            let now = (found.hash, is_running);
            if written != Some(now) {
                let path = self.write(&store, &found)?;
                if let Some(path) = path.filter(|_| written.is_none() || found.open.is_none()) {
                    print(&format!("{}\n", path.display()))?;
                }
                written = Some(now);
            }
            if !self.watch || !is_running {
                return Ok(());
            }
            std::thread::sleep(EVERY);
        }
    }

    /// Writes the report. Returns where it is, if it is a file.
    fn write(&self, store: &Store, found: &Found) -> Result<Option<PathBuf>, Failure> {
        let path = match &self.output {
            None if found.open.is_some() => report_folder::unfinished(store, found),
            None => {
                let name = found.name.as_deref().unwrap_or("study");
                return Ok(Some(report_folder::write(store, name, &found.hash, &found.study)?.report));
            }
            Some(path) => path.clone(),
        };
        let html = report::html(store, found)?;
        if path.as_os_str() == "-" {
            print_bytes(html.as_bytes())?;
            return Ok(None);
        }
        if self.output.is_none() {
            let folder = path.parent().expect("it is in a folder of the store");
            std::fs::create_dir_all(folder)
                .map_err(|error| Failure::work(format!("`{}` cannot be made: {error}", folder.display())))?;
        }
        publish::file(&path, html.as_bytes(), &Digest::of(html.as_bytes()), Existing::Replace)?;
        Ok(Some(path))
    }
}
