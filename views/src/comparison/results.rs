//! The results of both studies.

use maud::{Markup, html};

use super::sides::Comparison;
use crate::{
    ViewError,
    findings::{Evaluated, Findings, Measured, SearchFindings, Trained},
    text::{metric_value, percent, significant},
};

/// A figure of one study.
struct Figure {
    /// What it is: `accuracy of fine (test)`.
    what: String,
    metric: String,
    value: f64,
    /// What is known of it beside its value, such as its interval.
    note: String,
}

pub(super) fn section(comparison: &Comparison<'_>) -> Result<Markup, ViewError> {
    let [a, b] = &comparison.sides;
    let [a, b] = [figures(&Findings::of(a.store, a.found)?), figures(&Findings::of(b.store, b.found)?)];
    let rows = merged(&a, &b);
    Ok(html! {
        @if comparison.diff.is_same() {
            p { strong { "Nothing differs." } " Both are the same study: every input and every result is equal." }
        } @else if !comparison.diff.divergences.is_empty() {
            p.bad { strong { "Equal keys gave different results." } " What differs says of which nodes." }
        }
        @if rows.is_empty() {
            p { "Neither study has a result: no search, no training and no evaluation with outputs." }
        } @else {
            div.wide {
                table.sortable.results {
                    thead { tr { th { "result" } th.number { "A" } th.number { "B" } th.number { "B − A" } } }
                    tbody {
                        @for [a, b] in &rows {
                            @let what = a.or(*b).map_or("", |figure| &figure.what);
                            tr {
                                th scope="row" { (what) }
                                td.number { (cell(*a)) }
                                td.number { (cell(*b)) }
                                td.number { (difference(*a, *b)) }
                            }
                        }
                    }
                }
            }
        }
    })
}

fn cell(figure: Option<&Figure>) -> Markup {
    html! {
        @match figure {
            None => span.quiet { "none" },
            Some(figure) => {
                (metric_value(Some(&figure.metric), figure.value))
                @if !figure.note.is_empty() { div.note { (figure.note) } }
            }
        }
    }
}

/// Returns the second value minus the first. Of shares, in percentage points.
fn difference(a: Option<&Figure>, b: Option<&Figure>) -> String {
    let Some((a, b)) = a.zip(b).filter(|(a, b)| a.metric == b.metric) else { return String::new() };
    let difference = b.value - a.value;
    if !difference.is_finite() {
        return String::new();
    }
    if a.metric.contains("accuracy") { points(difference) } else { signed(difference, 3) }
}

/// Returns a difference of shares: `+4.80 points`.
pub(super) fn points(difference: f64) -> String {
    let points = 100.0 * difference;
    // A difference that is rounded to nothing has no sign.
    if points.abs() < 0.005 { "0.00 points".to_owned() } else { format!("{}{:.2} points", sign(points), points.abs()) }
}

/// Returns a difference with its sign.
pub(super) fn signed(difference: f64, digits: usize) -> String {
    format!("{}{}", sign(difference), significant(difference.abs(), digits))
}

fn sign(x: f64) -> &'static str {
    match x {
        x if x > 0.0 => "+",
        x if x < 0.0 => "−",
        _ => "",
    }
}

fn figures(findings: &Findings) -> Vec<Figure> {
    let searches = findings.searches.iter().filter_map(best);
    let trained = findings.trained.iter().map(|Trained { node, metric, value }| Figure {
        what: format!("{metric} of {node}"),
        metric: metric.clone(),
        value: value.0,
        note: String::new(),
    });
    let evaluated = findings.evaluations.iter().map(|found| {
        let Evaluated { node, split, head, accuracy, interval_95: [low, high], chance, images } = found;
        let interval = format!("95 % interval {:.2} to {}", 100.0 * low, percent(*high));
        Figure {
            what: format!("{split} accuracy of {head}, by {node}"),
            metric: "accuracy".to_owned(),
            value: *accuracy,
            note: format!("{interval}; chance {}; {images} images", percent(*chance)),
        }
    });
    let measured = findings.metrics.iter().flat_map(|Measured { node, metrics }| {
        metrics.iter().map(move |(metric, value)| Figure {
            what: format!("{metric} of {node}"),
            metric: metric.clone(),
            value: value.0,
            note: String::new(),
        })
    });
    searches.chain(trained).chain(evaluated).chain(measured).collect()
}

fn best(search: &SearchFindings) -> Option<Figure> {
    let best = search.best.as_ref()?;
    let trial = best.node.rsplit('/').next().unwrap_or_default().trim_start_matches('0');
    let trial = if trial.is_empty() { "0" } else { trial };
    Some(Figure {
        what: format!("best {} of {}", best.metric, search.search),
        metric: best.metric.clone(),
        value: best.value.0,
        note: format!("trial {trial}; {} of {} completed", search.completed, search.trials),
    })
}

/// Returns the figures of both studies, those of the same thing side by side.
fn merged<'a>(a: &'a [Figure], b: &'a [Figure]) -> Vec<[Option<&'a Figure>; 2]> {
    let of_a = a.iter().map(|one| [Some(one), b.iter().find(|other| other.what == one.what)]);
    let only_b = b.iter().filter(|other| a.iter().all(|one| one.what != other.what)).map(|other| [None, Some(other)]);
    of_a.chain(only_b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_a_sign_and_shares_are_points() {
        assert_eq!([0.048, -0.0301, 1e-9].map(points), ["+4.80 points", "−3.01 points", "0.00 points"]);
        assert_eq!([0.5, -1234.5, 0.0].map(|x| signed(x, 3)), ["+0.5", "−1234", "0"]);
    }
}
