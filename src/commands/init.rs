//! `pipe init`

use std::path::{Path, PathBuf};

use clap::Args;
use pipe_store::{Digest, Store};

use crate::{
    failure::Failure,
    logging::Logging,
    publish::{self, Existing},
    talk,
};

/// The default study: the file at the root of the repository.
pub(crate) const DEFAULT: &str = include_str!("../../pipeline.ron");

/// Write a commented pipeline.ron to start from
///
/// The study is a search on generated pictures. It takes a few minutes on two cores and needs no network.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe init
  pipe init my-study")]
pub(crate) struct Init {
    /// The file to write
    #[arg(default_value = "pipeline.ron")]
    path: PathBuf,
    /// Overwrite the file if it exists
    #[arg(long)]
    force: bool,
    /// Make a store that every user of its group can use, or let them use the one that exists
    ///
    /// Whatever a user's umask is, the group may write to everything in the store. `chgrp -R GROUP .pipe` chooses the group. If the
    /// pipeline file exists, it stays.
    #[arg(long)]
    shared: bool,
    /// With `--shared`: the store [default: `.pipe` beside the file]
    #[arg(long, value_name = "DIR", env = "PIPE_STORE")]
    store: Option<PathBuf>,
}

impl Init {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let path = if self.path.is_dir() { self.path.join("pipeline.ron") } else { self.path };
        if self.shared {
            let beside = || path.parent().unwrap_or(Path::new("")).join(".pipe");
            let store = Store::open_shared(&self.store.unwrap_or_else(beside))?;
            talk::say(&format!("every user of the group of {} can use it", store.root().display()));
            if path.exists() && !self.force {
                return Ok(());
            }
        }
        let existing = if self.force { Existing::Force } else { Existing::Keep };
        publish::file(&path, DEFAULT.as_bytes(), &Digest::of(DEFAULT.as_bytes()), existing)?;
        let file =
            if path.as_os_str() == "pipeline.ron" { String::new() } else { format!(" --file '{}'", path.display()) };
        talk::say(&format!("wrote {}; run it with `pipe run{file}`", path.display()));
        Ok(())
    }
}
