//! Repetitions of one configuration: their mean and its confidence interval.

use crate::{params::Float, records::Point};

/// Returns the points of trials with these losses, `repeats` trials for each point. The last point may have fewer. The points
/// are ordered by their means, then by their first trials. A failed trial has an infinite loss, so its point comes last.
pub(crate) fn points(losses: &[f64], repeats: u32) -> Vec<Point> {
    let first = (0..).step_by(repeats as usize);
    let mut points: Vec<Point> =
        losses.chunks(repeats as usize).zip(first).map(|(losses, trial)| point(trial, losses)).collect();
    points.sort_by(|a, b| a.mean.0.total_cmp(&b.mean.0).then(a.trial.cmp(&b.trial)));
    let best = points.first().map(|best| best.interval[1].0);
    for point in &mut points {
        point.rival = best.is_some_and(|upper| point.interval[0].0 <= upper);
    }
    if let Some(best) = points.first_mut() {
        best.rival = false;
    }
    points
}

fn point(trial: u32, losses: &[f64]) -> Point {
    let n = losses.len() as f64;
    let mean = losses.iter().sum::<f64>() / n;
    let squares: f64 = losses.iter().map(|loss| (loss - mean) * (loss - mean)).sum();
    let spread = if mean.is_finite() && losses.len() > 1 { (squares / (n - 1.0)).sqrt() } else { f64::NAN };
    let half = student(losses.len() - 1) * spread / n.sqrt();
    Point {
        trial,
        losses: losses.iter().copied().map(Float).collect(),
        mean: Float(mean),
        spread: Float(spread),
        interval: [Float(mean - half), Float(mean + half)],
        rival: false,
    }
}

/// Returns the two-sided 95 % quantile of Student's t distribution. Above 30 degrees of freedom it has an error of at most
/// 0.3 %.
pub fn student(degrees: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    match degrees {
        0 => f64::NAN,
        1..=30 => TABLE[degrees - 1],
        // The first two terms of the expansion in 1 / degrees.
        _ => 1.96 + 2.37 / degrees as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_point_has_the_least_mean_and_not_the_least_single_loss() {
        let points = points(&[0.1, 0.9, 0.3, 0.4, f64::INFINITY, 0.0], 2);
        assert_eq!(points.iter().map(|point| point.trial).collect::<Vec<_>>(), [2, 0, 4]);
        let best = &points[0];
        let close = |found: Float, expected: f64| assert!((found.0 - expected).abs() < 1e-12, "{found:?}");
        close(best.mean, 0.35);
        close(best.spread, 0.005_f64.sqrt());
        // mean - 12.706 * spread / sqrt(2)
        close(best.interval[0], 0.35 - 12.706 * 0.05);
        assert_eq!([points[1].rival, best.rival, points[2].is_complete()], [true, false, false]);
    }

    /// The expected quantiles are those of `scipy.stats.t.ppf(0.975, n)`.
    #[test]
    fn quantiles_agree_with_scipy() {
        for (degrees, expected) in [(1, 12.7062), (2, 4.3027), (10, 2.2281), (30, 2.0423), (40, 2.0211), (100, 1.9840)]
        {
            assert!((student(degrees) / expected - 1.0).abs() < 3e-3, "{degrees}");
        }
    }
}
