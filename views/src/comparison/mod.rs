//! Two studies side by side as one self-contained HTML page: their results, what differs, and their curves and confusion matrices in
//! one picture each. In every picture, A is blue and solid, and B is orange and dashed.

mod curves;
mod evaluations;
mod inputs;
mod results;

use maud::{Markup, html};
use pipe_engine::study::Found;
use pipe_store::Store;

use crate::{
    ViewError,
    diff::{self, Diff},
    report::{
        document::{self, Head, Section},
        page::Page,
    },
    trials::table,
};

/// The generator of a page, as its head names it. The number goes up whenever the same studies give other bytes.
const GENERATOR: &str = "pipe diff 1";

/// What is compared.
struct Comparison<'a> {
    /// A and B.
    sides: [Page<'a>; 2],
    diff: Diff,
}

/// Returns two studies side by side. Equal studies with equal names give equal bytes.
///
/// # Errors
/// If an object that is shown cannot be read.
pub fn html<'a>(store: &'a Store, a: &'a Found, b: &'a Found) -> Result<String, ViewError> {
    let side = |found: &'a Found| {
        let Found { study, .. } = found;
        Ok::<_, ViewError>(Page { store, found, pipeline: study.read_pipeline(store)?, trials: table(store, study)? })
    };
    let comparison = Comparison { sides: [side(a)?, side(b)?], diff: diff::compare(store, &a.study, &b.study)? };
    let mut sections = vec![Section { id: "results", title: "Results", content: Some(results::section(&comparison)?) }];
    if !comparison.diff.is_same() {
        sections.extend([
            Section { id: "differences", title: "What differs", content: Some(inputs::section(&comparison)) },
            Section { id: "curves", title: "Learning curves", content: curves::trainings(&comparison)? },
            Section { id: "searches", title: "Searches", content: curves::searches(&comparison)? },
            Section { id: "evaluation", title: "Evaluation", content: evaluations::section(&comparison)? },
        ]);
    }
    let title = [a, b].map(|found| format!("{} {}", name(found), found.hash.short())).join(" and ");
    let header = html! {
        h1 { @if name(a) == name(b) { "Two studies of " (name(a)) } @else { (name(a)) " and " (name(b)) } }
        (side_of("A", a))
        (side_of("B", b))
    };
    Ok(document::write(&Head { generator: GENERATOR, title: &title, refreshes: false, header }, &sections))
}

fn name(found: &Found) -> &str {
    found.name.as_deref().unwrap_or("study")
}

/// Returns which study is called A or B, with the line that it has in charts.
fn side_of(letter: &str, found: &Found) -> Markup {
    html! {
        div.side {
            svg.chart width="30" height="12" aria-hidden="true" {
                line class=(if letter == "A" { "line one" } else { "line two" }) x1="0" x2="30" y1="6" y2="6" {}
            }
            b { (letter) } " " (name(found)) " " span.digest { (found.hash) }
            @if let Some(open) = &found.open { " " span.tag { @if open.running { "running" } @else { "stopped" } } }
        }
    }
}

/// Returns what each study has by name, in pairs: what has equal names in the order of A, then what only B has. If each study has one
/// thing, these are a pair whatever their names.
fn pairs<T>([of_a, of_b]: [Vec<(String, T)>; 2]) -> Vec<Paired<T>> {
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
struct Paired<T> {
    title: String,
    both: [Option<T>; 2],
}

#[cfg(test)]
mod tests;
