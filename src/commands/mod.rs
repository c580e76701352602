//! The commands, one per file. The first line of a command's help is also its line in `pipe --help`. Data go to standard output,
//! messages to standard error.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    failure::{EXIT_CODES, Failure},
    logging::{self, Logging},
    output, talk,
};

/// Declares the modules and the subcommands, in the order of `pipe --help`. Values in parentheses are passed to a command that
/// needs them.
macro_rules! commands {
    ($($module:ident::$Command:ident $(($value:expr))?,)+) => {
        $(mod $module;)+

        #[derive(Debug, Subcommand)]
        enum Command {
            $($Command($module::$Command),)+
        }

        impl Command {
            fn run(self, logging: &Logging) -> Result<(), Failure> {
                match self {
                    $(Self::$Command(command) => command.run(logging $(, $value)?),)+
                }
            }
        }
    };
}

commands! {
    run::Run,
    why::Why,
    logs::Logs,
    init::Init,
    digest::Digest,
    studies::Studies,
    tag::Tag,
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
    completions::Completions(Cli::command()),
    man::Man(Cli::command()),
    exec::Exec,
    launch::Launch,
}

/// Run a machine-learning study; results that are known are not computed again
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
    // A failure of the command comes first: it may be why its output is not whole.
    let failures = [run().err(), output::check().err()];
    let mut code = 0;
    for failure in failures.iter().flatten() {
        failure.say();
        code = code.max(failure.code);
    }
    ExitCode::from(code)
}

fn run() -> Result<(), Failure> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return answer(&error),
    };
    logging::start(&cli.logging);
    // A worker is told how many threads to start, and what becomes a program needs none.
    if !matches!(cli.command, Command::Exec(_) | Command::Launch(_)) {
        pipe_store::start_threads(None);
    }
    cli.command.run(&cli.logging)
}

/// Prints the help or the version, or says what is wrong with the arguments.
fn answer(error: &clap::Error) -> Result<(), Failure> {
    let text = error.render();
    if !error.use_stderr() {
        let text = if output::has_colours() { text.ansi().to_string() } else { text.to_string() };
        return output::print_styled(&text);
    }
    let message = if talk::has_colours() { text.ansi().to_string() } else { text.to_string() };
    Err(Failure { verbatim: true, ..Failure::usage(message) })
}
