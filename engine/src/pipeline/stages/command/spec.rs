//! A command of a pipeline: what it is, and how it is run.

use std::collections::BTreeMap;

use pipe_stages::{
    command::Command,
    fetch::{FetchSources, FolderContent},
    records::TrainingHistory,
};

use super::{params::CommandParams, sources::Source};
use crate::{
    how::{Claim, How},
    pipeline::term::Term,
};

/// A program to run.
#[derive(Debug, Clone)]
pub struct CommandSpec {
    /// What the key depends on.
    pub command: Command,
    /// Where the content of each slot comes from.
    pub(crate) inputs: BTreeMap<String, Source>,
    /// The outputs that only a final command may read.
    pub(crate) held_out: Vec<String>,
    /// What `pipe run --check` holds it to.
    pub claim: Claim,
    /// Whether it may read what is held out.
    pub is_final: bool,
    /// The files of the project. `None` if it needs none.
    pub(super) code: Option<Code>,
    /// How it is run. This is not part of the study.
    pub(super) how: How,
    /// The paths of this disk that its words name and that another disk may not have. They are part of the key.
    pub(super) absolute: Vec<String>,
    /// What the pipeline file says, and its text. `None` in a pipeline that was read from its record.
    pub(super) written: Option<(CommandParams, Term)>,
}

/// The files of the project that a command needs.
#[derive(Debug, Clone, Default)]
pub(super) struct Code {
    /// What they are. Without a digest until they are looked at.
    pub(super) content: FolderContent,
    /// Where they are.
    pub(super) sources: FetchSources,
}

impl CommandSpec {
    /// Returns everything that it writes, as far as the pipeline says so. A folder ends with `/`.
    pub(crate) fn outputs(&self) -> Vec<&str> {
        let own = self.command.outputs.iter().chain(&self.command.metrics).map(String::as_str);
        let history = self.command.reports.iter().map(|_| TrainingHistory::FILE);
        own.chain(history).collect()
    }

    /// Returns whether it may read what is held out.
    pub fn is_final(&self) -> bool {
        self.is_final
    }

    /// Returns whether a path among its outputs is held out.
    pub(crate) fn holds_out(&self, path: &str) -> bool {
        // A folder that has something held out in it is held out as a whole.
        self.held_out.iter().any(|held| {
            held == path || (held.ends_with('/') && path.starts_with(held.as_str())) || {
                (path.is_empty() || path.ends_with('/')) && held.starts_with(path)
            }
        })
    }
}
