//! Histograms of a column, one for each level of another, after Blagg. They are stacked above a common axis, so that levels
//! differ in position and not only in colour.

use maud::html;
use serde_json::Value;

use super::{
    axis::round_step,
    frame::Frame,
    svg::{Picture, px, shortened},
    table::{PlottedColumn, Table},
};
use crate::text::{cell, counted, significant};

const LEFT: f64 = 150.0;
const WIDTH: f64 = 720.0;
const ROW: f64 = 62.0;
const TOP: f64 = 30.0;
/// The approximate number of bins.
const BINS: f64 = 20.0;
/// The most histograms. With more levels, numbers are put into quarters.
const ROWS: usize = 12;

/// Returns the histograms of `x`, one for each level of `by`.
pub(super) fn draw(table: &Table, x: &PlottedColumn, by: &PlottedColumn) -> Picture {
    let numbers: Vec<Option<f64>> = (0..table.rows.len()).map(|row| x.number(row)).collect();
    let low = numbers.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let high = numbers.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    let step = round_step(((high - low) / BINS).max(f64::MIN_POSITIVE * 1e20).max(high.abs() * 1e-9));
    let first = (low / step).floor();
    let n_bins = ((high / step).floor() - first) as usize + 1;
    let bin = |number: f64| (((number / step).floor() - first) as usize).min(n_bins - 1);
    let (levels, level_of) = levels(table, by);
    let mut counts = vec![vec![0_usize; n_bins]; levels.len()];
    for (row, number) in numbers.iter().enumerate() {
        if let (Some(number), Some(level)) = (number, level_of[row]) {
            counts[level][bin(*number)] += 1;
        }
    }
    let most = counts.iter().flatten().copied().max().unwrap_or(1).max(1);
    let bottom = TOP + ROW * levels.len() as f64;
    let frame = Frame { left: LEFT, right: WIDTH - 16.0, top: TOP, bottom };
    let place = |edge: usize| frame.x(edge as f64 / n_bins as f64);
    let every = (n_bins as f64 / 8.0).ceil() as usize;
    let body = html! {
        text.axis x="8" y="14" { (by.title) }
        text x=(px(frame.right)) y="14" text-anchor="end" { "highest bar: " (counted(most, "trial")) }
        @for (level, name) in levels.iter().enumerate() {
            @let base = TOP + ROW * (level + 1) as f64 - 6.0;
            @let n: usize = counts[level].iter().sum();
            text.strong x="8" y=(px(base - 22.0)) { (shortened(name, 20)) }
            text.small x="8" y=(px(base - 7.0)) { (counted(n, "trial")) (mean(&numbers, &level_of, level)) }
            line.grid x1=(px(frame.left)) x2=(px(frame.right)) y1=(px(base)) y2=(px(base)) {}
            @for (at, count) in counts[level].iter().enumerate().filter(|(_, count)| **count > 0) {
                @let height = (ROW - 14.0) * *count as f64 / most as f64;
                rect class=(format!("kind k{}", level % 8)) x=(px(place(at) + 0.75)) width=(px(place(at + 1) - place(at) - 1.5))
                    y=(px(base - height)) height=(px(height)) {}
            }
        }
        line.frame x1=(px(frame.left)) x2=(px(frame.right)) y1=(px(bottom)) y2=(px(bottom)) {}
        @for edge in (0..=n_bins).step_by(every.max(1)) {
            line.frame x1=(px(place(edge))) x2=(px(place(edge))) y1=(px(bottom)) y2=(px(bottom + 4.0)) {}
            text.small x=(px(place(edge))) y=(px(bottom + 16.0)) text-anchor="middle" { (significant((first + edge as f64) * step, 4)) }
        }
        (frame.x_title(&x.title))
    };
    let title = format!("Histograms of {} by {}", x.name, by.name);
    Picture { title, width: WIDTH, height: bottom + 44.0, body, note: String::new() }
}

fn mean(numbers: &[Option<f64>], level_of: &[Option<usize>], level: usize) -> String {
    let of_level: Vec<f64> =
        numbers.iter().zip(level_of).filter(|(_, of)| **of == Some(level)).filter_map(|(number, _)| *number).collect();
    if of_level.is_empty() {
        return String::new();
    }
    format!(", mean {}", significant(of_level.iter().sum::<f64>() / of_level.len() as f64, 3))
}

/// Returns the levels of a column, and the level of each trial. If there are more than [`ROWS`], the axis is divided into
/// four levels of equal length.
fn levels(table: &Table, by: &PlottedColumn) -> (Vec<String>, Vec<Option<usize>>) {
    let order = |row: usize| by.at(row);
    let mut present: Vec<(f64, String)> =
        (0..table.rows.len()).filter_map(|row| Some((order(row)?, cell(by.values[row].as_ref()?)))).collect();
    present.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    present.dedup();
    if present.len() <= ROWS {
        let names: Vec<String> = present.into_iter().map(|(_, name)| name).collect();
        let of = |value: &Option<Value>| names.iter().position(|name| value.as_ref().is_some_and(|v| cell(v) == *name));
        let level_of = by.values.iter().map(of).collect();
        return (names, level_of);
    }
    const QUARTERS: usize = 4;
    let (low, high) = (present[0].0, present[present.len() - 1].0);
    let level = |row: usize| Some((((order(row)? - low) / (high - low) * QUARTERS as f64) as usize).min(QUARTERS - 1));
    let edge = |i: usize| by.axis.value_at(low + (high - low) * i as f64 / QUARTERS as f64).unwrap_or(f64::NAN);
    let name = |i: usize| format!("{} – {}", significant(edge(i), 3), significant(edge(i + 1), 3));
    ((0..QUARTERS).map(name).collect(), (0..table.rows.len()).map(level).collect())
}
