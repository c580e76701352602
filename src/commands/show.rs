//! `pipe show`

use clap::Args;
use pipe_engine::{study::StudyError, unfinished};
use pipe_store::Store;
use pipe_views::{plot::timeline, show};

use crate::{
    failure::Failure,
    logging::Logging,
    output::{json, print},
    store_args::StoreArgs,
};

/// Show a study, one of its nodes, or any object
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe show
  pipe show search/train/003
  pipe show shapes --timeline")]
pub(crate) struct Show {
    /// A study's name or hash, a node such as `search/train/003`, or any object's hash [default: the latest study]
    #[arg(value_name = "STUDY|NODE|HASH")]
    what: Option<String>,
    /// The study to look for a node in [default: the latest]
    #[arg(long, value_name = "STUDY")]
    study: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// Show when each node of a study was executed, and how long it took
    #[arg(long, conflicts_with = "json")]
    timeline: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        if self.timeline {
            let found = unfinished::find(&store, self.what.as_deref().or(self.study.as_deref()))?;
            let executions = timeline::executions(&store, &found.study)?;
            return print(&timeline::Timeline::new(executions).text());
        }
        let (text, data) = self.view(&store)?;
        print(&if self.json { data } else { text })
    }

    fn view(&self, store: &Store) -> Result<(String, String), Failure> {
        let Some(what) = &self.what else {
            let view = show::study(store, &unfinished::find(store, self.study.as_deref())?)?;
            return Ok((view.render(), json(&view)));
        };
        let named = if self.study.is_none() { Some(unfinished::find(store, Some(what))) } else { None };
        match named {
            Some(Ok(found)) => {
                let view = show::study(store, &found)?;
                return Ok((view.render(), json(&view)));
            }
            // Damage is reported. So is a study that is too far back: no node has a `~` in its name. Other errors are not, because `what` can
            // be a node or another object.
            Some(Err(error @ StudyError::TooFarBack { .. })) => return Err(error.into()),
            Some(Err(StudyError::Store(error))) if error.is_damage() => return Err(error.into()),
            _ => {}
        }
        let found = match unfinished::find(store, self.study.as_deref()) {
            Ok(found) => Some(found),
            Err(StudyError::Empty) if self.study.is_none() => None,
            Err(error) => return Err(error.into()),
        };
        let unresolved = match found.as_ref().map(|found| found.study.resolve(what).map(|name| (found, name))) {
            Some(Ok((found, name))) => {
                let view = show::node(store, found, name)?;
                return Ok((view.render(), json(&view)));
            }
            Some(Err(error)) => Failure::from(error),
            None => StudyError::Empty.into(),
        };
        if what.len() < 4 || !what.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(unresolved);
        }
        let view = show::object(store, &store.resolve_prefix(what).map_err(StudyError::from)?)?;
        Ok((view.render(), json(&view)))
    }
}
