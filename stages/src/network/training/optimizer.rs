//! Adam, AdamW, Nadam, RMSprop and SGD, with the constants and formulas of Keras. They update named arrays on the host.

use std::{collections::BTreeMap, ops::Deref};

use rayon::prelude::*;

use super::tiny::{LEAST, LEAST_SQUARE, or_zero};
use crate::{
    choices,
    network::{
        Weights,
        kernels::{Isa, lanes::kernel},
    },
};

choices! {
    /// The optimizer: how a step updates the weights from their gradients.
    #[derive(Copy, Eq)]
    pub enum OptimizerKind = Adam {
        /// Adam (Kingma and Ba 2015) with beta 0.9 and 0.999, and epsilon 1e-7 (`keras/src/optimizers/adam.py`).
        Adam,
        /// Adam with decoupled weight decay (Loshchilov and Hutter 2019): each step first subtracts `weight_decay` times the
        /// learning rate times the weight, for all trained weights (`keras/src/optimizers/adamw.py`).
        AdamW,
        /// Adam with Nesterov momentum (Dozat 2016) on the schedule mu(t) = 0.9 (1 - 0.96^(0.004 t) / 2) (Keras 2,
        /// `keras/optimizers.py`, `schedule_decay`).
        Nadam,
        /// RMSprop (Tieleman and Hinton 2012) with rho 0.9, and epsilon 1e-7 inside the square root
        /// (`keras/src/optimizers/rmsprop.py`).
        RmsProp = "RMSprop",
        /// Stochastic gradient descent, optionally with momentum or Nesterov momentum (`keras/src/optimizers/sgd.py`).
        Sgd = "SGD",
    }
}

/// The hyperparameters of a step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UpdateRule {
    pub(crate) learning_rate: f64,
    /// The factor of the L2 penalty, the sum of the squares of all kernels.
    pub(crate) l2: f64,
    /// The largest allowed norm of all gradients together, including the penalty's. Larger gradients are scaled down to it.
    pub(crate) clip_norm: Option<f64>,
    /// Used by SGD only. 0 means no momentum.
    pub(crate) momentum: f64,
    /// Whether the momentum is Nesterov's. Used by SGD only.
    pub(crate) nesterov: bool,
    /// Used by AdamW only.
    pub(crate) weight_decay: f64,
}

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
/// What is left of 1 without beta 1 and beta 2.
pub(crate) const REST_1: f32 = (1.0 - BETA_1) as f32;
pub(crate) const REST_2: f32 = (1.0 - BETA_2) as f32;
pub(crate) const RHO: f32 = 0.9;
pub(crate) const EPSILON: f32 = 1e-7;

/// The number of elements that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// An optimizer with its state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Optimizer {
    pub(crate) kind: OptimizerKind,
    /// The number of steps taken.
    pub(crate) steps: u64,
    /// The product of mu(1) to mu(`steps`). Used by Nadam only, otherwise 1.
    pub(crate) product: f64,
    /// Running means of the gradients, by name of the weight. The velocities for SGD, empty for RMSprop.
    pub(crate) first: BTreeMap<String, Vec<f32>>,
    /// Running means of the squared gradients, by name of the weight. Empty for SGD.
    pub(crate) second: BTreeMap<String, Vec<f32>>,
}

/// The factors of one step, the same for all weights except for `decay`.
///
/// The Adam family adds -rate * (of_mean * mean + of_gradient * gradient) / (sqrt(of_square * square) + epsilon) to
/// keep * weight. All optimizers use clip * (gradient + decay * weight) as the gradient.
pub(crate) struct Factors {
    /// Twice the L2 factor for kernels, 0 for other weights.
    pub(crate) decay: f32,
    pub(crate) clip: f32,
    /// 1 minus the weight decay of this step.
    pub(crate) keep: f32,
    pub(crate) momentum: f32,
    pub(crate) nesterov: bool,
    pub(crate) rate: f32,
    pub(crate) of_mean: f32,
    pub(crate) of_gradient: f32,
    pub(crate) of_square: f32,
}

impl Optimizer {
    /// Returns an optimizer before its first step, for weights with these names and sizes.
    pub(crate) fn new<'a>(kind: OptimizerKind, sizes: impl Iterator<Item = (&'a str, usize)>) -> Self {
        let zeros: BTreeMap<_, _> = sizes.map(|(name, size)| (name.to_owned(), vec![0.0; size])).collect();
        let (first, second) = match kind {
            OptimizerKind::RmsProp => (BTreeMap::new(), zeros),
            OptimizerKind::Sgd => (zeros, BTreeMap::new()),
            OptimizerKind::Adam | OptimizerKind::AdamW | OptimizerKind::Nadam => (zeros.clone(), zeros),
        };
        Self { kind, steps: 0, product: 1.0, first, second }
    }

    /// Takes one step: updates `weights` from `gradients`. Adds the gradient of the L2 penalty, 2 * `rule.l2` * weight, to the
    /// weights whose name fulfils `is_kernel`.
    ///
    /// # Panics
    /// If there is a gradient without weights of the same name and size.
    pub(crate) fn step(
        &mut self,
        weights: &mut Weights,
        gradients: &BTreeMap<String, impl Deref<Target = [f32]>>,
        rule: &UpdateRule,
        is_kernel: impl Fn(&str) -> bool,
    ) {
        let isa = Isa::detect();
        let decay = |name: &str| if is_kernel(name) { (2.0 * rule.l2) as f32 } else { 0.0 };
        let clip = rule.clip_norm.map_or(1.0, |longest| clip(weights, gradients, decay, longest));
        let mut factors = Factors { clip, ..self.advance(rule) };
        for (name, gradient) in gradients {
            let weights = &mut weights.0.get_mut(name).expect("every gradient belongs to a weight").values;
            factors.decay = decay(name);
            let factors = &factors;
            let (first, second) = (self.first.get_mut(name), self.second.get_mut(name));
            let fits = |moments: &Option<&mut Vec<f32>>| moments.as_ref().is_none_or(|m| m.len() == gradient.len());
            assert!(weights.len() == gradient.len() && fits(&first) && fits(&second), "gradients fit the weights");
            let rows = weights.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
            match (first, second) {
                (Some(first), None) => {
                    rows.zip(first.par_chunks_mut(CHUNK)).for_each(|((w, g), m)| descend(isa, w, g, m, factors));
                }
                (None, Some(second)) => {
                    rows.zip(second.par_chunks_mut(CHUNK)).for_each(|((w, g), v)| rms_prop(isa, w, g, v, factors));
                }
                (Some(first), Some(second)) => rows
                    .zip(second.par_chunks_mut(CHUNK))
                    .zip(first.par_chunks_mut(CHUNK))
                    .for_each(|(((w, g), v), m)| adaptive(isa, w, g, m, v, factors)),
                (None, None) => unreachable!("a trained weight has moments"),
            }
        }
    }

    /// Counts a step and returns its factors. They are computed in f64 and rounded at the end.
    pub(crate) fn advance(&mut self, rule: &UpdateRule) -> Factors {
        self.steps += 1;
        let (t, learning_rate) = (self.steps as f64, rule.learning_rate);
        let square_share = 1.0 - libm::pow(BETA_2, t);
        let (rate, of_mean, of_gradient, of_square) = match self.kind {
            OptimizerKind::RmsProp | OptimizerKind::Sgd => (learning_rate, 0.0, 1.0, 1.0),
            // Both bias corrections are in the rate, as in Keras: epsilon is Kingma and Ba's "epsilon hat".
            OptimizerKind::Adam | OptimizerKind::AdamW => {
                (learning_rate * libm::sqrt(square_share) / (1.0 - libm::pow(BETA_1, t)), 1.0, 0.0, 1.0)
            }
            OptimizerKind::Nadam => {
                let mu = |t: f64| BETA_1 * (1.0 - 0.5 * libm::pow(0.96, t * 0.004));
                self.product *= mu(t);
                let next = self.product * mu(t + 1.0);
                (learning_rate, mu(t + 1.0) / (1.0 - next), (1.0 - mu(t)) / (1.0 - self.product), 1.0 / square_share)
            }
        };
        let shrinks = self.kind == OptimizerKind::AdamW;
        Factors {
            decay: 0.0,
            clip: 1.0,
            keep: if shrinks { (1.0 - rule.weight_decay * learning_rate) as f32 } else { 1.0 },
            momentum: rule.momentum as f32,
            nesterov: rule.nesterov,
            rate: rate as f32,
            of_mean: of_mean as f32,
            of_gradient: of_gradient as f32,
            of_square: of_square as f32,
        }
    }
}

/// Returns the factor that scales the norm of all gradients down to `longest`, or 1 if it is not larger (Pascanu, Mikolov and
/// Bengio 2013; Keras's `global_clipnorm`).
fn clip<G: Deref<Target = [f32]>>(
    weights: &Weights,
    gradients: &BTreeMap<String, G>,
    decay: impl Fn(&str) -> f32,
    longest: f64,
) -> f32 {
    let of_array = |(name, gradient): (&String, &G)| {
        let (weights, decay) = (&weights.0[name].values, decay(name));
        gradient.iter().zip(weights).map(|(g, w)| f64::from(g + decay * w).powi(2)).sum::<f64>()
    };
    (longest / libm::sqrt(gradients.iter().map(of_array).sum::<f64>()).max(longest)) as f32
}

impl Factors {
    /// Returns the clipped gradient of the loss, including its penalty.
    #[inline(always)]
    fn gradient(&self, weight: f32, gradient: f32) -> f32 {
        or_zero(self.clip * (gradient + self.decay * weight), LEAST)
    }
}

kernel! {
    fn descend(weights: &mut [f32], gradients: &[f32], velocities: &mut [f32], factors: &Factors) {
        for ((w, g), m) in weights.iter_mut().zip(gradients).zip(velocities) {
            let change = -factors.rate * factors.gradient(*w, *g);
            *m = or_zero(factors.momentum * *m + change, LEAST_SQUARE);
            *w += if factors.nesterov { factors.momentum * *m + change } else { *m };
        }
    }
}

kernel! {
    fn rms_prop(weights: &mut [f32], gradients: &[f32], squares: &mut [f32], factors: &Factors) {
        for ((w, g), v) in weights.iter_mut().zip(gradients).zip(squares) {
            let g = factors.gradient(*w, *g);
            *v = or_zero(RHO * *v + (1.0 - RHO) * g * g, LEAST_SQUARE);
            *w -= factors.rate * g / (*v + EPSILON).sqrt();
        }
    }
}

kernel! {
    fn adaptive(weights: &mut [f32], gradients: &[f32], means: &mut [f32], squares: &mut [f32], factors: &Factors) {
        for (((w, g), m), v) in weights.iter_mut().zip(gradients).zip(means).zip(squares) {
            let g = factors.gradient(*w, *g);
            *m = or_zero(*m + (g - *m) * REST_1, LEAST);
            *v = or_zero(*v + (g * g - *v) * REST_2, LEAST_SQUARE);
            let mean = factors.of_mean * *m + factors.of_gradient * g;
            *w = factors.keep * *w - factors.rate * mean / ((*v * factors.of_square).sqrt() + EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Weight;

    /// Returns a weight, initially 0.5, after a step with each of `gradients`, in f64 and with the formulas of Keras.
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
                OptimizerKind::AdamW | OptimizerKind::Sgd => unreachable!("these are tested against values from Keras"),
            }
        }
        w
    }

    const GRADIENTS: [f32; 10] = [0.3, -0.2, 0.05, 1.5, -0.7, 1e-4, 0.0, 0.4, -0.1, 0.2];

    fn rule() -> UpdateRule {
        UpdateRule {
            learning_rate: 0.01,
            l2: 0.0,
            clip_norm: None,
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.004,
        }
    }

    /// Returns a weight, initially 0.5, after a step with each of [`GRADIENTS`].
    fn trained(kind: OptimizerKind, rule: &UpdateRule) -> f64 {
        let weight = Weight { shape: vec![1], values: vec![0.5] };
        let mut weights = Weights([("a.kernel".to_owned(), weight)].into());
        let mut optimizer = Optimizer::new(kind, [("a.kernel", 1)].into_iter());
        for gradient in GRADIENTS {
            optimizer.step(&mut weights, &[("a.kernel".to_owned(), vec![gradient])].into(), rule, |_| true);
        }
        f64::from(weights.0["a.kernel"].values[0])
    }

    #[test]
    fn optimizers_follow_the_formulas_of_keras() {
        for kind in [OptimizerKind::Adam, OptimizerKind::Nadam, OptimizerKind::RmsProp] {
            for l2 in [0.0, 0.01] {
                let found = trained(kind, &UpdateRule { l2, ..rule() });
                let expected = oracle(kind, &GRADIENTS.map(f64::from), 0.01, l2);
                assert!((found - expected).abs() < 1e-6, "{kind:?}: {found} {expected}");
            }
        }
    }

    /// Expected values are the output of Keras 3.15.1: a variable, initially 0.5, after `apply_gradients` with each gradient
    /// and learning rate 0.01.
    #[test]
    fn optimizers_agree_with_keras() {
        for (kind, rule, expected) in [
            (OptimizerKind::Sgd, rule(), 0.48549899458885193),
            (OptimizerKind::Sgd, UpdateRule { momentum: 0.9, ..rule() }, 0.4334638714790344),
            (OptimizerKind::Sgd, UpdateRule { momentum: 0.9, nesterov: true, ..rule() }, 0.4256165027618408),
            (OptimizerKind::Adam, rule(), 0.4671037495136261),
            (OptimizerKind::AdamW, rule(), 0.4669111371040344),
            (OptimizerKind::AdamW, UpdateRule { weight_decay: 0.1, ..rule() }, 0.4623103141784668),
            (OptimizerKind::RmsProp, rule(), 0.45326852798461914),
        ] {
            let found = trained(kind, &rule);
            assert!((found - expected).abs() < 1e-6, "{kind:?} {rule:?}: {found} {expected}");
        }
    }

    /// Expected values are the output of Keras 3.15.1: `SGD(1.0, global_clipnorm=0.5)` on two variables, with gradients whose
    /// norm together is 1.3, then 0.3.
    #[test]
    fn clipping_by_norm_agrees_with_keras() {
        let array = |values: &[f32]| Weight { shape: vec![values.len()], values: values.to_vec() };
        let mut weights = Weights([("a".to_owned(), array(&[1.0, 2.0])), ("b".to_owned(), array(&[3.0]))].into());
        let mut optimizer = Optimizer::new(OptimizerKind::Sgd, [("a", 2), ("b", 1)].into_iter());
        let rule = UpdateRule { learning_rate: 1.0, clip_norm: Some(0.5), ..rule() };
        for (a, b, expected) in [
            ([0.3, -0.4], 1.2, [0.8846153616905212, 2.153846263885498, 2.538461446762085]),
            ([0.1, -0.2], 0.2, [0.7846153378486633, 2.353846311569214, 2.338461399078369]),
        ] {
            let gradients = [("a".to_owned(), a.to_vec()), ("b".to_owned(), vec![b])].into();
            optimizer.step(&mut weights, &gradients, &rule, |_| false);
            let found = weights.0.values().flat_map(|weight| &weight.values);
            for (found, expected) in found.zip(expected) {
                assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} {expected}");
            }
        }
    }

    /// Otherwise a unit that is always off makes all later steps slow.
    #[test]
    fn moments_are_never_subnormal() {
        use OptimizerKind::{Adam, AdamW, Nadam, RmsProp, Sgd};
        for kind in [Adam, AdamW, Nadam, RmsProp, Sgd] {
            for first in [1.0, 1e-4, 1e-10, 1e-18, 1e-19, 1e-25, 1e-38] {
                let rule = UpdateRule { momentum: 0.9, ..rule() };
                let weight = Weight { shape: vec![1], values: vec![0.5] };
                let mut weights = Weights([("a.kernel".to_owned(), weight)].into());
                let mut optimizer = Optimizer::new(kind, [("a.kernel", 1)].into_iter());
                let mut step = |gradient| {
                    let gradients = [("a.kernel".to_owned(), vec![gradient])].into();
                    optimizer.step(&mut weights, &gradients, &rule, |_| false);
                    let moments = optimizer.first.values().chain(optimizer.second.values()).flatten();
                    moments.copied().collect::<Vec<f32>>()
                };
                step(first);
                for _ in 0..2000 {
                    let moments = step(0.0);
                    assert!(moments.iter().all(|m| *m == 0.0 || m.is_normal()), "{kind:?}, {first}: {moments:?}");
                }
            }
        }
    }

    #[test]
    fn the_l2_penalty_applies_to_kernels_only() {
        let weight = Weight { shape: vec![1], values: vec![0.5] };
        let mut weights = Weights([("a.bias".to_owned(), weight)].into());
        let mut optimizer = Optimizer::new(OptimizerKind::Adam, [("a.bias", 1)].into_iter());
        let gradients = [("a.bias".to_owned(), vec![0.0])].into();
        optimizer.step(&mut weights, &gradients, &UpdateRule { l2: 1.0, ..rule() }, |name| name.ends_with("kernel"));
        assert_eq!(weights.0["a.bias"].values, [0.5]);
    }
}
