//! `pipe studies`

use clap::Args;
use pipe_engine::{
    study::{self, Study, StudyStatus},
    tag,
};
use pipe_store::{Digest, Store};

use crate::{
    failure::{EXIT_CODES, Failure},
    logging::Logging,
    output::{json, print},
    store_args::StoreArgs,
    talk,
};

/// List the studies in the store
///
/// Studies with the same name are ordered by time, the latest last. Tags are in brackets. A study that was forgotten and has a tag
/// has no name.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Studies {
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Row {
    /// `None` if the study is known by its tags only.
    name: Option<String>,
    study: Digest,
    /// Seconds since 1970.
    at: u64,
    status: Option<StudyStatus>,
    nodes: usize,
    tags: Vec<String>,
}

impl Studies {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let rows = rows(&store)?;
        if self.json {
            return print(&json(&rows));
        }
        let shown = |row: &Row| row.name.clone().unwrap_or_else(|| "-".to_owned());
        let width = rows.iter().map(|row| shown(row).len()).max().unwrap_or(0);
        let text: String = rows
            .iter()
            .map(|row| {
                let status = match row.status {
                    Some(StudyStatus::Complete) => "complete",
                    Some(StudyStatus::Failed) => "failed",
                    None => "damaged",
                };
                let tags = if row.tags.is_empty() { String::new() } else { format!("  [{}]", row.tags.join(", ")) };
                format!("{:width$}  {}  {:>5} nodes  {status}{tags}\n", shown(row), row.study, row.nodes)
            })
            .collect();
        if rows.is_empty() {
            talk::say("no studies yet: make one with `pipe run`");
        }
        print(&text)
    }
}

/// Returns the studies with a name, and then those that only have a tag.
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
        let nodes = study.as_ref().map_or(0, |study| study.nodes.len());
        let tags = tags.iter().filter(|(_, of)| of.digest == entry.digest).map(|(tag, _)| tag.clone()).collect();
        Row { name, study: entry.digest, at: entry.at, status: study.map(|study| study.status), nodes, tags }
    };
    Ok(all.into_iter().map(row).collect())
}
