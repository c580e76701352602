//! What came out, in a few figures, and what they were chosen on.

use std::collections::BTreeMap;

use maud::{Markup, html};
use pipe_engine::pipeline::stages::is_of_search;
use pipe_stages::{
    StageName,
    decode::{Decode, Validation},
};
use serde_json::Value;

use super::Page;
use crate::{
    ViewError,
    outputs::{Outputs, number},
    show,
    text::{counted, percent, significant, works},
    trials::TrialRow,
};

/// How many nodes without outputs are named.
const SHOWN: usize = 12;

pub(super) fn section(page: &Page<'_>) -> Result<Markup, ViewError> {
    let evaluations = evaluations(page)?;
    Ok(html! {
        div.figures {
            @for trials in page.searches() { (best(trials)) }
            @for evaluation in &evaluations { (accuracy(evaluation)) }
            (done(page))
        }
        (honesty(page, &evaluations))
        (failures(page))
    })
}

fn figure(name: &str, value: &str, note: &str) -> Markup {
    html! { div { div.name { (name) } div.value { (value) } div.note { (note) } } }
}

/// Returns a metric's value as people say it: accuracies in percent.
pub(super) fn metric_value(metric: Option<&str>, value: f64) -> String {
    if metric.is_some_and(|metric| metric.contains("accuracy")) { percent(value) } else { significant(value, 5) }
}

fn best(trials: &[TrialRow]) -> Markup {
    let search = &trials[0].search;
    let completed = trials.iter().filter(|row| row.status == "completed").count();
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
struct Evaluation {
    node: String,
    split: String,
    head: String,
    accuracy: f64,
    interval: Option<(f64, f64)>,
    chance: Option<f64>,
    images: Option<u64>,
}

fn evaluations(page: &Page<'_>) -> Result<Vec<Evaluation>, ViewError> {
    let mut found = Vec::new();
    for (name, node) in page.nodes(StageName::Evaluate) {
        let Some(outputs) = Outputs::of(page.store, name, node)? else { continue };
        let record = outputs.json("evaluation.json")?.unwrap_or_default();
        let split = record.get("split").and_then(Value::as_str).unwrap_or("Test").to_owned();
        let images = record.get("n").and_then(Value::as_u64);
        for (head, figures) in record.get("heads").and_then(Value::as_object).into_iter().flatten() {
            let Some(accuracy) = figures.get("accuracy").and_then(number) else { continue };
            let bound = |at: usize| figures.get("interval_95")?.get(at).and_then(number);
            let interval = bound(0).zip(bound(1));
            let chance = figures.get("chance").and_then(number);
            let (node, split, head) = (name.clone(), split.clone(), head.clone());
            found.push(Evaluation { node, split, head, accuracy, interval, chance, images });
        }
    }
    // The finer of two heads is the main one.
    let chance = |evaluation: &Evaluation| evaluation.chance.unwrap_or(1.0);
    for of_node in found.chunk_by_mut(|a, b| a.node == b.node) {
        of_node.sort_by(|a, b| chance(a).total_cmp(&chance(b)));
    }
    Ok(found)
}

fn accuracy(evaluation: &Evaluation) -> Markup {
    let interval =
        evaluation.interval.map(|(low, high)| format!("95 % interval {:.2} to {}", 100.0 * low, percent(high)));
    let chance = evaluation.chance.map(|chance| format!("chance {}", percent(chance)));
    let images = evaluation.images.map(|n| counted(n as usize, "image"));
    let notes: Vec<_> = interval.into_iter().chain(chance).chain(images).collect();
    let split = &evaluation.split;
    figure(
        &format!("{split} accuracy, {} ({})", evaluation.head, evaluation.node),
        &percent(evaluation.accuracy),
        &notes.join("; "),
    )
}

fn done(page: &Page<'_>) -> Markup {
    let nodes = &page.found.study.nodes;
    let with_outputs = nodes.values().filter(|node| node.tree().is_some()).count();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    nodes.values().for_each(|node| *counts.entry(&node.stage).or_default() += 1);
    // What belongs to a search goes with its trials.
    let light = |stage: &str| StageName::find(stage).is_some_and(is_of_search);
    let works: Vec<_> =
        counts.into_iter().filter(|(stage, _)| !light(stage)).map(|(stage, n)| works(stage, n)).collect();
    figure("Nodes done", &format!("{with_outputs} of {}", nodes.len()), &works.join(", "))
}

/// Says on which images trials were chosen, and whether the test figures are independent of that.
fn honesty(page: &Page<'_>, evaluations: &[Evaluation]) -> Markup {
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
                ". These figures are no estimate of accuracy on new images."
            }
        } @else if searched {
            p {
                "Trials are chosen on the validation split alone."
                @if evaluations.iter().any(|evaluation| evaluation.split == "Test") {
                    " The test split is read by the evaluation alone."
                } @else {
                    " Nothing has been measured on the test split."
                }
            }
        }
    }
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
            p { "Only a part of the pipeline was asked for: " (page.found.study.selection.join(", ")) "." }
        }
    }
}
