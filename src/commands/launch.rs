//! `pipe launch` becomes a program. `pipe exec` starts it for each program that a stage runs.

use std::io::Read;

use clap::Args;

use crate::{failure::Failure, logging::Logging};

/// Become the program that standard input describes (plumbing)
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Launch {}

impl Launch {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let mut spec = String::new();
        std::io::stdin().read_to_string(&mut spec).map_err(Failure::work)?;
        Err(Failure::silent(pipe_engine::run::program::launch(&spec)))
    }
}
