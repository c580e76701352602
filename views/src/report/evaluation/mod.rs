//! What the evaluations say: for each head its confusion matrix, its classes, whether its probabilities can be believed, and the
//! images that are worth looking at.

mod classes;
mod gallery;

use maud::{Markup, html};
use pipe_stages::{StageName, records::HeadEvaluation};

use self::gallery::Gallery;
use super::{
    page::{Page, figure, heading},
    pictures::Room,
};
use crate::{
    ViewError,
    evaluation::{Agreement, Head, Judged, Thumbnails},
    plot::{confusion, reliability},
    text::{grouped, percent, significant},
};

pub(super) fn section(page: &Page<'_>, room: &mut Room) -> Result<Option<Markup>, ViewError> {
    let mut found = Vec::new();
    for (name, node) in page.nodes(StageName::Evaluate) {
        if let Some(judged) = Judged::of_node(page.store, name, node)? {
            found.push((judged, Thumbnails::of_node(page.store, name, node)?));
        }
    }
    let several = found.len() > 1;
    let parts: Vec<Markup> = found
        .iter()
        .map(|(judged, images)| {
            let mut gallery = Gallery::new(&judged.node, images.as_ref(), room);
            html! { (heading(several, &judged.node)) (evaluation(judged, &mut gallery)) }
        })
        .collect();
    Ok((!parts.is_empty()).then(|| html! { @for part in parts { (part) } }))
}

fn evaluation(judged: &Judged, gallery: &mut Gallery<'_>) -> Markup {
    let Some((main, others)) = judged.heads.split_first() else { return html! {} };
    // The images that several heads show are embedded once, by the first that needs them.
    let of_main = head(judged, main, gallery);
    let of_others: Vec<(&Head, Markup)> = others.iter().map(|other| (other, head(judged, other, gallery))).collect();
    html! {
        (figures(judged))
        @for agreement in &judged.agreements { (agreeing(agreement)) }
        (gallery.definitions())
        @if judged.heads.len() > 1 { h3 { "Head " (main.name) ", " (main.classes.len()) " classes" } }
        (of_main)
        @for (other, content) in of_others {
            details {
                summary { "The same for head " (other.name) ", " (other.classes.len()) " classes" }
                (content)
            }
        }
    }
}

/// Returns the figures of all heads, side by side.
fn figures(judged: &Judged) -> Markup {
    let tops: std::collections::BTreeSet<u32> =
        judged.heads.iter().flat_map(|head| head.figures.top.0.keys().copied()).collect();
    let optional = |share: Option<f64>| share.map(percent).unwrap_or_default();
    html! {
        p.quiet {
            "Computed from " code { (judged.node) "/evaluation.json" } " and " code { (judged.node) "/predictions.csv" } ", of the "
            (grouped(judged.images as u64)) " images of the " (judged.split.as_str().to_lowercase()) " split. Predictions have the probability of what was said, and not those of the other classes."
        }
        div.wide {
            table {
                thead {
                    tr {
                        th { "head" } th.number { "classes" } th.number { "accuracy" } th.number { "95 % interval" } th.number { "chance" }
                        @for k in &tops { th.number { "top " (k) } }
                        th.number { "balanced" } th.number { "macro F1" } th.number { "loss" } th.number { "calibration error" }
                    }
                }
                tbody {
                    @for head in &judged.heads {
                        @let HeadEvaluation { accuracy, interval_95: [low, high], chance, balanced_accuracy, macro_f1, loss, top, .. } = &head.figures;
                        tr {
                            th scope="row" { (head.name) }
                            td.number { (head.classes.len()) }
                            td.number { (percent(*accuracy)) }
                            td.number { (format!("{:.2} to {}", 100.0 * low, percent(*high))) }
                            td.number { (percent(*chance)) }
                            @for k in &tops { td.number { (optional(top.0.get(k).copied())) } }
                            td.number { (optional(*balanced_accuracy)) }
                            td.number { (macro_f1.map(|f1| significant(f1, 3)).unwrap_or_default()) }
                            td.number { (significant(loss.0, 4)) }
                            td.number { (optional(head.reliability.error())) }
                        }
                    }
                }
            }
        }
    }
}

fn agreeing(agreement: &Agreement) -> Markup {
    let Agreement { fine, coarse, images, within, both_right, only_fine_right, only_coarse_right, both_wrong, near } =
        agreement;
    let all = both_right + only_fine_right + only_coarse_right + both_wrong;
    let wrong = only_coarse_right + both_wrong;
    let share = |n: usize, of: usize| if of == 0 { "none".to_owned() } else { percent(n as f64 / of as f64) };
    html! {
        p {
            "The predicted " (fine) " class lies within the predicted " (coarse) " class for " (share(*within, *images)) " of the images. "
            "Both are right for " (share(*both_right, all)) ", only " (fine) " for " (share(*only_fine_right, all)) ", only " (coarse)
            " for " (share(*only_coarse_right, all)) ", neither for " (share(*both_wrong, all)) ". "
            "Of the wrong " (fine) " classes, " (share(*near, wrong)) " lie within the right " (coarse) " class."
        }
    }
}

fn head(judged: &Judged, head: &Head, gallery: &mut Gallery<'_>) -> Markup {
    if head.said.is_empty() {
        return html! {
            p.quiet { "Without predictions of this head in " code { (judged.node) "/predictions.csv" } " there is nothing more to show." }
        };
    }
    let caption = format!("Which classes of head {} are taken for which.", head.name);
    html! {
        (figure(&confusion::draw(head), &caption))
        div.charts {
            (classes::pairs(head))
            @if let Some(picture) = reliability::draw(head) {
                (figure(&picture, "How often a prediction is right, by the probability that the network gave it."))
            }
        }
        (classes::table(head))
        (gallery::worst(judged, head, gallery))
        (gallery::least_sure(judged, head, gallery))
        (gallery::of_classes(judged, head, gallery))
    }
}
