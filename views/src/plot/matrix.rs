//! A matrix of classes: a row for each class, a column for each prediction.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::svg::{Picture, px, shortened};

/// The most cells with a tooltip, so that a page stays small. The others are drawn as one shape.
pub(super) const TOLD: usize = 1_500;
/// The upper ends of the steps of the shading.
pub(super) const STEPS: [f64; 6] = [0.02, 0.05, 0.1, 0.2, 0.4, 1.0];
/// The most letters of the name of a class.
const LETTERS: usize = 24;
const EDGE: f64 = 8.0;
/// The height of the legend with the space below it.
const LEGEND: f64 = 30.0;

/// The classes of a matrix in their order, and the sizes that follow from their number.
pub(super) struct Matrix {
    names: Vec<String>,
    /// The side of a cell.
    pub(super) side: f64,
    /// Whether cells have room for their counts.
    pub(super) has_counts: bool,
    /// The class of the names, and the width of a letter.
    letters: (&'static str, f64),
}

/// A cell that is not empty. Equal styles have equal colours.
pub(super) struct Cell {
    pub(super) row: usize,
    pub(super) column: usize,
    /// The step of its shading, and whether it has the first of the two colours.
    pub(super) style: (usize, bool),
    pub(super) title: String,
    /// The same without the names of the classes, for cells that share a shape.
    pub(super) short: String,
}

impl Matrix {
    /// Returns a matrix of the classes with these names.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let names: Vec<String> = names.map(|name| shortened(name, LETTERS)).collect();
        let side = match names.len() {
            ..=12 => 34.0,
            13..=25 => 26.0,
            26..=50 => 15.0,
            _ => 9.0,
        };
        let letters = if side < 12.0 { ("tiny", 4.7) } else { ("axis", 6.6) };
        Self { names, side, has_counts: side > 20.0, letters }
    }

    /// Returns the picture with these cells, the most important first, and what is drawn above them.
    pub(super) fn draw(&self, title: String, note: String, legend: &Markup, cells: &[Cell], above: &Markup) -> Picture {
        let (side, (class, width)) = (self.side, self.letters);
        let longest = self.names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let room = 14.0 + width * longest as f64;
        let (left, top) = (EDGE + 16.0 + room, LEGEND + 16.0 + room);
        let length = side * self.names.len() as f64;
        let middle = |at: usize| side * (at as f64 + 0.5);
        let body = html! {
            (legend)
            text.axis x=(px(left + length / 2.0)) y=(px(LEGEND + 8.0)) text-anchor="middle" { "said" }
            @let y = px(top + length / 2.0);
            text.axis x="14" y=(y) text-anchor="middle" transform=(format!("rotate(-90 14 {y})")) { "true" }
            g.names {
                @for (at, name) in self.names.iter().enumerate() {
                    text class=(class) x=(px(left - 5.0)) y=(px(top + middle(at) + 3.2)) text-anchor="end" { (name) }
                    @let (x, y) = (px(left + middle(at) + 3.2), px(top - 5.0));
                    text class=(class) x=(x) y=(y) transform=(format!("rotate(-90 {x} {y})")) { (name) }
                }
            }
            g.matrix data-side=(px(side)) transform=(format!("translate({} {})", px(left), px(top))) {
                (shapes(cells, side))
                (above)
                rect.frame width=(px(length)) height=(px(length)) {}
            }
        };
        Picture { title, width: (left + length + EDGE).max(430.0), height: top + length + EDGE, body, note }
    }

    /// Returns a text in the middle of a cell.
    pub(super) fn text(&self, row: usize, column: usize, style: (usize, bool), text: &str) -> Markup {
        let class = if style.0 >= 3 { "small on" } else { "small" };
        let (x, y) = (self.side * (column as f64 + 0.5), self.side * (row as f64 + 0.5) + 3.8);
        html! { text class=(class) text-anchor="middle" x=(px(x)) y=(px(y)) { (text) } }
    }
}

/// Returns the step of a share.
pub(super) fn step(share: f64) -> usize {
    STEPS.iter().position(|step| share <= *step).unwrap_or(STEPS.len() - 1)
}

/// Returns the legend of the shading: its steps in both colours, then `unit`.
pub(super) fn legend(unit: &str) -> Markup {
    let text = |step: usize| match STEPS.get(step + 1) {
        Some(_) => format!("{} %", 100.0 * STEPS[step]),
        None => "more".to_owned(),
    };
    html! {
        text.small x="8" y="15" { "up to" }
        @for step in 0..STEPS.len() {
            @let x = 42.0 + 54.0 * step as f64;
            rect class=(class((step, true))) x=(px(x)) y="5" width="9" height="12" {}
            rect class=(class((step, false))) x=(px(x + 9.0)) y="5" width="9" height="12" {}
            text.small x=(px(x + 22.0)) y="15" { (text(step)) }
        }
        text.small x="372" y="15" { (unit) }
    }
}

fn class((step, is_first): (usize, bool)) -> String {
    if is_first { format!("cell hit l{step}") } else { format!("cell l{step}") }
}

/// Returns the cells. The first ones have a tooltip.
fn shapes(cells: &[Cell], side: f64) -> Markup {
    let outline = |cell: &Cell| {
        let (x, y, inner) = (side * cell.column as f64, side * cell.row as f64, side - 0.5);
        format!("M{} {}h{inner}v{inner}h-{inner}z", px(x), px(y))
    };
    let (told, untold) = cells.split_at(cells.len().min(TOLD));
    let mut shared: BTreeMap<(bool, usize, &str), String> = BTreeMap::new();
    for cell in untold {
        *shared.entry((cell.style.1, cell.style.0, &cell.short)).or_default() += &outline(cell);
    }
    html! {
        @for cell in told {
            path class=(class(cell.style)) d=(outline(cell)) { title { (cell.title) } }
        }
        @for ((is_first, step, short), outlines) in shared {
            path class=(class((step, is_first))) data-short=(short) d=(outlines) {}
        }
    }
}
