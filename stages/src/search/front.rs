//! Several objectives: which trials are better than others in all of them.
//!
//! Sources: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002 (fronts); Ozaki et al., "Multiobjective
//! tree-structured Parzen estimator", JAIR 73, 2022 (the good trials are the first fronts; of the front that does not fit whole, those
//! that together dominate the most, chosen one by one); Das, "On characterizing the 'knee' of the Pareto curve based on
//! normal-boundary intersection", 1999.
//!
//! Points are losses, one for each objective. A point with a loss that is not finite is worse than all others.

/// Returns whether `a` is at least as good as `b` in all objectives, and better in one.
fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a <= b) && a.iter().zip(b).any(|(a, b)| a < b)
}

fn is_finite(point: &[f64]) -> bool {
    point.iter().all(|loss| loss.is_finite())
}

/// Returns the front of each point: 0 if no point dominates it, 1 if only points of front 0 do, and so on. `None` for points with a
/// loss that is not finite.
pub(crate) fn fronts(points: &[Vec<f64>]) -> Vec<Option<usize>> {
    let mut fronts = vec![None; points.len()];
    let mut open: Vec<usize> = (0..points.len()).filter(|at| is_finite(&points[*at])).collect();
    let mut front = 0;
    while !open.is_empty() {
        let is_first = |at: &usize| !open.iter().any(|other| dominates(&points[*other], &points[*at]));
        let (first, rest): (Vec<usize>, Vec<usize>) = open.iter().partition(|at| is_first(at));
        first.into_iter().for_each(|at| fronts[at] = Some(front));
        (open, front) = (rest, front + 1);
    }
    fronts
}

/// Returns the points that no other dominates, in order.
pub(crate) fn front(points: &[Vec<f64>]) -> Vec<usize> {
    let fronts = fronts(points);
    (0..points.len()).filter(|at| fronts[*at] == Some(0)).collect()
}

/// Returns the `n` best points, or fewer if not so many are finite: front by front, and of the last one those that together dominate
/// the most.
pub(crate) fn best(points: &[Vec<f64>], n: usize) -> Vec<usize> {
    let fronts = fronts(points);
    let mut best: Vec<usize> = Vec::new();
    for front in 0.. {
        let next: Vec<usize> = (0..points.len()).filter(|at| fronts[*at] == Some(front)).collect();
        if next.is_empty() || best.len() == n {
            break;
        }
        if best.len() + next.len() <= n {
            best.extend(next);
        } else {
            let left = n - best.len();
            best.extend(most_dominating(points, &next, left));
        }
    }
    best
}

/// Returns `n` of the points `of`, chosen one by one so that each adds the most to the volume that they dominate. Of several that add the
/// same, the first is chosen.
fn most_dominating(points: &[Vec<f64>], of: &[usize], n: usize) -> Vec<usize> {
    let Some(first) = of.first() else { return Vec::new() };
    let finite = || points.iter().filter(|point| is_finite(point));
    let worst = |k: usize| finite().map(|point| point[k]).fold(f64::NEG_INFINITY, f64::max);
    // As Optuna does: a little worse than the worst.
    let reference: Vec<f64> =
        (0..points[*first].len()).map(worst).map(|worst| (1.1 * worst).max(0.9 * worst)).collect();
    let mut open = of.to_vec();
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < n && !open.is_empty() {
        let volume = |with: usize| {
            let points: Vec<&[f64]> = chosen.iter().chain([&with]).map(|at| points[*at].as_slice()).collect();
            hypervolume(&points, &reference)
        };
        let mut most = (0, f64::NEG_INFINITY);
        for (at, index) in open.iter().enumerate() {
            let volume = volume(*index);
            if volume > most.1 {
                most = (at, volume);
            }
        }
        chosen.push(open.remove(most.0));
    }
    chosen
}

/// Returns the volume that the points dominate, up to `reference`.
fn hypervolume(points: &[&[f64]], reference: &[f64]) -> f64 {
    let Some((last, others)) = reference.split_last() else { return 0.0 };
    let n = others.len();
    if n == 0 {
        let least = points.iter().map(|point| point[0]).fold(f64::INFINITY, f64::min);
        return (last - least).max(0.0);
    }
    // In slices along the last objective: each slice has the points that are better there.
    let mut order: Vec<&[f64]> = points.to_vec();
    order.sort_by(|a, b| a[n].total_cmp(&b[n]));
    let ends = order.iter().skip(1).map(|point| point[n]).chain([*last]);
    let slices = order.iter().zip(ends).enumerate().map(|(at, (point, end))| {
        let depth = end.min(*last) - point[n];
        let inside: Vec<&[f64]> = order[..=at].iter().map(|point| &point[..n]).collect();
        if depth > 0.0 { depth * hypervolume(&inside, others) } else { 0.0 }
    });
    slices.sum()
}

/// Returns the point of a front at its knee: the farthest from the plane through the ends of the front, when each objective is scaled to
/// go from 0 to 1. Of several, the first. `None` if there is none.
pub(crate) fn knee(points: &[Vec<f64>], front: &[usize]) -> Option<usize> {
    let n = points.get(*front.first()?)?.len();
    let bounds = |k: usize| {
        let values = || front.iter().map(|at| points[*at][k]);
        (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
    };
    let bounds: Vec<(f64, f64)> = (0..n).map(bounds).collect();
    let scaled = |at: usize| {
        let parts = points[at].iter().zip(&bounds);
        parts.map(|(x, (least, most))| if most > least { (x - least) / (most - least) } else { 0.0 }).sum::<f64>()
    };
    front.iter().copied().min_by(|a, b| scaled(*a).total_cmp(&scaled(*b)).then(a.cmp(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(pairs: &[(f64, f64)]) -> Vec<Vec<f64>> {
        pairs.iter().map(|(a, b)| vec![*a, *b]).collect()
    }

    const PAIRS: [(f64, f64); 7] =
        [(1.0, 5.0), (2.0, 2.0), (5.0, 1.0), (3.0, 3.0), (2.0, 2.0), (6.0, 6.0), (f64::INFINITY, 0.0)];

    #[test]
    fn fronts_follow_each_other() {
        let found = fronts(&points(&PAIRS));
        assert_eq!(found, [Some(0), Some(0), Some(0), Some(1), Some(0), Some(2), None]);
        assert_eq!(front(&points(&PAIRS)), [0, 1, 2, 4]);
        // With one objective, the fronts are the order.
        assert_eq!(fronts(&[vec![3.0], vec![1.0], vec![2.0]]), [Some(2), Some(0), Some(1)]);
    }

    #[test]
    fn the_best_are_the_first_fronts_and_then_those_that_dominate_the_most() {
        let points = points(&PAIRS);
        let sorted = |n| {
            let mut best = best(&points, n);
            best.sort_unstable();
            best
        };
        assert_eq!(sorted(4), [0, 1, 2, 4]);
        assert_eq!(sorted(5), [0, 1, 2, 3, 4]);
        assert_eq!((sorted(6).len(), sorted(100).len()), (6, 6));
        // (2, 2) dominates the most, and its equal adds nothing.
        assert_eq!(best(&points, 1), [1]);
        assert_eq!(sorted(3), [0, 1, 2]);
    }

    /// Compares with counting the cells of a grid.
    #[test]
    fn volumes_agree_with_counting() {
        let draw = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 16 & 7);
        for n in [2, 3] {
            for set in 0..20 {
                let points: Vec<Vec<f64>> =
                    (0..5).map(|p| (0..n).map(|k| draw(set * 100 + p * 10 + k)).collect()).collect();
                let reference = vec![8.0; n as usize];
                let points: Vec<&[f64]> = points.iter().map(Vec::as_slice).collect();
                let cells = 8_u32.pow(n);
                let is_dominated = |cell: u32| {
                    let corner = |k: u32| f64::from(cell / 8_u32.pow(k) % 8);
                    points.iter().any(|point| (0..n).all(|k| point[k as usize] <= corner(k)))
                };
                let counted = (0..cells).filter(|cell| is_dominated(*cell)).count() as f64;
                assert_eq!(hypervolume(&points, &reference), counted);
            }
        }
    }

    #[test]
    fn the_knee_is_where_the_front_bends() {
        let all = points(&[(0.0, 10.0), (1.0, 2.0), (5.0, 1.0), (10.0, 0.0)]);
        assert_eq!(knee(&all, &front(&all)), Some(1));
        assert_eq!((knee(&all, &[3]), knee(&all, &[])), (Some(3), None));
        // Objectives of different sizes count alike.
        let scaled: Vec<Vec<f64>> = all.iter().map(|point| vec![point[0] * 1e6, point[1]]).collect();
        assert_eq!(knee(&scaled, &front(&scaled)), Some(1));
    }
}
