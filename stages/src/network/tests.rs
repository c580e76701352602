//! Compares gradients with finite differences, layers with their formulas, and our kernels with burn's operations.

mod precision;

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Device;
use serde_json::{Value, json};

use super::{
    architecture::{Head, Output},
    layers::{Activation, Add, AvgPool, BatchNorm, Concat, Conv, Dense, Dropout, Flatten, MaxPool},
    *,
};
use crate::{
    device::Precision,
    network::kernels::Isa,
    philox::{Purpose, Stream},
    stage::ComputeDevice,
};

fn head(name: &str, classes: usize) -> Head {
    Head { name: name.into(), classes, output: Output::Softmax }
}

fn numbers(n: usize, id: u32) -> Vec<f32> {
    let stream = Stream::new(9, Purpose::Filters, 0, id);
    (0..n as u64).map(|i| stream.f32(i) - 0.5).collect()
}

/// A network with a layer of `kind` between others. The layer has two inputs if it is a sum or a concatenation.
fn network(kind: LayerKind) -> Architecture {
    let mut builder = Builder::new([2, 5, 6]);
    let conv = |filters| Conv { filters, kernel: 2, stride: 1, padding: Padding::Same };
    let first = builder.add(conv(3), &["input"]);
    let inputs = match kind {
        LayerKind::Add(_) => vec![first.clone(), builder.add(conv(3), &["input"])],
        LayerKind::Concat(_) => vec![first.clone(), builder.add(conv(2), &["input"])],
        _ => vec![first.clone()],
    };
    let at = builder.add(kind, &inputs.iter().map(String::as_str).collect::<Vec<_>>());
    let flat = builder.add(Flatten, &[&at]);
    let dense = builder.add(Dense { units: 4 }, &[&flat]);
    builder.finish(&dense, &[head("a", 3), head("b", 2)]).unwrap()
}

/// Random weights for all arrays, so that no symmetry hides an error.
fn weights(architecture: &Architecture) -> Weights {
    let mut weights = Weights::initial(architecture, 1);
    for (id, (name, weight)) in (0..).zip(&mut weights.0) {
        let noise = numbers(weight.values.len(), id);
        let scale = if name.ends_with("moving_variance") { 0.5 } else { 0.3 };
        weight.values.iter_mut().zip(noise).for_each(|(w, x)| *w += scale * x);
    }
    weights
}

/// Our kernels on this processor, and burn's operations on it.
fn backends() -> [Backend; 2] {
    [Backend::of(ComputeDevice::CPU).unwrap(), Backend::Burn(Device::flex(), Precision::F32)]
}

/// Our kernels on this processor, and burn's operations: on a GPU if there is one and the build has GPUs.
fn ours_and_burns() -> Pair {
    #[cfg(feature = "gpu")]
    if let Some(device) = super::on_burn::test_device() {
        let burns = Backend::Burn(device.0.clone(), Precision::F32);
        return Pair { backends: [Backend::of(ComputeDevice::CPU).unwrap(), burns], _device: Some(device) };
    }
    Pair {
        backends: backends(),
        #[cfg(feature = "gpu")]
        _device: None,
    }
}

/// Two backends, the second of which may have to be given back.
struct Pair {
    backends: [Backend; 2],
    #[cfg(feature = "gpu")]
    _device: Option<super::on_burn::TestDevice>,
}

fn loaded(architecture: &Architecture, weights: &Weights, pass: Pass, outputs: &[&str], backend: &Backend) -> Network {
    let mut network = Network::new(architecture, pass, outputs, backend);
    network.set_weights(weights);
    network
}

/// Fixed factors of the outputs. The sum of their products is a smooth scalar function of weights and images.
fn factors(outputs: &BTreeMap<String, Vec<f32>>) -> BTreeMap<String, Vec<f32>> {
    let factors = |(id, (name, output)): (u32, (&String, &Vec<f32>))| (name.clone(), numbers(output.len(), 100 + id));
    (0..).zip(outputs).map(factors).collect()
}

fn scalar(outputs: &BTreeMap<String, Vec<f32>>) -> f64 {
    let products = factors(outputs).into_iter().map(|(name, factors)| {
        factors.iter().zip(&outputs[&name]).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
    });
    products.sum()
}

fn check_slopes(kind: LayerKind, training: Option<Mode>, backend: &Backend) {
    let architecture = network(kind.clone());
    let mut weights = weights(&architecture);
    let mut images = numbers(3 * 60, 50);
    let heads = ["a", "b"];
    let (pass, mode) = training.map_or((Pass::ImageGradients, Mode::Inference), |mode| (Pass::Training, mode));
    let value = |weights: &Weights, images: &[f32]| {
        scalar(&loaded(&architecture, weights, pass, &heads, backend).forward(images, mode).outputs)
    };
    let mut tracked = loaded(&architecture, &weights, pass, &heads, backend);
    let outputs = tracked.forward(&images, mode).outputs;
    let mut of_weights = BTreeMap::new();
    let mut of_images = Vec::new();
    if training.is_some() {
        of_weights = tracked.weight_gradients(&factors(&outputs)).clone();
        let trained = architecture.parameter_shapes().iter().filter(|parameter| parameter.trained).count();
        assert_eq!(of_weights.len(), trained, "{kind:?}");
    } else {
        of_images = tracked.image_gradients(&factors(&outputs));
    }

    // If a step crosses a kink, its finite difference is not the derivative. A few may.
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
    for i in (0..of_images.len()).step_by(3) {
        let start = images[i];
        let mut at = |x: f32| {
            images[i] = x;
            value(&weights, &images)
        };
        let (up, down) = (at(start + STEP), at(start - STEP));
        images[i] = start;
        compare((up - down) / f64::from(2.0 * STEP), of_images[i]);
    }
    assert!(wrong * 25 <= all, "{kind:?} {mode:?} {backend:?}: {wrong} of {all} derivatives are wrong");
}

#[test]
fn gradients_agree_with_finite_differences_for_every_kind_of_layer() {
    let training = Mode::Training { seed: 3, step: 4 };
    let kinds: &[LayerKind] = &[
        Conv { filters: 4, kernel: 3, stride: 2, padding: Padding::Same }.into(),
        Conv { filters: 4, kernel: 1, stride: 1, padding: Padding::Same }.into(),
        Conv { filters: 2, kernel: 4, stride: 1, padding: Padding::Same }.into(),
        Conv { filters: 2, kernel: 3, stride: 1, padding: Padding::Valid }.into(),
        BatchNorm { momentum: 0.9, epsilon: 1e-3 }.into(),
        Activation { function: Function::Relu }.into(),
        Activation { function: Function::Elu }.into(),
        Activation { function: Function::Selu }.into(),
        MaxPool { size: 3, stride: 2, padding: Padding::Same }.into(),
        MaxPool { size: 2, stride: 2, padding: Padding::Valid }.into(),
        AvgPool { size: 2, stride: 2, padding: Padding::Valid }.into(),
        AvgPool { size: 3, stride: 2, padding: Padding::Same }.into(),
        Dropout { p: 0.4 }.into(),
        Add.into(),
        Concat.into(),
    ];
    for kind in kinds {
        for backend in &backends() {
            check_slopes(kind.clone(), Some(training), backend);
            check_slopes(kind.clone(), None, backend);
        }
    }
}

/// A network with every kind of layer, and with parallel branches for the ways of pooling.
fn every_kind() -> Architecture {
    let mut builder = Builder::new([3, 13, 12]);
    let relu = LayerKind::from(Activation { function: Function::Relu });
    let elu = Activation { function: Function::Elu };
    let conv = |filters, kernel, stride| Conv { filters, kernel, stride, padding: Padding::Same };
    let mut add = |layer: LayerKind, inputs: &[&str]| builder.add(layer, inputs);
    let a = add(conv(5, 3, 1).into(), &["input"]);
    let a = add(elu.into(), &[&a]);
    let b = add(Dropout { p: 0.3 }.into(), &[&a]);
    let b = add(conv(5, 2, 1).into(), &[&b]);
    let b = add(relu.clone(), &[&b]);
    let sum = add(Add.into(), &[&a, &b, &a]);
    let norm = add(BatchNorm { momentum: 0.9, epsilon: 1e-3 }.into(), &[&sum]);
    let max = add(MaxPool { size: 3, stride: 2, padding: Padding::Same }.into(), &[&norm]);
    let avg = add(AvgPool { size: 2, stride: 2, padding: Padding::Same }.into(), &[&norm]);
    let stride = add(conv(18, 3, 2).into(), &[&norm]);
    let rectified = add(conv(6, 3, 1).into(), &[&norm]);
    let rectified = add(relu.clone(), &[&rectified]);
    let rectified = add(MaxPool { size: 2, stride: 2, padding: Padding::Same }.into(), &[&rectified]);
    let all = add(Concat.into(), &[&max, &avg, &stride, &rectified]);
    let all = add(Activation { function: Function::Elu }.into(), &[&all]);
    let flat = add(Flatten.into(), &[&all]);
    let dense = add(Dense { units: 21 }.into(), &[&flat]);
    let dense = add(Activation { function: Function::Relu }.into(), &[&dense]);
    builder.finish(&dense, &[head("a", 3), head("b", 2)]).unwrap()
}

/// Asserts that numbers are equal within 1e-4 of the largest.
fn agree(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    // Number by number: the largest difference would leave out those that are not numbers.
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= 1e-4 * largest, "{what}: {found} instead of {expected} at {i}");
    }
}

/// A network that no family builds: several layers read the image, a layer is added to itself, units are added.
fn written_out() -> Architecture {
    let layers = json!([
        "BatchNorm", { "Activation": "elu" }, { "As": "a" }, { "MaxPool": { "size": 3, "stride": 1, "padding": "same" } },
        { "Concat": ["input", "a"] }, { "Activation": "relu" }, { "AvgPool": { "size": 12 } },
        { "Conv": { "filters": 4, "kernel": 1 } }, { "As": "b" }, { "Add": ["b", "b"] }, { "Activation": "relu" }, "Flatten",
        { "Dense": 5 }, { "As": "c" }, { "Activation": "relu" }, { "Add": "c" }, { "Dropout": 0.2 }, { "Dense": 4 },
    ]);
    let layers: Layers = crate::params::read(&layers).unwrap();
    layers.architecture(&Proposed::default(), [3, 13, 12], &[head("a", 3), head("b", 2)]).unwrap()
}

#[test]
fn our_kernels_agree_with_burn() {
    check_against_burn(&every_kind());
    check_against_burn(&written_out());
}

fn check_against_burn(architecture: &Architecture) {
    let Pair { backends, .. } = &ours_and_burns();
    let weights = weights(architecture);
    let names: Vec<&str> = architecture.layers.iter().map(|layer| layer.name.as_str()).collect();
    let images = numbers(7 * 3 * 13 * 12, 50);
    let training = Mode::Training { seed: 3, step: 4 };
    for (pass, mode) in [(Pass::Training, training), (Pass::ImageGradients, Mode::Inference)] {
        let [mut ours, mut burns] =
            backends.each_ref().map(|backend| loaded(architecture, &weights, pass, &names, backend));
        let (found, expected) = (ours.forward(&images, mode), burns.forward(&images, mode));
        for (name, output) in &expected.outputs {
            agree(&found.outputs[name], output, name);
        }
        assert_eq!(found.statistics.keys().collect::<Vec<_>>(), expected.statistics.keys().collect::<Vec<_>>());
        for (name, expected) in &expected.statistics {
            (0..2).for_each(|i| agree(&found.statistics[name][i], &expected[i], name));
        }
        // With the heads as the only outputs, activations are fused into the convolutions before them.
        let heads = ["a", "b"];
        let [mut ours, mut burns] =
            backends.each_ref().map(|backend| loaded(architecture, &weights, pass, &heads, backend));
        let found = ours.forward(&images, mode).outputs;
        let factors = factors(&found);
        burns.forward(&images, mode);
        if pass == Pass::Training {
            let (found, expected) = (ours.weight_gradients(&factors), burns.weight_gradients(&factors));
            assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
            for (name, expected) in expected {
                agree(&found[name], expected, name);
            }
        } else {
            agree(&ours.image_gradients(&factors), &burns.image_gradients(&factors), "with respect to images");
        }
    }
}

#[test]
fn frozen_layers_have_no_gradients_and_the_others_have_those_of_burn() {
    let architecture = every_kind();
    let weights = weights(&architecture);
    let images = numbers(7 * 3 * 13 * 12, 50);
    let training = Mode::Training { seed: 3, step: 4 };
    let trained = |frozen: &BTreeSet<String>| {
        let shapes = architecture.parameter_shapes().into_iter().filter(|parameter| parameter.trained);
        let names = shapes.map(|parameter| parameter.name);
        names.filter(|name| !frozen.contains(name.rsplit_once('.').unwrap().0)).collect::<Vec<_>>()
    };
    for frozen in [
        vec!["conv2d_1"],
        vec!["conv2d_2", "dense_1", "a"],
        vec!["batch_normalization_1"],
        vec!["conv2d_1", "conv2d_2", "batch_normalization_1"],
        vec!["conv2d_3", "b"],
    ] {
        let frozen: BTreeSet<_> = frozen.into_iter().map(str::to_owned).collect();
        let pair = ours_and_burns();
        let [mut ours, mut burns] =
            pair.backends.each_ref().map(|backend| Network::to_train(&architecture, &frozen, backend));
        [&mut ours, &mut burns].into_iter().for_each(|network| network.set_weights(&weights));
        let (found, expected) = (ours.forward(&images, training), burns.forward(&images, training));
        ["a", "b"].iter().for_each(|head| agree(&found.outputs[*head], &expected.outputs[*head], head));
        let is_frozen = frozen.contains("batch_normalization_1");
        assert_eq!((found.statistics.is_empty(), expected.statistics.is_empty()), (is_frozen, is_frozen));
        let factors = factors(&found.outputs);
        let (found, expected) = (ours.weight_gradients(&factors), burns.weight_gradients(&factors));
        let mut names = trained(&frozen);
        names.sort();
        assert_eq!(found.keys().cloned().collect::<Vec<_>>(), names);
        assert_eq!(expected.keys().cloned().collect::<Vec<_>>(), names);
        expected.iter().for_each(|(name, expected)| agree(&found[name], expected, name));
        if !is_frozen {
            // Apart from batch normalisation, freezing changes no other gradient.
            let mut whole = loaded(&architecture, &weights, Pass::Training, &["a", "b"], &backends()[0]);
            whole.forward(&images, training);
            let whole = whole.weight_gradients(&factors);
            found.iter().for_each(|(name, found)| assert!(*found == whole[name], "{name}"));
        }
    }
}

#[test]
fn frozen_batch_normalisation_computes_as_in_inference() {
    let architecture = network(BatchNorm { momentum: 0.9, epsilon: 1e-3 }.into());
    let (weights, images) = (weights(&architecture), numbers(3 * 60, 50));
    for backend in &ours_and_burns().backends {
        let frozen = ["batch_normalization_1".to_owned()].into();
        let mut frozen = Network::to_train(&architecture, &frozen, backend);
        frozen.set_weights(&weights);
        let found = frozen.forward(&images, Mode::Training { seed: 3, step: 4 });
        let mut plain = loaded(&architecture, &weights, Pass::Inference, &["a", "b"], backend);
        assert_eq!(found, plain.forward(&images, Mode::Inference));
    }
}

/// Compares whole steps, forward and backward, among instruction sets and numbers of threads.
#[test]
fn results_are_bit_identical_for_every_instruction_set_and_number_of_threads() {
    let architecture = every_kind();
    let weights = weights(&architecture);
    let images = numbers(7 * 3 * 13 * 12, 50);
    let run = |isa| {
        let mut network = loaded(&architecture, &weights, Pass::Training, &["a", "b"], &Backend::Cpu(isa));
        let mut bits = Vec::new();
        for step in 0..2 {
            let outputs = network.forward(&images, Mode::Training { seed: 1, step }).outputs;
            let gradients = network.weight_gradients(&factors(&outputs)).clone();
            bits.extend(outputs.into_values().flatten().map(f32::to_bits));
            bits.extend(gradients.values().flat_map(|gradient| gradient.iter().copied()).map(f32::to_bits));
        }
        bits
    };
    let expected = run(Isa::available()[0]);
    for &isa in Isa::available() {
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(|| run(isa)) == expected, "{isa}, {threads} threads");
        }
    }
}

/// A step gives the same result after another step on more images, whose numbers are left in the buffers.
#[test]
fn a_step_does_not_depend_on_earlier_steps() {
    let architecture = every_kind();
    let weights = weights(&architecture);
    let backend = Backend::of(ComputeDevice::CPU).unwrap();
    let images = numbers(7 * 3 * 13 * 12, 50);
    let few = &images[3 * 3 * 13 * 12..];
    let step = |network: &mut Network, images: &[f32]| {
        let outputs = network.forward(images, Mode::Training { seed: 1, step: 2 }).outputs;
        let gradients = network.weight_gradients(&factors(&outputs)).clone();
        (outputs, gradients)
    };
    let mut used = loaded(&architecture, &weights, Pass::Training, &["a", "b"], &backend);
    step(&mut used, &images);
    let mut fresh = loaded(&architecture, &weights, Pass::Training, &["a", "b"], &backend);
    assert_eq!(step(&mut used, few), step(&mut fresh, few));
}

#[test]
fn batch_normalisation_agrees_with_its_formula_in_both_modes() {
    let architecture = network(BatchNorm { momentum: 0.9, epsilon: 0.1 }.into());
    let weights = weights(&architecture);
    let images = numbers(3 * 60, 50);
    let part = |part: &str| &weights.0[&format!("batch_normalization_1.{part}")].values;
    let outputs = ["conv2d_1", "batch_normalization_1"];
    let training = (Pass::Training, Mode::Training { seed: 0, step: 0 });
    let pair = ours_and_burns();
    for ((pass, mode), backend) in [(Pass::Inference, Mode::Inference), training]
        .into_iter()
        .flat_map(|pass| pair.backends.each_ref().map(|backend| (pass, backend)))
    {
        let forward = loaded(&architecture, &weights, pass, &outputs, backend).forward(&images, mode);
        let (x, y) = (&forward.outputs["conv2d_1"], &forward.outputs["batch_normalization_1"]);
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

/// Asserts that every layer of a network with these hyperparameters has an output of the size in the architecture.
fn check_shapes(values: Value, input: [usize; 3], heads: &[Head]) {
    let family = families::named("HyperCnn", &json!({ "base_filters": 4, "fc_units": [12, 8] })).unwrap();
    let proposal = Proposed { values: values.as_object().unwrap().clone(), labels: serde_json::Map::new() };
    let architecture = family.architecture(&proposal, input, heads).unwrap();
    let weights = Weights::initial(&architecture, 2);
    let numbers_of_weights: usize = weights.0.values().map(|weight| weight.values.len()).sum();
    assert_eq!(numbers_of_weights as u64, architecture.parameters);
    let n = 2;
    let images = numbers(n * input.iter().product::<usize>(), 1);
    let names: Vec<&str> = architecture.layers.iter().map(|layer| layer.name.as_str()).collect();
    let mut network =
        loaded(&architecture, &weights, Pass::Training, &names, &Backend::of(ComputeDevice::CPU).unwrap());
    let forward = network.forward(&images, Mode::Training { seed: 1, step: 1 });
    for layer in &architecture.layers {
        let expected = n * layer.shape.iter().product::<usize>();
        assert_eq!(forward.outputs[&layer.name].len(), expected, "{}", layer.name);
    }
}

#[test]
fn every_output_has_the_size_in_the_architecture() {
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
fn an_output_does_not_depend_on_which_others_are_requested() {
    let architecture = every_kind();
    let weights = weights(&architecture);
    let images = numbers(3 * 3 * 13 * 12, 50);
    let names: Vec<&str> = architecture.layers.iter().map(|layer| layer.name.as_str()).collect();
    for backend in &backends() {
        let forward = |outputs: &[&str]| {
            loaded(&architecture, &weights, Pass::Inference, outputs, backend).forward(&images, Mode::Inference).outputs
        };
        let whole = forward(&names);
        for name in names.iter().copied() {
            assert_eq!(forward(&[name])[name], whole[name], "{name}");
        }
    }
}

#[test]
fn pooling_ignores_padding() {
    let values: Vec<f32> = (0..2 * 35).map(|i| ((i * 37) % 71) as f32 - 80.0).collect();
    for (size, stride, padding) in [(3, 2, Padding::Same), (2, 2, Padding::Valid), (2, 1, Padding::Same)] {
        let (top, _, oh) = padding.along(5, size, stride);
        let (left, _, ow) = padding.along(7, size, stride);
        let (mut largest, mut mean) = (Vec::new(), Vec::new());
        for (c, oy, ox) in (0..2 * oh * ow).map(|i| (i / (oh * ow), i / ow % oh, i % ow)) {
            let seen: Vec<f32> = (0..size * size)
                .map(|i| ((oy * stride + i / size).wrapping_sub(top), (ox * stride + i % size).wrapping_sub(left)))
                .filter(|&(iy, ix)| iy < 5 && ix < 7)
                .map(|(iy, ix)| values[c * 35 + iy * 7 + ix])
                .collect();
            largest.push(seen.iter().copied().fold(f32::MIN, f32::max));
            mean.push(seen.iter().sum::<f32>() / seen.len() as f32);
        }
        let mut builder = Builder::new([2, 5, 7]);
        let max = builder.add(MaxPool { size, stride, padding }, &["input"]);
        let avg = builder.add(AvgPool { size, stride, padding }, &["input"]);
        let flat = builder.add(Flatten, &[&max]);
        let architecture = builder.finish(&flat, &[head("a", 2)]).unwrap();
        for backend in &ours_and_burns().backends {
            let weights = Weights::initial(&architecture, 1);
            let mut network = loaded(&architecture, &weights, Pass::Inference, &[&max, &avg], backend);
            let outputs = network.forward(&values, Mode::Inference).outputs;
            assert_eq!(outputs[&max], largest);
            assert_eq!(outputs[&avg].len(), mean.len());
            assert!(outputs[&avg].iter().zip(&mean).all(|(a, b)| (a - b).abs() < 1e-4), "{outputs:?} {mean:?}");
        }
    }
}

#[test]
fn channels_respond_alike_on_all_backends() {
    let conv = LayerKind::Conv(Conv { filters: 6, kernel: 3, stride: 1, padding: Padding::Same });
    let architecture = network(conv);
    let weights = weights(&architecture);
    let layer = architecture.layers.iter().rev().find(|layer| layer.shape.len() == 3).unwrap().name.clone();
    let images = numbers(4 * 60, 51);
    let found = ours_and_burns().backends.map(|backend| {
        let response =
            loaded(&architecture, &weights, Pass::ImageGradients, &[&layer], &backend).responses(&images, &layer, 1..5);
        let means = loaded(&architecture, &weights, Pass::Inference, &[&layer, "a"], &backend).channel_means(&images);
        (response, means)
    });
    let [(ours, our_means), (burns, burns_means)] = &found;
    let close = |ours: &[f64], burns: &[f64]| {
        ours.len() == burns.len() && ours.iter().zip(burns).all(|(a, b)| (a - b).abs() < 1e-5 * a.abs().max(1.0))
    };
    let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
    assert!(close(&ours.means, &burns.means), "{ours:?} {burns:?}");
    assert!(close(&wide(&ours.gradients), &wide(&burns.gradients)), "{ours:?} {burns:?}");
    assert_eq!((our_means[&layer].len(), our_means["a"].len()), (4 * 6, 4 * 3));
    assert!(our_means.iter().all(|(name, means)| close(means, &burns_means[name])), "{our_means:?} {burns_means:?}");
    let own: Vec<f64> = (0..4).map(|image| our_means[&layer][image * 6 + image + 1]).collect();
    assert_eq!(own, ours.means, "image i is measured by channel 1 + i");
}
