//! `pipe importance`

use clap::Args;
use pipe_engine::study;
use pipe_views::importance;

use super::{EXIT_CODES, Failure, StoreArgs, json, print};

/// Tell how much each hyperparameter mattered for being among the best trials (PED-ANOVA).
///
/// A label matters if the best tenth of the trials have other values of it than all trials have. Of a label that not every
/// trial has, those that have it are compared. The number of trials behind each figure stands beside it: of few, believe
/// little.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Importance {
    /// A study's name or hash [default: the latest]
    study: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Importance {
    pub fn run(self) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let found = study::find(&store, self.study.as_deref())?;
        let searches = importance::table(&store, &found.study)?;
        if searches.is_empty() {
            eprintln!("the study has no search");
        }
        print(&if self.json { json(&searches) } else { importance::render_text(&searches) })
    }
}
