//! The front of a search with several objectives: each of its trials by the first two objectives.

use super::{
    chart::{Chart, HALF, Of, Series, Style},
    svg::Picture,
};
use crate::trials::Front;

/// Returns the picture, or `None` if the front has no trial.
pub(crate) fn draw(front: &Front) -> Option<Picture> {
    let [across, up, others @ ..] = front.objectives.as_slice() else { return None };
    let points = front.trials.iter().map(|row| (row.values[0].0, row.values[1].0)).collect();
    let series = Series { label: None, style: Style::One, points, marks: true, joined: false, of: Of::Nothing };
    let chart = Chart {
        title: format!("The front of {up} over {across}"),
        width: HALF,
        x_axis: across.clone(),
        whole: false,
        y_axis: up.clone(),
        series: vec![series],
        rule: None,
        crosses: Vec::new(),
        cross_label: String::new(),
    };
    let mut picture = chart.draw()?;
    if !others.is_empty() {
        picture.note = format!("These are the first two of {} objectives.", front.objectives.len());
    }
    Some(picture)
}
