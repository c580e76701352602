//! What is said beside the data: how much, and in what form.

use std::io;

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt};

/// How much is said.
#[derive(Debug, Clone, Args)]
pub(super) struct Logging {
    /// Say more (-vv: everything)
    #[arg(long, short, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Say only what went wrong
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// The form of log lines on standard error; `RUST_LOG` chooses them more finely than -v
    #[arg(long, value_enum, default_value_t, global = true, value_name = "FORM")]
    pub log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Starts logging to standard error.
pub fn start(logging: &Logging) {
    let level = match (logging.quiet, logging.verbose) {
        (true, _) => "error",
        (_, 0) => "warn",
        (_, 1) => "info",
        (_, 2) => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr);
    match logging.log_format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => {
            builder.with_target(false).without_time().with_ansi(io::IsTerminal::is_terminal(&io::stderr())).init()
        }
    }
}
