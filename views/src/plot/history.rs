//! The history of a search: the objective of each trial, and the best value so far.

use super::{
    chart::{Chart, FULL, Of, Series, Style},
    svg::Picture,
    table::titled,
};
use crate::trials::TrialRow;

/// Returns the picture of the trials of a search, given by number. `rule` is a vertical line at a trial number with its label.
/// Returns None if no trial has a result.
pub(crate) fn draw(trials: &[TrialRow], rule: Option<(f64, String)>) -> Option<Picture> {
    let metric = metric(trials);
    let ranked = trials.iter().filter(|row| row.is_ranked());
    let points = ranked.map(|row| (f64::from(row.index), objective(row, metric))).collect();
    let mut steps: Vec<(f64, f64)> = Vec::new();
    let mut least = f64::INFINITY;
    for row in trials {
        let x = f64::from(row.index);
        if let Some((_, level)) = steps.last().copied() {
            steps.push((x, level));
        }
        if row.loss_or_worst() < least {
            least = row.loss_or_worst();
            steps.push((x, objective(row, metric)));
        }
    }
    let chart = Chart {
        title: format!("Objective of each trial of {}", trials.first()?.search),
        width: FULL,
        x_axis: "trial (number)".to_owned(),
        whole: true,
        y_axis: titled(metric.unwrap_or("loss")),
        series: vec![
            Series::line(Some("best so far".to_owned()), Style::Strong, steps),
            Series {
                label: Some("trial".to_owned()),
                style: Style::Two,
                points,
                marks: true,
                joined: false,
                of: Of::Trials(trials.first()?.search.clone()),
            },
        ],
        rule,
        crosses: trials.iter().filter(|row| !row.is_ranked()).map(|row| f64::from(row.index)).collect(),
        cross_label: "no result".to_owned(),
    };
    chart.draw()
}

/// Returns the metric that was optimised, or None if trials optimised different ones.
pub(crate) fn metric(trials: &[TrialRow]) -> Option<&str> {
    let mut metrics = trials.iter().filter_map(|row| row.metric.as_deref());
    let first = metrics.next()?;
    metrics.all(|metric| metric == first).then_some(first)
}

/// Returns the number that is shown as objective: the value of the metric, or the loss if there is no `metric`.
pub(crate) fn objective(row: &TrialRow, metric: Option<&str>) -> f64 {
    let value = if metric.is_some() { row.value } else { row.loss };
    value.map_or(f64::NAN, |value| value.0)
}
