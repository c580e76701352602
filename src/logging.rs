//! The options for messages on standard error.

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt};

use crate::talk::{self, LogWriter};

/// The amount and the form of messages.
#[derive(Debug, Clone, Args)]
pub(crate) struct Logging {
    /// Print more messages (-vv and -vvv print even more)
    #[arg(long, short, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Print only errors
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// The format of log lines
    ///
    /// The environment variable `RUST_LOG` filters log lines in more detail than -v.
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
    let usual = || EnvFilter::new(without_drivers(logging.level()));
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(without_drivers(&text)).unwrap_or_else(|error| {
            talk::say(&format!("warning: RUST_LOG is ignored: {error}"));
            usual()
        }),
        _ => usual(),
    };
    let builder = fmt().with_env_filter(filter).with_writer(|| LogWriter).log_internal_errors(false);
    match logging.log_format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => builder.with_target(false).without_time().with_ansi(talk::has_colours()).init(),
    }
}

/// Returns the filter without the lines of the crates that look for drivers of GPUs, unless it names one of them. They log an error for
/// each driver that a machine lacks.
fn without_drivers(filter: &str) -> String {
    if filter.contains("wgpu") { filter.to_owned() } else { format!("{filter},wgpu_hal=off,wgpu_core=error") }
}

impl Logging {
    /// Returns the log level that the flags select. It is higher with JSON, where messages about nodes are log lines, too.
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
