//! The evaluations of both studies: confusion matrices subtracted, and the classes that got better or worse.

use maud::{Markup, html};
use pipe_engine::study::action;
use pipe_stages::StageName;
use pipe_store::Digest;

use super::{
    results::{points, signed},
    sides::{Comparison, Paired, pairs},
};
use crate::{
    ViewError,
    evaluation::{Confusion, Head, Judged},
    plot::difference::{self, Heads},
    report::page::{Page, figure},
    text::{grouped, percent, significant},
};

/// The most cells of the matrix that are listed.
const CELLS: usize = 15;
/// A table with more rows is folded.
const OPEN: usize = 20;

/// An evaluation of a study.
struct Evaluation {
    judged: Judged,
    /// The digest of the images.
    images: Option<Digest>,
}

pub(super) fn section(comparison: &Comparison<'_>) -> Result<Option<Markup>, ViewError> {
    let [a, b] = &comparison.sides;
    let pairs = pairs([evaluations(a)?, evaluations(b)?]);
    let several = pairs.len() > 1;
    let parts: Vec<Markup> = pairs.iter().map(|pair| of_pair(pair, several)).collect();
    Ok((!parts.is_empty()).then(|| html! { @for part in parts { (part) } }))
}

fn evaluations(page: &Page<'_>) -> Result<Vec<(String, Evaluation)>, ViewError> {
    let mut found = Vec::new();
    for (name, node) in page.nodes(StageName::Evaluate) {
        let Some(judged) = Judged::of_node(page.store, name, node)? else { continue };
        let action = node.action.map(|key| action(page.store, &key)).transpose()?;
        let images = action.and_then(|action| action.inputs.get("data").copied());
        found.push((name.clone(), Evaluation { judged, images }));
    }
    Ok(found)
}

fn of_pair(Paired { title, both }: &Paired<Evaluation>, several: bool) -> Markup {
    let [Some(a), Some(b)] = both else {
        let side = if both[0].is_some() { "A" } else { "B" };
        return html! { h3 { (title) } p.quiet { "Only " (side) " has it, so there is nothing to compare it with." } };
    };
    let same_images = a.images.is_some() && a.images == b.images;
    html! {
        @if several { h3 { (title) } }
        @if !same_images { p { "The images are not the same, so the differences are also those of the images." } }
        @for head in &a.judged.heads {
            @if let Some(other) = b.judged.heads.iter().find(|other| other.name == head.name) {
                (of_head(head, other, same_images, a.judged.heads.len() > 1))
            } @else {
                p.quiet { "Only A has the head " (head.name) "." }
            }
        }
        @for head in b.judged.heads.iter().filter(|head| a.judged.heads.iter().all(|other| other.name != head.name)) {
            p.quiet { "Only B has the head " (head.name) "." }
        }
    }
}

fn of_head(a: &Head, b: &Head, same_images: bool, several: bool) -> Markup {
    let heading = html! { @if several { h3 { "Head " (a.name) ", " (a.classes.len()) " classes" } } };
    if a.classes != b.classes {
        return html! { (heading) p.quiet { "The classes of " (a.name) " are not the same in A and B, so their matrices are not subtracted." } };
    }
    if a.said.is_empty() || b.said.is_empty() {
        return html! { (heading) p.quiet { "One of the studies has no predictions of " (a.name) ", so there is nothing to subtract." } };
    }
    let heads = Heads { a, b };
    html! {
        (heading)
        @if same_images { (paired(a, b)) }
        @if let Some(picture) = difference::draw(heads) {
            (figure(&picture, &format!("Which classes of head {} are taken for which in A, minus the same in B.", a.name)))
            (cells(heads))
            (classes(a, b))
        } @else {
            p { "The confusion matrices of " (a.name) " are equal." }
        }
    }
}

/// Says how often only one of two networks is right about the same images, and whether that can be chance.
fn paired(a: &Head, b: &Head) -> Markup {
    let right = |image: usize| (a.is_right(image), b.is_right(image));
    let n = a.said.len().min(b.said.len());
    let count = |wanted| (0..n).filter(|image| right(*image) == wanted).count();
    let (only_a, only_b) = (count((true, false)), count((false, true)));
    html! {
        p {
            "Of the same " (grouped(n as u64)) " images, " (only_a) " are right only in A and " (only_b) " only in B"
            @if only_a + only_b > 0 {
                ": " (p_value(mcnemar(only_a, only_b))) " by the exact test of McNemar, if both were equally good"
            }
            "."
        }
    }
}

fn p_value(p: f64) -> String {
    if p < 1e-4 { "p < 0.0001".to_owned() } else { format!("p = {}", significant(p, 2)) }
}

/// Returns the two-sided p value that two networks which are equally good are right alone this often, or more unevenly: the exact test of
/// Q. McNemar, "Note on the sampling error of the difference between correlated proportions" (1947), a sign test of the discordant
/// pairs.
fn mcnemar(one: usize, other: usize) -> f64 {
    let (n, least) = (one + other, one.min(other));
    // ln C(n, k), term by term, so that thousands of images do not overflow.
    let mut ln_term = -(n as f64) * std::f64::consts::LN_2;
    let mut sum = ln_term.exp();
    for k in 1..=least {
        ln_term += ((n - k + 1) as f64 / k as f64).ln();
        sum += ln_term.exp();
    }
    (2.0 * sum).min(1.0)
}

/// Returns the cells of the matrix that differ most.
fn cells(heads: Heads<'_>) -> Markup {
    let differences = heads.differences();
    html! {
        h4 { "Most different" }
        div.wide.narrow {
            table.sortable {
                thead { tr { th { "class" } th { "said" } th.number { "A" } th.number { "B" } th.number { "B − A" } } }
                tbody {
                    @for found in differences.iter().take(CELLS) {
                        @let [in_a, in_b] = heads.counts(found.class, found.said);
                        tr {
                            th scope="row" { (heads.a.class(found.class)) }
                            td { @if found.class == found.said { span.right { "right" } } @else { (heads.a.class(found.said)) } }
                            td.number { (in_a) }
                            td.number { (in_b) }
                            td.number { (points(-found.share)) }
                        }
                    }
                }
            }
        }
    }
}

/// Returns precision, recall and F1 of each class in both studies, those with the most different F1 first.
fn classes(a: &Head, b: &Head) -> Markup {
    let change = |class: usize| Some(b.confusion.f1(class)? - a.confusion.f1(class)?);
    let mut classes: Vec<usize> = (0..a.classes.len()).collect();
    let size = |class: usize| change(class).map_or(-1.0, f64::abs);
    classes.sort_by(|one, other| size(*other).total_cmp(&size(*one)).then(one.cmp(other)));
    let share = |share: Option<f64>| share.map(percent).unwrap_or_default();
    let number = |number: Option<f64>| number.map(|number| significant(number, 3)).unwrap_or_default();
    let of = |figure: fn(&Confusion, usize) -> Option<f64>, class: usize| {
        let (a, b) = (figure(&a.confusion, class), figure(&b.confusion, class));
        (a, b, a.zip(b).map(|(a, b)| b - a))
    };
    let images = |class: usize| {
        let (a, b) = (a.confusion.support(class), b.confusion.support(class));
        if a == b { grouped(a.into()) } else { format!("{} and {}", grouped(a.into()), grouped(b.into())) }
    };
    let rows = html! {
        div.wide {
            table.sortable {
                thead {
                    tr {
                        th { "class" } th.number { "images" }
                        @for figure in ["precision", "recall", "F1"] {
                            th.number { (figure) br; "A" } th.number { "B" } th.number { "B − A" }
                        }
                    }
                }
                tbody {
                    @for class in classes.iter().copied() {
                        tr {
                            th scope="row" { (a.class(class)) }
                            td.number { (images(class)) }
                            @for figure in [Confusion::precision, Confusion::recall] {
                                @let (a, b, change) = of(figure, class);
                                td.number { (share(a)) } td.number { (share(b)) }
                                td.number { (change.map(points).unwrap_or_default()) }
                            }
                            @let (a, b, change) = of(Confusion::f1, class);
                            td.number { (number(a)) } td.number { (number(b)) }
                            td.number { (change.map(|change| signed(change, 2)).unwrap_or_default()) }
                        }
                    }
                }
            }
        }
    };
    html! {
        @if classes.len() > OPEN {
            details { summary { "Precision, recall and F1 of all " (classes.len()) " classes, the most different F1 first" } (rows) }
        } @else {
            h4 { "Classes, the most different F1 first" }
            (rows)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_test_is_the_sum_of_binomial_probabilities() {
        // 2 * (1 + 10 + 45) / 1024 for 2 of 10.
        assert!((mcnemar(2, 8) - 112.0 / 1024.0).abs() < 1e-12);
        assert_eq!((mcnemar(5, 5), mcnemar(0, 1)), (1.0, 1.0));
        assert!(mcnemar(4000, 4400) < 2e-5 && mcnemar(4000, 4400) > 1e-6, "{}", mcnemar(4000, 4400));
    }
}
