//! The metrics that need more than the number of correct predictions: balanced accuracy, macro F1 and top-k accuracy.

use super::loss::largest;

/// Counts over the images of a split, for one head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The number of images of each class.
    images: Vec<u64>,
    /// The number of predictions of each class.
    predicted: Vec<u64>,
    /// The number of images of each class whose prediction is right.
    correct: Vec<u64>,
    /// The number of images by the rank of their class, from 0 for those that are right.
    ranks: Vec<u64>,
}

impl Tally {
    pub(crate) fn new(classes: usize) -> Self {
        let zeros = || vec![0; classes];
        Self { images: zeros(), predicted: zeros(), correct: zeros(), ranks: zeros() }
    }

    /// Counts images with these `logits` `[n, classes]` and `labels` `[n]`.
    pub(crate) fn add(&mut self, logits: &[f32], labels: &[i32]) {
        for (row, &label) in logits.chunks_exact(self.images.len()).zip(labels) {
            let (label, prediction) = (label as usize, largest(row));
            self.images[label] += 1;
            self.predicted[prediction] += 1;
            self.correct[label] += u64::from(prediction == label);
            self.ranks[rank(row, label)] += 1;
        }
    }

    /// Returns the number of images of each class, and how many of them are right.
    pub(crate) fn by_class(&self) -> impl Iterator<Item = (u64, u64)> {
        self.images.iter().copied().zip(self.correct.iter().copied())
    }

    /// Returns the mean over the classes that have images of the share of them that is right (scikit-learn's
    /// `balanced_accuracy_score`).
    pub(crate) fn balanced_accuracy(&self) -> f64 {
        mean(self.by_class().filter(|(images, _)| *images > 0).map(|(images, correct)| correct as f64 / images as f64))
    }

    /// Returns the mean over the classes of F1, the harmonic mean of precision and recall: 2 correct / (images + predicted). A class
    /// that has neither images nor predictions is left out, and one that has only one of the two has F1 0 (scikit-learn's
    /// `f1_score` with `average="macro"`).
    pub(crate) fn macro_f1(&self) -> f64 {
        let counted = self.correct.iter().zip(self.images.iter().zip(&self.predicted));
        let f1 = |(correct, (images, predicted)): (&u64, (&u64, &u64))| {
            (images + predicted > 0).then(|| 2.0 * *correct as f64 / (images + predicted) as f64)
        };
        mean(counted.filter_map(f1))
    }

    /// Returns the share of images whose class has one of the `k` largest logits.
    pub(crate) fn top_accuracy(&self, k: u32) -> f64 {
        let hits: u64 = self.ranks.iter().take(k as usize).sum();
        hits as f64 / self.images.iter().sum::<u64>() as f64
    }
}

/// Returns the mean, or NaN if there are no values.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (n, sum) = values.fold((0_u64, 0.0), |(n, sum), value| (n + 1, sum + value));
    sum / n as f64
}

/// Returns the number of classes that rank before `label`: those with a larger logit, or with an equal logit and a lower index.
pub(crate) fn rank(row: &[f32], label: usize) -> usize {
    row.iter().enumerate().filter(|&(i, &x)| x > row[label] || x == row[label] && i < label).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the tally of these labels and predictions, one batch after the other.
    fn tally(classes: usize, batches: &[(&[i32], &[usize])]) -> Tally {
        let mut tally = Tally::new(classes);
        for (labels, predictions) in batches {
            let row = |&prediction: &usize| (0..classes).map(move |class| f32::from(u8::from(class == prediction)));
            let logits: Vec<_> = predictions.iter().flat_map(row).collect();
            tally.add(&logits, labels);
        }
        tally
    }

    fn check(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }

    /// The examples of scikit-learn's documentation: `balanced_accuracy_score([0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1])` is 0.625, and
    /// `f1_score([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], average="macro")` is 0.26666.
    #[test]
    fn balanced_accuracy_and_macro_f1_are_those_of_scikit_learn() {
        let two = tally(2, &[(&[0, 1, 0], &[0, 1, 0]), (&[0, 1, 0], &[0, 0, 1])]);
        check(two.balanced_accuracy(), 0.625);
        let three = tally(3, &[(&[0, 1, 2, 0, 1, 2], &[0, 2, 1, 0, 0, 1])]);
        check(three.macro_f1(), 4.0 / 15.0);
        check(three.balanced_accuracy(), 1.0 / 3.0);
    }

    /// By hand. Class 3 has no images and one prediction, class 4 neither, class 2 images and no prediction.
    #[test]
    fn classes_without_images_or_predictions_count_as_the_conventions_say() {
        let found = tally(5, &[(&[0, 0, 1, 1, 2], &[0, 3, 1, 1, 0])]);
        check(found.balanced_accuracy(), (0.5 + 1.0 + 0.0) / 3.0);
        // F1 of class 0 is 2 / (2 + 2), of class 1 is 4 / (2 + 2), of classes 2 and 3 it is 0.
        check(found.macro_f1(), (0.5 + 1.0 + 0.0 + 0.0) / 4.0);
    }

    /// The example of scikit-learn's documentation of `top_k_accuracy_score`: 0.75 for k = 2.
    #[test]
    fn top_k_accuracy_is_that_of_scikit_learn() {
        let mut tally = Tally::new(3);
        tally.add(&[0.5, 0.2, 0.2, 0.3, 0.4, 0.2, 0.2, 0.4, 0.3, 0.7, 0.2, 0.1], &[0, 1, 2, 2]);
        check(tally.top_accuracy(2), 0.75);
        check(tally.top_accuracy(1), 0.5);
        check(tally.top_accuracy(3), 1.0);
    }

    #[test]
    fn the_rank_of_a_class_is_the_number_of_classes_before_it() {
        let row = [0.5, 0.1, 0.5, 0.9];
        assert_eq!([0, 1, 2, 3].map(|label| rank(&row, label)), [1, 3, 2, 0]);
    }
}
