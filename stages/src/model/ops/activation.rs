//! Activations.

use burn::{
    backend::{
        Flex,
        autodiff::{
            checkpoint::base::Checkpointer,
            grads::Gradients,
            ops::{Backward, Ops, unary},
        },
        flex::FlexTensor,
    },
    tensor::{Tensor, activation},
};
use rayon::prelude::*;

use super::flex;

/// Elements that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// Returns x where it is positive, else 0.
pub fn relu(x: Tensor<4>) -> Tensor<4> {
    activation::relu(x)
}

/// Returns x where it is positive, else exp(x) - 1. (burn's has no gradient for large x: 0 times infinity.)
pub fn elu(x: Tensor<4>) -> Tensor<4> {
    let Some(x_values) = flex::plain(&x) else {
        return activation::relu(x.clone()) + (x.clamp_max(0.0).exp() - 1.0);
    };
    let shape = x.dims();
    let mut y = vec![0.0; shape.iter().product()];
    y.par_chunks_mut(CHUNK).zip(flex::values(&x_values).par_chunks(CHUNK)).for_each(|(y, x)| {
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = if x > 0.0 { x } else { exp_of_negative(x) - 1.0 });
    });
    let y = flex::tensor(y, &shape);
    if !x.is_autodiff() {
        return Tensor::from_primitive::<Flex>(y);
    }
    flex::record(Elu, [flex::tracked(x).node()], y.clone(), y)
}

/// The gradient by x is 1 where the output is positive, else exp(x), which is the output plus 1.
#[derive(Debug)]
struct Elu;

impl Backward<Flex, 1> for Elu {
    type State = FlexTensor;

    fn backward(self, ops: Ops<FlexTensor, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let y = ops.state;
        unary::<Flex, _>(ops.parents, ops.node, grads, |dy| {
            let dy = dy.to_contiguous();
            let mut dx = vec![0.0; flex::values(&y).len()];
            let given = flex::values(&y).par_chunks(CHUNK).zip(flex::values(&dy).par_chunks(CHUNK));
            dx.par_chunks_mut(CHUNK).zip(given).for_each(|(dx, (y, dy))| {
                dx.iter_mut()
                    .zip(y.iter().zip(dy))
                    .for_each(|(dx, (y, dy))| *dx = if *y > 0.0 { *dy } else { dy * (y + 1.0) });
            });
            flex::tensor(dx, y.layout().shape())
        });
    }
}

/// Returns exp(x) for x at most 0, within 2 units in the last place; 0 below -87, 1 above 0. In plain arithmetic, so that it is
/// the same everywhere and the compiler vectorises it.
#[inline]
fn exp_of_negative(x: f32) -> f32 {
    // Adding and taking away 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    // Comparisons that are false for NaN, which must stay.
    let bounded = if x < -87.0 { -87.0 } else { x };
    let bounded = if bounded > 0.0 { 0.0 } else { bounded };
    let power = (bounded * std::f32::consts::LOG2_E + ROUND) - ROUND;
    // ln 2 in two parts, the first with few bits, so that the difference is exact (Cody and Waite).
    let r = (bounded - power * 0.693_359_4) + power * 2.121_944_4e-4;
    // Taylor's series suffices on [-ln 2 / 2, ln 2 / 2].
    let series = 1.0 / 720.0 + r * (1.0 / 5040.0);
    let series = 1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * series));
    let series = 1.0 + (r + r * r * (0.5 + r * series));
    let scaled = series * f32::from_bits(((power as i32 + 127) as u32) << 23);
    if x < -87.0 { 0.0 } else { scaled }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn elu_and_its_gradient_are_those_of_the_definition_even_for_large_values() {
        let x = [-100.0f32, -20.0, -1.0, -0.3, -1e-6, 0.0, 0.5, 100.0, 1e4];
        let device = Device::flex();
        let leaf = Tensor::<1>::from_data(x, &device.clone().autodiff()).require_grad();
        let y = elu(leaf.clone().reshape([1, 1, 3, 3]));
        let gradient = leaf.grad(&y.clone().sum().backward()).unwrap();
        let (y, gradient) =
            (y.into_data().try_to_vec::<f32>().unwrap(), gradient.into_data().try_to_vec::<f32>().unwrap());
        for (i, x) in x.into_iter().map(f64::from).enumerate() {
            let (expected, slope) = if x > 0.0 { (x, 1.0) } else { (x.exp_m1(), x.exp()) };
            assert!((f64::from(y[i]) - expected).abs() < 2e-7 * (1.0 + expected.abs()), "{x}: {}", y[i]);
            assert!((f64::from(gradient[i]) - slope).abs() < 3e-7, "{x}: {}", gradient[i]);
        }
        assert!(elu(Tensor::from_data([[[[f32::NAN]]]], &device)).into_data().try_to_vec::<f32>().unwrap()[0].is_nan());
    }

    #[test]
    fn the_exponential_is_within_two_units_in_the_last_place() {
        for i in 0..200_000 {
            let x = -87.0 * i as f32 / 200_000.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp_of_negative(x)) - exact).abs() / exact;
            assert!(error < 2.4e-7, "{x}: {error}");
        }
    }
}
