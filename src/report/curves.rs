//! Learning curves: of all trials together, and of each training apart.

use maud::{Markup, html};

use super::{
    Page,
    chart::{Chart, HALF, Series, Style},
    trials::axis,
};
use crate::{
    trials::TrialRow,
    view::{ViewError, history::History, outputs::Outputs},
};

/// How many trials' curves are drawn: the best, and the first of the others.
const CURVES: usize = 200;

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
    let mut histories = Vec::new();
    let (best, others): (Vec<_>, Vec<_>) = trials.iter().partition(|row| row.best);
    // The best last: it is drawn above the others.
    for row in others.into_iter().take(CURVES).chain(best) {
        let outputs = Outputs::of(page.store, &row.node, &page.found.study.nodes[&row.node])?;
        if let Some(history) = outputs.map(|outputs| outputs.history()).transpose()?.flatten() {
            histories.push((row, history));
        }
    }
    let metric = trials.iter().find_map(|row| row.metric.as_deref());
    let metrics: Vec<_> =
        metric.into_iter().chain(["valid.loss"].into_iter().filter(|loss| metric != Some(loss))).collect();
    let charts: Vec<_> =
        metrics.iter().filter_map(|metric| chart_of_search(metric, trials.len(), &histories)).collect();
    Ok((!charts.is_empty()).then(|| {
        html! {
            h3 { "Trials of " (trials[0].search) }
            div.charts { @for chart in charts { (chart) } }
        }
    }))
}

fn chart_of_search(metric: &str, n: usize, histories: &[(&TrialRow, History)]) -> Option<Markup> {
    let mut is_first = true;
    let mut series = Vec::new();
    for (row, history) in histories {
        let Some(points) = history.curve(metric) else { continue };
        let label = match row.best {
            true => Some(format!("trial {}, the best", row.index)),
            false => std::mem::take(&mut is_first).then(|| "other trials".to_owned()),
        };
        // One epoch is a point and no line.
        let marks = points.len() == 1;
        let style = if row.best { Style::Strong } else { Style::Faint };
        series.push(Series { label, style, points, marks, joined: true });
    }
    let drawn = series.len();
    let chart = plain(format!("{metric} of all trials"), metric, series);
    let svg = chart.draw()?;
    Some(html! {
        figure {
            (svg)
            figcaption {
                (metric) " after each epoch." @if drawn < n && n > CURVES { " The best and " (drawn - 1) " of the other trials." }
                @if chart.is_cut() { " Values beyond the top are drawn at the top." }
            }
        }
    })
}

fn of_training(name: &str, history: &History) -> Option<Markup> {
    let figures = history.columns().filter_map(|column| column.strip_prefix("train."));
    let figures: Vec<_> = figures.filter(|figure| *figure == "loss" || figure.ends_with("accuracy")).collect();
    let charts: Vec<_> = figures.into_iter().filter_map(|figure| chart_of_training(name, figure, history)).collect();
    (!charts.is_empty()).then(|| {
        html! {
            h3 { "Training " (name) }
            div.charts { @for chart in charts { (chart) } }
        }
    })
}

fn chart_of_training(name: &str, figure: &str, history: &History) -> Option<Markup> {
    let curve = |split: &str, label: &str, style| {
        let points = history.curve(&format!("{split}.{figure}"))?;
        let marks = points.len() <= 40;
        Some(Series { label: Some(label.to_owned()), style, points, marks: marks && style == Style::Two, joined: true })
    };
    let series = curve("train", "training", Style::One).into_iter().chain(curve("valid", "validation", Style::Two));
    let chart = plain(format!("{figure} of {name} in training and validation"), figure, series.collect());
    let svg = chart.draw()?;
    Some(html! {
        figure {
            (svg)
            figcaption { (figure) " after each epoch." @if chart.is_cut() { " Values beyond the top are drawn at the top." } }
        }
    })
}

fn plain(title: String, metric: &str, series: Vec<Series>) -> Chart {
    let (x_axis, y_axis) = ("epoch".to_owned(), axis(metric));
    Chart { title, width: HALF, x_axis, y_axis, series, rule: None, crosses: Vec::new(), cross_label: String::new() }
}
