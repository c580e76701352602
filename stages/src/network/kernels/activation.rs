//! Activation functions, and their gradients, which are computed from the output.

use rayon::prelude::*;

use super::{Isa, lanes::kernel};
pub(crate) use crate::network::function::Function;

/// The number of elements that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// Applies `function` to `values` in place, on this thread.
pub(super) fn forward(isa: Isa, function: Function, values: &mut [f32]) {
    match function {
        Function::Relu => relu(isa, values),
        Function::Elu => elu(isa, values),
        Function::Selu => selu(isa, values),
    }
}

/// Writes `function` of `x` to `y`.
pub(crate) fn apply(isa: Isa, function: Function, x: &[f32], y: &mut [f32]) {
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
        y.copy_from_slice(x);
        forward(isa, function, y);
    });
}

/// Turns `dy`, the gradient with respect to the output `y` of `function`, into the gradient with respect to its input.
pub(crate) fn backward(isa: Isa, function: Function, y: &[f32], dy: &mut [f32]) {
    dy.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).for_each(|(dy, y)| match function {
        Function::Relu => relu_backward(isa, y, dy),
        Function::Elu => elu_backward(isa, y, dy),
        Function::Selu => selu_backward(isa, y, dy),
    });
}

kernel! {
    /// x if it is positive, otherwise 0. NaN stays NaN.
    fn relu(values: &mut [f32]) {
        values.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x });
    }
}

kernel! {
    fn relu_backward(y: &[f32], dy: &mut [f32]) {
        dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = if *y > 0.0 { *dy } else { 0.0 });
    }
}

kernel! {
    /// x if it is positive, otherwise exp(x) - 1.
    fn elu(values: &mut [f32]) {
        values.iter_mut().for_each(|x| *x = if *x > 0.0 { *x } else { exp_of_negative(*x) - 1.0 });
    }
}

kernel! {
    /// The derivative is 1 if the output is positive, otherwise exp(x), which equals the output plus 1.
    fn elu_backward(y: &[f32], dy: &mut [f32]) {
        dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = if *y > 0.0 { *dy } else { *dy * (*y + 1.0) });
    }
}

/// SELU's lambda, 1.0507009873554805 (Klambauer et al. 2017).
pub(crate) const SELU_SCALE: f32 = 1.050_701;
/// Lambda times SELU's alpha, 1.6732632423543772. The output is larger than minus this.
pub(crate) const SELU_LIMIT: f32 = 1.758_099_3;

kernel! {
    /// lambda x if x is positive, otherwise lambda alpha (exp(x) - 1).
    fn selu(values: &mut [f32]) {
        values.iter_mut().for_each(|x| {
            *x = if *x > 0.0 { SELU_SCALE * *x } else { SELU_LIMIT * (exp_of_negative(*x) - 1.0) };
        });
    }
}

kernel! {
    /// The derivative is lambda if the output is positive, otherwise lambda alpha exp(x), which equals the output plus lambda
    /// alpha.
    fn selu_backward(y: &[f32], dy: &mut [f32]) {
        dy.iter_mut().zip(y).for_each(|(dy, y)| *dy *= if *y > 0.0 { SELU_SCALE } else { *y + SELU_LIMIT });
    }
}

#[cfg(test)]
kernel! {
    /// Writes exp(x) to `y`. Each x must be at most 0.
    pub(super) fn exp(x: &[f32], y: &mut [f32]) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y = exp_of_negative(*x));
    }
}

/// Returns exp(x) for x at most 0, within 2 units in the last place. Returns 0 below -87, and 1 above 0. It uses plain arithmetic,
/// so that the result is the same everywhere and the compiler can vectorise it.
#[inline(always)]
fn exp_of_negative(x: f32) -> f32 {
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    // These comparisons are false for NaN, so NaN stays NaN.
    let bounded = if x < -87.0 { -87.0 } else { x };
    let bounded = if bounded > 0.0 { 0.0 } else { bounded };
    let shifted = bounded * std::f32::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    // ln 2 in two parts, the first with few bits, so that the difference is exact (Cody and Waite).
    let r = (bounded - power * 0.693_359_4) + power * 2.121_944_4e-4;
    // The Taylor series is accurate enough on [-ln 2 / 2, ln 2 / 2].
    let series = 1.0 / 720.0 + r * (1.0 / 5040.0);
    let series = 1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * series));
    let series = 1.0 + (r + r * r * (0.5 + r * series));
    // The integer is in the low bits of `shifted`. Move it to the bits of the exponent.
    let scaled = series * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x < -87.0 { 0.0 } else { scaled }
}
