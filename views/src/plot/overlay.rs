//! The curves of two studies in one chart: A is solid, B is dashed.

use pipe_stages::records::TrainingHistory;

use super::{
    chart::{Chart, HALF, Of, Series, Style},
    convergence,
    svg::Picture,
    table::{Table, titled},
};
use crate::text::counted;

const NAMES: [&str; 2] = ["A", "B"];

/// Returns the curves of `figure` (`loss`, `fine_accuracy`) in two trainings, on both splits.
pub(crate) fn of_trainings(title: &str, figure: &str, both: [Option<&TrainingHistory>; 2]) -> Option<Picture> {
    let mut series = Vec::new();
    for (split, words, styles) in
        [("valid", "validation", [Style::One, Style::Two]), ("train", "training", [Style::ThinOne, Style::ThinTwo])]
    {
        for at in 0..2 {
            let points = both[at].and_then(|history| history.curve(&format!("{split}.{figure}")));
            series.extend(points.map(|points| line(format!("{}, {words}", NAMES[at]), styles[at], points)));
        }
    }
    chart(format!("{figure} of {title} in A and B"), "epoch (number)", titled(&format!("valid.{figure}")), series)
        .draw()
}

/// Returns the best so far of two searches. Their objectives must have the same name to share an axis.
pub(crate) fn of_searches(title: &str, both: [Option<&Table>; 2]) -> Option<Picture> {
    let objective = &both.into_iter().flatten().next()?.objective;
    let is_alike = |table: &&Table| table.objective.name == objective.name;
    let line = |at: usize| {
        let table = both[at].filter(is_alike)?;
        let n = table.rows.len();
        Some(line(
            format!("{}, {}", NAMES[at], counted(n, "trial")),
            [Style::One, Style::Two][at],
            convergence::so_far(table),
        ))
    };
    let series = (0..2).filter_map(line).collect();
    let mut picture = chart(
        format!("Best of the first trials of {title} in A and B"),
        "trials (number)",
        objective.title.clone(),
        series,
    )
    .draw()?;
    if !both.iter().flatten().all(is_alike) {
        picture.note = "B optimises something else and is not drawn.".to_owned();
    }
    Some(picture)
}

fn line(label: String, style: Style, points: Vec<(f64, f64)>) -> Series {
    // A single point has no line and would be invisible without a mark.
    let marks = points.len() == 1;
    Series { label: Some(label), style, points, marks, joined: true, of: Of::Nothing }
}

fn chart(title: String, x_axis: &str, y_axis: String, series: Vec<Series>) -> Chart {
    Chart {
        title,
        width: HALF,
        x_axis: x_axis.to_owned(),
        whole: true,
        y_axis,
        series,
        rule: None,
        crosses: Vec::new(),
        cross_label: String::new(),
    }
}
