//! `pipe diff`

use std::path::PathBuf;

use clap::Args;
use pipe_engine::{study::Found, unfinished};
use pipe_store::{Digest, Store};
use pipe_views::{comparison, diff};

use crate::{
    failure::Failure,
    logging::Logging,
    output::{json, print, print_bytes},
    publish::{self, Existing},
    report_folder,
    store_args::StoreArgs,
    talk,
};

/// Compare two studies and their results
///
/// Shows the differences between the pipelines with the nodes that they affect, then the differences in the results. Nodes
/// with equal keys but different outputs come last: the same action gave different bytes. With --html, a page shows both side by side:
/// their results, their curves in one chart, and their confusion matrices subtracted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe diff shapes~1 shapes
  pipe diff v1 v2 --json
  pipe diff shapes~1 shapes --html --output diff.html")]
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
    /// Write a self-contained HTML page
    #[arg(long, conflicts_with = "json")]
    html: bool,
    /// Write the page to this file instead of the folder of the store; `-` is standard output
    #[arg(long, short, value_name = "FILE", requires = "html")]
    output: Option<PathBuf>,
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

    /// Shows how the studies differ. Returns whether they are the same.
    fn compare(&self) -> Result<bool, Failure> {
        let store = self.store.open_existing()?;
        let a = unfinished::find(&store, Some(&self.a))?;
        let b = unfinished::find(&store, Some(&self.b))?;
        if self.html {
            self.write(&store, &a, &b)?;
            return Ok(a.hash == b.hash);
        }
        let diff = diff::compare(&store, &a.study, &b.study)?;
        if diff.is_same() && !self.json {
            talk::say(&format!("nothing differs: both are study {}", a.hash.short()));
        }
        print(&if self.json { json(&diff) } else { diff::render(&diff, [&self.a, &self.b]) })?;
        Ok(diff.is_same())
    }

    /// Writes the page.
    fn write(&self, store: &Store, a: &Found, b: &Found) -> Result<(), Failure> {
        let html = comparison::html(store, a, b)?;
        let path = match &self.output {
            Some(path) if path.as_os_str() == "-" => return print_bytes(html.as_bytes()),
            Some(path) => path.clone(),
            None => report_folder::comparison(store, &a.hash, &b.hash),
        };
        publish::file(&path, html.as_bytes(), &Digest::of(html.as_bytes()), Existing::Replace)?;
        if self.output.is_none() {
            store.share_with_group(path.parent().expect("it is in a folder of the store"))?;
        }
        print(&format!("{}\n", path.display()))
    }
}
