//! The options for the store, shared by most commands.

use std::path::PathBuf;

use clap::Args;
use pipe_store::{Store, StoreError};

use crate::failure::Failure;

/// The options for the store.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreArgs {
    /// The store [default: `.pipe` beside the pipeline file]
    #[arg(long, value_name = "DIR", env = "PIPE_STORE", global = false)]
    store: Option<PathBuf>,
    /// The pipeline file
    #[arg(long, short, value_name = "FILE", default_value = "pipeline.ron")]
    pub(crate) file: PathBuf,
}

impl StoreArgs {
    /// Returns the options with these values, where they are given, for a command line that is not whole yet.
    pub(crate) fn given(store: Option<PathBuf>, file: Option<PathBuf>) -> Self {
        let store = store.or_else(|| std::env::var_os("PIPE_STORE").filter(|path| !path.is_empty()).map(PathBuf::from));
        Self { store, file: file.unwrap_or_else(|| PathBuf::from("pipeline.ron")) }
    }

    /// Returns the store's folder.
    pub(crate) fn root(&self) -> PathBuf {
        self.store.clone().unwrap_or_else(|| {
            let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
            folder.map_or_else(|| PathBuf::from(".pipe"), |folder| folder.join(".pipe"))
        })
    }

    /// Opens the store, and makes it if it does not exist.
    pub(crate) fn open(&self) -> Result<Store, Failure> {
        Ok(Store::open(&self.root())?)
    }

    /// Opens the store to look at what is there. If there is none, opens an empty one elsewhere: looking makes no store.
    pub(crate) fn open_to_look(&self) -> Result<Store, Failure> {
        let root = self.root();
        let is_empty = |entries: std::fs::ReadDir| entries.take(1).count() == 0;
        if root.exists() && !std::fs::read_dir(&root).is_ok_and(is_empty) {
            return Ok(Store::open(&root)?);
        }
        let nowhere = tempfile::tempdir()
            .map_err(|error| Failure::work(format!("a temporary folder cannot be made: {error}")))?;
        // The folder is gone when this returns, and in an absent folder nothing is found.
        Ok(Store::open(nowhere.path())?)
    }

    /// Opens the store, which must exist: a command that only reads does not make one.
    pub(crate) fn open_existing(&self) -> Result<Store, Failure> {
        self.open_with(Store::open)
    }

    /// Opens the store, which must exist, also if its file `format` is damaged.
    pub(crate) fn open_damaged(&self) -> Result<Store, Failure> {
        self.open_with(Store::open_damaged)
    }

    fn open_with(&self, open: fn(&std::path::Path) -> Result<Store, StoreError>) -> Result<Store, Failure> {
        let root = self.root();
        if root.is_dir() {
            return Ok(open(&root)?);
        }
        Err(Failure::usage(format!("there is no store at `{}`", root.display()))
            .hint("make one with `pipe run`, or name another with `--store`"))
    }
}
