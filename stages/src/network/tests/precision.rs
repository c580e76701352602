//! Networks whose products are of bf16, by burn on the processor. They are compared with our kernels.

use super::*;

/// burn on this processor, with bf16.
fn bf16() -> Backend {
    Backend::Burn(Device::flex(), Precision::Bf16)
}

/// Returns the nearest bf16, the even one of two.
fn rounded(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
}

/// Asserts that numbers are equal within `tolerance` of the largest.
fn near(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= tolerance * largest, "{what}: {found} instead of {expected} at {i}");
    }
}

/// Asserts that two gradients point into nearly the same direction. Single numbers of them may differ much: a unit near 0 is on one side
/// of it in one network and on the other side in the other.
fn points_as(found: &[f32], expected: &[f32], what: &str) {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let cosine = dot(found, expected) / (dot(found, found) * dot(expected, expected)).sqrt();
    assert!(cosine > 0.97, "{what}: {cosine}");
}

/// Forward and backward: a product is that of rounded operands, rounded; a bias and its gradient are not rounded.
#[test]
fn operands_and_products_are_rounded_and_biases_are_not() {
    for (kind, name, pixels) in [
        (LayerKind::from(Conv { filters: 5, kernel: 3, stride: 2, padding: Padding::Same }), "conv2d_1", 9),
        (Dense { units: 6 }.into(), "dense_1", 1),
    ] {
        let mut builder = Builder::new([2, 5, 6]);
        let layer = match kind {
            LayerKind::Dense(_) => {
                let flat = builder.add(Flatten, &["input"]);
                builder.add(kind, &[&flat])
            }
            _ => builder.add(kind, &["input"]),
        };
        let flat = if pixels == 1 { layer } else { builder.add(Flatten, &[&layer]) };
        let architecture = builder.finish(&flat, &[head("a", 3)]).unwrap();
        let mut weights = weights(&architecture);
        let images = numbers(4 * 60, 50);
        let bias = weights.0[&format!("{name}.bias")].values.clone();
        let mut exact = loaded(&architecture, &weights, Pass::Training, &[name], &bf16());
        let training = Mode::Training { seed: 3, step: 4 };
        let found = exact.forward(&images, training).outputs;

        let all = |values: &[f32]| values.iter().copied().map(rounded).collect::<Vec<_>>();
        for (array, weight) in &mut weights.0 {
            weight.values = if array.ends_with("bias") { vec![0.0; weight.values.len()] } else { all(&weight.values) };
        }
        let ours = Backend::of(ComputeDevice::CPU).unwrap();
        let mut ours = loaded(&architecture, &weights, Pass::Training, &[name], &ours);
        let products = ours.forward(&all(&images), training).outputs.remove(name).unwrap();
        let with_bias =
            |(i, product): (usize, &f32)| (rounded(*product), rounded(*product) + bias[i / pixels % bias.len()]);
        let expected: Vec<_> = products.iter().enumerate().map(with_bias).collect();
        // Sums have other orders, so that a few are rounded the other way: by one part in 128 of what is rounded.
        for (found, (product, expected)) in found[name].iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-6 + product.abs() / 128.0, "{name}: {found} {expected}");
        }
        let same = found[name].iter().zip(&expected).filter(|(found, (_, expected))| (*found - expected).abs() < 1e-6);
        assert!(same.count() * 20 >= 19 * expected.len(), "{name}: products are not rounded, or biases are");

        // The gradient that comes from above is rounded where it is an operand.
        let above = factors(&found);
        let below = BTreeMap::from([(name.to_owned(), all(&above[name]))]);
        let kernel = format!("{name}.kernel");
        let of_weights = exact.weight_gradients(&above);
        near(&of_weights[&kernel], &ours.weight_gradients(&below)[&kernel], 1.0 / 256.0, &kernel);
        let sums = (0..bias.len()).map(|unit| {
            let of_unit = above[name].iter().enumerate().filter(|(i, _)| i / pixels % bias.len() == unit);
            of_unit.map(|(_, x)| x).sum()
        });
        near(&of_weights[&format!("{name}.bias")], &sums.collect::<Vec<f32>>(), 1e-5, "the bias");
    }
}

/// All layers, their gradients, and the moving statistics: near to f32, and other numbers.
#[test]
fn a_network_with_bf16_is_near_to_one_with_f32() {
    let architecture = every_kind();
    let weights = weights(&architecture);
    let images = numbers(7 * 3 * 13 * 12, 50);
    let heads = ["a", "b"];
    let ours = Backend::of(ComputeDevice::CPU).unwrap();
    for (pass, mode) in [(Pass::Training, Mode::Training { seed: 3, step: 4 }), (Pass::ImageGradients, Mode::Inference)]
    {
        let [mut ours, mut coarse] =
            [&ours, &bf16()].map(|backend| loaded(&architecture, &weights, pass, &heads, backend));
        let (expected, found) = (ours.forward(&images, mode), coarse.forward(&images, mode));
        for (name, expected) in &expected.outputs {
            near(&found.outputs[name], expected, 0.02, name);
            assert!(found.outputs[name] != *expected, "{name} is that of f32");
        }
        for (name, expected) in &expected.statistics {
            (0..2).for_each(|i| near(&found.statistics[name][i], &expected[i], 0.02, name));
        }
        let factors = factors(&expected.outputs);
        if pass == Pass::Training {
            let expected = ours.weight_gradients(&factors);
            for (name, found) in coarse.weight_gradients(&factors) {
                points_as(found, &expected[name], name);
            }
        } else {
            points_as(&coarse.image_gradients(&factors), &ours.image_gradients(&factors), "images");
        }
    }
}

#[test]
fn only_cuda_computes_with_bf16() {
    for kind in [crate::device::DeviceKind::Cpu, crate::device::DeviceKind::Wgpu] {
        let device = ComputeDevice { precision: Precision::Bf16, ..ComputeDevice::of(kind, 0) };
        let error = Backend::of(device).unwrap_err().to_string();
        let expected = if kind == crate::device::DeviceKind::Cpu {
            "the device `cpu` does not compute with bf16"
        } else if cfg!(feature = "wgpu") {
            // The test's machine may have none.
            "the device `wgpu:0`"
        } else {
            "this build of `pipe` has no wgpu"
        };
        assert!(error.contains(expected), "{error}");
    }
}
