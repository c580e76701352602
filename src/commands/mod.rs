//! The commands, one per file. The first line of a command's help is also its line in `pipe --help`. Data go to standard output,
//! messages to standard error.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{
    failure::Failure,
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

#[cfg(feature = "remote")]
mod recheck;

commands! {
    run::Run,
    why::Why,
    logs::Logs,
    init::Init,
    devices::Devices,
    digest::Digest,
    studies::Studies,
    tag::Tag,
    note::Note,
    show::Show,
    trials::Trials,
    importance::Importance,
    import_trials::ImportTrials,
    diff::Diff,
    remote::Remote,
    push::Push,
    pull::Pull,
    gc::Gc,
    verify::Verify,
    report::Report,
    ui::Ui,
    plot::Plot,
    export::Export,
    cat::Cat,
    predict::Predict,
    completions::Completions(parser()),
    complete::Complete(parser()),
    man::Man(parser()),
    exec::Exec,
    launch::Launch,
    exit_codes::ExitCodes,
}

/// What follows the list of commands.
const AFTER_HELP: &str = "\
Examples:
  pipe init
  pipe run
  pipe trials

`pipe help COMMAND` explains a command, and `pipe help exit-codes` the exit codes.";

/// Run a machine-learning study; results that are known are not computed again
#[derive(Debug, Parser)]
#[command(name = "pipe", version, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    logging: Logging,
}

/// Returns the parser of the command line.
fn parser() -> clap::Command {
    // `-f` follows a log, as for `tail` and `docker logs`. For the other commands it names the pipeline file.
    Cli::command().mut_subcommand("logs", |logs| {
        logs.mut_arg("file", |file| file.short(None)).mut_arg("follow", |follow| follow.short('f'))
    })
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
    let cli = parser().try_get_matches().and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    let cli = match cli {
        Ok(cli) => cli,
        Err(error) => return answer(&error),
    };
    logging::start(&cli.logging);
    // A worker is told how many threads to start. What becomes a program needs none, and a shell does not wait for them.
    if !matches!(cli.command, Command::Exec(_) | Command::Launch(_) | Command::Complete(_)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_examples_that_it_accepts() {
        let program = parser();
        for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<_> = help.lines().filter_map(|line| line.strip_prefix("  pipe ")).collect();
            assert!(!examples.is_empty(), "`{}` has no example", command.get_name());
            for example in examples {
                // What is in quotes is one word.
                let parts = example.split(" > ").next().unwrap_or_default().split('\'').enumerate();
                let words = parts.flat_map(|(at, part)| match at % 2 {
                    0 => part.split(' ').filter(|word| !word.is_empty()).collect(),
                    _ => vec![part],
                });
                let parsed = parser().try_get_matches_from(["pipe"].into_iter().chain(words));
                assert!(parsed.is_ok(), "`pipe {example}`: {}", parsed.unwrap_err());
                assert_eq!(example.split(' ').next(), Some(command.get_name()));
            }
        }
    }
}
