//! `pipe help exit-codes`

use clap::Args;

use crate::{failure::Failure, logging::Logging, output::print};

/// The exit codes.
const TEXT: &str = "\
Exit codes:
  0    done
       diff: the studies are the same
       run --plan: nothing would run
  1    a node failed, or the command could not do what it was asked to
       diff, run --locked: they differ
       run --check: a node could not be checked
       push, pull, run --remote-write: the remote has another result
  2    wrong usage, a mistake in the pipeline file, or standard output failed
       diff: they could not be compared
  3    the store is damaged
       run --check, pull --recheck: a result differs
  10   run --plan: something would run
  75   exec --batch: another process executes the action
  130  interrupted; the next `pipe run` goes on";

/// Explain the exit codes
#[derive(Debug, Args)]
#[command(hide = true, override_help = TEXT)]
pub(crate) struct ExitCodes {}

impl ExitCodes {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        print(&format!("{TEXT}\n"))
    }
}
