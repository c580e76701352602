//! The repetitions of each point of a grid, summarised.

use pipe_engine::study::Study;
use pipe_stages::{
    StageName,
    records::{Best, Point},
};
use pipe_store::Store;

use crate::{
    ViewError,
    outputs::Outputs,
    text::{Align, columns, significant},
};

/// Returns the points of every search with repetitions: (search, points). The best point comes first.
pub fn repetitions(store: &Store, study: &Study) -> Result<Vec<(String, Vec<Point>)>, ViewError> {
    let mut found = Vec::new();
    for (name, node) in study.nodes.iter().filter(|(_, node)| node.is(StageName::Select)) {
        let best: Option<Best> = Outputs::of(store, name, node)?.map(|outputs| outputs.record()).transpose()?.flatten();
        found.extend(best.and_then(|best| best.points).map(|points| (node.part_of.clone(), points)));
    }
    Ok(found)
}

/// Returns the points of a search as aligned columns. `*` marks the best, `=` the points that are not distinguishable from it.
pub fn render_repetitions(search: &str, points: &[Point]) -> String {
    let number = |x: f64| significant(x, 4);
    let line = |(i, point): (usize, &Point)| {
        let mark = if i == 0 { "*" } else { "=" };
        let [low, high] = point.interval;
        vec![
            mark.chars().filter(|_| i == 0 || point.rival).collect(),
            format!("{:03}", point.trial),
            point.losses.len().to_string(),
            number(point.mean.0),
            number(point.spread.0),
            format!("{} to {}", number(low.0), number(high.0)),
        ]
    };
    let lines: Vec<_> = points.iter().enumerate().map(line).collect();
    let header = ["", "from trial", "repetitions", "mean loss", "spread", "95 % interval"];
    let table = columns(&header, &lines, &|at| if at < 2 { Align::Left } else { Align::Right });
    format!("{search}: points with their repetitions; = is not distinguishable from the best\n{table}")
}
