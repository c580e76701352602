//! Categorical cross-entropy of a head, its gradient and accuracy, worked out on the host in f64.

use crate::model::architecture::Output;

/// Sums over the images of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Score {
    pub(crate) loss: f64,
    pub(crate) correct: u64,
}

/// Returns the probabilities of `logits` [n, classes], row by row.
pub(crate) fn probabilities(output: Output, logits: &[f32], classes: usize) -> Vec<f32> {
    logits.chunks_exact(classes).flat_map(|row| log_probabilities(output, row)).map(|x| libm::exp(x) as f32).collect()
}

/// Returns the sum of the losses and of the hits of `logits` [n, classes] against `labels` [n].
pub(crate) fn score(output: Output, logits: &[f32], labels: &[i32], classes: usize) -> Score {
    let mut score = Score::default();
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        score.loss -= log_probabilities(output, row)[label as usize];
        score.correct += u64::from(largest(row) == label as usize);
    }
    score
}

/// Returns the gradient of `weight` times the mean loss by the logits: [n, classes].
pub(crate) fn gradient(output: Output, logits: &[f32], labels: &[i32], classes: usize, weight: f64) -> Vec<f32> {
    let factor = weight / labels.len() as f64;
    let mut gradient = Vec::with_capacity(logits.len());
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        for (class, (log_p, &z)) in log_probabilities(output, row).into_iter().zip(row).enumerate() {
            let difference = libm::exp(log_p) - f64::from(u8::from(class == label as usize));
            let slope = match output {
                Output::Softmax => 1.0,
                // The derivative of ln sigmoid(z).
                Output::NormalisedSigmoid => 1.0 / (1.0 + libm::exp(f64::from(z))),
            };
            gradient.push((factor * difference * slope) as f32);
        }
    }
    gradient
}

/// Returns the index of the largest value; the first of equals; 0 if there is none that can be compared.
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

/// Returns ln(1 / (1 + exp(-z))), without overflow.
fn log_sigmoid(z: f64) -> f64 {
    z.min(0.0) - libm::log1p(libm::exp(-z.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        let logits = [0.5f32, -1.0, 2.0, 30.0, -40.0, 0.25];
        let labels = [2, 2];
        for output in [Output::Softmax, Output::NormalisedSigmoid] {
            let gradient = gradient(output, &logits, &labels, 3, 0.4);
            for i in 0..6 {
                let at = |step: f32| {
                    let mut logits = logits;
                    logits[i] += step;
                    0.4 * score(output, &logits, &labels, 3).loss / 2.0
                };
                let slope = (at(0.01) - at(-0.01)) / 0.02;
                assert!((slope - f64::from(gradient[i])).abs() < 1e-4, "{output:?} {i}: {slope} {}", gradient[i]);
            }
        }
    }

    #[test]
    fn probabilities_sum_to_one_and_hits_are_counted() {
        let logits = [1.0, 3.0, 2.0, 100.0, 0.0, -100.0];
        for output in [Output::Softmax, Output::NormalisedSigmoid] {
            let p = probabilities(output, &logits, 3);
            assert!(p.chunks(3).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-6));
            assert_eq!(score(output, &logits, &[1, 1], 3).correct, 1);
        }
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        let expected = sigmoid(3.0) / (sigmoid(1.0) + sigmoid(3.0) + sigmoid(2.0));
        assert!((f64::from(probabilities(Output::NormalisedSigmoid, &logits, 3)[1]) - expected).abs() < 1e-6);
    }

    #[test]
    fn numbers_that_are_none_make_a_loss_that_is_none() {
        assert!(score(Output::Softmax, &[f32::NAN, 1.0], &[1], 2).loss.is_nan());
        assert!(score(Output::NormalisedSigmoid, &[0.0, f32::NAN], &[0], 2).loss.is_nan());
    }
}
