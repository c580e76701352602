//! The commands, one file each: what a command is asked, what it does, and the first line of its help, which is also its
//! line in `pipe --help`. stdout is data, stderr is talk.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{
    failure::{EXIT_CODES, Failure},
    logging::{self, Logging},
};

/// Makes the modules, and the subcommands that clap reads, from `module::Command` in the order of `pipe --help`.
macro_rules! commands {
    ($($module:ident::$Command:ident,)+) => {
        $(mod $module;)+

        #[derive(Debug, Subcommand)]
        enum Command {
            $($Command($module::$Command),)+
        }

        impl Command {
            fn run(self, logging: &Logging) -> Result<(), Failure> {
                match self {
                    $(Self::$Command(command) => command.run(logging),)+
                }
            }
        }
    };
}

commands! {
    run::Run,
    init::Init,
    studies::Studies,
    show::Show,
    trials::Trials,
    importance::Importance,
    import_trials::ImportTrials,
    diff::Diff,
    gc::Gc,
    verify::Verify,
    report::Report,
    plot::Plot,
    export::Export,
    cat::Cat,
    predict::Predict,
    completions::Completions,
    man::Man,
    exec::Exec,
}

/// Runs a machine-learning study and keeps every result: what is known is not computed again
#[derive(Debug, Parser)]
#[command(name = "pipe", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    logging: Logging,
}

/// Runs the program and returns its exit code.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(&cli.logging);
    match cli.command.run(&cli.logging) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.say();
            ExitCode::from(failure.code)
        }
    }
}
