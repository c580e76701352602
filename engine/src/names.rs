//! The names of nodes, and which node a user means.

use pipe_stages::{
    StageName,
    words::{closest, one_of},
};

/// Returns the name of the node that executes `stage` for trial `number` of `search`: `search/train/003`.
pub fn trial_node(search: &str, stage: StageName, number: u32) -> String {
    format!("{search}/{stage}/{number:03}")
}

/// Returns the number of the trial in `name`, if [`trial_node`] made the name for this `search` and `stage`.
pub fn trial_number(name: &str, search: &str, stage: StageName) -> Option<u32> {
    let rest = name.strip_prefix(search)?.strip_prefix('/')?.strip_prefix(stage.as_str())?;
    rest.strip_prefix('/')?.parse().ok()
}

/// Returns the name of the node that selects the best trial of `search`.
pub fn selection_node(search: &str) -> String {
    format!("{search}/{}", StageName::Select)
}

/// Returns the name of the node that lists the trials that `search` knows from an earlier study.
pub fn known_node(search: &str) -> String {
    format!("{search}/{}", StageName::Known)
}

/// Returns whether the stage called `stage` is one of those that `group` names together: `fold/0` is in the group `fold`.
pub fn is_in_group(stage: &str, group: &str) -> bool {
    stage.strip_prefix(group).is_some_and(|rest| rest.starts_with('/')) && !group.is_empty()
}

/// Why a text does not name exactly one node.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No node has this name.
    #[error("there is no node `{text}` in this study{}", did_you_mean(.candidates))]
    Unknown {
        /// What the user wrote.
        text: String,
        /// The names that may be meant.
        candidates: Vec<String>,
    },
    /// The names of several nodes end in the text.
    #[error("`{text}` can be {}", one_of(.candidates.iter().map(String::as_str)))]
    Ambiguous {
        /// What the user wrote.
        text: String,
        /// The names of the first of these nodes.
        candidates: Vec<String>,
    },
}

fn did_you_mean(candidates: &[String]) -> String {
    match candidates {
        [] => String::new(),
        some => format!(": did you mean {}?", one_of(some.iter().map(String::as_str))),
    }
}

/// The most nodes that an error names.
pub(crate) const SHOWN: usize = 5;

/// Returns the name in `names` that `text` means: a full name, or whole parts at the end of exactly one name. Numbers may
/// be written without leading zeros: `train/7` is `search/train/007`.
///
/// # Errors
/// If there is no such name, or several.
pub fn resolve<'a>(names: impl Iterator<Item = &'a str> + Clone, text: &str) -> Result<&'a str, NameError> {
    if let Some(name) = names.clone().find(|name| *name == text) {
        return Ok(name);
    }
    let wanted = parts(text);
    let ends_so: Vec<_> = names.clone().filter(|name| parts(name).ends_with(&wanted)).collect();
    // A full name takes precedence over the end of another.
    if let Some(whole) = ends_so.iter().find(|name| parts(name).len() == wanted.len()) {
        return Ok(whole);
    }
    let text = text.to_owned();
    let owned = |name: &&str| (*name).to_owned();
    match ends_so.as_slice() {
        [name] => Ok(name),
        [] => {
            let tails = names.flat_map(|name| {
                let tails = name.match_indices('/').map(|(at, _)| &name[at + 1..]);
                std::iter::once(name).chain(tails.filter(|tail| tail.contains('/')))
            });
            Err(NameError::Unknown { candidates: closest(&text, tails).iter().map(owned).collect(), text })
        }
        several => Err(NameError::Ambiguous { text, candidates: several.iter().take(SHOWN).map(owned).collect() }),
    }
}

/// Returns the parts of a node's name, numbers without leading zeros.
fn parts(name: &str) -> Vec<&str> {
    name.split('/')
        .map(|part| if part.bytes().all(|b| b.is_ascii_digit()) { significant(part) } else { part })
        .collect()
}

fn significant(digits: &str) -> &str {
    match digits.trim_start_matches('0') {
        "" if !digits.is_empty() => "0",
        rest => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 9] = [
        "data",
        "search/propose/000",
        "search/propose/001",
        "search/train/000",
        "search/train/001",
        "search/select",
        "second/propose/000",
        "second/train/000",
        "train/000",
    ];

    fn check(text: &str, expected: Result<&str, &str>) {
        let found = resolve(NAMES.into_iter(), text).map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn a_node_can_be_named_by_the_end_of_its_name() {
        check("search/train/000", Ok("search/train/000"));
        check("search/train/0", Ok("search/train/000"));
        check("train/001", Ok("search/train/001"));
        check("train/1", Ok("search/train/001"));
        check("select", Ok("search/select"));
        // The full name takes precedence over the two names that end in it.
        check("train/0", Ok("train/000"));
    }

    #[test]
    fn an_unknown_or_ambiguous_name_is_refused_with_suggestions() {
        check("propose/0", Err("`propose/0` can be `search/propose/000` or `second/propose/000`"));
        check("trian/001", Err("there is no node `trian/001` in this study: did you mean `train/001`?"));
        check("elsewhere", Err("there is no node `elsewhere` in this study"));
        check("", Err("there is no node `` in this study"));
    }

    #[test]
    fn the_name_of_a_trials_node_holds_its_number() {
        assert_eq!(trial_node("search", StageName::Train, 7), "search/train/007");
        for number in [0, 999, 1000] {
            let name = trial_node("search", StageName::Promote, number);
            assert_eq!(trial_number(&name, "search", StageName::Promote), Some(number));
        }
        assert_eq!(trial_number("search/select", "search", StageName::Select), None);
        assert_eq!(trial_number("searches/train/007", "search", StageName::Train), None);
    }
}
