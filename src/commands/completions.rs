//! `pipe completions`

use clap::Args;
use clap_complete::Shell;

use crate::{failure::Failure, logging::Logging, output::print_bytes};

/// Print completions for a shell
///
/// For example `pipe completions bash > ~/.local/share/bash-completion/completions/pipe`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe completions bash > ~/.local/share/bash-completion/completions/pipe")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, _: &Logging, mut program: clap::Command) -> Result<(), Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut program, "pipe", &mut text);
        print_bytes(&text)
    }
}
