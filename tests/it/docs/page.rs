//! A page: its code blocks, its prose and its links.

use std::{collections::BTreeSet, fs, path::PathBuf};

use super::{
    Folder,
    block::{Block, Digests},
    manual::Manual,
};
use crate::{
    sandbox::{Sandbox, skipped},
    slurm::Cluster,
};

/// The configuration of the cluster of a page, in its folder.
pub(crate) const SLURM_CONF: &str = "slurm.conf";

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A page of the documentation.
pub(crate) struct Page {
    path: &'static str,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn read(path: &'static str) -> Self {
        let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path, text }
    }

    /// Runs every block that can be run. Panics with all differences from the page, if there are any.
    #[track_caller]
    pub(crate) fn check(&self, folder: Folder, set: &str) {
        if folder == Folder::WithPython && !has_python() {
            return skipped(&format!("{}: there is no python3", self.path));
        }
        if folder == Folder::TinyWithRemotes && !cfg!(feature = "remote") {
            return skipped(&format!("{}: this build has no remotes", self.path));
        }
        let cluster = if folder == Folder::TinyOnCluster { Cluster::start() } else { None };
        if folder == Folder::TinyOnCluster && cluster.is_none() {
            return skipped(&format!("{}: there is no cluster", self.path));
        }
        let sandbox = match folder {
            Folder::Empty | Folder::WithPython => {
                let sandbox = Sandbox::new();
                fs::remove_file(sandbox.path("pipeline.ron")).unwrap();
                sandbox
            }
            Folder::TinyHasRun | Folder::TinyWithRemotes => Sandbox::after_run(),
            Folder::TinyOnCluster => {
                let sandbox = Sandbox::after_run();
                let config = cluster.as_ref().expect("it was started").path("slurm.conf");
                fs::copy(config, sandbox.path(SLURM_CONF)).unwrap();
                sandbox
            }
            Folder::TinyAndPictures => {
                let sandbox = Sandbox::after_run();
                sandbox.write_pictures();
                sandbox
            }
        };
        let manual = Manual::read();
        let mut problems = manual.problems(self.inline_code());
        let mut digests = Digests::new();
        for block in self.blocks() {
            let found = block.check(&sandbox, set, &manual, &mut digests);
            problems.extend(found.into_iter().map(|found| format!("line {}: {found}", block.line)));
        }
        assert!(problems.is_empty(), "{}\n{}", self.path, problems.join("\n\n"));
    }

    fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<(usize, Block)> = None;
        for (line, text) in (1..).zip(self.text.lines()) {
            let fence = text.trim_start().strip_prefix("```");
            let unseen = text.strip_prefix("<!-- $ ").and_then(|rest| rest.strip_suffix(" -->"));
            if let (None, Some(command)) = (&open, unseen) {
                blocks.push(Block { line, info: vec!["unseen".into()], text: format!("$ {command}\n..\n") });
            }
            match (&mut open, fence) {
                (None, Some(info)) => {
                    let info = info.split_whitespace().map(str::to_owned).collect();
                    open = Some((text.len() - text.trim_start().len(), Block { line, info, text: String::new() }));
                }
                (Some(_), Some("")) => blocks.extend(open.take().map(|(_, block)| block)),
                // A block in a list is indented like the list.
                (Some((indent, block)), _) => block.text += &format!("{}\n", text.get(*indent..).unwrap_or("")),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block does not end", self.path);
        blocks
    }

    /// Returns the text without its code blocks.
    fn prose(&self) -> String {
        let mut inside = false;
        let is_prose = |line: &&str| {
            let fence = line.trim_start().starts_with("```");
            inside ^= fence;
            !inside && !fence
        };
        self.text.lines().filter(is_prose).map(|line| format!("{line}\n")).collect()
    }

    /// Returns the code between backticks in the prose.
    fn inline_code(&self) -> Vec<String> {
        self.prose().split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// Returns the targets of links within the repository.
    pub(crate) fn links(&self) -> Vec<&str> {
        let targets = self.text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
        targets.filter(|target| !target.starts_with("http")).collect()
    }
}

/// Returns the anchors that GitHub gives a page's headings.
pub(crate) fn headings(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let keep = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    titles.map(|title| title.to_lowercase().chars().filter(keep).collect::<String>().replace(' ', "-")).collect()
}

fn has_python() -> bool {
    std::process::Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success())
}
