//! A confusion matrix: a row for each class, a column for each prediction. Classes that are confused are side by side.

use std::cmp::Reverse;

use maud::html;

use super::{
    matrix::{Cell, Matrix, legend, step},
    svg::Picture,
};
use crate::evaluation::Head;

/// The most classes that are drawn. Of more, those with the most confusions are.
pub const MOST: usize = 120;

/// Returns the confusion matrix of a head.
pub fn draw(head: &Head) -> Picture {
    let confusion = &head.confusion;
    let classes = confusion.ordered(&confusion.most_confused(MOST));
    let (n, matrix) = (classes.len(), Matrix::new(classes.iter().map(|class| head.class(*class))));
    let style = |row: usize, column: usize| (step(confusion.share(classes[row], classes[column])), row == column);
    let places = || (0..n).flat_map(|row| (0..n).map(move |column| (row, column)));
    let images = |row: usize, column: usize| confusion.at(classes[row], classes[column]);
    let cell = |(row, column): (usize, usize)| {
        let (of, said) = (classes[row], classes[column]);
        let (of, said, support) = (head.class(of), head.class(said), confusion.support(of));
        let n = images(row, column);
        let (title, short) = (format!("{of} as {said}: {n} of {support}"), n.to_string());
        Cell { row, column, style: style(row, column), title, short }
    };
    let mut cells: Vec<Cell> = places().filter(|(row, column)| images(*row, *column) > 0).map(cell).collect();
    cells.sort_by_key(|cell| (Reverse(images(cell.row, cell.column)), cell.row, cell.column));
    let counts = html! {
        @if matrix.has_counts {
            g pointer-events="none" {
                @for (row, column) in places().filter(|(row, column)| images(*row, *column) > 0) {
                    (matrix.text(row, column, style(row, column), &images(row, column).to_string()))
                }
            }
        }
    };
    let title = format!("Confusion matrix of {}, {n} of {} classes", head.name, confusion.classes());
    let mut note = "Rows are the true classes, columns what was said; the shade is the share of the row. Classes that are confused are \
                    side by side."
        .to_owned();
    if n < confusion.classes() {
        note += &format!(" Only the {n} classes with the most confusions are drawn.");
    }
    matrix.draw(title, note, &legend("of a row"), &cells, &counts)
}
