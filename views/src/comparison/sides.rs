//! The two studies of a page, and what they have in common.

use pipe_engine::study::Found;

use crate::{diff::Diff, report::page::Page};

/// What is compared.
pub(super) struct Comparison<'a> {
    /// A and B.
    pub(super) sides: [Page<'a>; 2],
    pub(super) diff: Diff,
}

/// Returns the name of a study.
pub(super) fn name(found: &Found) -> &str {
    found.name.as_deref().unwrap_or("study")
}

/// Returns what each study has by name, in pairs: what has equal names in the order of A, then what only B has. If each study has one
/// thing, these are a pair whatever their names.
pub(super) fn pairs<T>([of_a, of_b]: [Vec<(String, T)>; 2]) -> Vec<Paired<T>> {
    let is_single = of_a.len() == 1 && of_b.len() == 1;
    let mut left: Vec<Option<(String, T)>> = of_b.into_iter().map(Some).collect();
    let mut pairs = Vec::new();
    for (name, a) in of_a {
        let is_same =
            |other: &&mut Option<(String, T)>| other.as_ref().is_some_and(|(other, _)| *other == name || is_single);
        let b = left.iter_mut().find(is_same).and_then(Option::take);
        let title = match &b {
            Some((other, _)) if *other != name => format!("{name} and {other}"),
            _ => name,
        };
        pairs.push(Paired { title, both: [Some(a), b.map(|(_, b)| b)] });
    }
    pairs.extend(left.into_iter().flatten().map(|(title, b)| Paired { title, both: [None, Some(b)] }));
    pairs
}

/// The same thing in A and in B.
pub(super) struct Paired<T> {
    pub(super) title: String,
    pub(super) both: [Option<T>; 2],
}
