//! Which trials a model of bounded size has.

/// Returns at most `most` of the trials, in order: half of them the best, the others the newest.
pub(crate) fn chosen(trials: Vec<usize>, losses: &[f64], most: usize) -> Vec<usize> {
    if trials.len() <= most {
        return trials;
    }
    let (older, newest) = trials.split_at(trials.len() - most / 2);
    let mut best = older.to_vec();
    best.sort_by(|a, b| losses[*a].total_cmp(&losses[*b]).then(a.cmp(b)));
    best.truncate(most - newest.len());
    best.sort_unstable();
    best.into_iter().chain(newest.iter().copied()).collect()
}

/// The most trials in a model. The cost grows with the cube of their number.
pub(super) const MOST_TRIALS: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_model_has_the_best_and_the_newest_trials() {
        let losses = [5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 8.0];
        assert_eq!(chosen((0..7).collect(), &losses, 4), [1, 3, 5, 6]);
        assert_eq!(chosen(vec![0, 2], &losses, 4), [0, 2]);
    }
}
