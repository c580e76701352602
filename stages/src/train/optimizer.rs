//! Adam, Nadam and RMSprop with the constants and formulas of Keras, over named arrays on the host.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    kernels::{Isa, lanes::kernel},
    model::Weights,
};

/// A rule for changing weights by their gradients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OptimizerKind {
    /// Kingma and Ba 2015; beta 0.9 and 0.999, epsilon 1e-7 (`keras/src/optimizers/adam.py`).
    #[default]
    Adam,
    /// Dozat 2016; Adam with Nesterov's momentum on the schedule mu(t) = 0.9 (1 - 0.96^(0.004 t) / 2) (Keras 2,
    /// `keras/optimizers.py`, `schedule_decay`).
    Nadam,
    /// Tieleman and Hinton 2012; rho 0.9, epsilon 1e-7 under the root (`keras/src/optimizers/rmsprop.py`).
    #[serde(rename = "RMSprop")]
    RmsProp,
}

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const RHO: f32 = 0.9;
const EPSILON: f32 = 1e-7;

/// Elements that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// An optimizer with its state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Optimizer {
    pub(crate) kind: OptimizerKind,
    /// Steps made.
    pub(crate) steps: u64,
    /// Nadam's product of mu(1) to mu(`steps`).
    pub(crate) product: f64,
    /// Running means of the gradients, by name; empty for RMSprop.
    pub(crate) first: BTreeMap<String, Vec<f32>>,
    /// Running means of the squared gradients, by name.
    pub(crate) second: BTreeMap<String, Vec<f32>>,
}

/// The numbers of one step that are the same for every weight, which changes by
/// -rate * (of_mean * mean + of_gradient * gradient) / (sqrt(of_square * square) + epsilon).
struct Factors {
    rate: f32,
    of_mean: f32,
    of_gradient: f32,
    of_square: f32,
}

impl Optimizer {
    /// Returns an optimizer that has made no step, for the weights with these names and sizes.
    pub(crate) fn new<'a>(kind: OptimizerKind, sizes: impl Iterator<Item = (&'a str, usize)>) -> Self {
        let second: BTreeMap<_, _> = sizes.map(|(name, size)| (name.to_owned(), vec![0.0; size])).collect();
        let first = if kind == OptimizerKind::RmsProp { BTreeMap::new() } else { second.clone() };
        Self { kind, steps: 0, product: 1.0, first, second }
    }

    /// Changes `weights` by their `gradients`, to which twice `l2` times the weight is added where `is_kernel` holds: the
    /// gradient of the penalty `l2` * sum(w^2).
    ///
    /// # Panics
    /// If a gradient's name or size is none of the weights'.
    pub(crate) fn step(
        &mut self,
        weights: &mut Weights,
        gradients: &BTreeMap<String, Vec<f32>>,
        learning_rate: f64,
        l2: f64,
        is_kernel: impl Fn(&str) -> bool,
    ) {
        let isa = Isa::detect();
        let factors = self.advance(learning_rate);
        for (name, gradient) in gradients {
            let weights = &mut weights.0.get_mut(name).expect("a gradient is of a weight").values;
            let second = self.second.get_mut(name).expect("a trained weight has moments");
            assert!(weights.len() == gradient.len() && second.len() == gradient.len(), "gradients fit the weights");
            let decay = if is_kernel(name) { (2.0 * l2) as f32 } else { 0.0 };
            let rows = weights.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).zip(second.par_chunks_mut(CHUNK));
            match self.first.get_mut(name) {
                None => rows.for_each(|((w, g), v)| rms_prop(isa, w, g, v, decay, &factors)),
                Some(first) => rows
                    .zip(first.par_chunks_mut(CHUNK))
                    .for_each(|(((w, g), v), m)| adaptive(isa, w, g, m, v, decay, &factors)),
            }
        }
    }

    /// Counts a step and returns its factors, in f64 until the last.
    fn advance(&mut self, learning_rate: f64) -> Factors {
        self.steps += 1;
        let t = self.steps as f64;
        let square_share = 1.0 - libm::pow(BETA_2, t);
        let (rate, of_mean, of_gradient, of_square) = match self.kind {
            OptimizerKind::RmsProp => (learning_rate, 0.0, 1.0, 1.0),
            // Both corrections are in the rate, as in Keras: epsilon is Kingma and Ba's "epsilon hat".
            OptimizerKind::Adam => {
                (learning_rate * libm::sqrt(square_share) / (1.0 - libm::pow(BETA_1, t)), 1.0, 0.0, 1.0)
            }
            OptimizerKind::Nadam => {
                let mu = |t: f64| BETA_1 * (1.0 - 0.5 * libm::pow(0.96, t * 0.004));
                self.product *= mu(t);
                let next = self.product * mu(t + 1.0);
                (learning_rate, mu(t + 1.0) / (1.0 - next), (1.0 - mu(t)) / (1.0 - self.product), 1.0 / square_share)
            }
        };
        Factors {
            rate: rate as f32,
            of_mean: of_mean as f32,
            of_gradient: of_gradient as f32,
            of_square: of_square as f32,
        }
    }
}

kernel! {
    fn rms_prop(weights: &mut [f32], gradients: &[f32], squares: &mut [f32], decay: f32, factors: &Factors) {
        for ((w, g), v) in weights.iter_mut().zip(gradients).zip(squares) {
            let g = g + decay * *w;
            *v = RHO * *v + (1.0 - RHO) * g * g;
            *w -= factors.rate * g / (*v + EPSILON).sqrt();
        }
    }
}

kernel! {
    fn adaptive(
        weights: &mut [f32],
        gradients: &[f32],
        means: &mut [f32],
        squares: &mut [f32],
        decay: f32,
        factors: &Factors,
    ) {
        let (rest_1, rest_2) = ((1.0 - BETA_1) as f32, (1.0 - BETA_2) as f32);
        for (((w, g), m), v) in weights.iter_mut().zip(gradients).zip(means).zip(squares) {
            let g = g + decay * *w;
            *m += (g - *m) * rest_1;
            *v += (g * g - *v) * rest_2;
            let mean = factors.of_mean * *m + factors.of_gradient * g;
            *w -= factors.rate * mean / ((*v * factors.of_square).sqrt() + EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Weight;

    /// The update of one weight in f64, line by line as Keras has it.
    fn oracle(kind: OptimizerKind, gradients: &[f64], rate: f64, l2: f64) -> f64 {
        let (mut w, mut m, mut v, mut product) = (0.5f64, 0.0f64, 0.0f64, 1.0f64);
        for (i, gradient) in gradients.iter().enumerate() {
            let (t, g) = (i as i32 + 1, gradient + 2.0 * l2 * w);
            match kind {
                OptimizerKind::Adam => {
                    let alpha = rate * (1.0 - 0.999f64.powi(t)).sqrt() / (1.0 - 0.9f64.powi(t));
                    m += (g - m) * (1.0 - 0.9);
                    v += (g * g - v) * (1.0 - 0.999);
                    w -= m * alpha / (v.sqrt() + 1e-7);
                }
                OptimizerKind::Nadam => {
                    let momentum = 0.9 * (1.0 - 0.5 * 0.96f64.powf(f64::from(t) * 0.004));
                    let momentum_next = 0.9 * (1.0 - 0.5 * 0.96f64.powf(f64::from(t + 1) * 0.004));
                    let schedule = product * momentum;
                    let schedule_next = product * momentum * momentum_next;
                    product = schedule;
                    let g_prime = g / (1.0 - schedule);
                    m = 0.9 * m + (1.0 - 0.9) * g;
                    let m_prime = m / (1.0 - schedule_next);
                    v = 0.999 * v + (1.0 - 0.999) * g * g;
                    let v_prime = v / (1.0 - 0.999f64.powi(t));
                    let m_bar = (1.0 - momentum) * g_prime + momentum_next * m_prime;
                    w -= rate * m_bar / (v_prime.sqrt() + 1e-7);
                }
                OptimizerKind::RmsProp => {
                    v = 0.9 * v + (1.0 - 0.9) * g * g;
                    w -= rate * g / (v + 1e-7).sqrt();
                }
            }
        }
        w
    }

    #[test]
    fn each_optimizer_is_kerass() {
        let gradients = [0.3, -0.2, 0.05, 1.5, -0.7, 1e-4, 0.0, 0.4, -0.1, 0.2];
        for kind in [OptimizerKind::Adam, OptimizerKind::Nadam, OptimizerKind::RmsProp] {
            for l2 in [0.0, 0.01] {
                let weight = Weight { shape: vec![1], values: vec![0.5] };
                let mut weights = Weights([("a.kernel".to_owned(), weight)].into());
                let mut optimizer = Optimizer::new(kind, [("a.kernel", 1)].into_iter());
                for gradient in gradients {
                    let gradients = [("a.kernel".to_owned(), vec![gradient as f32])].into();
                    optimizer.step(&mut weights, &gradients, 0.01, l2, |_| true);
                }
                let (found, expected) =
                    (f64::from(weights.0["a.kernel"].values[0]), oracle(kind, &gradients, 0.01, l2));
                assert!((found - expected).abs() < 1e-6, "{kind:?}: {found} {expected}");
            }
        }
    }

    #[test]
    fn only_kernels_decay() {
        let weight = Weight { shape: vec![1], values: vec![0.5] };
        let mut weights = Weights([("a.bias".to_owned(), weight)].into());
        let mut optimizer = Optimizer::new(OptimizerKind::Adam, [("a.bias", 1)].into_iter());
        optimizer
            .step(&mut weights, &[("a.bias".to_owned(), vec![0.0])].into(), 0.01, 1.0, |name| name.ends_with("kernel"));
        assert_eq!(weights.0["a.bias"].values, [0.5]);
    }
}
