//! `pipe completions`

use clap::Args;
use clap_complete::Shell;

use crate::{failure::Failure, logging::Logging, output::print_bytes};

/// Print completions for a shell
///
/// In bash, zsh and fish, they know the studies, nodes and columns of the store, and the stages and fields of the pipeline file.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe completions bash > ~/.local/share/bash-completion/completions/pipe
  pipe completions zsh > ~/.zfunc/_pipe
  pipe completions fish > ~/.config/fish/completions/pipe.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, _: &Logging, mut program: clap::Command) -> Result<(), Failure> {
        let script = match self.shell {
            Shell::Bash => include_str!("../completion/pipe.bash"),
            Shell::Zsh => include_str!("../completion/pipe.zsh"),
            Shell::Fish => include_str!("../completion/pipe.fish"),
            _ => "",
        };
        if !script.is_empty() {
            return print_bytes(script.as_bytes());
        }
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut program, "pipe", &mut text);
        print_bytes(&text)
    }
}
