//! The commands, one file each. stdout is data, stderr is talk.

mod cat;
mod completions;
mod diff;
mod exec;
mod export;
mod gc;
mod import_trials;
mod importance;
mod init;
mod plot;
mod predict;
mod report;
mod run;
mod show;
mod studies;
mod trials;
mod verify;

use std::{fmt::Display, io::IsTerminal, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use pipe_engine::pipeline::{problem::Look, read::Refused};
use pipe_store::{Store, StoreError};

/// Exit codes, as every command's help says.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    a node failed, or the command could not do what it was asked
  2    wrong use, or something is wrong with the pipeline file
  3    the store is damaged
  130  interrupted";

/// Runs a machine-learning study as a content-addressed pipeline: what is known is not computed again.
#[derive(Debug, Parser)]
#[command(name = "pipe", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    logging: crate::logging::Logging,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the study in pipeline.ron: what is not known yet is executed, the rest reused
    Run(run::Run),
    /// Write a commented pipeline.ron to start from
    Init(init::Init),
    /// List the studies in the store
    Studies(studies::Studies),
    /// Show a study, one of its nodes, or any object
    Show(show::Show),
    /// List the trials of a study with their hyperparameters and scores
    Trials(trials::Trials),
    /// Tell how much each hyperparameter mattered for being among the best trials
    Importance(importance::Importance),
    /// Make trials recorded elsewhere the beginning of a search
    ImportTrials(import_trials::ImportTrials),
    /// Compare two studies: what was asked differently, and what came of it
    Diff(diff::Diff),
    /// Remove what no study needs
    Gc(gc::Gc),
    /// Read everything in the store and check it against its name
    Verify(verify::Verify),
    /// Write a study's report, one self-contained HTML page
    Report(report::Report),
    /// Draw a picture of a study: its trials, its course in time
    Plot(plot::Plot),
    /// Copy output files out of the store, or write a study for ONNX or TensorBoard
    Export(export::Export),
    /// Write an object or an output file to standard output
    Cat(cat::Cat),
    /// Name the classes of images, by a trained network of the study
    Predict(predict::Predict),
    /// Print the completions of a shell
    Completions(completions::Completions),
    /// Execute one action that is in the store (plumbing)
    Exec(exec::Exec),
}

/// Where the store is.
#[derive(Debug, Clone, Args)]
pub(super) struct StoreArgs {
    /// The store [default: `.pipe` beside the pipeline file]
    #[arg(long, value_name = "DIR", env = "PIPE_STORE", global = false)]
    store: Option<PathBuf>,
    /// The pipeline file
    #[arg(long, short, value_name = "FILE", default_value = "pipeline.ron")]
    file: PathBuf,
}

impl StoreArgs {
    fn root(&self) -> PathBuf {
        self.store.clone().unwrap_or_else(|| {
            let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
            folder.map_or_else(|| PathBuf::from(".pipe"), |folder| folder.join(".pipe"))
        })
    }

    /// Opens the store, making it where there is none.
    fn open(&self) -> Result<Store, Failure> {
        Ok(Store::open(&self.root())?)
    }

    /// Opens a store that must exist: a command that only looks makes none.
    fn open_existing(&self) -> Result<Store, Failure> {
        let root = self.root();
        if root.is_dir() {
            return Ok(Store::open(&root)?);
        }
        Err(Failure::usage(format!("there is no store at `{}`", root.display()))
            .hint("make one with `pipe run`, or name another with `--store`"))
    }
}

/// Why a command failed: what it says, and its exit code.
#[derive(Debug)]
pub(super) struct Failure {
    pub code: u8,
    pub message: String,
    pub hint: Option<String>,
    /// Whether the message is whole text, already laid out.
    pub verbatim: bool,
}

impl Failure {
    /// Returns a failure of the work: exit code 1.
    pub fn work(message: impl Display) -> Self {
        Self { code: 1, message: message.to_string(), hint: None, verbatim: false }
    }

    /// Returns a wrong use: exit code 2.
    pub fn usage(message: impl Display) -> Self {
        Self { code: 2, ..Self::work(message) }
    }

    /// Returns a command that failed without anything more to say.
    pub fn silent(code: u8) -> Self {
        Self { code, message: String::new(), hint: None, verbatim: true }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns any other error with its causes.
    pub fn from_error(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut failure = Self::work(pipe_engine::run::with_causes(error));
        let mut cause = Some(error);
        while let Some(error) = cause {
            match error.downcast_ref::<StoreError>() {
                Some(error) if error.is_damage() => {
                    let hint = "`pipe verify` lists all damage, `pipe verify --repair` sets it aside so that `pipe run` \
                                makes it again";
                    failure = Self { code: 3, ..failure }.hint(hint);
                }
                Some(StoreError::Foreign(_) | StoreError::Format { .. } | StoreError::Name { .. }) => failure.code = 2,
                Some(StoreError::Prefix(_) | StoreError::UnknownPrefix(_) | StoreError::AmbiguousPrefix { .. }) => {
                    failure.code = 2;
                }
                _ => {}
            }
            cause = error.source();
        }
        failure
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::from_error(&error)
    }
}

impl From<pipe_views::ViewError> for Failure {
    fn from(error: pipe_views::ViewError) -> Self {
        use pipe_views::ViewError;
        match error {
            ViewError::Study(error) => error.into(),
            ViewError::Store(error) => error.into(),
            ViewError::Name(error) => error.into(),
            ViewError::UnknownColumn { .. } | ViewError::Nothing(_) => Self::usage(&error),
            _ => Self::from_error(&error),
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let look = if coloured { Look::Coloured } else { Look::Plain };
        Self { verbatim: true, ..Self::usage(refused.render(look)) }
    }
}

impl From<pipe_engine::names::NameError> for Failure {
    fn from(error: pipe_engine::names::NameError) -> Self {
        Self::usage(&error)
    }
}

impl From<crate::report_folder::ViewsError> for Failure {
    fn from(error: crate::report_folder::ViewsError) -> Self {
        use crate::report_folder::ViewsError;
        match error {
            ViewsError::View(error) => error.into(),
            ViewsError::Store(error) => error.into(),
            error @ ViewsError::Write { .. } => Self::from_error(&error),
        }
    }
}

impl From<pipe_engine::study::StudyError> for Failure {
    fn from(error: pipe_engine::study::StudyError) -> Self {
        use pipe_engine::study::StudyError;
        match error {
            StudyError::Unknown { ref name, ref known } => {
                let close = pipe_stages::words::closest(name, known.iter().map(String::as_str));
                let hint = close.map_or_else(
                    || format!("studies are {}; a hash needs at least four digits", known.join(", ")),
                    |close| format!("did you mean `{close}`?"),
                );
                Self::usage(&error).hint(hint)
            }
            StudyError::Empty => Self::usage(&error).hint("make one with `pipe run`"),
            StudyError::Store(error) => error.into(),
            StudyError::NotA { .. } => Self::from_error(&error),
        }
    }
}

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    crate::logging::start(&cli.logging);
    let result = match cli.command {
        Command::Run(command) => command.run(&cli.logging),
        Command::Init(command) => command.run(),
        Command::Studies(command) => command.run(),
        Command::Show(command) => command.run(),
        Command::Trials(command) => command.run(),
        Command::Importance(command) => command.run(),
        Command::ImportTrials(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Gc(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Plot(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Cat(command) => command.run(),
        Command::Predict(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Exec(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if failure.verbatim {
                eprint!("{}", failure.message);
            } else {
                eprintln!("error: {}", failure.message);
            }
            if let Some(hint) = &failure.hint {
                eprintln!("  hint: {hint}");
            }
            ExitCode::from(failure.code)
        }
    }
}

/// Writes data to standard output. A reader that has gone (`pipe trials | head`) is no error.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::{ErrorKind, Write};
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::work(format!("standard output: {error}"))),
        _ => Ok(()),
    }
}

/// Returns a value as lines of JSON for programs.
fn json(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("what is shown is plain data");
    text.push('\n');
    text
}
