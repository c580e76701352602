//! `pipe man`

use std::path::PathBuf;

use clap::Args;
use pipe_store::Digest;

use crate::{
    failure::Failure,
    logging::Logging,
    output::print_bytes,
    publish::{self, Existing},
};

/// Print the manual page, or write a manual page for each command
///
/// After `pipe man ~/.local/share/man/man1`, `man pipe-run` shows the page of `pipe run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe man
  pipe man ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// Write `pipe.1`, `pipe-run.1` and the other pages to this folder
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self, _: &Logging, program: clap::Command) -> Result<(), Failure> {
        let pages = pages(program);
        let Some(folder) = self.folder else { return print_bytes(&pages[0].1) };
        // The folder can have the pages of other programs.
        for (name, page) in &pages {
            publish::file(&folder.join(name), page, &Digest::of(page), Existing::Replace)?;
        }
        Ok(())
    }
}

/// Returns the name and the text of each page. The page of the program comes first.
fn pages(program: clap::Command) -> Vec<(String, Vec<u8>)> {
    let mut program = program.disable_help_subcommand(true);
    // `build` gives each command its full name and the global options.
    program.build();
    let commands = [&program].into_iter().chain(program.get_subcommands().filter(|command| !command.is_hide_set()));
    let page = |command: &clap::Command| {
        let man = clap_mangen::Man::new(command.clone()).source(concat!("pipe ", env!("CARGO_PKG_VERSION")));
        let mut page = Vec::new();
        man.render(&mut page).expect("memory can be written to");
        (man.get_filename(), page)
    };
    commands.map(page).collect()
}
