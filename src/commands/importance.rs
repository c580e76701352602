//! `pipe importance`

use clap::Args;
use pipe_engine::study;
use pipe_views::importance;

use crate::{failure::{EXIT_CODES, Failure}, logging::Logging, output::{json, print}, store_args::StoreArgs};

/// Show how much each hyperparameter mattered for being among the best trials
///
/// A label matters if its values in the best tenth of the trials are distributed differently from its values in all trials
/// (PED-ANOVA). A label that only some trials have is compared among those. Beside each figure is the number of trials behind
/// it: few trials say little.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Importance {
    /// A study's name or hash [default: the latest]
    study: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Importance {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let found = study::find(&store, self.study.as_deref())?;
        let searches = importance::table(&store, &found.study)?;
        if searches.is_empty() {
            eprintln!("the study has no search");
        }
        print(&if self.json { json(&searches) } else { importance::render_text(&searches) })
    }
}
