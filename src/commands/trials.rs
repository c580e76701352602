//! `pipe trials`

use clap::Args;
use pipe_engine::study::Study;
use pipe_store::Store;
use pipe_views::{
    importance,
    trials::{self, Front, Layout, TrialRow},
};

use crate::{
    choice,
    failure::Failure,
    logging::Logging,
    output::{self, json, print, print_bytes},
    store_args::StoreArgs,
    talk,
};

/// List the trials of a study, the best first
///
/// The score of each, and the hyperparameters that vary, the most important first, as many as fit the terminal.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe trials
  pipe trials --sort end.valid.loss
  pipe trials --columns epochs,parameters --all
  pipe trials --csv > trials.csv")]
pub(crate) struct Trials {
    /// A study's name or hash, or a search of the latest study [default: the latest]
    #[arg(value_name = "STUDY|SEARCH")]
    study: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// The search, if the study has several [default: all]
    #[arg(long, value_name = "STAGE")]
    search: Option<String>,
    /// Sort by a metric or a hyperparameter, the best first
    #[arg(long, value_name = "METRIC")]
    sort: Option<String>,
    /// Show these columns: hyperparameters, metrics, `epochs`, `parameters` (separated by commas)
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    columns: Option<Vec<String>>,
    /// Show everything that is known of each trial, however wide
    #[arg(long, conflicts_with = "columns")]
    wide: bool,
    /// Show the front of a search with several objectives: the trials that no other is better than in all of them
    #[arg(long, conflicts_with_all = ["csv", "sort", "columns", "wide", "all"])]
    front: bool,
    /// Show all trials; on a terminal, the first 20 are shown otherwise
    #[arg(long)]
    all: bool,
    /// Print CSV, with every hyperparameter and metric
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The trials that a terminal shows unless all are asked for.
const ON_TERMINAL: usize = 20;

impl Trials {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let (found, search) = choice::study_and_search(&store, self.study.as_deref(), self.search)?;
        let search = search.as_deref();
        let mut rows = trials::table(&store, &found.study)?;
        if search.is_some() {
            rows = choice::search(&rows, search)?.to_vec();
        }
        if self.front {
            return print_front(&store, &found.study, &rows, search, self.json);
        }
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
        if self.sort.is_none() {
            // Stable, so that the searches stay together.
            rows.sort_by(|a, b| a.search.cmp(&b.search).then(a.loss_or_worst().total_cmp(&b.loss_or_worst())));
        }
        let width = output::width();
        let important = importance::table(&store, &found.study)?;
        let is_shown = |name: &str| search.is_none_or(|wanted| wanted == name);
        let important = important.into_iter().filter(|of| is_shown(&of.search));
        let order = important.flat_map(|search| search.labels).map(|label| label.label);
        let layout = Layout {
            width,
            rows: width.filter(|_| !self.all).map(|_| ON_TERMINAL),
            order: order.collect(),
            wide: self.wide,
            columns: self.columns,
        };
        let repeated = trials::repetitions(&store, &found.study)?;
        let tables = repeated
            .iter()
            .filter(|(name, _)| is_shown(name))
            .map(|(search, points)| trials::render_repetitions(search, points));
        let mut ends = String::new();
        for name in found.study.searches().filter(|name| is_shown(name)) {
            if let Some(stopped) = trials::stopped(&store, &found.study, name)? {
                ends += &format!("\n{name} {}\n", stopped.text());
            }
        }
        print(
            &(trials::render_text(&rows, &layout)?
                + &tables.map(|table| format!("\n{table}")).collect::<String>()
                + &ends),
        )
    }
}

/// Prints the fronts of all searches, or of the one that is meant.
fn print_front(
    store: &Store,
    study: &Study,
    rows: &[TrialRow],
    search: Option<&str>,
    is_json: bool,
) -> Result<(), Failure> {
    let mut fronts = trials::fronts(store, study, rows)?;
    fronts.retain(|front| search.is_none_or(|search| front.search == search));
    if fronts.is_empty() {
        let failure = Failure::usage("no search of the study has several objectives and has ended");
        return Err(failure.hint("list them: `maximise: [Best(\"valid.accuracy\")], minimise: [\"parameters\"]`"));
    }
    if is_json {
        return print(&json(&fronts));
    }
    print(&fronts.iter().map(Front::render).collect::<Vec<_>>().join("\n"))
}
