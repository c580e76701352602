//! How nodes are called, and which one a user means.

use pipe_stages::{
    StageName,
    words::{closest, one_of},
};

/// Returns the name of the node that does `stage` for trial `number` of `search`: `search/train/003`.
pub fn trial_node(search: &str, stage: StageName, number: u32) -> String {
    format!("{search}/{stage}/{number:03}")
}

/// Returns the number of the trial of `search` that `name` is the node of, as [`trial_node`] gave it.
pub fn trial_number(name: &str, search: &str, stage: StageName) -> Option<u32> {
    let rest = name.strip_prefix(search)?.strip_prefix('/')?.strip_prefix(stage.as_str())?;
    rest.strip_prefix('/')?.parse().ok()
}

/// Returns the name of the node that selects the best trial of `search`.
pub fn selection_node(search: &str) -> String {
    format!("{search}/{}", StageName::Select)
}

/// Why a text names no node.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is no such node.
    #[error("there is no node `{text}` in this study{}", did_you_mean(.candidates))]
    Unknown {
        /// What the user wrote.
        text: String,
        /// What may be meant.
        candidates: Vec<String>,
    },
    /// Several nodes end so.
    #[error("`{text}` can be {}", one_of(.candidates.iter().map(String::as_str)))]
    Ambiguous {
        /// What the user wrote.
        text: String,
        /// The first of these nodes.
        candidates: Vec<String>,
    },
}

fn did_you_mean(candidates: &[String]) -> String {
    match candidates {
        [] => String::new(),
        some => format!(": did you mean {}?", one_of(some.iter().map(String::as_str))),
    }
}

/// How many nodes an error names.
pub(crate) const SHOWN: usize = 5;

/// Returns the one of `names` that `text` means: a full name, or the end of one from a `/` on if only one ends so. Numbers may
/// be written without their zeros: `train/7` is `search/train/007`.
///
/// # Errors
/// If there is no such name, with the closest one; if there are several, with the first of them.
pub fn resolve<'a>(names: impl Iterator<Item = &'a str> + Clone, text: &str) -> Result<&'a str, NameError> {
    if let Some(name) = names.clone().find(|name| *name == text) {
        return Ok(name);
    }
    let wanted = parts(text);
    let ends_so: Vec<_> = names.clone().filter(|name| parts(name).ends_with(&wanted)).collect();
    // A full name wins over the end of another.
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

/// Returns the parts of a node's name; numbers without zeros in front.
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
    fn a_node_is_meant_by_its_name_or_its_end() {
        check("search/train/000", Ok("search/train/000"));
        check("search/train/0", Ok("search/train/000"));
        check("train/001", Ok("search/train/001"));
        check("train/1", Ok("search/train/001"));
        check("select", Ok("search/select"));
        // A whole name, and the end of two others.
        check("train/0", Ok("train/000"));
    }

    #[test]
    fn what_is_no_node_or_several_is_refused_with_names() {
        check("propose/0", Err("`propose/0` can be `search/propose/000` or `second/propose/000`"));
        check("trian/001", Err("there is no node `trian/001` in this study: did you mean `train/001`?"));
        check("elsewhere", Err("there is no node `elsewhere` in this study"));
        check("", Err("there is no node `` in this study"));
    }

    #[test]
    fn the_node_of_a_trial_says_its_number() {
        assert_eq!(trial_node("search", StageName::Train, 7), "search/train/007");
        for number in [0, 999, 1000] {
            let name = trial_node("search", StageName::Promote, number);
            assert_eq!(trial_number(&name, "search", StageName::Promote), Some(number));
        }
        assert_eq!(trial_number("search/select", "search", StageName::Select), None);
        assert_eq!(trial_number("searches/train/007", "search", StageName::Train), None);
    }
}
