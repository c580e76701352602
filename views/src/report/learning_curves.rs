//! The learning curves of each search and of each training, and the distribution of weights over epochs.

use maud::{Markup, html};
use pipe_stages::StageName;
use pipe_stages::{
    network::{
        Architecture,
        training::{Histograms, larger_is_better},
    },
    records::TrainingHistory,
};

use super::page::{Page, figure};
use crate::{
    ViewError,
    outputs::Outputs,
    plot::{Picture, curves, histories, spread},
    trials::TrialRow,
};

pub(super) fn section(page: &Page<'_>) -> Result<Option<Markup>, ViewError> {
    let mut parts = Vec::new();
    for trials in page.searches() {
        parts.extend(of_search(page, trials)?);
    }
    for (name, node) in page.nodes(StageName::Train).chain(page.nodes(StageName::Command)) {
        let Some(outputs) = Outputs::of(page.store, name, node)? else { continue };
        let weights = weights(name, &outputs)?;
        parts.extend(outputs.history()?.and_then(|history| of_training(name, &history, weights.as_ref())));
    }
    Ok((!parts.is_empty()).then(|| html! { @for part in parts { (part) } }))
}

fn of_search(page: &Page<'_>, trials: &[TrialRow]) -> Result<Option<Markup>, ViewError> {
    let histories = histories(page.store, &page.found.study, trials)?;
    let metric = trials.iter().find_map(|row| row.metric.as_deref());
    let metrics = metric.into_iter().chain(["valid.loss"].into_iter().filter(|loss| metric != Some(loss)));
    let n = trials.len();
    let left_out = if n > curves::CURVES + 1 {
        format!(" The best and {} of the other trials.", histories.len().saturating_sub(1))
    } else {
        String::new()
    };
    let draw = |metric: &str| {
        Some(figure(&curves::of_trials(metric, &histories)?, &format!("{metric} after each epoch.{left_out}")))
    };
    let charts: Vec<_> = metrics.filter_map(draw).collect();
    Ok((!charts.is_empty()).then(|| {
        html! {
            h3 { "Trials of " (trials[0].search) }
            div.charts { @for chart in charts { (chart) } }
        }
    }))
}

/// Returns the picture of the weights over the epochs, if the training recorded their histograms.
fn weights(name: &str, outputs: &Outputs<'_>) -> Result<Option<Picture>, ViewError> {
    let Some(bytes) = outputs.bytes(Histograms::FILE)? else { return Ok(None) };
    let histograms = Histograms::read(bytes).map_err(|error| outputs.not_a_record(Histograms::FILE, &error))?;
    let network: Option<Architecture> = outputs.record()?;
    let layers = network.iter().flat_map(|network| &network.layers).map(|layer| layer.name.as_str());
    Ok(spread::draw(name, &histograms, layers))
}

fn of_training(name: &str, history: &TrainingHistory, weights: Option<&Picture>) -> Option<Markup> {
    let of_split = |split: &'static str| history.metrics.iter().filter_map(move |metric| metric.strip_prefix(split));
    let is_drawn = |figure: &&str| *figure == "loss" || larger_is_better(figure);
    let figures: Vec<_> = of_split("train.").filter(is_drawn).collect();
    // Some metrics are measured on the validation split only.
    let of_validation: Vec<_> =
        of_split("valid.").filter(|figure| larger_is_better(figure) && !figures.contains(figure)).collect();
    let draw = |of: &str| Some(figure(&curves::of_training(name, of, history)?, &format!("{of} after each epoch.")));
    let charts: Vec<_> = figures.into_iter().chain(of_validation).filter_map(draw).collect();
    (!charts.is_empty()).then(|| {
        html! {
            h3 { "Training " (name) }
            div.charts { @for chart in charts { (chart) } }
            @if let Some(weights) = weights {
                details { summary { "How its weights moved" } (figure(weights, "The kernels of each layer, by epoch.")) }
            }
        }
    })
}
