//! `pipe trials`

use clap::Args;
use pipe_engine::study;
use pipe_views::trials;

use crate::{
    failure::{EXIT_CODES, Failure},
    logging::Logging,
    output::{json, print, print_bytes},
    store_args::StoreArgs,
    talk,
};

/// List the trials of a study with their hyperparameters and scores
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Trials {
    /// A study's name or hash [default: the latest]
    study: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// Sort by a metric or a hyperparameter, the best first
    #[arg(long, value_name = "METRIC")]
    sort: Option<String>,
    /// Print CSV, with every hyperparameter and metric
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Trials {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let found = study::find(&store, self.study.as_deref())?;
        let mut rows = trials::table(&store, &found.study)?;
        if let Some(by) = &self.sort {
            trials::sort(&mut rows, by)?;
        }
        if rows.is_empty() {
            talk::say("the study has no search");
        }
        if self.csv {
            return print_bytes(trials::render_csv(&rows).as_bytes());
        }
        if self.json {
            return print(&json(&rows));
        }
        let repeated = trials::repetitions(&store, &found.study)?;
        let tables = repeated.iter().map(|(search, points)| trials::render_repetitions(search, points));
        print(&(trials::render_text(&rows) + &tables.map(|table| format!("\n{table}")).collect::<String>()))
    }
}
