//! The contact sheet of a dataset: some images of each of some classes.

use super::collection::Part;
use crate::images::{
    dataset::{Head, ImageShape},
    sheet::Sheet,
};

/// The most rows. If there are more classes, evenly spaced ones are shown.
const ROWS: usize = 20;
/// The images in a row.
const COLUMNS: usize = 10;
/// The most bytes of the images on a sheet. Images of 945 x 945 pixels in colour still have all rows.
const BYTES: usize = 1 << 29;

/// Returns the most bytes that [`sheet`] takes for images of `shape` in `n_classes` classes.
pub(super) fn memory(shape: ImageShape, n_classes: usize) -> u64 {
    2 * (rows(shape, n_classes) * COLUMNS * shape.bytes()) as u64
}

fn rows(shape: ImageShape, n_classes: usize) -> usize {
    n_classes.min(ROWS).min(BYTES / (COLUMNS * shape.bytes())).max(1)
}

/// Returns the sheet of `part` as a PNG. It has a row for each class of the head with the fewest classes. A row shows the first
/// images of each class of the main head, about the same number of each.
pub(super) fn sheet(shape: ImageShape, heads: &[Head], part: &Part) -> Vec<u8> {
    let rows_by = (0..heads.len()).min_by_key(|head| heads[*head].classes.len()).expect("a dataset has a head");
    let n_classes = heads[rows_by].classes.len();
    let rows = rows(shape, n_classes);
    let mut sheet = Sheet::new(shape, COLUMNS);
    for row in 0..rows {
        let class = (row * n_classes / rows) as i32;
        for image in row_of(&part.labels[rows_by], &part.labels[0], class) {
            sheet.push(&part.images[image * shape.bytes()..][..shape.bytes()]);
        }
        sheet.end_row();
    }
    sheet.png()
}

/// Returns up to [`COLUMNS`] images labelled `class`, sorted by their label of the main head. They are taken in turn from each
/// main label.
fn row_of(labels: &[i32], main: &[i32], class: i32) -> Vec<usize> {
    let images: Vec<usize> = (0..labels.len()).filter(|i| labels[*i] == class).collect();
    let mut taken = std::collections::BTreeMap::<i32, usize>::new();
    let mut turns: Vec<(usize, i32, usize)> = images
        .into_iter()
        .map(|image| {
            let turn = taken.entry(main[image]).or_default();
            *turn += 1;
            (*turn, main[image], image)
        })
        .collect();
    turns.sort_unstable();
    turns.truncate(COLUMNS);
    turns.sort_unstable_by_key(|(turn, main, _)| (*main, *turn));
    turns.into_iter().map(|(.., image)| image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_of_a_row_are_taken_from_each_class_in_turn() {
        let coarse = [0, 0, 0, 0, 1, 0];
        let fine = [3, 3, 3, 2, 9, 3];
        assert_eq!(row_of(&coarse, &fine, 0), [3, 0, 1, 2, 5]);
        assert_eq!(row_of(&coarse, &fine, 1), [4]);
        let many: Vec<i32> = (0..100).map(|i| i % 5).collect();
        assert_eq!(row_of(&[0; 100], &many, 0), [0, 5, 1, 6, 2, 7, 3, 8, 4, 9]);
    }
}
