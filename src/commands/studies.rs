//! `pipe studies`

use clap::Args;
use pipe_engine::study::{self, Study, StudyStatus};

use crate::{
    failure::{EXIT_CODES, Failure},
    logging::Logging,
    output::{json, print},
    store_args::StoreArgs,
    talk,
};

/// List the studies in the store
///
/// Studies with the same name are ordered by time, the latest last.
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
    name: String,
    study: pipe_store::Digest,
    /// Seconds since 1970.
    at: u64,
    status: Option<StudyStatus>,
    nodes: usize,
}

impl Studies {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let mut rows = Vec::new();
        for (name, entry) in study::list(&store)? {
            let study = Study::load(&store, &entry.digest).ok();
            let nodes = study.as_ref().map_or(0, |study| study.nodes.len());
            rows.push(Row { name, study: entry.digest, at: entry.at, status: study.map(|study| study.status), nodes });
        }
        if self.json {
            return print(&json(&rows));
        }
        let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let text: String = rows
            .iter()
            .map(|row| {
                let status = match row.status {
                    Some(StudyStatus::Complete) => "complete",
                    Some(StudyStatus::Failed) => "failed",
                    None => "damaged",
                };
                format!("{:width$}  {}  {:>5} nodes  {status}\n", row.name, row.study, row.nodes)
            })
            .collect();
        if rows.is_empty() {
            talk::say("no studies yet: make one with `pipe run`");
        }
        print(&text)
    }
}
