//! A study as one self-contained HTML page. The page contains no time and no path, and loads nothing from the network.

mod architecture;
pub(crate) mod document;
mod evaluation;
mod hyperparameters;
mod learning_curves;
mod metrics;
pub(crate) mod page;
mod pictures;
mod searches;
mod summary;

use maud::{Markup, html};
use pipe_engine::{
    pipeline::spec::Pipeline,
    study::{Found, Outcome, StudyNode},
};
use pipe_stages::Precision;
use pipe_store::Store;
use serde_json::Value;

pub use self::document::style;
use self::{
    document::{Head, Section},
    page::{Page, legible},
    pictures::Room,
};
use crate::{ViewError, notation, plot::graph, show, trials::table};

/// The generator of a page, as its head names it. The number goes up whenever the same study gives other bytes.
pub const GENERATOR: &str = "pipe report 9";

/// Returns the study as one self-contained HTML page. Equal studies with equal names give equal bytes.
///
/// # Errors
/// If an object that is shown cannot be read.
pub fn html(store: &Store, found: &Found) -> Result<String, ViewError> {
    let pipeline = found.study.read_pipeline(store)?;
    let page = Page { store, found, pipeline, trials: table(store, &found.study)? };
    // In the order in which pictures take what room there is.
    let mut room = Room::default();
    let evaluation = evaluation::section(&page, &mut room)?;
    let data = pictures::data(&page, &mut room)?;
    let filters = pictures::filters(&page, &mut room)?;
    let others = pictures::others(&page, &mut room)?;
    let sections = [
        Section { id: "summary", title: "Summary", content: Some(summary::section(&page)?) },
        Section { id: "pipeline", title: "Pipeline", content: Some(stages(&page)) },
        Section { id: "evaluation", title: "Evaluation", content: evaluation },
        Section { id: "metrics", title: "Metrics", content: metrics::section(&page)? },
        Section { id: "search", title: "Search", content: searches::section(&page)? },
        Section { id: "hyperparameters", title: "Hyperparameters", content: hyperparameters::section(&page)? },
        Section { id: "curves", title: "Learning curves", content: learning_curves::section(&page)? },
        Section { id: "data", title: "Data", content: data },
        Section { id: "filters", title: "Filters", content: filters },
        Section { id: "pictures", title: "Other pictures", content: others },
        Section { id: "architecture", title: "Architecture", content: architecture::section(&page)? },
        Section { id: "keys", title: "Keys", content: Some(keys(&page)) },
    ];
    let hash = found.hash;
    let name = found.name.as_deref().map_or_else(|| format!("Study {}", hash.short()), str::to_owned);
    Ok(document::write(
        &Head {
            generator: GENERATOR,
            title: &format!("{name} · {}", hash.short()),
            refreshes: found.open.as_ref().is_some_and(|open| open.running),
            header: html! { h1 { (name) } div.digest { "study " (hash) } },
        },
        &sections,
    ))
}

/// Returns the graph of the pipeline, and its text.
fn stages(page: &Page<'_>) -> Markup {
    let boxes = graph::boxes(&page.pipeline, &page.found.study, &page.trials);
    html! {
        @if let Some(picture) = graph::draw(&boxes) { figure { (legible(&picture)) } }
        details { summary { "The pipeline as text" } pre { (pipeline_text(&page.pipeline)) } }
    }
}

/// Returns the pipeline in the notation of its file. Each stage comes after the stages it reads.
fn pipeline_text(pipeline: &Pipeline) -> String {
    let Pipeline { device, precision, seed, .. } = pipeline;
    let precision = if *precision == Precision::F32 { String::new() } else { format!("  precision: {precision:?},\n") };
    let mut text = format!("Study(\n  device: {device:?},\n{precision}  seed: {seed},\n  stages: [\n");
    for (name, stage) in pipeline.stages.in_order() {
        let lines = notation::pretty(&stage.record()).replace('\n', "\n    ");
        text += &format!("    ({}, {lines}),\n", Value::from(name));
    }
    text + "  ],\n)"
}

fn keys(page: &Page<'_>) -> Markup {
    html! {
        p.quiet { "Equal keys are equal work; equal trees are equal bytes. The pipeline's record is " span.digest { (page.found.study.pipeline) } "." }
        div.wide {
            table {
                thead { tr { th { "node" } th { "stage" } th { "action key" } th { "output tree" } } }
                tbody {
                    @for (name, node) in &page.found.study.nodes {
                        tr {
                            th scope="row" { (name) }
                            td { (node.stage) }
                            td.digest { @if let Some(key) = node.action { (key) } }
                            td.digest { (outcome(node)) }
                        }
                    }
                }
            }
        }
    }
}

fn outcome(node: &StudyNode) -> String {
    match (&node.outcome, show::words(&node.outcome)) {
        (Outcome::Tree(tree), _) => tree.to_string(),
        (_, (word, None)) => word.to_owned(),
        (_, (word, Some(reason))) => format!("{word}: {reason}"),
    }
}

#[cfg(test)]
mod tests;
