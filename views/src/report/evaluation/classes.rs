//! The classes of a head: those that are confused, and the figures of each.

use maud::{Markup, html};

use crate::{
    evaluation::Head,
    text::{grouped, percent, significant},
};

/// The most pairs that are listed.
const PAIRS: usize = 15;
/// A table with more rows is folded.
const OPEN: usize = 20;

/// Returns the pairs of classes that are confused most.
pub(super) fn pairs(head: &Head) -> Markup {
    let confusion = &head.confusion;
    let pairs = confusion.pairs();
    let as_other = |of: usize, said: usize| {
        format!("{} of {}", grouped(confusion.at(of, said).into()), grouped(confusion.support(of).into()))
    };
    html! {
        @if !pairs.is_empty() { div.pairs {
            h4 { "Most confused" }
            div.wide.narrow {
                table.sortable {
                    thead { tr { th { "class" } th { "taken for" } th.number { "images" } th.number { "the reverse" } } }
                    tbody {
                        @for pair in pairs.iter().take(PAIRS) {
                            tr {
                                th scope="row" { (head.class(pair.one)) }
                                td { (head.class(pair.other)) }
                                td.number { (as_other(pair.one, pair.other)) }
                                td.number { (as_other(pair.other, pair.one)) }
                            }
                        }
                    }
                }
            }
        } }
    }
}

/// Returns the figures of every class, the lowest F1 first.
pub(super) fn table(head: &Head) -> Markup {
    let confusion = &head.confusion;
    let mut classes: Vec<usize> = (0..confusion.classes()).collect();
    let f1 = |class: usize| confusion.f1(class).unwrap_or(f64::INFINITY);
    classes.sort_by(|a, b| f1(*a).total_cmp(&f1(*b)).then(a.cmp(b)));
    let share = |share: Option<f64>| share.map(percent).unwrap_or_default();
    let rows = html! {
        div.wide.narrow {
            table.sortable {
                thead { tr { th { "class" } th.number { "images" } th.number { "precision" } th.number { "recall" } th.number { "F1" } } }
                tbody {
                    @for class in &classes {
                        tr {
                            th scope="row" { (head.class(*class)) }
                            td.number { (grouped(confusion.support(*class).into())) }
                            td.number { (share(confusion.precision(*class))) }
                            td.number { (share(confusion.recall(*class))) }
                            td.number { (confusion.f1(*class).map(|f1| significant(f1, 3)).unwrap_or_default()) }
                        }
                    }
                }
            }
        }
    };
    html! {
        @if classes.len() > OPEN {
            details { summary { "Precision, recall and F1 of all " (classes.len()) " classes, the lowest F1 first" } (rows) }
        } @else {
            h4 { "Classes, the lowest F1 first" }
            (rows)
        }
    }
}
