//! What is said on standard error: how much, and in what form.

use std::io;

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt};

/// How much is said.
#[derive(Debug, Clone, Args)]
pub(crate) struct Logging {
    /// Say more (-vv and -vvv: still more)
    #[arg(long, short, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Say only what went wrong
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// The form of log lines; `RUST_LOG` selects them more finely than -v
    #[arg(long, value_enum, default_value_t, global = true, value_name = "FORM")]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Starts logging to standard error.
pub(crate) fn start(logging: &Logging) {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(&text).unwrap_or_else(|error| {
            eprintln!("warning: RUST_LOG is ignored: {error}");
            EnvFilter::new(logging.level())
        }),
        _ => EnvFilter::new(logging.level()),
    };
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr);
    match logging.log_format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => {
            let colour = io::IsTerminal::is_terminal(&io::stderr());
            builder.with_target(false).without_time().with_ansi(colour).init();
        }
    }
}

impl Logging {
    /// Returns the level of log lines that the flags ask for. With JSON, what is said of nodes are log lines, too.
    pub(crate) fn level(&self) -> &'static str {
        match (self.quiet, self.verbose, self.log_format) {
            (true, ..) => "error",
            (_, 0, LogFormat::Text) => "warn",
            (_, 0, LogFormat::Json) | (_, 1, _) => "info",
            (_, 2, _) => "debug",
            _ => "trace",
        }
    }
}
