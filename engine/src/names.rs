//! Finds the node that a user means.

use pipe_stages::words::{closest, one_of};

use crate::study::Study;

/// Why a text names no node.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// The study has no such node.
    #[error("there is no node `{text}` in this study{}", did_you_mean(.candidates))]
    Unknown {
        /// What the user wrote.
        text: String,
        /// Nodes that may be meant.
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
const SHOWN: usize = 5;

/// Returns the name of the node that `text` means: a full name, or the end of one from a `/` on if only one ends so.
/// Numbers may be written without their zeros: `train/7` is `search/train/007`.
///
/// # Errors
/// If there is no such node, with the closest name; if there are several, with their names.
pub fn resolve<'a>(study: &'a Study, text: &str) -> Result<&'a str, NameError> {
    if let Some((name, _)) = study.nodes.get_key_value(text) {
        return Ok(name);
    }
    let wanted = parts(text);
    let ends_so: Vec<_> = study.nodes.keys().filter(|name| parts(name).ends_with(&wanted)).collect();
    // A full name wins over the end of another.
    if let Some(exact) = ends_so.iter().find(|name| parts(name).len() == wanted.len()) {
        return Ok(exact);
    }
    let first = |names: &[&String]| names.iter().take(SHOWN).map(ToString::to_string).collect();
    match ends_so.as_slice() {
        [name] => Ok(name),
        [] => Err(NameError::Unknown { text: text.to_owned(), candidates: meant(study, text) }),
        several => Err(NameError::Ambiguous { text: text.to_owned(), candidates: first(several) }),
    }
}

/// Returns the parts of a node's name; numbers without zeros in front.
pub fn parts(name: &str) -> Vec<&str> {
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

/// Returns the nodes of the stage that was named instead of a node, or the node whose name or end is closest.
fn meant(study: &Study, text: &str) -> Vec<String> {
    let of_stage: Vec<_> = study.part(text).map(|(name, _)| name.to_owned()).take(SHOWN).collect();
    if !of_stage.is_empty() {
        return of_stage;
    }
    let tails = study.nodes.keys().flat_map(|name| {
        let tails = name.match_indices('/').map(|(at, _)| &name[at + 1..]);
        std::iter::once(name.as_str()).chain(tails.filter(|tail| tail.contains('/')))
    });
    closest(text, tails).map(str::to_owned).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pipe_store::Digest;

    use super::*;
    use crate::study::{Outcome, StudyNode};

    fn check(text: &str, expected: Result<&str, &str>) {
        let names = ["propose/000", "propose/001", "train/000", "train/001", "select"].map(|end| ("search", end));
        let second = ["propose/000", "train/000", "select"].map(|end| ("second", end));
        let node = |(part_of, end): &(&str, &str)| {
            let kind = end.split('/').next().unwrap_or(end);
            let outcome = Outcome::Tree(Digest::of(b"tree"));
            let node = StudyNode { action: None, outcome, part_of: (*part_of).to_owned(), stage: kind.to_owned() };
            (format!("{part_of}/{end}"), node)
        };
        let nodes: BTreeMap<_, _> = names.iter().chain(&second).map(node).collect();
        let study = Study::new(Digest::of(b"pipeline"), Vec::new(), nodes);
        assert_eq!(resolve(&study, text).map_err(|error| error.to_string()), expected.map_err(str::to_owned));
    }

    #[test]
    fn a_node_is_meant_by_its_name_or_its_end() {
        check("search/train/000", Ok("search/train/000"));
        check("search/train/0", Ok("search/train/000"));
        check("train/001", Ok("search/train/001"));
        check("train/1", Ok("search/train/001"));
    }

    #[test]
    fn what_is_no_node_or_several_is_refused_with_names() {
        check("train/0", Err("`train/0` can be `search/train/000` or `second/train/000`"));
        check("trian/001", Err("there is no node `trian/001` in this study: did you mean `train/001`?"));
        check("elsewhere", Err("there is no node `elsewhere` in this study"));
        let nodes = "`second/propose/000`, `second/select` or `second/train/000`";
        check("second", Err(&format!("there is no node `second` in this study: did you mean {nodes}?")));
        check("", Err("there is no node `` in this study"));
    }
}
