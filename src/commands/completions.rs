//! `pipe completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, EXIT_CODES, Failure, print};

/// Print the completions of a shell: `pipe completions bash > ~/.local/share/bash-completion/completions/pipe`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Completions {
    shell: Shell,
}

impl Completions {
    pub fn run(self) -> Result<(), Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "pipe", &mut text);
        print(&String::from_utf8_lossy(&text))
    }
}
