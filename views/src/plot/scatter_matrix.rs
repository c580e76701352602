//! Every chosen hyperparameter against every other and against the objective.

use maud::html;

use super::{
    frame::Frame,
    shade::Shade,
    svg::{Picture, px, shortened},
    table::{PlottedColumn, Table},
};

const LEFT: f64 = 74.0;
const RIGHT: f64 = 10.0;
const BOTTOM: f64 = 44.0;
const GAP: f64 = 8.0;
const WIDTH: f64 = 860.0;
/// The largest side of a cell.
const MOST: f64 = 340.0;
/// The least width of a picture, for its legend.
const LEAST: f64 = 430.0;

/// Returns the lower half of the matrix of `columns`, with the objective in the last row.
pub(super) fn draw(table: &Table, columns: &[PlottedColumn]) -> Picture {
    let rows: Vec<&PlottedColumn> = columns.iter().skip(1).chain([&table.objective]).collect();
    let title = format!("Scatter matrix of {} hyperparameters and {}", columns.len(), table.objective.name);
    let shade = Shade::new(table, &table.objective);
    cells(table, &Cells { rows, columns: columns.iter().collect(), shade, title })
}

/// The cells at and below the diagonal of a matrix. It has as many rows as columns.
pub(super) struct Cells<'a> {
    pub(super) rows: Vec<&'a PlottedColumn>,
    pub(super) columns: Vec<&'a PlottedColumn>,
    pub(super) shade: Shade,
    pub(super) title: String,
}

/// Returns the picture of the cells.
pub(super) fn cells(table: &Table, Cells { rows, columns, shade, title }: &Cells<'_>) -> Picture {
    let best = table.best();
    let n = columns.len();
    let side = ((WIDTH - LEFT - RIGHT) / n as f64).min(MOST);
    let width = (LEFT + RIGHT + side * n as f64).max(LEAST);
    let height_of_cell = (0.7 * side).clamp(MOST.min(side).min(140.0), 240.0);
    let top = shade.legend_height(width - 20.0) + 8.0;
    let letters = ((side - GAP) / 7.0) as usize;
    let body = html! {
        (shade.legend(8.0, 0.0, width - 20.0))
        @for (down, row) in rows.iter().enumerate() {
            @for (along, column) in columns.iter().enumerate().take(down + 1) {
                @let left = LEFT + side * along as f64;
                @let cell_top = top + height_of_cell * down as f64;
                @let frame = Frame { left, right: left + side - GAP, top: cell_top, bottom: cell_top + height_of_cell - GAP };
                (frame.axes(&column.axis, &row.axis, [down + 1 == n, along == 0]))
                @let place = |row_index: usize| Some((frame.x(column.at(row_index)?), frame.y(row.at(row_index)?)));
                (shade.marks(&(0..table.rows.len()).map(place).collect::<Vec<_>>()))
                @if let Some((x, y)) = best.and_then(place) { circle.ring cx=(px(x)) cy=(px(y)) r="6.5" {} }
                @if along == 0 { (frame.y_title(&shortened(&row.name, (height_of_cell / 7.0) as usize), 62.0)) }
                @if down + 1 == n { (frame.x_title(&shortened(&column.name, letters))) }
            }
        }
    };
    let height = top + height_of_cell * n as f64 + BOTTOM;
    Picture { title: title.clone(), width, height, body, note: note(best.is_some()) }
}

/// Returns the note that explains the ring around the best trial.
pub(super) fn note(has_best: bool) -> String {
    if has_best { "The ring is the best trial.".to_owned() } else { String::new() }
}
