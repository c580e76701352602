//! `pipe studies`

use clap::Args;
use pipe_engine::{
    note::{self, Note},
    study::{self, Found, Study},
    tag, unfinished,
};
use pipe_store::{Digest, Store};
use pipe_views::{findings::Findings, moment, show};

use crate::{
    failure::Failure,
    logging::Logging,
    output::{json, print},
    report_folder,
    store_args::StoreArgs,
    talk,
};

/// List the studies in the store, with their best scores and tests
///
/// Studies with the same name are ordered by time, the latest last. One that is running, or was stopped, comes after them. Tags are in
/// brackets, the latest note in quotes. A study that was forgotten and has a tag has no name.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe studies
  pipe studies --json
  pipe studies --remote lab")]
pub(crate) struct Studies {
    /// List the studies of this remote, with the times at which they were pushed
    #[arg(long, value_name = "NAME")]
    remote: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The most characters of a note that are shown.
const NOTE: usize = 40;

#[derive(serde::Serialize)]
struct Row {
    /// `None` if the study is known by its tags only.
    name: Option<String>,
    /// `None` if it has not come to its end.
    study: Option<Digest>,
    /// Seconds since 1970: when it was recorded, or begun if it has not come to its end.
    at: u64,
    /// `complete`, `failed`, `running`, `stopped` or `damaged`.
    status: &'static str,
    /// The nodes of a study, and those that are done of one that has not come to its end.
    nodes: usize,
    /// What it found. `None` if that cannot be read.
    findings: Option<Findings>,
    tags: Vec<String>,
    notes: Vec<Note>,
}

impl Studies {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        if let Some(remote) = &self.remote {
            return list_remote(&store, remote, self.json);
        }
        let rows = rows(&store)?;
        if self.json {
            return print(&json(&rows));
        }
        if rows.is_empty() {
            talk::say("no studies yet: make one with `pipe run`");
        }
        let cells = |row: &Row| {
            let found = row.findings.as_ref();
            [
                row.name.clone().unwrap_or_else(|| "-".to_owned()),
                row.study.map_or_else(|| "-".to_owned(), |study| study.short()),
                moment(row.at as f64),
                format!("{:>5} nodes", row.nodes),
                row.status.to_owned(),
                found.and_then(Findings::best).map(|best| format!("best {best}")).unwrap_or_default(),
                found.and_then(Findings::test).map(|test| format!("test {test}")).unwrap_or_default(),
                if row.tags.is_empty() { String::new() } else { format!("[{}]", row.tags.join(", ")) },
                noted(&row.notes),
            ]
        };
        let cells: Vec<_> = rows.iter().map(cells).collect();
        let widest = |at: usize| cells.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..9).map(widest).collect();
        let line = |row: &[String; 9]| {
            let shown = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
            let line: Vec<_> = shown.map(|(cell, width)| format!("{cell:width$}")).collect();
            format!("{}\n", line.join("  ").trim_end())
        };
        print(&cells.iter().map(line).collect::<String>())
    }
}

#[cfg(not(feature = "remote"))]
fn list_remote(_: &Store, _: &str, _: bool) -> Result<(), Failure> {
    Err(crate::remotes::not_built())
}

/// Lists the studies of a remote.
#[cfg(feature = "remote")]
fn list_remote(store: &Store, remote: &str, as_json: bool) -> Result<(), Failure> {
    let (_, remote) = crate::remotes::open(store, Some(remote))?;
    let studies = remote.studies()?;
    if as_json {
        return print(&json(&studies));
    }
    let width = studies.iter().map(|study| study.name.chars().count()).max().unwrap_or(0);
    let line = |study: &pipe_remote::RemoteStudy| {
        format!("{:width$}  {}  {}\n", study.name, study.study.short(), moment(study.at as f64))
    };
    print(&studies.iter().map(line).collect::<String>())
}

/// Returns the beginning of the latest note, and the number of others.
fn noted(notes: &[Note]) -> String {
    let Some(latest) = notes.last() else { return String::new() };
    let line = latest.text.lines().next().unwrap_or_default();
    let shown: String = line.chars().take(NOTE).collect();
    let cut = if shown.len() < latest.text.len() { ".." } else { "" };
    let others = if notes.len() > 1 { format!(" (+{})", notes.len() - 1) } else { String::new() };
    format!("\"{shown}{cut}\"{others}")
}

/// Returns the studies with a name, those that have not come to their end, and then those that only have a tag.
fn rows(store: &Store) -> Result<Vec<Row>, Failure> {
    let tags = tag::list(store)?;
    let mut all: Vec<_> = study::list(store)?.into_iter().map(|(name, entry)| (Some(name), entry)).collect();
    for (_, entry) in &tags {
        if !all.iter().any(|(_, known)| known.digest == entry.digest) {
            all.push((None, *entry));
        }
    }
    let row = |(name, entry): (Option<String>, pipe_store::RefEntry)| {
        let study = Study::load(store, &entry.digest).ok();
        let found = study.map(|study| Found { name: name.clone(), hash: entry.digest, study, open: None });
        let tags = tags.iter().filter(|(_, of)| of.digest == entry.digest).map(|(tag, _)| tag.clone()).collect();
        Row {
            study: Some(entry.digest),
            at: entry.at,
            status: found.as_ref().map_or("damaged", show::status),
            nodes: found.as_ref().map_or(0, |found| found.study.nodes.len()),
            findings: found.and_then(|found| report_folder::findings(store, &found).ok()),
            name,
            tags,
            notes: note::of(store, &entry.digest).unwrap_or_default(),
        }
    };
    let mut rows: Vec<_> = all.into_iter().map(row).collect();
    for found in unfinished::all(store)? {
        let after =
            rows.iter().rposition(|row: &Row| row.name <= found.name && row.name.is_some()).map_or(0, |at| at + 1);
        let open = Row {
            study: None,
            at: found.open.as_ref().map_or(0, |open| open.started),
            status: show::status(&found),
            nodes: found.study.nodes.len(),
            findings: Findings::of(store, &found).ok(),
            name: found.name,
            tags: Vec::new(),
            notes: Vec::new(),
        };
        rows.insert(after, open);
    }
    Ok(rows)
}
