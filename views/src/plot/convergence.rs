//! The best score so far of a search, against what a random search would have found with as many trials.

use super::{
    chart::{Chart, HALF, Of, Series, Style},
    svg::Picture,
    table::Table,
};
use crate::{ViewError, text::counted};

/// Returns the picture.
///
/// # Errors
/// If no trial was drawn at random, or no trial has a result.
pub(super) fn draw(table: &Table) -> Result<Picture, ViewError> {
    let direction = if table.rises { 1.0 } else { -1.0 };
    let score = |row: usize| table.objective.number(row).filter(|_| table.rows[row].is_ranked());
    let random = (0..table.rows.len()).filter(|row| table.declared.is_random(table.rows[*row].index));
    let scores: Vec<Option<f64>> = random.map(|row| score(row).map(|score| direction * score)).collect();
    let Some(worst) = scores.iter().flatten().copied().min_by(f64::total_cmp) else {
        return Err(ViewError::Nothing(
            "no trial with a result was drawn at random, so there is nothing to compare the search with".to_owned(),
        ));
    };
    // A trial without a result is no better than the worst that has one.
    let mut scores: Vec<f64> = scores.into_iter().map(|score| score.unwrap_or(worst)).collect();
    scores.sort_by(f64::total_cmp);
    let expected: Vec<(f64, f64)> =
        (1..=scores.len()).map(|k| (k as f64, direction * expected_best(&scores, k))).collect();
    let line = |label: String, style, points: Vec<(f64, f64)>| {
        let marks = points.len() == 1;
        Series { label: Some(label), style, points, marks, joined: true, of: Of::Nothing }
    };
    let n = scores.len();
    let chart = Chart {
        title: format!("Best of the first trials of {}, and of as many random ones", table.rows[0].search),
        width: HALF,
        x_axis: "trials (number)".to_owned(),
        whole: true,
        y_axis: table.objective.title.clone(),
        series: vec![
            line("this search, best so far".to_owned(), Style::Strong, so_far(table)),
            line(format!("expected of {} at random", counted(n, "trial")), Style::Two, expected),
        ],
        rule: None,
        crosses: Vec::new(),
        cross_label: String::new(),
    };
    let mut picture = chart.draw().ok_or_else(|| ViewError::Nothing("no trial has a result".to_owned()))?;
    picture.note = format!(
        "The dashed line is the expected best of k trials drawn without replacement from the {} of this search that were drawn at \
         random: Σ s(i)·C(i−1, k−1)/C(n, k) over their sorted scores s(1) ≤ … ≤ s(n). It ends where they do{}",
        counted(n, "trial"),
        if n < 10 { ", and says little with so few." } else { "." }
    );
    Ok(picture)
}

/// Returns the best score of the first trials, by their number, as steps.
pub(super) fn so_far(table: &Table) -> Vec<(f64, f64)> {
    let direction = if table.rises { 1.0 } else { -1.0 };
    let mut best = f64::NEG_INFINITY;
    let mut points = Vec::new();
    for row in 0..table.rows.len() {
        let (x, before) = ((row + 1) as f64, best);
        let score = table.objective.number(row).filter(|_| table.rows[row].is_ranked());
        best = best.max(score.map_or(f64::NEG_INFINITY, |score| direction * score));
        let levels = [Some(before).filter(|before| before.is_finite() && *before < best), Some(best)];
        let level = |best: f64| if best.is_finite() { direction * best } else { f64::NAN };
        points.extend(levels.into_iter().flatten().map(|best| (x, level(best))));
    }
    points
}

/// Returns the expected greatest of `k` draws without replacement from `scores`, which rise: the sum over i of `scores[i]` times
/// the probability C(i, k - 1) / C(n, k) that it is the greatest, with i from 0.
///
/// # Panics
/// If `k` is 0 or larger than the number of scores.
fn expected_best(scores: &[f64], k: usize) -> f64 {
    let n = scores.len();
    assert!((1..=n).contains(&k), "{k} draws from {n} scores");
    // The greatest of all is the greatest of the draws with probability k / n. Each probability follows from the one above it.
    let mut probability = k as f64 / n as f64;
    let mut sum = 0.0;
    for i in (k - 1..n).rev() {
        sum += scores[i] * probability;
        // C(i - 1, k - 1) / C(i, k - 1) = (i - k + 1) / i
        probability *= (i + 1 - k) as f64 / i.max(1) as f64;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the mean over all subsets of `k` scores of their greatest.
    fn by_enumeration(scores: &[f64], k: usize) -> f64 {
        let subsets = (0_u32..1 << scores.len()).filter(|subset| subset.count_ones() as usize == k);
        let greatest = |subset: u32| {
            let of_subset = scores.iter().enumerate().filter(|(i, _)| subset >> i & 1 == 1).map(|(_, score)| *score);
            of_subset.fold(f64::NEG_INFINITY, f64::max)
        };
        let greatest: Vec<f64> = subsets.map(greatest).collect();
        greatest.iter().sum::<f64>() / greatest.len() as f64
    }

    #[test]
    fn the_expected_best_is_the_mean_over_all_subsets() {
        let scores = [-2.0, 0.1, 0.1, 0.35, 0.5, 3.0, 3.25];
        for k in 1..=scores.len() {
            let (found, expected) = (expected_best(&scores, k), by_enumeration(&scores, k));
            assert!((found - expected).abs() < 1e-12, "{k}: {found}, {expected}");
        }
        assert_eq!((expected_best(&[4.0], 1), expected_best(&[1.0, 2.0], 2)), (4.0, 2.0));
    }
}
