//! The interpreter against definitions: slopes by finite differences, batch normalisation by its formula.

use burn::tensor::{Device, Tensor};
use serde_json::{Value, json};

use super::{
    architecture::{Activation, Head, Output},
    *,
};
use crate::philox::{Purpose, Stream};

fn head(name: &str, classes: usize) -> Head {
    Head { name: name.into(), classes, output: Output::Softmax }
}

fn numbers(n: usize, id: u32) -> Vec<f32> {
    let stream = Stream::new(9, Purpose::Filters, 0, id);
    (0..n as u64).map(|i| stream.f32(i) - 0.5).collect()
}

/// A network of one layer of `kind` (two for sums and concatenations) between others, on 3 images.
fn network(kind: Kind) -> Architecture {
    let mut builder = Builder::new([2, 5, 6]);
    let conv = |filters| Kind::Conv { filters, kernel: 2, stride: 1, padding: Padding::Same };
    let first = builder.add(conv(3), &["input"]);
    let inputs = match kind {
        Kind::Add => vec![first.clone(), builder.add(conv(3), &["input"])],
        Kind::Concat => vec![first.clone(), builder.add(conv(2), &["input"])],
        _ => vec![first.clone()],
    };
    let at = builder.add(kind, &inputs.iter().map(String::as_str).collect::<Vec<_>>());
    let flat = builder.add(Kind::Flatten, &[&at]);
    let dense = builder.add(Kind::Dense { units: 4 }, &[&flat]);
    builder.finish(&dense, &[head("a", 3), head("b", 2)]).unwrap()
}

/// Weights that no symmetry hides a fault behind.
fn weights(architecture: &Architecture) -> Weights {
    let mut weights = Weights::initial(architecture, 1);
    for (id, (name, weight)) in (0..).zip(&mut weights.0) {
        let noise = numbers(weight.values.len(), id);
        let scale = if name.ends_with("moving_variance") { 0.5 } else { 0.3 };
        weight.values.iter_mut().zip(noise).for_each(|(w, x)| *w += scale * x);
    }
    weights
}

/// Returns a sum of the logits with fixed factors: a smooth scalar of everything.
fn scalar(network: &Network<'_>, images: Tensor<4>, mode: Mode) -> Tensor<1> {
    let forward = network.forward(images, mode, &[]);
    let terms = forward.logits.into_values().enumerate().map(|(id, logits)| {
        let [n, classes] = logits.dims();
        let factors = Tensor::<1>::from_data(numbers(n * classes, 100 + id as u32).as_slice(), &Device::flex());
        (logits * factors.reshape([n, classes])).sum()
    });
    terms.reduce(|sum, term| sum + term).unwrap()
}

fn check_slopes(kind: Kind, mode: Mode) {
    let architecture = network(kind.clone());
    let mut weights = weights(&architecture);
    let mut images = numbers(3 * 60, 50);
    let device = Device::flex();
    let value = |weights: &Weights, images: &[f32]| {
        let network = Network::new(&architecture, weights, &device);
        let scalar = scalar(&network, network.images(images.to_vec(), 3), mode);
        f64::from(scalar.into_data().try_to_vec::<f32>().unwrap()[0])
    };
    let tracked = Network::new(&architecture, &weights, &device.clone().autodiff());
    let leaf = tracked.images(images.clone(), 3).autodiff().require_grad();
    let mut gradients = scalar(&tracked, leaf.clone(), mode).backward();
    let of_images = leaf.grad_remove(&mut gradients).unwrap().into_data().try_to_vec::<f32>().unwrap();
    let of_weights = tracked.gradients(&mut gradients);
    let trained = architecture.parameter_shapes().iter().filter(|parameter| parameter.trained).count();
    assert_eq!(of_weights.len(), trained, "{kind:?}");

    // Where a step crosses a kink the difference is no slope: a few may.
    const STEP: f32 = 4e-3;
    let (mut wrong, mut all) = (0, 0);
    let mut compare = |slope: f64, found: f32| {
        all += 1;
        wrong += u32::from((slope - f64::from(found)).abs() > 2e-3 + 0.02 * slope.abs());
    };
    for (name, gradient) in &of_weights {
        for i in (0..gradient.len()).step_by(1 + gradient.len() / 8) {
            let at = |weights: &mut Weights, step: f32| {
                weights.0.get_mut(name).unwrap().values[i] += step;
                value(weights, &images)
            };
            let (up, down) = (at(&mut weights, STEP), at(&mut weights, -2.0 * STEP));
            weights.0.get_mut(name).unwrap().values[i] += STEP;
            compare((up - down) / f64::from(2.0 * STEP), gradient[i]);
        }
    }
    for i in (0..images.len()).step_by(7) {
        let start = images[i];
        let mut at = |x: f32| {
            images[i] = x;
            value(&weights, &images)
        };
        let (up, down) = (at(start + STEP), at(start - STEP));
        images[i] = start;
        compare((up - down) / f64::from(2.0 * STEP), of_images[i]);
    }
    assert!(wrong * 25 <= all, "{kind:?} {mode:?}: {wrong} of {all} slopes are wrong");
}

#[test]
fn gradients_are_slopes_for_every_kind_of_layer() {
    let training = Mode::Training { seed: 3, step: 4 };
    for kind in [
        Kind::Conv { filters: 4, kernel: 3, stride: 2, padding: Padding::Same },
        Kind::Conv { filters: 4, kernel: 1, stride: 1, padding: Padding::Same },
        Kind::Conv { filters: 2, kernel: 4, stride: 1, padding: Padding::Same },
        Kind::Conv { filters: 2, kernel: 3, stride: 1, padding: Padding::Valid },
        Kind::BatchNorm { momentum: 0.9, epsilon: 1e-3 },
        Kind::Activation { function: Activation::Relu },
        Kind::Activation { function: Activation::Elu },
        Kind::MaxPool { size: 3, stride: 2, padding: Padding::Same },
        Kind::MaxPool { size: 2, stride: 2, padding: Padding::Valid },
        Kind::AvgPool { size: 2, stride: 2, padding: Padding::Valid },
        Kind::AvgPool { size: 3, stride: 2, padding: Padding::Same },
        Kind::Dropout { p: 0.4 },
        Kind::Add,
        Kind::Concat,
    ] {
        check_slopes(kind.clone(), training);
        check_slopes(kind, Mode::Inference);
    }
}

#[test]
fn batch_normalisation_is_its_formula_in_both_modes() {
    let architecture = network(Kind::BatchNorm { momentum: 0.9, epsilon: 0.1 });
    let weights = weights(&architecture);
    let network = Network::new(&architecture, &weights, &Device::flex());
    let images = network.images(numbers(3 * 60, 50), 3);
    let part = |part: &str| &weights.0[&format!("batch_normalization_1.{part}")].values;
    for mode in [Mode::Inference, Mode::Training { seed: 0, step: 0 }] {
        let forward = network.forward(images.clone(), mode, &["conv2d_1", "batch_normalization_1"]);
        let values = |name: &str| forward.taps[name].clone().into_data().try_to_vec::<f32>().unwrap();
        let (x, y) = (values("conv2d_1"), values("batch_normalization_1"));
        assert_eq!(forward.statistics.is_empty(), mode == Mode::Inference);
        for channel in 0..3 {
            let of_channel = |i: &usize| i / 30 % 3 == channel;
            let seen: Vec<f64> = (0..x.len()).filter(of_channel).map(|i| f64::from(x[i])).collect();
            let n = seen.len() as f64;
            let (mean, variance) = if mode == Mode::Inference {
                (f64::from(part("moving_mean")[channel]), f64::from(part("moving_variance")[channel]))
            } else {
                let mean = seen.iter().sum::<f64>() / n;
                (mean, seen.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n)
            };
            if let Some([found_mean, found_variance]) = forward.statistics.get("batch_normalization_1") {
                assert!((f64::from(found_mean[channel]) - mean).abs() < 1e-6);
                assert!((f64::from(found_variance[channel]) - variance).abs() < 1e-6);
            }
            for i in (0..x.len()).filter(of_channel) {
                let (gamma, beta) = (f64::from(part("gamma")[channel]), f64::from(part("beta")[channel]));
                let expected = (f64::from(x[i]) - mean) / (variance + 0.1).sqrt() * gamma + beta;
                assert!((f64::from(y[i]) - expected).abs() < 1e-5, "{mode:?}: {} {expected}", y[i]);
            }
        }
    }
}

/// Computes the network of these hyperparameters, and returns the shape of every output.
fn check_shapes(values: Value, input: [usize; 3], heads: &[Head]) {
    let family: HyperCnn = serde_json::from_value(json!({ "base_filters": 4, "fc_units": [12, 8] })).unwrap();
    let architecture = family.architecture(values.as_object().unwrap(), input, heads).unwrap();
    let weights = Weights::initial(&architecture, 2);
    let numbers_of_weights: usize = weights.0.values().map(|weight| weight.values.len()).sum();
    assert_eq!(numbers_of_weights as u64, architecture.parameters);
    let network = Network::new(&architecture, &weights, &Device::flex());
    let n = 2;
    let images = network.images(numbers(n * input.iter().product::<usize>(), 1), n);
    let names: Vec<&str> = architecture.layers.iter().map(|layer| layer.name.as_str()).collect();
    let forward = network.forward(images, Mode::Training { seed: 1, step: 1 }, &names);
    for layer in &architecture.layers {
        let mut expected = [&[n], layer.shape.as_slice()].concat();
        expected.resize(4, 1);
        assert_eq!(forward.taps[&layer.name].dims().as_slice(), expected, "{}", layer.name);
    }
    for head in heads {
        assert_eq!(forward.logits[&head.name].dims(), [n, head.classes]);
    }
}

#[test]
fn every_output_has_the_shape_that_the_architecture_says() {
    let two = [head("fine", 7), head("coarse", 3)];
    for pooling in ["max", "avg", "all_conv", "inception"] {
        for (input, heads) in [([3, 32, 32], &two[..]), ([1, 13, 9], &two[..1]), ([4, 8, 21], &two[1..])] {
            for (residual, use_bn) in [(json!(2), true), (json!(null), false), (json!(1), false)] {
                let values = json!({
                    "pooling_type": pooling, "residual": residual, "use_BN": use_bn, "nb_conv_pool_layers": 3, "first_conv": 4,
                    "conv_kernel_size": 2, "res_conv_kernel_size": 4, "one_more_fc": 1.2, "conv_dropout_drop_proba": 0.3,
                    "conv_pool_res_start_idx": 1, "activation": "elu",
                });
                check_shapes(values, input, heads);
            }
        }
    }
}

#[test]
fn taps_alone_are_those_of_the_whole_pass_and_have_gradients_by_the_images() {
    let architecture = network(Kind::BatchNorm { momentum: 0.9, epsilon: 1e-3 });
    let weights = weights(&architecture);
    let network = Network::new(&architecture, &weights, &Device::flex());
    let images = network.images(numbers(3 * 60, 50), 3);
    let whole = network.forward(images.clone(), Mode::Inference, &["conv2d_1"]);
    let leaf = images.autodiff().require_grad();
    let tap = network.forward_taps(leaf.clone(), &["conv2d_1"]).remove("conv2d_1").unwrap();
    assert_eq!(tap.clone().inner().into_data(), whole.taps["conv2d_1"].clone().into_data());
    let gradient = leaf.grad(&tap.sum().backward()).unwrap();
    assert!(gradient.into_data().try_to_vec::<f32>().unwrap().iter().any(|x| *x != 0.0));
}
