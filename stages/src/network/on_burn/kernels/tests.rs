//! Holds each kernel against the CPU's. Without a device of CubeCL, the tests pass and say that they were skipped.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};

use super::{images::Plan, tiles::Tiles, *};
use crate::{
    augment::Augment,
    images::{
        Mixture, Policy,
        dataset::{self, Dataset, ImageShape},
    },
    network::{
        Weight, Weights,
        architecture::Output,
        function::Function,
        kernels::{Isa, activation as cpu_activation, batch_norm as cpu, dropout::Mask},
        on_burn::test_device,
        training::{
            Loss,
            loss::{self as on_host, Criterion},
            mixed::Mixed,
            optimizer::{Optimizer, OptimizerKind, UpdateRule},
        },
    },
    philox::{Purpose, Stream},
};

fn numbers(n: usize, id: u32) -> Vec<f32> {
    let stream = Stream::new(9, Purpose::Filters, 0, id);
    (0..n as u64).map(|i| stream.f32(i) - 0.5).collect()
}

fn array(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

fn check(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let is_close = (found - expected).abs() <= tolerance * expected.abs().max(1.0);
        assert!(is_close, "{what}: number {i} is {found}, expected {expected}");
    }
}

#[test]
fn masks_of_dropout_are_those_of_the_cpu() {
    let Some((device, _turn)) = test_device() else { return };
    for (shape, p) in [([3, 17, 5, 7], 0.25), ([70, 40, 1, 1], 0.5), ([2, 16, 8, 8], 0.9)] {
        let mask = Mask::new(u64::MAX - 5, 7, 3, p);
        let expected = crate::network::layers::dropout::factors(&mask, shape);
        for x in in_layouts(Tensor::ones(shape, &device)) {
            let x = x.autodiff().require_grad();
            let y = dropout::drop(&mask, x.clone());
            assert_eq!(read(y.clone().inner()), expected);
            let mut gradients = y.sum().backward();
            assert_eq!(read(x.grad_remove(&mut gradients).unwrap()), expected, "the gradient has the same mask");
        }
    }
}

/// Returns a map in both layouts.
fn in_layouts(x: Tensor<4>) -> [Tensor<4>; 2] {
    let by_pixels = tensor::<4>(buffer(x.clone().permute([0, 2, 3, 1]))).permute([0, 3, 1, 2]);
    [x, by_pixels]
}

#[test]
fn activations_and_their_gradients_are_those_of_the_cpu() {
    let Some((device, _turn)) = test_device() else { return };
    let shape = [2, 5, 4, 3];
    // With 0, large numbers of both signs, and one that is not a number.
    let mut x: Vec<f32> = numbers(120, 12).iter().map(|x| x * 8.0).collect();
    x[..5].copy_from_slice(&[0.0, -0.0, 90.0, -200.0, f32::NAN]);
    let dy = numbers(120, 13);
    let map = |values: &[f32]| Tensor::<4>::from_data(TensorData::new(values.to_vec(), shape), &device);
    let same = |found: &[f32], expected: &[f32], what: &str| {
        let [found, expected] = [found, expected].map(|of| of.iter().map(|x| if x.is_nan() { 7.0 } else { *x }));
        check(&found.collect::<Vec<_>>(), &expected.collect::<Vec<_>>(), 1e-6, what);
    };
    for function in [Function::Relu, Function::Elu, Function::Selu] {
        let (mut y, mut dx) = (x.clone(), dy.clone());
        cpu_activation::apply(Isa::detect(), function, &x, &mut y);
        cpu_activation::backward(Isa::detect(), function, &y, &mut dx);
        for on_device in in_layouts(map(&x)) {
            let on_device = on_device.autodiff().require_grad();
            let found = activation::activate(function, on_device.clone());
            same(&read(found.clone().inner()), &y, &format!("{function:?}"));
            let mut gradients = (found * Tensor::from_inner(map(&dy))).sum().backward();
            let found = read(on_device.grad_remove(&mut gradients).unwrap());
            same(&found[5..], &dx[5..], &format!("the gradient of {function:?}"));
            // Of what is not a number it does not matter.
            same(&found[..4], &dx[..4], &format!("the gradient of {function:?}"));
        }
    }
}

const SHAPE: ImageShape = ImageShape { channels: 3, height: 6, width: 9 };
const SEED: u64 = 77;

fn images(n: usize) -> Dataset {
    let images: Vec<u8> = (0..n * SHAPE.bytes()).map(|i| (i * i * 31 % 251) as u8).collect();
    Dataset::read(dataset::write(SHAPE, images, &[("class", &vec![0; n])]).into()).unwrap()
}

/// Policies that a device makes, with all edges.
fn policies(dataset: &Dataset) -> Vec<Policy> {
    let changes = [
        "[]",
        r#"[{"RandomFlip": 0.5}]"#,
        r#"[{"VerticalFlip": 0.5}, {"RandomFlip": 0.5}]"#,
        r#"[{"RandomCrop": 5}]"#,
        r#"[{"Cutout": 4}]"#,
        r#"[{"RandomFlip": 0.5}, {"RandomCrop": 2}, {"Cutout": 3}, {"RandomCrop": 3}, {"VerticalFlip": 0.5}]"#,
        r#"[{"RandomFlip": 0.5}, {"RandomCrop": 2}, {"MixUp": 0.4}]"#,
        r#"[{"RandomFlip": 0.5}, {"Cutout": 2}, {"CutMix": 1.0}, {"MixUp": 0.4}]"#,
    ];
    let of = |(changes, fill): (&str, &str)| {
        let json = format!(r#"{{"normalise": "PerChannel", "policy": {changes}, "fill": "{fill}"}}"#);
        serde_json::from_str::<Augment>(&json).unwrap().resolve(dataset).unwrap()
    };
    changes.into_iter().flat_map(|changes| ["Black", "Nearest", "Reflect"].map(|fill| of((changes, fill)))).collect()
}

#[test]
fn images_are_gathered_and_changed_as_on_the_cpu() {
    let Some((device, _turn)) = test_device() else { return };
    let n = 13;
    let (dataset, epoch) = (images(n), 4);
    let bytes: Vec<u8> = dataset.images().to_vec();
    let packed: Vec<u32> =
        bytes.chunks(4).map(|four| four.iter().rev().fold(0, |w, &b| w << 8 | u32::from(b))).collect();
    let packed = words(packed, &device);
    for policy in policies(&dataset) {
        let changes = policy.changes(SHAPE).expect("a device makes all of them");
        let plan = Plan {
            shape: [SHAPE.channels, SHAPE.height, SHAPE.width],
            edges: policy.edges(),
            changes,
            mixes: policy.mixes(),
        };
        let shown = |index: u32| {
            let mut image = vec![0.0; SHAPE.bytes()];
            policy.fill(&dataset, &[index], Some(epoch), SEED, &mut image);
            image
        };
        let (mut of_batch, mut expected) = (Vec::new(), Vec::new());
        for position in 0..n {
            let mut image = shown(position as u32);
            of_batch.push(position as u32);
            policy.write(SHAPE, position as u32, epoch, SEED, &mut of_batch);
            if policy.mixes() {
                let mixture = policy.mixture(SHAPE, n, position, epoch, SEED);
                let other = mixture.as_ref().map_or(position, |mixture| mixture.partner) as u32;
                of_batch.push(other);
                policy.write(SHAPE, other, epoch, SEED, &mut of_batch);
                of_batch.extend(mixture.as_ref().map_or(Mixture::NONE, Mixture::words));
                if let Some(mixture) = mixture {
                    mixture.apply(&mut image, &shown(other), SHAPE);
                }
            }
            expected.extend(image);
        }
        let scales = array(&policy.scales(), &device);
        let found = images::gather(&packed, &words(of_batch, &device), &scales, &plan);
        check(&read(found), &expected, 1e-5, &format!("{policy:?}"));
    }
}

#[test]
fn losses_and_their_gradients_are_those_of_the_cpu() {
    let Some((device, _turn)) = test_device() else { return };
    let (n, classes) = (37, 11);
    let logits: Vec<f32> = numbers(n * classes, 3).iter().map(|x| x * 12.0).collect();
    let class = |i: usize| (i * 7 % classes) as u32;
    let labels: Vec<u32> = (0..2 * n).map(class).collect();
    let weights: Vec<f64> = (0..classes).map(|i| 0.5 + i as f64 / 8.0).collect();
    let share = |i: usize| i as f32 / n as f32;
    let on_device = words(labels.clone(), &device);
    for loss in [Loss::CrossEntropy, Loss::Poisson, Loss::MeanSquaredError] {
        for output in [Output::Softmax, Output::NormalisedSigmoid] {
            for (smoothing, weighted, mixes) in
                [(0.0, false, false), (0.1, true, false), (0.0, true, true), (0.2, false, true)]
            {
                let smoothing = if loss == Loss::CrossEntropy { smoothing } else { 0.0 };
                let class_weights = weighted.then_some(weights.as_slice());
                let criterion = Criterion { loss, smoothing, class_weights };
                // Of each image: its index among all labels, one more word, and perhaps the other image.
                let of_image = |i: usize| {
                    let mut words = vec![i as u32, 5];
                    if mixes {
                        let kind = u32::from(!i.is_multiple_of(3));
                        words.extend([(2 * n - 1 - i) as u32 - n as u32, 5, kind, share(i).to_bits(), 0, 0, 0, 0]);
                    }
                    words
                };
                let of_batch: Vec<u32> = (0..n).flat_map(of_image).collect();
                let stride = of_batch.len() / n;
                let of_batch = words(of_batch, &device);
                let shown = super::loss::Shown {
                    labels: &on_device,
                    first_label: n,
                    words: &of_batch,
                    stride,
                    mixed: mixes.then_some([2, 4]),
                };
                let factors: Vec<f32> =
                    class_weights.map_or(vec![1.0; classes], |of| of.iter().map(|&w| w as f32).collect());
                let of_head = super::loss::Criterion {
                    loss,
                    output,
                    smoothing,
                    class_weights: &array(&factors, &device),
                    weight: 0.7,
                };
                let found = judge_logits(&logits, [n, classes], &shown, of_head, &device);
                let label = |i: usize| labels[n + i] as i32;
                let (first, second): (Vec<i32>, Vec<i32>) =
                    (0..n).map(|i| (label(i), if !i.is_multiple_of(3) { label(n - 1 - i) } else { label(i) })).unzip();
                let shares: Vec<f64> =
                    (0..n).map(|i| if !i.is_multiple_of(3) { share(i).into() } else { 1.0 }).collect();
                let mixed = Mixed { labels: &first, others: &second, shares: &shares };
                let (score, gradient) = if mixes {
                    (
                        mixed.score(criterion, output, &logits, classes),
                        mixed.gradient(criterion, output, &logits, classes, 0.7),
                    )
                } else {
                    (
                        on_host::score(criterion, output, &logits, &first, classes),
                        on_host::gradient(criterion, output, &logits, &first, classes, 0.7),
                    )
                };
                let what = format!("{criterion:?} {output:?} {mixes}");
                check(&found.0, &gradient, 1e-6, &what);
                check(&[found.1.iter().sum()], &[score.loss as f32], 1e-5, &what);
                assert_eq!(found.2.iter().sum::<f32>(), score.correct as f32, "{what}");
            }
        }
    }
}

fn judge_logits(
    logits: &[f32],
    shape: [usize; 2],
    shown: &super::loss::Shown<'_>,
    criterion: super::loss::Criterion<'_>,
    device: &Device,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let logits = Tensor::<2>::from_data(TensorData::new(logits.to_vec(), shape), device);
    let judged = super::loss::judge(logits, shown, criterion);
    (read(judged.gradient), read(judged.losses), read(judged.hits))
}

#[test]
fn optimizers_update_as_on_the_cpu() {
    let Some((device, _turn)) = test_device() else { return };
    let rule = UpdateRule {
        learning_rate: 0.01,
        l2: 0.003,
        clip_norm: None,
        momentum: 0.9,
        nesterov: true,
        weight_decay: 0.05,
    };
    let n = 2500;
    let kinds =
        [OptimizerKind::Adam, OptimizerKind::AdamW, OptimizerKind::Nadam, OptimizerKind::RmsProp, OptimizerKind::Sgd];
    for kind in kinds {
        let start = numbers(n, 1);
        let mut weights = Weights([("a.kernel".to_owned(), Weight { shape: vec![n], values: start.clone() })].into());
        let mut on_host = Optimizer::new(kind, [("a.kernel", n)].into_iter());
        let mut counts = on_host.clone();
        // Two arrays in one buffer: another one, which has a moving statistic, and then this one.
        let start_of_array = 64;
        let in_buffer = |values: &[f32]| buffer(array(&[&[0.5; 64], values].concat(), &device));
        let on_device = in_buffer(&start);
        let moments = |of: &BTreeMap<String, Vec<f32>>| of.get("a.kernel").map(|values| in_buffer(values));
        let (first, second) = (moments(&on_host.first), moments(&on_host.second));
        let arrays = optimizer::Arrays { weights: &on_device, first: first.as_ref(), second: second.as_ref() };
        let moving = tiles::Array { start: 0, len: 3, change: tiles::Change::Moving { momentum: 0.75 } };
        let change = tiles::Change::Optimizer { decay: (2.0 * rule.l2) as f32 };
        let tiles = Tiles::upload(&[moving, tiles::Array { start: start_of_array, len: n, change }], &device);
        assert_eq!(tiles.len(), 1 + n.div_ceil(1024));
        let statistics = [0.5, 2.5, -3.5];
        for step in 0..5 {
            let gradient = numbers(n, 10 + step);
            on_host.step(&mut weights, &[("a.kernel".to_owned(), gradient.clone())].into(), &rule, |_| true);
            let factors = counts.advance(&rule);
            for alive in [0.0, 1.0] {
                let news = [statistics.as_slice(), &gradient].map(|values| buffer(array(values, &device)));
                let control = buffer(array(&[alive, 1.0], &device));
                optimizer::update(kind, &arrays, &tiles, news.into(), &factors, &control);
            }
        }
        let found = read::<1>(tensor(on_device));
        // Each step leaves 3/4 of the distance.
        let left = 0.75f32.powi(5);
        let moved = statistics.map(|x| x + (0.5 - x) * left);
        check(&found[..3], &moved, 1e-6, "moving statistics");
        assert_eq!(found[3..64], [0.5; 61], "what is between arrays stays");
        check(&found[start_of_array..], &weights.0["a.kernel"].values, 1e-6, &format!("{kind:?}"));
    }
}

#[test]
fn sums_are_whole_and_what_is_not_finite_is_seen() {
    let Some((device, _turn)) = test_device() else { return };
    let control = || buffer(array(&sums::CONTROL, &device));
    for n in [1, 255, 256, 1025, 70_000] {
        let (gradients, weights) = (numbers(n, 4), numbers(n, 5));
        let expected = |of: &dyn Fn(f32, f32) -> f32| -> f64 {
            gradients.iter().zip(&weights).map(|(&g, &w)| f64::from(of(g, w)).powi(2)).sum()
        };
        let on_device = buffer(array(&weights, &device));
        let with_decay = |decay| {
            let whole = tiles::Array { start: 0, len: n, change: tiles::Change::Optimizer { decay } };
            Tiles::upload(&[whole], &device)
        };
        let tiles = with_decay(0.5);
        let of_tiles = buffer(Tensor::<1>::zeros([3 + tiles.len()], &device));
        sums::squares(vec![buffer(array(&gradients, &device))], &on_device, &tiles, &of_tiles, 3);
        let square = buffer(Tensor::<1>::zeros([2], &device));
        sums::total(of_tiles, &square, 1);
        let whole = expected(&|g, w| g + 0.5 * w);
        check(&read::<1>(tensor(square.clone())), &[0.0, whole as f32], 1e-5, &format!("{n} numbers"));
        let control = control();
        sums::clip(&buffer(tensor::<1>(square).narrow(0, 1, 1)), &control, 0.1);
        let found = read::<1>(tensor(control));
        check(&found, &[1.0, (0.1 / whole.sqrt().max(0.1)) as f32], 1e-5, &format!("{n} numbers"));

        let of_tiles = buffer(Tensor::<1>::zeros([tiles.len()], &device));
        sums::squares_of_weights(&on_device, &with_decay(1.0), &of_tiles);
        let square = buffer(Tensor::<1>::zeros([1], &device));
        sums::total(of_tiles, &square, 0);
        check(&read::<1>(tensor(square)), &[expected(&|_, w| w) as f32], 1e-5, &format!("{n} weights"));
    }
    for (bad, at) in [(f32::NAN, 2), (f32::INFINITY, 3), (f32::NEG_INFINITY, 4)] {
        let control = control();
        let alive = || read::<1>(tensor(control.clone()))[0];
        let mut values = vec![1.0; 8];
        values[at] = bad;
        let slots = buffer(array(&values, &device));
        sums::check(&slots, 0, 2, &control);
        assert_eq!(alive(), 1.0);
        sums::check(&slots, 3, 4, &control);
        assert_eq!(alive(), if at == 2 { 1.0 } else { 0.0 });
        sums::check(&slots, 5, 2, &control);
        assert_eq!(read::<1>(tensor(slots))[7], if at == 2 { 1.0 } else { 0.0 }, "it stays so");
    }
}

#[test]
fn batches_are_normalised_as_on_the_cpu() {
    let Some((device, _turn)) = test_device() else { return };
    let epsilon = 1e-3;
    // Several chunks in both layouts, channels that fill a cube and that do not, single pixels.
    for shape in [[3, 5, 4, 7], [2, 33, 1, 1], [5, 40, 8, 9], [9, 2, 32, 32]] {
        let [n, c, h, w] = shape;
        let pixels = n * h * w;
        // By pixels, as on the CPU. Far from 0, where sums of squares would lose digits.
        let x: Vec<f32> = numbers(pixels * c, 6).iter().map(|x| 30.0 + x).collect();
        let (gamma, beta, dy) = (numbers(c, 7), numbers(c, 8), numbers(pixels * c, 9));
        let statistics = cpu::statistics(Isa::detect(), c, &x);
        let scale = cpu::scale(&gamma, &statistics.variance, epsilon);
        let mut y = vec![0.0; x.len()];
        cpu::normalise(Isa::detect(), &statistics.mean, &scale, &beta, &x, &mut y);
        let mut dx = dy.clone();
        let slopes = cpu::backward(Isa::detect(), &statistics, &gamma, epsilon, &x, &mut dx);

        let by_pixels = |values: &[f32]| -> Tensor<4> {
            let tensor = Tensor::<4>::from_data(TensorData::new(values.to_vec(), [n, h, w, c]), &device);
            tensor.permute([0, 3, 1, 2])
        };
        let by_planes = |values: &[f32]| tensor::<4>(buffer(by_pixels(values)));
        let read_by_pixels = |tensor: Tensor<4>| read(tensor.permute([0, 2, 3, 1]));
        type Lay<'a> = &'a dyn Fn(&[f32]) -> Tensor<4>;
        let layouts: [(&str, Lay<'_>, Lay<'_>); 3] = [
            ("planes", &by_planes, &by_planes),
            ("pixels", &by_pixels, &by_pixels),
            ("pixels, gradient by planes", &by_pixels, &by_planes),
        ];
        for (layout, of_input, of_gradient) in layouts {
            let what = |part: &str| format!("{part} of {shape:?} by {layout}");
            let tracked = |values: &[f32]| array(values, &device).autodiff().require_grad();
            let (gamma, beta, x) = (tracked(&gamma), tracked(&beta), of_input(&x).autodiff().require_grad());
            let found = batch_norm::normalise(x.clone(), gamma.clone(), beta.clone(), epsilon);
            check(&read(found.mean), &statistics.mean, 1e-6, &what("mean"));
            check(&read(found.variance), &statistics.variance, 1e-5, &what("variance"));
            check(&read_by_pixels(found.output.clone().inner()), &y, 1e-4, &what("output"));
            let mut gradients = (found.output * Tensor::from_inner(of_gradient(&dy))).sum().backward();
            check(&read(gamma.grad_remove(&mut gradients).unwrap()), &slopes.gamma, 1e-4, &what("gamma's gradient"));
            check(&read(beta.grad_remove(&mut gradients).unwrap()), &slopes.beta, 1e-4, &what("beta's gradient"));
            check(&read_by_pixels(x.grad_remove(&mut gradients).unwrap()), &dx, 1e-4, &what("input's gradient"));
        }
    }
}
