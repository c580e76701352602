//! An order of things in which those that are alike are side by side.

/// Returns the numbers 0 to `n - 1` in an order that puts those together that are alike, given how alike two of them are
/// (symmetric, 0 for not at all).
///
/// This is agglomerative clustering by average linkage (Sokal and Michener 1958). The two lists that are joined are each turned so
/// that their ends that touch are most alike, as in R. Gruvaeus and H. Wainer, "Two additions to hierarchical cluster analysis"
/// (1972). Of equal choices, the first in the order of numbers is taken, so that equal inputs have equal orders; what is like
/// nothing keeps its order, at the end.
pub(super) fn by_likeness(n: usize, alike: &dyn Fn(usize, usize) -> f64) -> Vec<usize> {
    let pair: Vec<f64> = (0..n * n).map(|at| if at / n == at % n { 0.0 } else { alike(at / n, at % n) }).collect();
    let mut lists: Vec<Vec<usize>> = (0..n).map(|i| vec![i]).collect();
    // The sum of the likenesses between the members of two lists.
    let mut sums = pair.clone();
    let mut open: Vec<usize> = (0..n).collect();
    loop {
        let mut best: Option<(f64, usize, usize)> = None;
        for (at, &i) in open.iter().enumerate() {
            for &j in &open[at + 1..] {
                let mean = sums[i * n + j] / (lists[i].len() * lists[j].len()) as f64;
                if mean > best.map_or(0.0, |(most, ..)| most) {
                    best = Some((mean, i, j));
                }
            }
        }
        let Some((_, i, j)) = best else { break };
        let (one, other) = (std::mem::take(&mut lists[i]), std::mem::take(&mut lists[j]));
        lists[i] = joined(one, other, &|a, b| pair[a * n + b]);
        open.retain(|list| *list != j);
        for &k in open.iter().filter(|list| **list != i) {
            let sum = sums[i * n + k] + sums[j * n + k];
            (sums[i * n + k], sums[k * n + i]) = (sum, sum);
        }
    }
    let (groups, alone): (Vec<_>, Vec<_>) = lists.into_iter().partition(|list| list.len() > 1);
    groups.into_iter().chain(alone).flatten().collect()
}

/// Returns two lists as one, turned so that the ends that touch are most alike.
fn joined(mut one: Vec<usize>, mut other: Vec<usize>, alike: &dyn Fn(usize, usize) -> f64) -> Vec<usize> {
    let ends = |list: &[usize]| [list[0], list[list.len() - 1]];
    let mut best = (f64::NEG_INFINITY, false, false);
    for (turn_one, touching_one) in [(false, ends(&one)[1]), (true, ends(&one)[0])] {
        for (turn_other, touching_other) in [(false, ends(&other)[0]), (true, ends(&other)[1])] {
            let found = alike(touching_one, touching_other);
            if found > best.0 {
                best = (found, turn_one, turn_other);
            }
        }
    }
    if best.1 {
        one.reverse();
    }
    if best.2 {
        other.reverse();
    }
    one.extend(other);
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(n: usize, pairs: &[(usize, usize, f64)]) -> Vec<usize> {
        by_likeness(n, &|a, b| {
            pairs.iter().find(|(i, j, _)| (*i, *j) == (a.min(b), a.max(b))).map_or(0.0, |(_, _, alike)| *alike)
        })
    }

    #[test]
    fn what_is_alike_is_side_by_side() {
        assert_eq!(order(6, &[(0, 4, 0.5), (1, 3, 0.4), (2, 4, 0.3)]), [0, 4, 2, 1, 3, 5]);
        // 1 and 2 are most alike, 0 is like 2 and 3 like 1: only 0 2 1 3 has all of these as neighbours.
        assert_eq!(order(4, &[(1, 2, 0.9), (0, 2, 0.5), (1, 3, 0.5)]), [0, 2, 1, 3]);
    }

    #[test]
    fn what_is_like_nothing_keeps_its_order() {
        assert_eq!(order(4, &[]), [0, 1, 2, 3]);
        assert_eq!(order(0, &[]), [0; 0]);
        assert_eq!(order(4, &[(2, 3, 0.1)]), [2, 3, 0, 1]);
    }
}
