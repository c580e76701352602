//! `pipe importance`

use clap::Args;
use pipe_engine::unfinished;
use pipe_views::importance;

use crate::{
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
        let found = unfinished::find(&store, self.study.as_deref())?;
        let searches = importance::table(&store, &found.study)?;
        if searches.is_empty() {
            talk::say("the study has no search");
        }
        print(&if self.json { json(&searches) } else { importance::render_text(&searches) })
    }
}
