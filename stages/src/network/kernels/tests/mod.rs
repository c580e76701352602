//! Compares each kernel with a simple implementation of its definition, and its results bit for bit among all instruction sets and
//! several numbers of threads.

mod conv;
mod plain;

use super::{
    Isa,
    activation::{self, Function},
    batch_norm,
    dropout::Mask,
    elementwise,
    map::{self, Shape},
    pool::{Pool, PoolKind},
    window::Window,
};
use crate::{
    network::Padding,
    philox::{Purpose, Stream},
};

fn numbers(n: usize, id: u32) -> Vec<f32> {
    let stream = Stream::new(9, Purpose::Filters, 0, id);
    (0..n as u64).map(|i| stream.f32(i) - 0.5).collect()
}

/// Returns `images` `[n, c, h, w]` as a map.
fn map_of(shape: Shape, images: &[f32]) -> Vec<f32> {
    let mut map = vec![f32::NAN; images.len() / shape.values() * shape.len()];
    map::from_images(shape, images, &mut map);
    map
}

/// Returns a map as images `[n, c, h, w]`. Panics if its padding is not zero.
fn images_of(shape: Shape, map: &[f32]) -> Vec<f32> {
    for pixel in map.chunks_exact(shape.padded()) {
        assert!(pixel[shape.c..].iter().all(|&x| x == 0.0), "padding stays zero");
    }
    let mut images = vec![0.0; map.len() / shape.len() * shape.values()];
    map::to_images(shape, map, &mut images);
    images
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// Returns the result of `f`. Panics if it differs among the instruction sets, or among 1, 2, 3 and 8 threads.
fn everywhere(f: impl Fn(Isa) -> Vec<f32> + Sync) -> Vec<f32> {
    let expected = f(Isa::available()[0]);
    for &isa in Isa::available() {
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(bits(&pool.install(|| f(isa))), bits(&expected), "{isa}, {threads} threads");
        }
    }
    expected
}

/// Asserts that numbers are equal within 5e-6 of the largest.
fn near(found: &[f32], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-3f64, |largest, x| largest.max(x.abs()));
    // Number by number: the largest difference would leave out those that are not numbers.
    for (i, (&found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(found) - expected).abs() < 5e-6 * largest, "{what}: {found} instead of {expected} at {i}");
    }
}

#[test]
fn activations_and_their_gradients_agree_with_their_definition() {
    const SCALE: f64 = 1.0507009873554805;
    const SLOPE: f64 = 1.6732632423543772;
    let x = [-100.0f32, -20.0, -1.0, -0.3, -1e-6, 0.0, 0.5, 100.0, 1e4];
    for function in [Function::Relu, Function::Elu, Function::Selu] {
        let y = everywhere(|isa| {
            let mut y = vec![f32::NAN; x.len()];
            activation::apply(isa, function, &x, &mut y);
            y
        });
        let slopes = everywhere(|isa| {
            let mut dy = vec![1.0; x.len()];
            activation::backward(isa, function, &y, &mut dy);
            dy
        });
        for (i, x) in x.into_iter().map(f64::from).enumerate() {
            let (expected, slope) = match function {
                Function::Selu if x > 0.0 => (SCALE * x, SCALE),
                Function::Selu => (SCALE * SLOPE * x.exp_m1(), SCALE * SLOPE * x.exp()),
                _ if x > 0.0 => (x, 1.0),
                Function::Relu => (0.0, 0.0),
                Function::Elu => (x.exp_m1(), x.exp()),
            };
            assert!((f64::from(y[i]) - expected).abs() < 2e-7 * (1.0 + expected.abs()), "{function:?} {x}: {}", y[i]);
            // The derivative of ReLU at 0 is defined as 0.
            assert!((f64::from(slopes[i]) - slope).abs() < 3e-7 * (1.0 + slope), "{function:?} {x}: {}", slopes[i]);
        }
        let mut y = [0.0];
        activation::apply(Isa::detect(), function, &[f32::NAN], &mut y);
        assert!(y[0].is_nan(), "{function:?}");
    }
}

/// Expected values are the output of Keras 3.15.1: `keras.activations.selu` and its gradient, in f64.
#[test]
fn selu_agrees_with_keras() {
    let x = [-10.0f32, -2.0, -0.5, -1e-3, 0.25, 3.0];
    let expected = [
        (-1.758019523260787, 7.981758658992533e-05),
        (-1.520166468595695, 0.2379328722516818),
        (-0.6917581878028713, 1.0663411330445055),
        (-0.0017572205841202173, 1.7563421202632565),
        (0.2626752468388701, 1.0507009873554805),
        (3.1521029620664414, 1.0507009873554805),
    ];
    let (mut y, mut slopes) = ([0.0; 6], [1.0; 6]);
    activation::apply(Isa::detect(), Function::Selu, &x, &mut y);
    activation::backward(Isa::detect(), Function::Selu, &y, &mut slopes);
    for ((y, slope), expected) in y.iter().zip(slopes).zip(expected) {
        assert!((f64::from(*y) - expected.0).abs() < 4e-7, "{y} {expected:?}");
        assert!((f64::from(slope) - expected.1).abs() < 4e-7, "{slope} {expected:?}");
    }
}

#[test]
fn the_exponential_is_within_two_units_in_the_last_place() {
    let x: Vec<f32> = (0..200_000).map(|i| -87.0 * i as f32 / 200_000.0).collect();
    let y = everywhere(|isa| {
        let mut y = vec![0.0; x.len()];
        activation::exp(isa, &x, &mut y);
        y
    });
    for (x, y) in x.iter().zip(y) {
        let exact = f64::from(*x).exp();
        let error = (f64::from(y) - exact).abs() / exact;
        assert!(error < 2.4e-7, "{x}: {error}");
    }
}

#[test]
fn mean_and_variance_of_a_batch_are_exact_even_if_the_mean_is_large() {
    let (width, n) = (32, 1000);
    let x: Vec<f32> = numbers(n * width, 1).iter().enumerate().map(|(i, x)| x + 100.0 * (i % width) as f32).collect();
    let found = everywhere(|isa| {
        let statistics = batch_norm::statistics(isa, width, &x);
        [statistics.mean, statistics.variance].concat()
    });
    for channel in 0..width {
        let values: Vec<f64> = x.iter().skip(channel).step_by(width).map(|&x| f64::from(x)).collect();
        let mean = values.iter().sum::<f64>() / n as f64;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        assert!((f64::from(found[channel]) - mean).abs() < 1e-6 * (1.0 + mean), "{} {mean}", found[channel]);
        assert!((f64::from(found[width + channel]) - variance).abs() < 1e-5, "{} {variance}", found[width + channel]);
    }
}

#[test]
fn batch_normalisation_and_its_gradient_agree_with_their_formulas() {
    let (width, n, epsilon) = (16, 300, 0.01f32);
    let (x, dy) = (numbers(n * width, 1), numbers(n * width, 2));
    let (gamma, beta) = (numbers(width, 3), numbers(width, 4));
    let forward = |isa| {
        let statistics = batch_norm::statistics(isa, width, &x);
        let scale = batch_norm::scale(&gamma, &statistics.variance, epsilon);
        let mut y = vec![f32::NAN; x.len()];
        batch_norm::normalise(isa, &statistics.mean, &scale, &beta, &x, &mut y);
        y
    };
    let backward = |isa| {
        let statistics = batch_norm::statistics(isa, width, &x);
        let mut dx = dy.clone();
        let gradients = batch_norm::backward(isa, &statistics, &gamma, epsilon, &x, &mut dx);
        [dx, gradients.gamma, gradients.beta].concat()
    };
    let (y, found) = (everywhere(forward), everywhere(backward));
    for channel in 0..width {
        let of = |values: &[f32]| -> Vec<f64> {
            values.iter().skip(channel).step_by(width).map(|&x| f64::from(x)).collect()
        };
        let (x, dy, n) = (of(&x), of(&dy), n as f64);
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let inverse = 1.0 / (variance + f64::from(epsilon)).sqrt();
        let normalised: Vec<f64> = x.iter().map(|x| (x - mean) * inverse).collect();
        let (d_beta, d_gamma) = (dy.iter().sum::<f64>(), dy.iter().zip(&normalised).map(|(a, b)| a * b).sum::<f64>());
        let (gamma, beta) = (f64::from(gamma[channel]), f64::from(beta[channel]));
        for i in 0..x.len() {
            let at = i * width + channel;
            assert!((f64::from(y[at]) - (normalised[i] * gamma + beta)).abs() < 1e-6);
            let expected = gamma * inverse * (dy[i] - d_beta / n - normalised[i] * d_gamma / n);
            assert!((f64::from(found[at]) - expected).abs() < 1e-6, "{} {expected}", found[at]);
        }
        let parameters = &found[x.len() * width..];
        assert!((f64::from(parameters[channel]) - d_gamma).abs() < 1e-4);
        assert!((f64::from(parameters[width + channel]) - d_beta).abs() < 1e-4);
    }
}

#[test]
fn dropout_draws_the_same_mask_forward_and_backward_and_keeps_the_mean() {
    // Not a whole number of draws, and more elements than a thread takes at a time.
    let x = vec![1.0; 16 * 12_345];
    let mask = Mask::new(1, 2, 3, 0.25);
    let y = everywhere(|isa| {
        let mut y = vec![f32::NAN; x.len()];
        mask.apply(isa, &x, &mut y);
        y
    });
    let stream = Stream::new(1, Purpose::Dropout, 2, 3);
    for (e, y) in y.iter().enumerate().step_by(7) {
        let block = stream.block((e / 64 * 16 + e % 16) as u32);
        assert_eq!(*y == 0.0, block[e / 16 % 4] < 1 << 30, "{e}");
        assert!(*y == 0.0 || *y == 1.0 / 0.75);
    }
    let mean = y.iter().map(|&y| f64::from(y)).sum::<f64>() / y.len() as f64;
    assert!((mean - 1.0).abs() < 0.006, "{mean}");
    let added = everywhere(|isa| {
        let mut sum = x.clone();
        mask.add(isa, &x, &mut sum);
        sum
    });
    assert!(added.iter().zip(&y).all(|(added, y)| *added == 1.0 + y));
}

#[test]
fn pooling_and_its_gradient_agree_with_their_definition() {
    let n = 3;
    for (c, size, stride, padding, w) in [
        (5, 3, 2, Padding::Same, 7),
        (17, 2, 2, Padding::Valid, 7),
        (2, 2, 1, Padding::Same, 7),
        (3, 5, 5, Padding::Valid, 10),
    ] {
        let x = Shape { c, h: 5, w };
        let (top, _, h) = padding.along(x.h, size, stride);
        let (left, _, w) = padding.along(x.w, size, stride);
        let (y, window) = (Shape { c, h, w }, Window { size, stride, top, left });
        // Few different numbers, so that several pixels of a window often share the maximum.
        let images: Vec<f32> = numbers(n * x.values(), 1).iter().map(|x| (x * 6.0).round() - 5.0).collect();
        let dy = numbers(n * y.values(), 2);
        for kind in [PoolKind::Max, PoolKind::Mean] {
            let pool = Pool { x, y, window, kind };
            let map = map_of(x, &images);
            let forward = |isa| {
                let mut out = vec![f32::NAN; n * y.len()];
                pool.forward(isa, &map, &mut out);
                out
            };
            let out = everywhere(forward);
            let found = images_of(y, &out);
            let backward = |isa| {
                let mut dx = vec![if pool.tiles() { f32::NAN } else { 0.0 }; n * x.len()];
                pool.backward(isa, (&map, &out), &map_of(y, &dy), true, &mut dx);
                dx
            };
            let dx = images_of(x, &everywhere(backward));
            let (mut expected, mut expected_dx) = (Vec::new(), vec![0.0f64; images.len()]);
            for plane in 0..n * c {
                for output in 0..y.pixels() {
                    let seen: Vec<usize> = (0..window.places())
                        .filter_map(|place| window.pixel((output / w, output % w), place, x))
                        .map(|(iy, ix)| plane * x.pixels() + iy * x.w + ix)
                        .collect();
                    let gradient = f64::from(dy[plane * y.pixels() + output]);
                    if kind == PoolKind::Max {
                        let largest =
                            seen.iter().copied().reduce(|a, b| if images[b] > images[a] { b } else { a }).unwrap();
                        expected.push(f64::from(images[largest]));
                        expected_dx[largest] += gradient;
                    } else {
                        expected.push(seen.iter().map(|&i| f64::from(images[i])).sum::<f64>() / seen.len() as f64);
                        seen.iter().for_each(|&i| expected_dx[i] += gradient / seen.len() as f64);
                    }
                }
            }
            near(&found, &expected, "pooled");
            near(&dx, &expected_dx, "with respect to x");
        }
    }
}

#[test]
fn sums_and_copies_are_element_by_element() {
    let (a, b) = (numbers(50_001, 1), numbers(50_001, 2));
    let sums = everywhere(|isa| {
        let mut sums = vec![f32::NAN; a.len()];
        elementwise::sum(isa, &a, &b, &mut sums);
        elementwise::add(isa, &a, &mut sums);
        sums
    });
    assert!((0..a.len()).all(|i| sums[i] == (a[i] + b[i]) + a[i]));
    let mut copy = vec![0.0; a.len()];
    elementwise::copy(&a, &mut copy);
    assert_eq!(copy, a);
}
