//! What differs, as `pipe diff` says it: inputs, hyperparameters of the best trials, and outputs.

use std::collections::BTreeSet;

use maud::{Markup, html};
use pipe_engine::leaves::Change;
use serde_json::Value;

use super::sides::{Comparison, Paired, name, pairs};
use crate::{
    diff::{self, Cause, Follow},
    notation,
    plot::history::{metric, objective},
    report::page::Page,
    text::{cell, metric_value, works},
    trials::TrialRow,
};

/// The most rows of a table.
const ROWS: usize = 200;

pub(super) fn section<'a>(comparison: &'a Comparison<'_>) -> Markup {
    let diff = &comparison.diff;
    let [a, b] = &comparison.sides;
    let best =
        |page: &'a Page<'_>| page.trials.iter().filter(|row| row.best).map(|row| (row.search.clone(), row)).collect();
    let names = ["A", "B"].into_iter().zip(comparison.sides.iter().map(|side| side.found));
    let names: Vec<String> =
        names.map(|(letter, found)| format!("{letter}: {} {}", name(found), found.hash.short())).collect();
    let selected = |names: &[String]| if names.is_empty() { "everything".to_owned() } else { names.join(", ") };
    html! {
        @if diff.question.causes.is_empty() && diff.question.selection.is_none() {
            p { "All inputs that a pipeline has are equal." }
        } @else {
            div.wide {
                table {
                    thead { tr { th { "input" } th { "A" } th { "B" } th { "changes" } } }
                    tbody {
                        @for cause in &diff.question.causes { (rows(cause)) }
                        @if let Some([a, b]) = &diff.question.selection {
                            tr { th scope="row" { "what was run" } td.value { (selected(a)) } td.value { (selected(b)) } td {} }
                        }
                    }
                }
            }
        }
        @for Paired { title, both } in pairs([best(a), best(b)]) {
            @if let Some(table) = hyperparameters(&title, both) { (table) }
        }
        details {
            summary { "Everything, as " code { "pipe diff" } " says it" }
            pre { (diff::render(diff, [&names[0], &names[1]])) }
        }
    }
}

/// Returns a row for each change. What follows from all of them is told once.
fn rows(cause: &Cause) -> Markup {
    let n = cause.changes.len().min(ROWS);
    html! {
        @for (at, change) in cause.changes.iter().take(ROWS).enumerate() {
            tr {
                @let absent = if cause.stage.as_ref() == Some(&change.path) || change.path.ends_with(']') { "absent" } else { "default" };
                @if let Some(files) = cause.folders.get(&change.path) {
                    th scope="row" { (change.path.trim_end_matches(".listing")) }
                    td.value colspan="2" { (files) }
                } @else {
                    th scope="row" { (change.path) }
                    (values(change, absent))
                }
                @if at == 0 { td.follows rowspan=(n) { (follows(&cause.follows)) } }
            }
        }
        @if cause.changes.len() > ROWS {
            tr { td.quiet colspan="4" { "and " (cause.changes.len() - ROWS) " more" } }
        }
    }
}

fn values(change: &Change, absent: &str) -> Markup {
    let show = |value: &Option<Value>| value.as_ref().map_or_else(|| absent.to_owned(), notation::line);
    html! { td.value { (show(&change.old)) } td.value { (show(&change.new)) } }
}

/// Returns the nodes that other actions have, by stage.
fn follows(follows: &[Follow]) -> String {
    let counts = |follow: &Follow| {
        let counts = [(follow.changed, ""), (follow.removed, " only in A"), (follow.added, " only in B")];
        let counts = counts.into_iter().filter(|(n, _)| *n > 0);
        counts.map(|(n, suffix)| format!("{}{suffix}", works(&follow.stage, n))).collect::<Vec<_>>().join(", ")
    };
    let parts = follows.chunk_by(|a, b| a.part_of == b.part_of);
    let part =
        |part: &[Follow]| format!("{}: {}", part[0].part_of, part.iter().map(counts).collect::<Vec<_>>().join(", "));
    parts.map(part).collect::<Vec<_>>().join("; ")
}

/// Returns the hyperparameters in which the best trials of two searches differ.
fn hyperparameters(search: &str, best: [Option<&TrialRow>; 2]) -> Option<Markup> {
    let value = |row: Option<&TrialRow>, label: &str| match row.map(|row| row.labels.get(label)) {
        Some(Some(value)) => cell(value),
        Some(None) => "inactive".to_owned(),
        None => String::new(),
    };
    let labels: BTreeSet<&String> = best.iter().flatten().flat_map(|row| row.labels.keys()).collect();
    let differ: Vec<(&String, [String; 2])> = labels
        .into_iter()
        .map(|label| (label, best.map(|row| value(row, label))))
        .filter(|(_, [a, b])| a != b)
        .collect();
    let name = |row: Option<&TrialRow>| {
        let Some(row) = row else { return "none".to_owned() };
        let metric = metric(std::slice::from_ref(row));
        format!("trial {}, {}", row.index, metric_value(metric, objective(row, metric)))
    };
    (!differ.is_empty()).then(|| {
        html! {
            h3 { "Best trial of " (search) ": hyperparameters that differ" }
            div.wide style="max-width: 46rem" {
                table {
                    thead { tr { th { "hyperparameter" } th { "A: " (name(best[0])) } th { "B: " (name(best[1])) } } }
                    tbody {
                        @for (label, values) in &differ {
                            tr { th scope="row" { (label) } @for value in values { td.value { (value) } } }
                        }
                    }
                }
            }
        }
    })
}
