//! The main results, and the data that they were chosen on.

use std::collections::BTreeMap;

use maud::{Markup, html};
use pipe_engine::{note, pipeline::stages::is_of_search, readings};
use pipe_stages::{
    StageName,
    decode::{Decode, Validation},
    records::{EvaluateOn, Evaluation, HeadEvaluation},
};

use super::page::Page;
use crate::{
    ViewError,
    outputs::Outputs,
    show,
    text::{counted, metric_value, moment, percent, significant, works},
    trials::TrialRow,
};

/// The most nodes without outputs that are named.
const SHOWN: usize = 12;

pub(super) fn section(page: &Page<'_>) -> Result<Markup, ViewError> {
    let evaluations = evaluations(page)?;
    Ok(html! {
        div.figures {
            @for trials in page.searches() { (best(trials)) }
            @for evaluation in &evaluations { (accuracy(evaluation)) }
            (done(page))
        }
        (unfinished(page))
        (honesty(page, &evaluations))
        (ledger(page)?)
        @if let Some(sentence) = show::Claims::of(page.store, page.found)?.sentence() { p { (upper_first(&sentence)) "." } }
        (notes(page)?)
        (failures(page))
    })
}

fn figure(name: &str, value: &str, note: &str) -> Markup {
    html! { div { div.name { (name) } div.value { (value) } div.note { (note) } } }
}

fn best(trials: &[TrialRow]) -> Markup {
    let search = &trials[0].search;
    let completed = trials.iter().filter(|row| row.is_completed()).count();
    let counts = format!("{} of {} completed", completed, counted(trials.len(), "trial"));
    let Some(row) = trials.iter().find(|row| row.best) else {
        return figure(&format!("Best trial of {search}"), "none", &counts);
    };
    let value = row.value.or(row.loss).map_or(f64::NAN, |value| value.0);
    let metric = row.metric.as_deref().unwrap_or("loss");
    let epoch = row.best_epoch.map(|epoch| format!(", epoch {epoch}")).unwrap_or_default();
    figure(
        &format!("Best trial of {search}"),
        &metric_value(Some(metric), value),
        &format!("{metric} of trial {}{epoch}; {counts}", row.index),
    )
}

/// One head of one evaluation.
struct Judged {
    node: String,
    split: EvaluateOn,
    images: usize,
    head: String,
    figures: HeadEvaluation,
}

fn evaluations(page: &Page<'_>) -> Result<Vec<Judged>, ViewError> {
    let mut found = Vec::new();
    for (name, node) in page.nodes(StageName::Evaluate) {
        let record = Outputs::of(page.store, name, node)?.map(|outputs| outputs.record()).transpose()?.flatten();
        let Some(Evaluation { split, n, heads, .. }) = record else { continue };
        let mut of_node: Vec<_> = heads
            .into_iter()
            .map(|(head, figures)| Judged { node: name.clone(), split, images: n, head, figures })
            .collect();
        // The head with the most classes is the main one.
        of_node.sort_by(|a, b| a.figures.chance.total_cmp(&b.figures.chance));
        found.extend(of_node);
    }
    Ok(found)
}

fn accuracy(judged: &Judged) -> Markup {
    let HeadEvaluation { accuracy, interval_95: [low, high], chance, balanced_accuracy, macro_f1, .. } = judged.figures;
    let mut notes =
        vec![format!("95 % interval {:.2} to {}", 100.0 * low, percent(high)), format!("chance {}", percent(chance))];
    notes.extend(balanced_accuracy.map(|share| format!("balanced accuracy {}", percent(share))));
    notes.extend(macro_f1.map(|f1| format!("macro F1 {}", significant(f1, 3))));
    notes.extend(judged.figures.top.0.iter().map(|(k, share)| format!("top-{k} accuracy {}", percent(*share))));
    notes.push(counted(judged.images, "image"));
    figure(
        &format!("{} accuracy, {} ({})", judged.split.as_str(), judged.head, judged.node),
        &percent(accuracy),
        &notes.join("; "),
    )
}

fn done(page: &Page<'_>) -> Markup {
    let nodes = &page.found.study.nodes;
    let with_outputs = nodes.values().filter(|node| node.tree().is_some()).count();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    nodes.values().for_each(|node| *counts.entry(&node.stage).or_default() += 1);
    // Proposals, promotions and selections are not counted apart from their trials.
    let light = |stage: &str| StageName::find(stage).is_some_and(is_of_search);
    let works: Vec<_> =
        counts.into_iter().filter(|(stage, _)| !light(stage)).map(|(stage, n)| works(stage, n)).collect();
    let planned = page.found.open.as_ref().map_or(nodes.len(), |open| open.planned());
    figure("Nodes done", &format!("{with_outputs} of {planned}"), &works.join(", "))
}

/// Says that the study has not come to its end.
fn unfinished(page: &Page<'_>) -> Markup {
    html! {
        @if let Some(open) = &page.found.open {
            p.bad {
                @if open.running { "This study is running. " } @else { "This study was stopped; `pipe run` goes on with it. " }
                "The page has what is done so far."
            }
        }
    }
}

/// Says which images trials were chosen on, and whether the test figures are independent of that choice.
fn honesty(page: &Page<'_>, evaluations: &[Judged]) -> Markup {
    let is_official = |data_set: &Decode| data_set.validation == Validation::OfficialTest;
    let stages = page.pipeline.stages.iter();
    let without_test = stages.filter(|(_, stage)| stage.data_set().is_some_and(is_official)).map(|(name, _)| name);
    let without_test: Vec<_> = without_test.collect();
    let searched = !page.trials.is_empty();
    html! {
        @if !without_test.is_empty() {
            p.bad {
                "There is no test split: " (without_test.join(", ")) " uses the official test images for validation"
                @if searched { ", and trials are chosen on them" }
                ". These figures do not estimate the accuracy on new images."
            }
        } @else if searched {
            p {
                "Trials are chosen on the validation split only."
                @if evaluations.iter().any(|evaluation| evaluation.split == EvaluateOn::Test) {
                    " Only the evaluation reads the test split."
                } @else {
                    " Nothing has been measured on the test split."
                }
            }
        }
    }
}

/// Says how often the test split has been read.
fn ledger(page: &Page<'_>) -> Result<Markup, ViewError> {
    let readings = readings::of(page.store, &page.found.hash, &page.found.study)?;
    let lines = show::test_readings(&readings);
    Ok(html! { @for line in lines { p { (upper_first(&line)) "." } } })
}

/// Returns what users noted, with the moments.
fn notes(page: &Page<'_>) -> Result<Markup, ViewError> {
    let notes = note::of(page.store, &page.found.hash)?;
    Ok(html! {
        @if !notes.is_empty() {
            ul.notes { @for note in &notes { li { (note.text) " " span.quiet { (moment(note.at as f64)) } } } }
        }
    })
}

fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn failures(page: &Page<'_>) -> Markup {
    let failed: Vec<_> = page.found.study.nodes.iter().filter(|(_, node)| node.tree().is_none()).collect();
    html! {
        @if !failed.is_empty() {
            div.bad {
                p { strong { "This study is not complete: " (counted(failed.len(), "node")) " without outputs." } }
                ul {
                    @for (name, node) in failed.iter().take(SHOWN) {
                        @let (word, reason) = show::words(&node.outcome);
                        li { code { (name) } " " (word) @if let Some(reason) = reason { ": " (reason) } }
                    }
                    @if failed.len() > SHOWN { li { "and " (failed.len() - SHOWN) " more" } }
                }
            }
        }
        @if !page.found.study.selection.is_empty() {
            p { "Only a part of the pipeline was run: " (page.found.study.selection.join(", ")) "." }
        }
    }
}
