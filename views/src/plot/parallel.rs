//! Parallel coordinates: a line per trial through its hyperparameters to its objective.

use maud::html;

use super::{
    svg::{Picture, polyline, px, shortened},
    table::{PlottedColumn, Table},
};
use crate::text::significant;

const LEFT: f64 = 60.0;
const RIGHT: f64 = 60.0;
const TOP: f64 = 66.0;
const PLOT: f64 = 300.0;
const WIDTH: f64 = 900.0;

/// Returns a picture of `columns`, with the objective as the last axis.
pub(super) fn draw(table: &Table, columns: &[PlottedColumn]) -> Picture {
    let axes: Vec<&PlottedColumn> = columns.iter().chain([&table.objective]).collect();
    let step = (WIDTH - LEFT - RIGHT) / (axes.len() - 1).max(1) as f64;
    let x = |at: usize| LEFT + step * at as f64;
    let y = |place: f64| TOP + PLOT * (1.0 - place);
    let best = table.best();
    let goodness = |row: usize| {
        let share = table.objective.number(row).map(|number| table.objective.axis.share(number))?;
        Some(if table.rises { share } else { 1.0 - share })
    };
    let mut order: Vec<usize> =
        (0..table.rows.len()).filter(|row| goodness(*row).is_some() && Some(*row) != best).collect();
    // Better trials are drawn on top.
    order.sort_by(|a, b| goodness(*a).unwrap_or(0.0).total_cmp(&goodness(*b).unwrap_or(0.0)));
    let line =
        |row: usize| polyline(axes.iter().enumerate().filter_map(|(at, column)| Some((x(at), y(column.at(row)?)))));
    let trial = |row: usize| format!("{}/{}", table.rows[row].search, table.rows[row].index);
    let letters = (step / 6.3) as usize;
    let body = html! {
        @for row in order {
            @let ramp = (goodness(row).unwrap_or(0.0) * 5.0).clamp(0.0, 4.0) as usize;
            path class=(format!("way r{ramp}")) data-trial=(trial(row)) d=(line(row)) {}
        }
        @if let Some(row) = best { path.way.best data-trial=(trial(row)) d=(line(row)) {} }
        @for (at, column) in axes.iter().enumerate() {
            line.frame.across data-name=(column.name) x1=(px(x(at))) x2=(px(x(at))) y1=(px(TOP)) y2=(px(TOP + PLOT)) {}
            @for (place, text) in &column.axis.ticks {
                line.frame x1=(px(x(at) - 4.0)) x2=(px(x(at))) y1=(px(y(*place))) y2=(px(y(*place))) {}
                text.small.halo x=(px(x(at) - 7.0)) y=(px(y(*place) + 4.0)) text-anchor="end" { (shortened(text, 9)) }
            }
            // Titles alternate between two heights, to have room.
            @let title = shortened(&column.name, 2 * letters - 1);
            @let half = 3.5 * title.chars().count() as f64;
            text.axis x=(px(x(at).clamp(half + 2.0, (WIDTH - half - 2.0).max(half + 2.0)))) text-anchor="middle"
                y=(px(if at % 2 == 0 { TOP - 30.0 } else { TOP - 12.0 })) { (title) }
        }
        path.way.best d=(format!("M8 12H44")) {}
        text x="50" y="16" { "the best trial" }
        @for i in 0..5 {
            path class=(format!("way r{i}")) d=(format!("M{} 12h36", px(170.0 + 42.0 * i as f64))) {}
        }
        text x="388" y="16" { "from worst to best: " (ends(table)) }
    };
    let title = format!("Parallel coordinates of {} hyperparameters and {}", columns.len(), table.objective.name);
    let note = "Better trials have stronger lines. Trials without a result are not drawn.".to_owned();
    Picture { title, width: WIDTH, height: TOP + PLOT + 16.0, body, note }
}

fn ends(table: &Table) -> String {
    let numbers = || (0..table.rows.len()).filter_map(|row| table.objective.number(row));
    let (low, high) = (numbers().fold(f64::INFINITY, f64::min), numbers().fold(f64::NEG_INFINITY, f64::max));
    let (worst, best) = if table.rises { (low, high) } else { (high, low) };
    format!("{} {} to {}", table.objective.name, significant(worst, 4), significant(best, 4))
}
