//! The loss of images that are mixed from two: each label has its share of it.

use super::loss::{Criterion, Score, gradient, score};
use crate::network::architecture::Output;

/// The second labels of a batch of mixed images.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Others {
    /// The labels `[n]` of each head. An image that is not mixed has its own label again.
    pub(crate) labels: Vec<Vec<i32>>,
    /// The share of each image's first label. The second label has the rest.
    pub(crate) shares: Vec<f64>,
}

/// The two labels of each image of a batch, for one head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mixed<'a> {
    pub(crate) labels: &'a [i32],
    pub(crate) others: &'a [i32],
    pub(crate) shares: &'a [f64],
}

impl Mixed<'_> {
    /// Returns the two labels of each image, each with its share.
    fn pairs(&self) -> impl Iterator<Item = [(i32, f64); 2]> {
        let pairs = self.labels.iter().zip(self.others).zip(self.shares);
        pairs.map(|((&label, &other), &share)| [(label, share), (other, 1.0 - share)])
    }

    /// Returns the score of `logits` `[n, classes]`. A prediction is correct if it is the label with the larger share: the first
    /// one if both have a half.
    pub(crate) fn score(&self, criterion: Criterion<'_>, output: Output, logits: &[f32], classes: usize) -> Score {
        let mut total = Score::default();
        for (row, [first, second]) in logits.chunks_exact(classes).zip(self.pairs()) {
            let of = |label: i32| score(criterion, output, row, &[label], classes);
            let [one, two] = [of(first.0), of(second.0)];
            total.loss += first.1 * one.loss + second.1 * two.loss;
            total.correct += if first.1 >= second.1 { one.correct } else { two.correct };
        }
        total
    }

    /// Returns the gradient `[n, classes]` of `weight` times the mean loss with respect to `logits` `[n, classes]`.
    pub(crate) fn gradient(
        &self,
        criterion: Criterion<'_>,
        output: Output,
        logits: &[f32],
        classes: usize,
        weight: f64,
    ) -> Vec<f32> {
        let factor = weight / self.labels.len() as f64;
        let mut slopes = Vec::with_capacity(logits.len());
        for (row, pair) in logits.chunks_exact(classes).zip(self.pairs()) {
            let [one, two] =
                pair.map(|(label, share)| gradient(criterion, output, row, &[label], classes, factor * share));
            slopes.extend(one.iter().zip(two).map(|(one, two)| one + two));
        }
        slopes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::training::Loss;

    const LOGITS: [f32; 9] = [0.5, -1.0, 2.0, 1.5, 0.25, -0.75, 0.3, 0.2, 0.1];
    const MIXED: Mixed<'_> = Mixed { labels: &[2, 1, 0], others: &[0, 0, 1], shares: &[0.7, 0.25, 1.0] };

    fn criteria() -> Vec<(Criterion<'static>, Output)> {
        let losses = [Loss::CrossEntropy, Loss::Poisson, Loss::MeanSquaredError];
        let criterion = |loss| Criterion { loss, ..Criterion::default() };
        let smooth = Criterion { smoothing: 0.1, ..Criterion::default() };
        let all = losses.map(criterion).into_iter().chain([smooth]);
        all.flat_map(|one| [Output::Softmax, Output::NormalisedSigmoid].map(|output| (one, output))).collect()
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        for (criterion, output) in criteria() {
            let gradient = MIXED.gradient(criterion, output, &LOGITS, 3, 0.4);
            for i in 0..LOGITS.len() {
                let at = |step: f32| {
                    let mut logits = LOGITS;
                    logits[i] += step;
                    0.4 * MIXED.score(criterion, output, &logits, 3).loss / 3.0
                };
                let slope = (at(0.01) - at(-0.01)) / 0.02;
                let found = f64::from(gradient[i]);
                assert!((slope - found).abs() < 1e-4, "{criterion:?} {output:?} {i}: {slope} {found}");
            }
        }
    }

    /// Each label has the weight of its own class.
    #[test]
    fn labels_have_the_weights_of_their_classes() {
        let weights = [0.5, 2.0, 3.0];
        let criterion = Criterion { class_weights: Some(&weights), ..Criterion::default() };
        let alone = |label: i32| {
            let plain = score(Criterion::default(), Output::Softmax, &LOGITS[..3], &[label], 3).loss;
            weights[label as usize] * plain
        };
        let one = Mixed { labels: &[2], others: &[0], shares: &[0.7] };
        let found = one.score(criterion, Output::Softmax, &LOGITS[..3], 3).loss;
        assert!((found - (0.7 * alone(2) + 0.3 * alone(0))).abs() < 1e-9, "{found}");
        for i in 0..3 {
            let at = |step: f32| {
                let mut logits = [LOGITS[0], LOGITS[1], LOGITS[2]];
                logits[i] += step;
                one.score(criterion, Output::Softmax, &logits, 3).loss
            };
            let slope = (at(0.01) - at(-0.01)) / 0.02;
            let found = f64::from(one.gradient(criterion, Output::Softmax, &LOGITS[..3], 3, 1.0)[i]);
            assert!((slope - found).abs() < 1e-3, "{i}: {slope} {found}");
        }
    }

    /// Cross-entropy is linear in the target, so mixing labels is the same as mixing targets.
    #[test]
    fn cross_entropy_is_that_of_the_mixed_target() {
        let p: Vec<f64> = LOGITS[..3].iter().map(|z| libm::exp(f64::from(*z))).collect();
        let sum: f64 = p.iter().sum();
        let expected = -(0.7 * libm::log(p[2] / sum) + 0.3 * libm::log(p[0] / sum));
        let one = Mixed { labels: &[2], others: &[0], shares: &[0.7] };
        let found = one.score(Criterion::default(), Output::Softmax, &LOGITS[..3], 3).loss;
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }

    #[test]
    fn a_whole_share_is_the_loss_of_one_label() {
        let whole = Mixed { others: &[0, 2, 0], shares: &[1.0; 3], ..MIXED };
        for (criterion, output) in criteria() {
            assert_eq!(whole.score(criterion, output, &LOGITS, 3), score(criterion, output, &LOGITS, whole.labels, 3));
            let alone = gradient(criterion, output, &LOGITS, whole.labels, 3, 0.4);
            assert_eq!(whole.gradient(criterion, output, &LOGITS, 3, 0.4), alone);
        }
    }

    #[test]
    fn a_prediction_is_compared_with_the_label_of_the_larger_share() {
        let correct = |labels, others, share| {
            Mixed { labels: &[labels], others: &[others], shares: &[share] }
                .score(Criterion::default(), Output::Softmax, &[0.0, 3.0, 1.0], 3)
                .correct
        };
        assert_eq!([correct(1, 0, 0.6), correct(1, 0, 0.4), correct(0, 1, 0.4), correct(0, 1, 0.6)], [1, 0, 1, 0]);
        assert_eq!([correct(1, 0, 0.5), correct(0, 1, 0.5)], [1, 0]);
    }
}
