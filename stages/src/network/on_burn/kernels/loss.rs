//! The loss of a head, its gradient and its hits: the formulas of [`crate::network::training::loss`], in f32.

use burn::tensor::Tensor;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{buffer, empty, tensor, units};
use crate::network::{architecture::Output, training::Loss};

/// The images of a batch, for the loss.
pub(crate) struct Shown<'a> {
    /// The labels of all images, one head after the other.
    pub(crate) labels: &'a CubeTensor,
    /// Where the labels of this head begin.
    pub(crate) first_label: usize,
    /// The words of [`Plan`](super::images::Plan).
    pub(crate) words: &'a CubeTensor,
    /// The number of words of an image.
    pub(crate) stride: usize,
    /// Where its words have the index of the other image, and how the two are mixed. `None` if images are not mixed.
    pub(crate) mixed: Option<[usize; 2]>,
}

/// A loss of one head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Criterion<'a> {
    pub(crate) loss: Loss,
    pub(crate) output: Output,
    pub(crate) smoothing: f64,
    /// The weight of each class, `[classes]`.
    pub(crate) class_weights: &'a Tensor<1>,
    /// The weight of the head.
    pub(crate) weight: f64,
}

/// What follows from the logits of a head.
pub(crate) struct Judged {
    /// The gradient `[n, classes]` of the weighted mean loss with respect to the logits.
    pub(crate) gradient: Tensor<2>,
    /// The loss of each image, without the weight of the head.
    pub(crate) losses: Tensor<1>,
    /// 1 for each image whose prediction is right, otherwise 0.
    pub(crate) hits: Tensor<1>,
}

/// Judges `logits` `[n, classes]`.
pub(crate) fn judge(logits: Tensor<2>, shown: &Shown<'_>, criterion: Criterion<'_>) -> Judged {
    let [n, classes] = logits.dims();
    let logits = buffer(logits);
    let (gradient, losses, hits) = (empty([n, classes], &logits), empty([n], &logits), empty([n], &logits));
    let (count, dim) = units(n, &logits);
    let form = Form { loss: criterion.loss, output: criterion.output, mixed: shown.mixed };
    of_rows::launch(
        &logits.client.clone(),
        count,
        dim,
        logits.into_buffer_arg(),
        shown.labels.clone().into_buffer_arg(),
        shown.words.clone().into_buffer_arg(),
        buffer(criterion.class_weights.clone()).into_buffer_arg(),
        gradient.clone().into_buffer_arg(),
        losses.clone().into_buffer_arg(),
        hits.clone().into_buffer_arg(),
        classes as u32,
        shown.stride as u32,
        shown.first_label as u32,
        criterion.smoothing as f32,
        (criterion.weight / n as f64) as f32,
        form,
    );
    Judged { gradient: tensor(gradient), losses: tensor(losses), hits: tensor(hits) }
}

/// What the kernel is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    loss: Loss,
    output: Output,
    mixed: Option<[usize; 2]>,
}

impl std::hash::Hash for Form {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.loss as u8, self.output as u8, self.mixed).hash(state);
    }
}

/// Keras's `backend.epsilon()`.
const EPSILON: f32 = 1e-7;

/// One unit for each image.
#[cube(launch)]
fn of_rows(
    logits: &[f32],
    labels: &[u32],
    words: &[u32],
    class_weights: &[f32],
    gradient: &mut [f32],
    losses: &mut [f32],
    hits: &mut [f32],
    classes: u32,
    stride: u32,
    first_label: u32,
    smoothing: f32,
    factor: f32,
    #[comptime] form: Form,
) {
    if ABSOLUTE_POS < losses.len() {
        let row = ABSOLUTE_POS as u32 * classes;
        let at = ABSOLUTE_POS as u32 * stride;
        let label = labels[(first_label + words[at as usize]) as usize];
        let mut other = label;
        let mut share = 1.0f32;
        if comptime!(form.mixed.is_some()) {
            let [image, how] = comptime!(form.mixed.unwrap_or_default().map(|at| at as u32));
            if words[(at + how) as usize] != 0u32 {
                other = labels[(first_label + words[(at + image) as usize]) as usize];
                share = f32::reinterpret(words[(at + how + 1u32) as usize]);
            }
        }

        let mut largest = score(logits[row as usize], comptime!(form.output));
        let mut best = 0u32;
        for class in 1..classes {
            if logits[(row + class) as usize] > logits[(row + best) as usize] {
                best = class;
            }
            largest = largest.max(score(logits[(row + class) as usize], comptime!(form.output)));
        }
        let mut sum = 0.0f32;
        for class in 0..classes {
            sum += (score(logits[(row + class) as usize], comptime!(form.output)) - largest).exp();
        }
        let log_sum = largest + sum.ln();
        let mut squares = 0.0f32;
        let mut logs = 0.0f32;
        for class in 0..classes {
            let log_p = score(logits[(row + class) as usize], comptime!(form.output)) - log_sum;
            let p = log_p.exp();
            squares += p * p;
            logs += log_p;
        }

        let log_one = score(logits[(row + label) as usize], comptime!(form.output)) - log_sum;
        let log_two = score(logits[(row + other) as usize], comptime!(form.output)) - log_sum;
        let one = share * class_weights[label as usize];
        let two = (1.0f32 - share) * class_weights[other as usize];
        losses[ABSOLUTE_POS] = one * loss(log_one, squares, logs, classes as f32, smoothing, comptime!(form.loss))
            + two * loss(log_two, squares, logs, classes as f32, smoothing, comptime!(form.loss));
        let expected = select(share >= 0.5f32, label, other);
        hits[ABSOLUTE_POS] = select(best == expected, 1.0f32, 0.0f32);

        for class in 0..classes {
            let z = logits[(row + class) as usize];
            let p = (score(z, comptime!(form.output)) - log_sum).exp();
            let n = classes as f32;
            let of_one = slope(p, log_one.exp(), class == label, squares, n, smoothing, comptime!(form.loss));
            let of_two = slope(p, log_two.exp(), class == other, squares, n, smoothing, comptime!(form.loss));
            let mut all = factor * (one * of_one + two * of_two);
            if comptime!(form.output == Output::NormalisedSigmoid) {
                all /= 1.0f32 + z.exp();
            }
            gradient[(row + class) as usize] = all;
        }
    }
}

/// Returns what goes into the softmax: the logit itself, or the logarithm of its sigmoid.
#[cube]
fn score(z: f32, #[comptime] output: Output) -> f32 {
    if comptime!(output == Output::Softmax) { z } else { z.min(0.0f32) - (1.0f32 + (0.0f32 - z.abs()).exp()).ln() }
}

/// Returns the loss of an image, given the logarithm of the probability of its class, the sum of the squares of all probabilities and
/// the sum of their logarithms.
#[cube]
fn loss(log_p: f32, squares: f32, logs: f32, classes: f32, smoothing: f32, #[comptime] loss: Loss) -> f32 {
    if comptime!(loss == Loss::CrossEntropy) {
        (smoothing - 1.0f32) * log_p - smoothing / classes * logs
    } else if comptime!(loss == Loss::Poisson) {
        (1.0f32 - (log_p.exp() + comptime!(EPSILON)).ln()) / classes
    } else {
        (squares - 2.0f32 * log_p.exp() + 1.0f32) / classes
    }
}

/// Returns the slope of that loss with respect to the score of a class with probability `p`. `of_label` is the probability of the image's
/// class.
#[cube]
fn slope(
    p: f32,
    of_label: f32,
    is_label: bool,
    squares: f32,
    classes: f32,
    smoothing: f32,
    #[comptime] loss: Loss,
) -> f32 {
    let hot = select(is_label, 1.0f32, 0.0f32);
    if comptime!(loss == Loss::CrossEntropy) {
        p - hot * (1.0f32 - smoothing) - smoothing / classes
    } else if comptime!(loss == Loss::Poisson) {
        let inverse = 1.0f32 / (of_label + comptime!(EPSILON));
        p * (of_label * inverse - hot * inverse) / classes
    } else {
        2.0f32 * p * (p - hot - squares + of_label) / classes
    }
}
