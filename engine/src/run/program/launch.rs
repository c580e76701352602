//! Becomes a program: the process that a worker starts restricts itself, and then is the program.

use std::{
    fs, io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{self, Command, Stdio},
};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

use super::sandbox::Rules;

/// What a process is to become, as `pipe launch` reads it from its standard input. The environment and the working folder are those of
/// the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Launch {
    /// The program, as an absolute path.
    pub(super) program: PathBuf,
    /// The words after the first one.
    pub(super) args: Vec<String>,
    /// The process that waits for it.
    pub(super) parent: i32,
    /// What it may open. `None` for everything.
    pub(super) rules: Option<Rules>,
}

/// The file in the working folder that says why a program was not started.
pub(super) const NOT_STARTED: &str = ".not-started";
/// The exit code of a process that could not become the program.
pub(super) const NOT_STARTED_CODE: i32 = 127;

/// Becomes the program that `spec` describes: it dies with its parent, and opens only what it may. Returns the exit code if that is
/// not possible. Why is left in the working folder, where the worker finds it.
pub fn launch(spec: &str) -> u8 {
    let error = match serde_json::from_str::<Launch>(spec) {
        Ok(spec) => become_program(&spec),
        Err(error) => error.into(),
    };
    let kind = error.raw_os_error().unwrap_or(0);
    // Without the file, the worker says that it ended with this code.
    let _ = fs::write(NOT_STARTED, format!("{kind} {error}"));
    NOT_STARTED_CODE as u8
}

fn become_program(spec: &Launch) -> io::Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // If the parent died before, no signal comes.
    if getppid().map(Pid::as_raw_pid) != Some(spec.parent) {
        process::exit(NOT_STARTED_CODE);
    }
    if let Some(rules) = &spec.rules
        && let Err(error) = rules.apply()
    {
        return error;
    }
    Command::new(&spec.program).args(&spec.args).stdin(Stdio::null()).exec()
}
