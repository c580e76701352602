//! The confusion matrix of one study minus that of another.

use maud::html;

use super::{
    confusion::MOST,
    matrix::{Cell, Matrix, legend, step},
    svg::Picture,
};
use crate::evaluation::{Confusion, Head};

/// Two heads of equal classes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads<'a> {
    pub(crate) a: &'a Head,
    pub(crate) b: &'a Head,
}

/// A class that is taken for another, or for itself, and how often in each study.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Difference {
    pub(crate) class: usize,
    pub(crate) said: usize,
    /// The share of the images of the class in A minus that in B.
    pub(crate) share: f64,
}

impl Heads<'_> {
    /// Returns all cells that differ, the most different first.
    pub(crate) fn differences(&self) -> Vec<Difference> {
        let (a, b) = (&self.a.confusion, &self.b.confusion);
        let places = (0..a.classes()).flat_map(|class| (0..a.classes()).map(move |said| (class, said)));
        let difference = |(class, said)| Difference { class, said, share: a.share(class, said) - b.share(class, said) };
        let mut found: Vec<_> = places.map(difference).filter(|found| found.share != 0.0).collect();
        found.sort_by(|one, other| {
            let (size, other_size) = (one.share.abs(), other.share.abs());
            other_size.total_cmp(&size).then((one.class, one.said).cmp(&(other.class, other.said)))
        });
        found
    }

    /// Returns how often a class is taken for another in each study, as text.
    pub(crate) fn counts(&self, class: usize, said: usize) -> [String; 2] {
        let of = |confusion: &Confusion| format!("{} of {}", confusion.at(class, said), confusion.support(class));
        [of(&self.a.confusion), of(&self.b.confusion)]
    }
}

/// Returns the confusion matrix of A minus that of B, or None if they are equal.
pub(crate) fn draw(heads: Heads<'_>) -> Option<Picture> {
    let differences = heads.differences();
    let both = heads.a.confusion.plus(&heads.b.confusion);
    // Classes that are confused in either study are side by side.
    let classes = both.ordered(&both.most_confused(MOST));
    let mut place = vec![None; both.classes()];
    classes.iter().enumerate().for_each(|(at, class)| place[*class] = Some(at));
    let cell = |found: &Difference| {
        let [in_a, in_b] = heads.counts(found.class, found.said);
        let (class, said) = (heads.a.class(found.class), heads.a.class(found.said));
        Some(Cell {
            row: place[found.class]?,
            column: place[found.said]?,
            style: (step(found.share.abs()), found.share > 0.0),
            title: format!("{class} as {said}: {in_a} in A, {in_b} in B"),
            short: [("A", heads.a), ("B", heads.b)]
                .map(|(name, head)| format!("{} in {name}", head.confusion.at(found.class, found.said)))
                .join(", "),
        })
    };
    let cells: Vec<Cell> = differences.iter().filter_map(cell).collect();
    if cells.is_empty() {
        return None;
    }
    let matrix = Matrix::new(classes.iter().map(|class| heads.a.class(*class)));
    let title = format!("Confusion matrix of {} in A minus that in B, {} classes", heads.a.name, classes.len());
    let mut note = "Rows are the true classes, columns what was said. A cell is the share of the row in A minus that in B: blue where A \
                    says it more often, orange where B does. On the diagonal, blue is where A is better."
        .to_owned();
    if classes.len() < both.classes() {
        note += &format!(" Only the {} classes with the most confusions are drawn.", classes.len());
    }
    if matrix.has_counts {
        note += " Numbers are percentage points.";
    }
    let texts = html! {
        @if matrix.has_counts {
            g pointer-events="none" {
                @for (cell, found) in cells.iter().zip(differences.iter().filter(|found| cell(found).is_some())) {
                    (matrix.text(cell.row, cell.column, cell.style, &points(found.share)))
                }
            }
        }
    };
    Some(matrix.draw(title, note, &legend("of a row"), &cells, &texts))
}

/// Returns the size of a difference of shares in percentage points, or nothing if it is less than half of one.
fn points(share: f64) -> String {
    let points = (100.0 * share.abs()).round();
    if points == 0.0 { String::new() } else { points.to_string() }
}

#[cfg(test)]
mod tests {
    use pipe_stages::{
        params::Float,
        records::{HeadEvaluation, HeadPrediction, TopAccuracies},
    };

    use super::*;
    use crate::evaluation::Reliability;

    /// Returns a head of three classes from (true class, said, images).
    fn head(counts: &[(i32, usize, usize)]) -> Head {
        let one = |(label, prediction, _): &(i32, usize, usize)| HeadPrediction {
            label: *label,
            prediction: *prediction,
            probability: 0.5,
        };
        let said: Vec<_> = counts.iter().flat_map(|count| std::iter::repeat_n(one(count), count.2)).collect();
        let figures = HeadEvaluation {
            loss: Float(1.0),
            accuracy: 0.5,
            correct: 1,
            interval_95: [0.4, 0.6],
            chance: 0.3,
            balanced_accuracy: None,
            macro_f1: None,
            top: TopAccuracies::default(),
            classes: Vec::new(),
        };
        Head {
            name: "fine".to_owned(),
            classes: ["cat", "dog", "eel"].map(str::to_owned).to_vec(),
            figures,
            confusion: Confusion::new(3, &said).unwrap(),
            reliability: Reliability::new(&said),
            said,
        }
    }

    #[test]
    fn shares_of_rows_are_subtracted_whatever_the_numbers_of_images() {
        // Of the cats, 3 of 4 against 2 of 8 are right.
        let (a, b) = (head(&[(0, 0, 3), (0, 1, 1), (1, 1, 2)]), head(&[(0, 0, 2), (0, 1, 6), (1, 1, 5)]));
        let heads = Heads { a: &a, b: &b };
        let found: Vec<_> = heads.differences().iter().map(|found| (found.class, found.said, found.share)).collect();
        assert_eq!(found, [(0, 0, 0.5), (0, 1, -0.5)]);
        let picture = draw(heads).unwrap().document();
        assert!(picture.contains("cat as dog: 1 of 4 in A, 6 of 8 in B"), "{picture}");
        // Blue where A says it more often, orange where B does.
        assert_eq!(
            (picture.matches("class=\"cell hit l5\" d").count(), picture.matches("class=\"cell l5\" d").count()),
            (1, 1)
        );
    }

    #[test]
    fn equal_matrices_have_no_difference() {
        let one = head(&[(0, 0, 3), (1, 2, 1)]);
        let twice = head(&[(0, 0, 6), (1, 2, 2)]);
        assert!(draw(Heads { a: &one, b: &twice }).is_none());
    }
}
