//! Learning curves: those of all trials of a search with the best highlighted, and those of one training on both splits.

use super::{
    chart::{Chart, HALF, Of, Series, Style},
    svg::Picture,
    table::titled,
};
use pipe_stages::records::TrainingHistory;

use crate::trials::TrialRow;

/// The most curves of trials other than the best.
pub(crate) const CURVES: usize = 200;

/// Returns the curves of a metric in these trainings. The best one is drawn on top.
pub(crate) fn of_trials(metric: &str, histories: &[(&TrialRow, TrainingHistory)]) -> Option<Picture> {
    let mut is_first = true;
    let mut series = Vec::new();
    let (best, others): (Vec<_>, Vec<_>) = histories.iter().partition(|(row, _)| row.best);
    for (row, history) in others.into_iter().chain(best) {
        let Some(points) = history.curve(metric) else { continue };
        let label = match row.best {
            true => Some(format!("trial {}, the best", row.index)),
            false => std::mem::take(&mut is_first).then(|| "other trials".to_owned()),
        };
        // A single epoch has no line and would be invisible without a mark.
        let marks = points.len() == 1;
        let style = if row.best { Style::Strong } else { Style::Faint };
        series.push(Series {
            label,
            style,
            points,
            marks,
            joined: true,
            of: Of::Trial(format!("{}/{}", row.search, row.index)),
        });
    }
    plain(format!("{metric} of all trials"), metric, series).draw()
}

/// Returns the curves of `figure` (`loss`, `fine_accuracy`) of the training `name` on the training and validation splits.
pub(crate) fn of_training(name: &str, figure: &str, history: &TrainingHistory) -> Option<Picture> {
    let curve = |split: &str, label: &str, style| {
        let points = history.curve(&format!("{split}.{figure}"))?;
        let marks = points.len() <= 40;
        Some(Series {
            label: Some(label.to_owned()),
            style,
            points,
            marks: marks && style == Style::Two,
            joined: true,
            of: Of::Nothing,
        })
    };
    let series = curve("train", "training", Style::One).into_iter().chain(curve("valid", "validation", Style::Two));
    plain(format!("{figure} of {name} in training and validation"), &format!("valid.{figure}"), series.collect()).draw()
}

fn plain(title: String, metric: &str, series: Vec<Series>) -> Chart {
    let (x_axis, y_axis) = ("epoch (number)".to_owned(), titled(metric));
    Chart {
        title,
        width: HALF,
        x_axis,
        whole: true,
        y_axis,
        series,
        rule: None,
        crosses: Vec::new(),
        cross_label: String::new(),
    }
}
