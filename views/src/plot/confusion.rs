//! A confusion matrix: a row for each class, a column for each prediction. Classes that are confused are side by side.

use maud::{Markup, html};

use super::svg::{Picture, px, shortened};
use crate::evaluation::{Confusion, Head};

/// The most classes that are drawn. Of more, those with the most confusions are.
pub const MOST: usize = 120;

/// The most cells with a tooltip, so that a page stays small. The others are drawn as one shape.
const TOLD: usize = 1_500;
/// The upper ends of the steps of the shading, as shares of a row.
const STEPS: [f64; 6] = [0.02, 0.05, 0.1, 0.2, 0.4, 1.0];
/// The most letters of the name of a class.
const LETTERS: usize = 24;
const EDGE: f64 = 8.0;
/// The height of the legend with the space below it.
const LEGEND: f64 = 30.0;

/// The sizes that follow from the number of classes.
struct Sizes {
    side: f64,
    /// Whether cells have room for their counts.
    counts: bool,
    /// The class of the names, and the width of a letter.
    letters: (&'static str, f64),
    /// The space for the names of the rows and of the columns.
    names: f64,
}

impl Sizes {
    fn new(head: &Head, classes: &[usize]) -> Self {
        let side = match classes.len() {
            ..=12 => 34.0,
            13..=25 => 26.0,
            26..=50 => 15.0,
            _ => 9.0,
        };
        let letters = if side < 12.0 { ("tiny", 4.7) } else { ("axis", 6.6) };
        let longest = classes.iter().map(|class| head.class(*class).chars().count().min(LETTERS)).max().unwrap_or(0);
        Self { side, counts: side > 20.0, letters, names: 14.0 + letters.1 * longest as f64 }
    }
}

/// Returns the confusion matrix of a head.
pub fn draw(head: &Head) -> Picture {
    let confusion = &head.confusion;
    let classes = confusion.ordered(&confusion.most_confused(MOST));
    let (n, sizes) = (classes.len(), Sizes::new(head, &classes));
    let Sizes { side, names, letters: (class_of_text, _), .. } = sizes;
    let (left, top) = (EDGE + 16.0 + names, LEGEND + 16.0 + names);
    let (length, name) = (side * n as f64, |class: usize| shortened(head.class(class), LETTERS));
    let middle = |at: usize| side * (at as f64 + 0.5);
    let body = html! {
        (legend())
        text.axis x=(px(left + length / 2.0)) y=(px(LEGEND + 8.0)) text-anchor="middle" { "said" }
        @let y = px(top + length / 2.0);
        text.axis x="14" y=(y) text-anchor="middle" transform=(format!("rotate(-90 14 {y})")) { "true" }
        @for (at, class) in classes.iter().enumerate() {
            text class=(class_of_text) x=(px(left - 5.0)) y=(px(top + middle(at) + 3.2)) text-anchor="end" { (name(*class)) }
            @let (x, y) = (px(left + middle(at) + 3.2), px(top - 5.0));
            text class=(class_of_text) x=(x) y=(y) transform=(format!("rotate(-90 {x} {y})")) { (name(*class)) }
        }
        g transform=(format!("translate({} {})", px(left), px(top))) {
            (cells(head, &classes, &sizes))
            @if sizes.counts { (counts(confusion, &classes, side)) }
            rect.frame width=(px(length)) height=(px(length)) {}
        }
    };
    let title = format!("Confusion matrix of {}, {n} of {} classes", head.name, confusion.classes());
    let mut note = "Rows are the true classes, columns what was said; the shade is the share of the row. Classes that are confused are \
                    side by side."
        .to_owned();
    if n < confusion.classes() {
        note += &format!(" Only the {n} classes with the most confusions are drawn.");
    }
    Picture { title, width: (left + length + EDGE).max(430.0), height: top + length + EDGE, body, note }
}

fn legend() -> Markup {
    let text = |step: usize| match STEPS.get(step + 1) {
        Some(_) => format!("{} %", 100.0 * STEPS[step]),
        None => "more".to_owned(),
    };
    html! {
        text.small x="8" y="15" { "up to" }
        @for step in 0..STEPS.len() {
            @let x = 42.0 + 54.0 * step as f64;
            rect class=(format!("cell hit l{step}")) x=(px(x)) y="5" width="9" height="12" {}
            rect class=(format!("cell l{step}")) x=(px(x + 9.0)) y="5" width="9" height="12" {}
            text.small x=(px(x + 22.0)) y="15" { (text(step)) }
        }
        text.small x="372" y="15" { "of a row" }
    }
}

fn step(share: f64) -> usize {
    STEPS.iter().position(|step| share <= *step).unwrap_or(STEPS.len() - 1)
}

/// Returns the cells that are not empty. Those with the most images have a tooltip.
fn cells(head: &Head, classes: &[usize], sizes: &Sizes) -> Markup {
    let confusion = &head.confusion;
    let places = (0..classes.len()).flat_map(|row| (0..classes.len()).map(move |column| (row, column)));
    let mut cells: Vec<(u32, usize, usize)> =
        places.map(|(row, column)| (confusion.at(classes[row], classes[column]), row, column)).collect();
    cells.retain(|(images, ..)| *images > 0);
    cells.sort_by_key(|(images, row, column)| (std::cmp::Reverse(*images), *row, *column));
    let style = |row: usize, column: usize| (row == column, step(confusion.share(classes[row], classes[column])));
    let outline = |row: usize, column: usize| {
        let (x, y, inner) = (sizes.side * column as f64, sizes.side * row as f64, sizes.side - 0.5);
        format!("M{} {}h{inner}v{inner}h-{inner}z", px(x), px(y))
    };
    let mut told = vec![Vec::new(); 2 * STEPS.len()];
    let mut untold = vec![String::new(); 2 * STEPS.len()];
    for (at, (images, row, column)) in cells.into_iter().enumerate() {
        let (is_hit, step) = style(row, column);
        let group = step + if is_hit { STEPS.len() } else { 0 };
        if at < TOLD {
            told[group].push((images, row, column));
        } else {
            untold[group] += &outline(row, column);
        }
    }
    let class = |group: usize| match group.checked_sub(STEPS.len()) {
        Some(step) => format!("cell hit l{step}"),
        None => format!("cell l{group}"),
    };
    let title = |images: u32, row: usize, column: usize| {
        let (of, said) = (classes[row], classes[column]);
        format!("{} as {}: {images} of {}", head.class(of), head.class(said), confusion.support(of))
    };
    html! {
        @for group in 0..told.len() {
            @for (images, row, column) in &told[group] {
                path class=(class(group)) d=(outline(*row, *column)) { title { (title(*images, *row, *column)) } }
            }
            @if !untold[group].is_empty() { path class=(class(group)) d=(untold[group]) {} }
        }
    }
}

/// Returns the number of images in each cell.
fn counts(confusion: &Confusion, classes: &[usize], side: f64) -> Markup {
    html! {
        g pointer-events="none" {
            @for (row, class) in classes.iter().enumerate() {
                @for (column, said) in classes.iter().enumerate().filter(|(_, said)| confusion.at(*class, **said) > 0) {
                    @let is_dark = step(confusion.share(*class, *said)) >= 3;
                    text class=(if is_dark { "small on" } else { "small" }) text-anchor="middle"
                        x=(px(side * (column as f64 + 0.5))) y=(px(side * (row as f64 + 0.5) + 3.8)) { (confusion.at(*class, *said)) }
                }
            }
        }
    }
}
