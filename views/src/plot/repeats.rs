//! Repeated configurations, one per row: the value of each trial, their mean and its 95 % interval.

use maud::html;

use super::{
    axis::{ColumnAxis, Scaling},
    frame::Frame,
    svg::{Picture, px, shortened},
    table::Table,
};
use crate::{
    ViewError,
    text::{cell, significant},
    trials::label_names,
};

const LEFT: f64 = 300.0;
const WIDTH: f64 = 820.0;
const ROW: f64 = 24.0;
const TOP: f64 = 34.0;
/// The most configurations that are drawn.
const ROWS: usize = 40;

/// Quantiles of Student's t for a 95 % interval, by degrees of freedom from 1 (Abramowitz and Stegun, table 26.10).
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// A configuration with the objectives of its trials.
#[derive(Debug, Clone, PartialEq)]
struct Repeated {
    name: String,
    values: Vec<f64>,
    without_result: usize,
}

impl Repeated {
    fn mean(&self) -> f64 {
        self.values.iter().sum::<f64>() / self.values.len() as f64
    }

    /// Returns half the width of the 95 % interval of the mean, or None with fewer than two values.
    fn half_interval(&self) -> Option<f64> {
        let n = self.values.len();
        let freedom = n.checked_sub(1).filter(|freedom| *freedom > 0)?;
        let mean = self.mean();
        let variance = self.values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / freedom as f64;
        let t = T.get(freedom - 1).copied().unwrap_or(1.96);
        Some(t * (variance / n as f64).sqrt())
    }
}

/// Returns the picture, with the best mean at the top.
///
/// # Errors
/// If no configuration was tried more than once.
pub(super) fn draw(table: &Table) -> Result<Picture, ViewError> {
    let mut all = repeated(table);
    if all.is_empty() {
        return Err(ViewError::Nothing("no configuration was tried more than once".to_owned()));
    }
    let sign = if table.rises { -1.0 } else { 1.0 };
    all.sort_by(|a, b| (sign * a.mean()).total_cmp(&(sign * b.mean())));
    let left_out = all.len().saturating_sub(ROWS);
    all.truncate(ROWS);
    let ends = all.iter().flat_map(|one| {
        let half = one.half_interval().unwrap_or(0.0);
        one.values.iter().copied().chain([one.mean() - half, one.mean() + half])
    });
    // An interval of two values can be far wider than the range of all values. It is cut off at the border.
    let spread = (all.iter().flat_map(|one| &one.values))
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    let room = 0.5 * (spread.1 - spread.0);
    let values: Vec<serde_json::Value> = ends.map(|end| end.clamp(spread.0 - room, spread.1 + room).into()).collect();
    let axis = ColumnAxis::new(values.iter(), 6.0, Scaling::Linear)
        .ok_or_else(|| ViewError::Nothing("no trial has a result".to_owned()))?;
    let bottom = TOP + ROW * all.len() as f64;
    let frame = Frame { left: LEFT, right: WIDTH - 110.0, top: TOP, bottom };
    let x = |value: f64| axis.at(&value.into()).map_or(frame.left, |place| frame.x(place.clamp(0.0, 1.0)));
    let body = html! {
        circle.full cx="14" cy="12" r="4" {} text x="24" y="16" { "mean" }
        path.line.one d="M74 12h26M74 7v10M100 7v10" {} text x="108" y="16" { "95 % interval of the mean (Student's t)" }
        circle.mark.two cx="376" cy="12" r="3.5" {} text x="386" y="16" { "one trial" }
        @for (place, text) in &axis.ticks {
            line.grid x1=(px(frame.x(*place))) x2=(px(frame.x(*place))) y1=(px(TOP)) y2=(px(bottom)) {}
            text.small x=(px(frame.x(*place))) y=(px(bottom + 16.0)) text-anchor="middle" { (text) }
        }
        @for (i, one) in all.iter().enumerate() {
            @let y = TOP + ROW * (i as f64 + 0.5);
            text.small x=(px(LEFT - 10.0)) y=(px(y + 4.0)) text-anchor="end" { (shortened(&one.name, 48)) }
            @if let Some(half) = one.half_interval() {
                @let (from, to) = (x(one.mean() - half), x(one.mean() + half));
                path.line.one d=(format!("M{} {}H{}M{} {}v10M{} {}v10", px(from), px(y), px(to), px(from), px(y - 5.0), px(to), px(y - 5.0))) {}
            }
            @for value in &one.values { circle.mark.two cx=(px(x(*value))) cy=(px(y)) r="3.5" {} }
            circle.full cx=(px(x(one.mean()))) cy=(px(y)) r="4" {}
            text.small x=(px(frame.right + 10.0)) y=(px(y + 4.0)) {
                (significant(one.mean(), 4)) @if let Some(half) = one.half_interval() { " ± " (significant(half, 2)) }
                @if one.without_result > 0 { ", " (one.without_result) " failed" }
            }
        }
        line.frame x1=(px(frame.left)) x2=(px(frame.right)) y1=(px(bottom)) y2=(px(bottom)) {}
        (frame.x_title(&table.objective.title))
    };
    let title = format!("{} of repeated configurations", table.objective.name);
    let is_cut = |one: &Repeated| {
        let half = one.half_interval().unwrap_or(0.0);
        one.mean() - half < spread.0 - room || one.mean() + half > spread.1 + room
    };
    let mut note = String::new();
    if all.iter().any(is_cut) {
        note += "Intervals far wider than the values are cut off at the border; the numbers beside them are not. ";
    }
    if left_out > 0 {
        note += &format!("{left_out} configurations with a worse mean are not drawn.");
    }
    let note = note.trim().to_owned();
    Ok(Picture { title, width: WIDTH, height: bottom + 44.0, body, note })
}

/// Returns the configurations that were tried more than once, ordered by their first trials.
fn repeated(table: &Table) -> Vec<Repeated> {
    let rows = &table.rows;
    let varying: Vec<String> = label_names(rows)
        .into_iter()
        .filter(|label| rows.iter().any(|row| row.labels.get(label) != rows[0].labels.get(label)))
        .collect();
    let mut found: Vec<Repeated> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let is_first = !rows[..at].iter().any(|other| other.labels == row.labels);
        let same: Vec<usize> = (at..rows.len()).filter(|other| rows[*other].labels == row.labels).collect();
        if !is_first || same.len() < 2 {
            continue;
        }
        let values: Vec<f64> = same.iter().filter_map(|row| table.objective.number(*row)).collect();
        let part = |label: &String| format!("{label} {}", row.labels.get(label).map_or("none".to_owned(), cell));
        let name = varying.iter().map(part).collect::<Vec<_>>().join(", ");
        if !values.is_empty() {
            found.push(Repeated { name, without_result: same.len() - values.len(), values });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_students_t() {
        let one = Repeated { name: String::new(), values: vec![1.0, 3.0], without_result: 0 };
        // Mean 2, standard error 1, one degree of freedom.
        assert!((one.mean() - 2.0).abs() < 1e-12 && (one.half_interval().unwrap() - 12.706).abs() < 1e-9);
        let five = Repeated { values: vec![1.0, 2.0, 3.0, 4.0, 5.0], ..one.clone() };
        assert!((five.half_interval().unwrap() - 2.776 * (2.5_f64 / 5.0).sqrt()).abs() < 1e-9);
        assert_eq!(Repeated { values: vec![1.0], ..one }.half_interval(), None);
    }
}
