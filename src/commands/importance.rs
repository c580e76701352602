//! `pipe importance`

use clap::Args;
use pipe_views::importance;

use crate::{
    choice,
    failure::Failure,
    logging::Logging,
    output::{json, print},
    store_args::StoreArgs,
    talk,
};

/// Show how much each hyperparameter matters for the results of trials
///
/// A hyperparameter matters if its values in the best tenth of the trials are distributed differently from its values in all
/// trials (PED-ANOVA). A hyperparameter that only some trials have is compared among those trials. The number of trials is
/// shown beside each importance: with few trials, importances are unreliable.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe importance
  pipe importance shapes --json")]
pub(crate) struct Importance {
    /// A study's name or hash, or a search of the latest study [default: the latest]
    #[arg(value_name = "STUDY|SEARCH")]
    study: Option<String>,
    /// The search, if the study has several [default: all]
    #[arg(long, value_name = "STAGE")]
    search: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Importance {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let (found, search) = choice::study_and_search(&store, self.study.as_deref(), self.search)?;
        let mut searches = importance::table(&store, &found.study)?;
        if let Some(wanted) = &search {
            if !searches.iter().any(|of| of.search == *wanted) {
                return Err(choice::no_search(wanted, searches.iter().map(|of| of.search.as_str())));
            }
            searches.retain(|of| of.search == *wanted);
        }
        if searches.is_empty() {
            talk::say("the study has no search");
        }
        print(&if self.json { json(&searches) } else { importance::render_text(&searches) })
    }
}
