//! The empirical distribution function of the objective: for each value, the share of trials that have it or less.

use super::{
    chart::{Chart, HALF, Series, Style},
    svg::Picture,
    table::Table,
};

/// Returns the picture. If a model proposed some of the trials, those are drawn apart from the random ones.
pub(super) fn draw(table: &Table) -> Option<Picture> {
    let values = |is_meant: &dyn Fn(u32) -> bool| {
        let of = |row: usize| table.objective.number(row).filter(|_| is_meant(table.rows[row].index));
        let mut values: Vec<f64> = (0..table.rows.len()).filter_map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let all = values(&|_| true);
    let (low, high) = (*all.first()?, *all.last()?);
    let line = |label: &str, style, values: &[f64]| {
        Series::line(Some(format!("{label} ({})", values.len())), style, steps(values, low, high))
    };
    let (random, modelled) =
        (values(&|index| table.declared.is_random(index)), values(&|index| !table.declared.is_random(index)));
    let series = if random.is_empty() || modelled.is_empty() {
        vec![line("all trials", Style::Strong, &all)]
    } else {
        vec![
            line("all trials", Style::Faint, &all),
            line("random trials", Style::Two, &random),
            line("trials of the model", Style::Strong, &modelled),
        ]
    };
    let better = if table.rises { "further right" } else { "further left" };
    let chart = Chart {
        title: format!("Empirical distribution function of {}", table.objective.name),
        width: HALF,
        x_axis: table.objective.title.clone(),
        whole: false,
        y_axis: "share of trials with this or less".to_owned(),
        series,
        rule: None,
        crosses: Vec::new(),
        cross_label: String::new(),
    };
    let mut picture = chart.draw()?;
    picture.note = format!("A line that runs {better} is better. Trials without a result are not counted.");
    Some(picture)
}

/// Returns the steps of the distribution function of sorted `values` from `low` to `high`.
fn steps(values: &[f64], low: f64, high: f64) -> Vec<(f64, f64)> {
    let mut points = vec![(low, 0.0)];
    for (at, value) in values.iter().enumerate() {
        let share = |n: usize| n as f64 / values.len() as f64;
        points.extend([(*value, share(at)), (*value, share(at + 1))]);
    }
    points.push((high, 1.0));
    points.dedup();
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_rises_by_a_step_at_each_value() {
        let at_two =
            [(1.0, 0.0), (2.0, 0.0), (2.0, 0.25), (2.0, 0.5), (5.0, 0.5), (5.0, 0.75), (6.0, 0.75), (6.0, 1.0)];
        assert_eq!(steps(&[2.0, 2.0, 5.0, 6.0], 1.0, 6.0), at_two);
        assert_eq!(steps(&[3.0], 3.0, 3.0), [(3.0, 0.0), (3.0, 1.0)]);
    }
}
