//! Repetitions of one configuration: their mean and its confidence interval.

use crate::{params::Float, records::Point};

/// Returns the points of trials with these losses, `repeats` trials for each point. The last point may have fewer. The points
/// are ordered by their means, or by their [bounds](bound_points) if `by_bound`, then by their first trials. A failed trial has an
/// infinite loss, so its point comes last.
pub(crate) fn points(losses: &[f64], repeats: u32, by_bound: bool) -> Vec<Point> {
    let first = (0..).step_by(repeats as usize);
    let mut points: Vec<Point> =
        losses.chunks(repeats as usize).zip(first).map(|(losses, trial)| point(trial, losses)).collect();
    if by_bound {
        bound_points(&mut points);
    }
    let key = |point: &Point| point.bound.unwrap_or(point.mean).0;
    points.sort_by(|a, b| key(a).total_cmp(&key(b)).then(a.trial.cmp(&b.trial)));
    let best = points.first().map(|best| best.interval[1].0);
    for point in &mut points {
        point.rival = best.is_some_and(|upper| point.interval[0].0 <= upper);
    }
    if let Some(best) = points.first_mut() {
        best.rival = false;
    }
    points
}

/// Gives each point the upper end of the 95 % interval of its mean, so that a point does not come first because it was lucky once.
///
/// The few repetitions of a point say little about their spread. So the variance of a point is taken as the mean of its own and that
/// of all points (an empirical Bayes estimate as in Smyth, "Linear models and empirical Bayes methods for assessing differential
/// expression", 2004, with as many prior degrees of freedom as a point has itself).
fn bound_points(points: &mut [Point]) {
    let degrees = |point: &Point| if point.is_complete() { point.losses.len() - 1 } else { 0 };
    let (mut squares, mut all) = (0.0, 0);
    for point in points.iter().filter(|point| degrees(point) > 0) {
        squares += point.spread.0 * point.spread.0 * degrees(point) as f64;
        all += degrees(point);
    }
    let common = if all > 0 { squares / all as f64 } else { f64::NAN };
    for point in points {
        let own = if degrees(point) > 0 { point.spread.0 * point.spread.0 } else { common };
        let half = student(2 * degrees(point).max(1)) * (0.5 * (own + common) / point.losses.len() as f64).sqrt();
        let bound = point.mean.0 + half;
        point.bound = Some(Float(if bound.is_nan() { point.mean.0 } else { bound }));
    }
}

fn point(trial: u32, losses: &[f64]) -> Point {
    let n = losses.len() as f64;
    let mean = mean(losses);
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
        bound: None,
    }
}

/// Returns the mean loss of each point all of whose repetitions are known. It is infinite if one of them failed.
pub(crate) fn means(losses: &[f64], repeats: u32) -> Vec<f64> {
    losses.chunks_exact(repeats.max(1) as usize).map(mean).collect()
}

fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len() as f64
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
        let points = points(&[0.1, 0.9, 0.3, 0.4, f64::INFINITY, 0.0], 2, false);
        assert_eq!(points.iter().map(|point| point.trial).collect::<Vec<_>>(), [2, 0, 4]);
        let best = &points[0];
        let close = |found: Float, expected: f64| assert!((found.0 - expected).abs() < 1e-12, "{found:?}");
        close(best.mean, 0.35);
        close(best.spread, 0.005_f64.sqrt());
        // mean - 12.706 * spread / sqrt(2)
        close(best.interval[0], 0.35 - 12.706 * 0.05);
        assert_eq!([points[1].rival, best.rival, points[2].is_complete()], [true, false, false]);
    }

    #[test]
    fn by_their_bounds_a_steady_point_comes_before_a_lucky_one() {
        let losses = [0.1, 0.2, 0.6, 0.31, 0.32, 0.33, 0.5, 0.52, 0.51, 0.0, 0.1, f64::INFINITY];
        let order = |by_bound| points(&losses, 3, by_bound).iter().map(|point| point.trial).collect::<Vec<_>>();
        assert_eq!((order(false), order(true)), (vec![0, 3, 6, 9], vec![3, 0, 6, 9]));
        // Variances 0.07, 0.0001 and 0.0001: their mean is 0.0234. t with four degrees of freedom is 2.776.
        let steady = &points(&losses, 3, true)[0];
        let expected = 0.32 + 2.776 * (0.5 * (0.0001 + 0.0702 / 3.0) / 3.0_f64).sqrt();
        assert!((steady.bound.unwrap().0 - expected).abs() < 1e-6, "{steady:?}");
        // One repetition of each point has no spread, and its mean is its bound.
        let single = points(&[0.2, 0.1], 1, true);
        assert_eq!((single[0].trial, single[0].bound), (1, Some(Float(0.1))));
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
