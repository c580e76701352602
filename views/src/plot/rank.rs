//! Pairs of hyperparameters, with trials marked by their rank: a rank does not depend on how far apart the scores are.

use serde_json::Value;

use super::{
    axis::{ColumnAxis, Scaling},
    scatter_matrix::{self, Cells},
    shade::Shade,
    svg::Picture,
    table::{PlottedColumn, RANK, Table},
};
use crate::ViewError;

/// Returns a cell for each pair of `columns`.
///
/// # Errors
/// If there are fewer than two columns.
pub(super) fn draw(table: &Table, columns: &[PlottedColumn]) -> Result<Picture, ViewError> {
    let [first, .., last] = columns else {
        return Err(ViewError::Nothing("a rank plot needs two hyperparameters".to_owned()));
    };
    let rows: Vec<&PlottedColumn> = columns.iter().skip(1).collect();
    let along: Vec<&PlottedColumn> = columns[..columns.len() - 1].iter().collect();
    let title = format!("Ranks of trials over {} hyperparameters, {} to {}", columns.len(), first.name, last.name);
    Ok(scatter_matrix::cells(table, &Cells { rows, columns: along, shade: Shade::new(table, &ranks(table)), title }))
}

/// Returns the rank of each trial with a result, from 1, the best.
fn ranks(table: &Table) -> PlottedColumn {
    let is_better = |a: f64, b: f64| if table.rises { a > b } else { a < b };
    let value = |row: usize| table.objective.number(row);
    let rank = |own: f64| 1 + (0..table.rows.len()).filter_map(value).filter(|other| is_better(*other, own)).count();
    let values: Vec<Option<Value>> = (0..table.rows.len()).map(|row| value(row).map(|own| rank(own).into())).collect();
    let axis = ColumnAxis::new(values.iter().flatten(), 5.0, Scaling::Linear);
    let axis = axis.expect("a table has a trial with a result");
    PlottedColumn { name: RANK.to_owned(), title: "rank (1 is the best)".to_owned(), axis, values }
}
