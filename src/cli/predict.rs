//! `pipe predict`

use std::path::PathBuf;

use clap::Args;

use super::{EXIT_CODES, Failure, StoreArgs};

/// Name the classes of images.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Predict {
    node: String,
    images: Vec<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
}

impl Predict {
    pub fn run(self) -> Result<(), Failure> {
        Err(Failure::work(format!("{} {:?} {:?}", self.node, self.images, self.store)))
    }
}
