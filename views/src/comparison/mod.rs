//! Two studies side by side as one self-contained HTML page: their results, what differs, and their curves and confusion matrices in
//! one picture each. In every picture, A is blue and solid, and B is orange and dashed.

mod curves;
mod evaluations;
mod inputs;
mod results;
mod sides;

use maud::{Markup, html};
use pipe_engine::study::Found;
use pipe_store::Store;

use self::sides::{Comparison, name};
use crate::{
    ViewError, diff,
    report::{
        document::{self, Head, Section},
        page::Page,
    },
    trials::table,
};

/// The generator of a page, as its head names it. The number goes up whenever the same studies give other bytes.
const GENERATOR: &str = "pipe diff 1";

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

#[cfg(test)]
mod tests;
