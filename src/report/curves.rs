//! Learning curves: of all trials together, and of each training apart.

use maud::{Markup, html};

use super::{Page, figure};
use crate::{
    plot::{curves, histories},
    trials::TrialRow,
    view::{ViewError, history::History, outputs::Outputs},
};

pub(super) fn section(page: &Page<'_>) -> Result<Option<Markup>, ViewError> {
    let mut parts = Vec::new();
    for trials in page.searches() {
        parts.extend(of_search(page, trials)?);
    }
    for (name, node) in page.nodes("train") {
        let history = Outputs::of(page.store, name, node)?.map(|outputs| outputs.history()).transpose()?.flatten();
        parts.extend(history.and_then(|history| of_training(name, &history)));
    }
    Ok((!parts.is_empty()).then(|| html! { @for part in parts { (part) } }))
}

fn of_search(page: &Page<'_>, trials: &[TrialRow]) -> Result<Option<Markup>, ViewError> {
    let histories = histories(page.store, &page.found.study, trials)?;
    let metric = trials.iter().find_map(|row| row.metric.as_deref());
    let metrics = metric.into_iter().chain(["valid.loss"].into_iter().filter(|loss| metric != Some(loss)));
    let n = trials.len();
    let left_out = if n > curves::CURVES + 1 {
        format!(" The best and {} of the other trials.", histories.len() - 1)
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

fn of_training(name: &str, history: &History) -> Option<Markup> {
    let figures = history.columns().filter_map(|column| column.strip_prefix("train."));
    let figures: Vec<_> = figures.filter(|figure| *figure == "loss" || figure.ends_with("accuracy")).collect();
    let draw = |of: &str| Some(figure(&curves::of_training(name, of, history)?, &format!("{of} after each epoch.")));
    let charts: Vec<_> = figures.into_iter().filter_map(draw).collect();
    (!charts.is_empty()).then(|| {
        html! {
            h3 { "Training " (name) }
            div.charts { @for chart in charts { (chart) } }
        }
    })
}
