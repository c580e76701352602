//! The objective against each chosen hyperparameter on its own.

use maud::html;

use super::{
    frame::Frame,
    scatter_matrix::note,
    shade::Shade,
    svg::{Picture, px, shortened},
    table::{PlottedColumn, Table},
};
use crate::ViewError;

const LEFT: f64 = 70.0;
const PANEL: f64 = 210.0;
const PLOT: f64 = 215.0;
const ROW: f64 = PLOT + 56.0;
const COLUMNS: usize = 4;

/// Returns a panel for each of `columns`. The marks show the number of the trial.
///
/// # Errors
/// If there are no trials.
pub(super) fn draw(table: &Table, columns: &[PlottedColumn]) -> Result<Picture, ViewError> {
    let shade = Shade::new(table, &table.column("trial")?);
    let best = table.best();
    let across = columns.len().min(COLUMNS);
    let width = LEFT + PANEL * across as f64;
    let top = shade.legend_height(width - 20.0) + 10.0;
    let body = html! {
        (shade.legend(8.0, 0.0, width - 20.0))
        @for (i, column) in columns.iter().enumerate() {
            @let left = LEFT + PANEL * (i % COLUMNS) as f64;
            @let panel_top = top + ROW * (i / COLUMNS) as f64;
            @let frame = Frame { left, right: left + PANEL - 18.0, top: panel_top, bottom: panel_top + PLOT };
            (frame.axes(&column.axis, &table.objective.axis, [true, i % COLUMNS == 0]))
            @let place = |row: usize| Some((frame.x(column.at(row)?), frame.y(table.objective.at(row)?)));
            (shade.marks(&(0..table.rows.len()).map(place).collect::<Vec<_>>()))
            @if let Some((x, y)) = best.and_then(place) { circle.ring cx=(px(x)) cy=(px(y)) r="6.5" {} }
            (frame.x_title(&shortened(&column.title, 30)))
            @if i % COLUMNS == 0 { (frame.y_title(&shortened(&table.objective.title, 40), 56.0)) }
        }
    };
    let title = format!("{} against each of {} hyperparameters", table.objective.name, columns.len());
    let height = top + ROW * columns.len().div_ceil(COLUMNS) as f64;
    Ok(Picture { title, width, height, body, note: note(best.is_some()) })
}
