//! Activations.

use burn::tensor::{Tensor, activation};

/// Returns x where it is positive, else 0.
pub fn relu(x: Tensor<4>) -> Tensor<4> {
    activation::relu(x)
}

/// Returns x where it is positive, else exp(x) - 1. (burn's has no gradient for large x: 0 times infinity.)
pub fn elu(x: Tensor<4>) -> Tensor<4> {
    activation::relu(x.clone()) + (x.clamp_max(0.0).exp() - 1.0)
}

/// Returns lambda x where it is positive, else lambda alpha (exp(x) - 1) (Klambauer et al. 2017).
pub fn selu(x: Tensor<4>) -> Tensor<4> {
    const SCALE: f64 = 1.0507009873554805;
    const SLOPE: f64 = 1.6732632423543772;
    activation::relu(x.clone()) * SCALE + (x.clamp_max(0.0).exp() - 1.0) * (SCALE * SLOPE)
}
