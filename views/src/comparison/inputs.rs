//! What differs, as `pipe diff` says it: inputs, hyperparameters of the best trials, and outputs.

use maud::{Markup, html};
use pipe_engine::leaves::Change;
use serde_json::Value;

use super::{Comparison, name};
use crate::{
    diff::{self, BestChange, Cause, Follow},
    notation,
    text::{significant, works},
};

/// The most rows of a table.
const ROWS: usize = 200;

pub(super) fn section(comparison: &Comparison<'_>) -> Markup {
    let diff = &comparison.diff;
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
        @for best in diff.answer.best.iter().filter(|best| !best.labels.is_empty()) { (hyperparameters(best)) }
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
                @if at == 0 { td.value rowspan=(n) { (follows(&cause.follows)) } }
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

/// Returns the hyperparameters in which the best trials differ.
fn hyperparameters(best: &BestChange) -> Markup {
    let trial = |trial: Option<u64>, loss: Option<pipe_stages::params::Float>| match trial {
        Some(trial) => format!("trial {trial}, loss {}", loss.map_or_else(String::new, |loss| significant(loss.0, 5))),
        None => "none".to_owned(),
    };
    html! {
        h3 { "Best trial of " (best.search) }
        div.wide style="max-width: 46rem" {
            table {
                thead {
                    tr {
                        th { "hyperparameter" }
                        th { "A: " (trial(best.old_trial, best.old_loss)) }
                        th { "B: " (trial(best.new_trial, best.new_loss)) }
                    }
                }
                tbody {
                    @for change in &best.labels { tr { th scope="row" { (change.path) } (values(change, "inactive")) } }
                }
            }
        }
    }
}
