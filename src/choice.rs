//! Which search or training of a study a user means.

use pipe_engine::{
    names::NameError,
    study::{Found, Study, StudyError},
    unfinished,
};
use pipe_stages::{StageName, words::one_of};
use pipe_store::Store;
use pipe_views::trials::TrialRow;

use crate::failure::Failure;

/// The most trainings that a message lists.
const SHOWN: usize = 5;

/// Returns the study that `what` names, and the search: `search` if it is given, or the one of the latest study that `what` names if no
/// study has that name.
///
/// # Errors
/// If there is no such study.
pub(crate) fn study_and_search(
    store: &Store,
    what: Option<&str>,
    search: Option<String>,
) -> Result<(Found, Option<String>), Failure> {
    match (unfinished::find(store, what), what, search) {
        (Err(error @ StudyError::Unknown { .. }), Some(what), None) => {
            let latest = unfinished::find(store, None)?;
            let is_search = latest.study.searches().any(|search| search == what);
            if is_search { Ok((latest, Some(what.to_owned()))) } else { Err(error.into()) }
        }
        (found, _, search) => Ok((found?, search)),
    }
}

/// Returns the trials of the search called `name`, or of the only search. `all` are sorted by search.
///
/// # Errors
/// If there is no search, no such one, or several and no name. The hint lists them.
pub(crate) fn search<'a>(all: &'a [TrialRow], name: Option<&str>) -> Result<&'a [TrialRow], Failure> {
    let searches: Vec<_> = all.chunk_by(|a, b| a.search == b.search).collect();
    match (searches.as_slice(), name) {
        ([], _) => Err(Failure::usage("the study has no search")),
        ([only], None) => Ok(only),
        (some, None) => Err(Failure::usage("the study has several searches")
            .hint(format!("name one with `--search`: {}", names(some.iter().map(|trials| trials[0].search.as_str()))))),
        (some, Some(name)) => some
            .iter()
            .find(|trials| trials[0].search == name)
            .copied()
            .ok_or_else(|| no_search(name, some.iter().map(|trials| trials[0].search.as_str()))),
    }
}

/// Returns the failure for a name of no search of the study, which has the searches `known`.
pub(crate) fn no_search<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Failure {
    Failure::usage(format!("the study has no search `{name}`")).hint(format!("it has {}", names(known)))
}

fn names<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Returns the training that `text` names: a node with a network.
///
/// # Errors
/// If there is no such node, or it is none that trains. What is suggested are trainings only.
pub(crate) fn training<'s>(study: &'s Study, text: &str) -> Result<&'s str, Failure> {
    let trains = |name: &&str| study.nodes.get(*name).is_some_and(|node| node.is(StageName::Train));
    let all: Vec<&str> = study.nodes.keys().map(String::as_str).filter(trains).collect();
    match study.resolve(text) {
        Ok(name) if trains(&name) => Ok(name),
        Ok(name) => {
            Err(Failure::usage(format!("`{name}` is not a training: it has no network")).hint(listed(study, &all)))
        }
        Err(NameError::Unknown { candidates, .. }) => {
            let meant: Vec<_> = candidates.iter().map(String::as_str).filter(trains).collect();
            Err(Failure::usage(format!("there is no node `{text}` in this study")).hint(match meant.as_slice() {
                [] => listed(study, &all),
                some => format!("did you mean {}?", one_of(some.iter().copied())),
            }))
        }
        Err(ambiguous) => Err(ambiguous.into()),
    }
}

/// Returns a hint that lists trainings, those that are no trials first.
fn listed(study: &Study, all: &[&str]) -> String {
    let mut all: Vec<&str> = all.to_vec();
    // Stable: trainings stay sorted by name.
    all.sort_by_key(|name| study.trial_of(name).is_some());
    let more = all.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    match all.as_slice() {
        [] => "the study has no training that is done".to_owned(),
        some => format!("trainings are {}{more}", names(some.iter().copied().take(SHOWN))),
    }
}
