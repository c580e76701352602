//! The loss of a head, its gradient, and the number of correct predictions, computed on the host in f64.

use rayon::prelude::*;

use super::tiny::{LEAST, or_zero};
use crate::{choices, network::architecture::Output};

choices! {
    /// The loss that training minimises: the mean over the images of a function of the class probabilities p and the class y of
    /// the image.
    #[derive(Copy, Eq)]
    pub enum Loss = CrossEntropy {
        /// Categorical cross-entropy: -ln p of the image's class.
        CrossEntropy,
        /// The mean over the classes of p - y ln(p + 1e-7), where y is 1 for the image's class and 0 for the others (Keras's
        /// `Poisson`).
        Poisson,
        /// The mean over the classes of (p - y)^2, where y is 1 for the image's class and 0 for the others (Keras's
        /// `MeanSquaredError`).
        MeanSquaredError,
    }
}

/// A loss with its settings.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Criterion<'w> {
    pub(crate) loss: Loss,
    /// Label smoothing, from 0 to 1: the fraction of the target that is spread evenly over all classes (Szegedy et al. 2016;
    /// Keras's `label_smoothing`). Used by cross-entropy only.
    pub(crate) smoothing: f64,
    /// The weight of each class, by which the loss of an image of that class is multiplied. `None` if all are 1. The mean over a
    /// batch divides by the number of images, as in Keras, and not by the sum of their weights, as in PyTorch: so the loss of an
    /// image does not depend on the other images of its batch.
    pub(crate) class_weights: Option<&'w [f64]>,
}

/// The minimum number of images that a thread takes at a time.
const IMAGES: usize = 16;

/// Keras's `backend.epsilon()`.
const EPSILON: f64 = 1e-7;

/// The sum of the losses and the number of correct predictions over the images of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Score {
    pub(crate) loss: f64,
    pub(crate) correct: u64,
}

/// Returns the class probabilities `[n, classes]` of `logits` `[n, classes]`.
pub(crate) fn probabilities(output: Output, logits: &[f32], classes: usize) -> Vec<f32> {
    logits.chunks_exact(classes).flat_map(|row| log_probabilities(output, row)).map(|x| libm::exp(x) as f32).collect()
}

/// Returns the score of `logits` `[n, classes]` against `labels` `[n]`.
pub(crate) fn score(criterion: Criterion<'_>, output: Output, logits: &[f32], labels: &[i32], classes: usize) -> Score {
    let of_image = |(row, &label): (&[f32], &i32)| {
        (criterion.of(&log_probabilities(output, row), label as usize), largest(row) == label as usize)
    };
    let images = logits.par_chunks_exact(classes).zip(labels).with_min_len(IMAGES);
    let images: Vec<_> = images.map(of_image).collect();
    // In order, so that the sum does not depend on the threads.
    images.into_iter().fold(Score::default(), |score, (loss, is_correct)| Score {
        loss: score.loss + loss,
        correct: score.correct + u64::from(is_correct),
    })
}

/// Returns the gradient `[n, classes]` of `weight` times the mean loss with respect to `logits` `[n, classes]`.
pub(crate) fn gradient(
    criterion: Criterion<'_>,
    output: Output,
    logits: &[f32],
    labels: &[i32],
    classes: usize,
    weight: f64,
) -> Vec<f32> {
    let factor = weight / labels.len() as f64;
    let mut gradient = vec![0.0; logits.len()];
    let images = gradient.par_chunks_exact_mut(classes).zip(logits.par_chunks_exact(classes)).zip(labels);
    images.with_min_len(IMAGES).for_each(|((gradient, row), &label)| {
        let score_gradient = criterion.gradient(&log_probabilities(output, row), label as usize);
        let factor = factor * criterion.weight(label as usize);
        for ((to, d_score), &z) in gradient.iter_mut().zip(score_gradient).zip(row) {
            let slope = match output {
                Output::Softmax => 1.0,
                // The derivative of the score, ln sigmoid(z).
                Output::NormalisedSigmoid => 1.0 / (1.0 + libm::exp(f64::from(z))),
            };
            *to = or_zero((factor * d_score * slope) as f32, LEAST);
        }
    });
    gradient
}

impl Criterion<'_> {
    /// Returns the target probability of `class` for an image of class `label`, after label smoothing.
    fn target(&self, class: usize, label: usize, classes: usize) -> f64 {
        f64::from(u8::from(class == label)) * (1.0 - self.smoothing) + self.smoothing / classes as f64
    }

    /// Returns the weight of an image of class `label`.
    fn weight(&self, label: usize) -> f64 {
        self.class_weights.map_or(1.0, |weights| weights[label])
    }

    /// Returns the loss of one image of class `label`, given the logarithms of the class probabilities.
    fn of(&self, log_p: &[f64], label: usize) -> f64 {
        self.weight(label) * self.unweighted(log_p, label)
    }

    fn unweighted(&self, log_p: &[f64], label: usize) -> f64 {
        let classes = log_p.len();
        match self.loss {
            Loss::CrossEntropy if self.smoothing == 0.0 => -log_p[label],
            Loss::CrossEntropy => {
                log_p.iter().enumerate().map(|(class, log_p)| -self.target(class, label, classes) * log_p).sum()
            }
            Loss::Poisson => {
                let sum: f64 = log_p.iter().map(|&log_p| libm::exp(log_p)).sum();
                (sum - libm::log(libm::exp(log_p[label]) + EPSILON)) / classes as f64
            }
            Loss::MeanSquaredError => {
                let error = |(class, &log_p)| libm::exp(log_p) - f64::from(u8::from(class == label));
                log_p.iter().enumerate().map(error).map(|error| error * error).sum::<f64>() / classes as f64
            }
        }
    }

    /// Returns the gradient of the loss of one image with respect to the scores, the inputs of the softmax that gives the
    /// probabilities.
    fn gradient(&self, log_p: &[f64], label: usize) -> Vec<f64> {
        let classes = log_p.len();
        let p: Vec<f64> = log_p.iter().map(|&log_p| libm::exp(log_p)).collect();
        let d_p = |class: usize| match self.loss {
            Loss::CrossEntropy => unreachable!("cross-entropy returns below without this derivative"),
            Loss::Poisson if class == label => (1.0 - 1.0 / (p[class] + EPSILON)) / classes as f64,
            Loss::Poisson => 1.0 / classes as f64,
            Loss::MeanSquaredError => 2.0 * (p[class] - f64::from(u8::from(class == label))) / classes as f64,
        };
        if self.loss == Loss::CrossEntropy {
            return (0..classes).map(|class| p[class] - self.target(class, label, classes)).collect();
        }
        // The softmax's derivative: d p_i / d s_j = p_i ((i = j) - p_j).
        let mean: f64 = (0..classes).map(|class| p[class] * d_p(class)).sum();
        (0..classes).map(|class| p[class] * (d_p(class) - mean)).collect()
    }
}

/// Returns the index of the largest value, the first one if several are equal. Returns 0 if the first value is NaN.
pub(crate) fn largest(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

fn log_probabilities(output: Output, row: &[f32]) -> Vec<f64> {
    let scores: Vec<f64> = match output {
        Output::Softmax => row.iter().map(|&z| f64::from(z)).collect(),
        Output::NormalisedSigmoid => row.iter().map(|&z| log_sigmoid(f64::from(z))).collect(),
    };
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|x| libm::exp(x - max)).sum();
    let log_sum = max + libm::log(sum);
    scores.into_iter().map(|x| x - log_sum).collect()
}

/// Returns ln(1 / (1 + exp(-z))) without overflow.
fn log_sigmoid(z: f64) -> f64 {
    z.min(0.0) - libm::log1p(libm::exp(-z.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRITERIA: [Criterion<'_>; 4] = [
        Criterion { loss: Loss::CrossEntropy, smoothing: 0.0, class_weights: None },
        Criterion { loss: Loss::CrossEntropy, smoothing: 0.1, class_weights: None },
        Criterion { loss: Loss::Poisson, smoothing: 0.0, class_weights: None },
        Criterion { loss: Loss::MeanSquaredError, smoothing: 0.0, class_weights: None },
    ];

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        let logits = [0.5f32, -1.0, 2.0, 30.0, -40.0, 0.25];
        let labels = [2, 2];
        for output in [Output::Softmax, Output::NormalisedSigmoid] {
            for criterion in CRITERIA {
                let gradient = gradient(criterion, output, &logits, &labels, 3, 0.4);
                for i in 0..6 {
                    let at = |step: f32| {
                        let mut logits = logits;
                        logits[i] += step;
                        0.4 * score(criterion, output, &logits, &labels, 3).loss / 2.0
                    };
                    let slope = (at(0.01) - at(-0.01)) / 0.02;
                    let found = f64::from(gradient[i]);
                    assert!((slope - found).abs() < 1e-4, "{criterion:?} {output:?} {i}: {slope} {found}");
                }
            }
        }
    }

    /// Expected values are the output of Keras 3.15.1 and TensorFlow 2.21 in f64: the mean loss of two images, and the gradient
    /// with respect to the logits of the first.
    #[test]
    fn losses_and_gradients_agree_with_keras() {
        let logits = [0.5f32, -1.0, 2.0, 1.5, 0.25, -0.75];
        for (output, expected) in [
            (
                Output::Softmax,
                [
                    (0.9109919530321906, [0.08764519607001835, 0.019556286635343728, -0.10720148270536206]),
                    (0.9818252863655239, [0.07097852940335168, 0.002889619968677063, -0.07386814937202875]),
                    (0.6369972154917574, [0.029215061637837252, 0.006518761381996875, -0.035733823019834125]),
                    (0.20513519182010445, [0.018199128282330317, 0.0022853527687415735, -0.02048448105107189]),
                ],
            ),
            (
                Output::NormalisedSigmoid,
                [
                    (0.9030263739352038, [0.066302900316918, 0.05547121485316717, -0.02997903861735296]),
                    (0.9316911755010764, [0.06001055583694893, 0.04328690520933375, -0.026005607883282378]),
                    (0.6343420406947785, [0.022100962325506797, 0.01849040123071539, -0.009993010861818502]),
                    (0.18570736039963875, [0.02010438401674878, 0.009443067721840625, -0.007887405567143128]),
                ],
            ),
        ] {
            for (criterion, (loss, slopes)) in CRITERIA.into_iter().zip(expected) {
                let found = score(criterion, output, &logits, &[2, 1], 3).loss / 2.0;
                assert!((found - loss).abs() < 1e-6, "{criterion:?} {output:?}: {found} {loss}");
                let gradient = gradient(criterion, output, &logits, &[2, 1], 3, 1.0);
                for (found, expected) in gradient.iter().zip(slopes) {
                    assert!(
                        (f64::from(*found) - expected).abs() < 1e-6,
                        "{criterion:?} {output:?}: {found} {expected}"
                    );
                }
            }
        }
    }

    /// By hand: an image of class 2 has the weight 3 and one of class 1 the weight 0.5, and the sum is divided by 2 images.
    #[test]
    fn class_weights_multiply_the_loss_of_each_image_and_its_gradient() {
        let (logits, labels) = ([0.5f32, -1.0, 2.0, 1.5, 0.25, -0.75], [2, 1]);
        for output in [Output::Softmax, Output::NormalisedSigmoid] {
            for plain in CRITERIA {
                let of = |criterion, image: usize| {
                    let (logits, labels) = (&logits[3 * image..][..3], &labels[image..][..1]);
                    let gradient = gradient(criterion, output, logits, labels, 3, 1.0);
                    (score(criterion, output, logits, labels, 3).loss, gradient)
                };
                let weighted = Criterion { class_weights: Some(&[7.0, 0.5, 3.0]), ..plain };
                let [(first, of_first), (second, of_second)] = [of(plain, 0), of(plain, 1)];
                let loss = score(weighted, output, &logits, &labels, 3).loss / 2.0;
                assert!((loss - (3.0 * first + 0.5 * second) / 2.0).abs() < 1e-12, "{plain:?}");
                let found = gradient(weighted, output, &logits, &labels, 3, 1.0);
                let expected = of_first.iter().map(|g| 1.5 * g).chain(of_second.iter().map(|g| 0.25 * g));
                assert!(found.iter().zip(expected).all(|(found, g)| (found - g).abs() < 1e-6), "{plain:?}");
            }
        }
    }

    #[test]
    fn probabilities_sum_to_one_and_correct_predictions_are_counted() {
        let logits = [1.0, 3.0, 2.0, 100.0, 0.0, -100.0];
        for output in [Output::Softmax, Output::NormalisedSigmoid] {
            let p = probabilities(output, &logits, 3);
            assert!(p.chunks(3).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-6));
            assert_eq!(score(Criterion::default(), output, &logits, &[1, 1], 3).correct, 1);
        }
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        let expected = sigmoid(3.0) / (sigmoid(1.0) + sigmoid(3.0) + sigmoid(2.0));
        assert!((f64::from(probabilities(Output::NormalisedSigmoid, &logits, 3)[1]) - expected).abs() < 1e-6);
    }

    #[test]
    fn nan_logits_give_a_nan_loss() {
        assert!(score(Criterion::default(), Output::Softmax, &[f32::NAN, 1.0], &[1], 2).loss.is_nan());
        assert!(score(Criterion::default(), Output::NormalisedSigmoid, &[0.0, f32::NAN], &[0], 2).loss.is_nan());
    }
}
