//! Each kernel against the plainest form of its definition, bit for bit, for every instruction set and several numbers of threads.

use super::{
    Isa,
    activation::{self, Function},
    batch_norm,
    buffers::Buffers,
    conv::{ByOutput, Conv},
    dropout::Mask,
    elementwise,
    map::{self, Shape},
    peaks::Peaks,
    pool::{Pool, PoolKind},
    unfold::{Layout, Unfold},
    window::Window,
};
use crate::{
    model::Padding,
    philox::{Purpose, Stream},
};

fn numbers(n: usize, id: u32) -> Vec<f32> {
    let stream = Stream::new(9, Purpose::Filters, 0, id);
    (0..n as u64).map(|i| stream.f32(i) - 0.5).collect()
}

/// Returns a map of images with these numbers.
fn map_of(shape: Shape, images: &[f32]) -> Vec<f32> {
    let mut map = vec![f32::NAN; images.len() / shape.values() * shape.len()];
    map::from_images(shape, images, &mut map);
    map
}

/// Returns the numbers of a map, whose padding must be zero.
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

/// Returns what `f` gives, which must be the same for all instruction sets and for 1, 2, 3 and 8 threads.
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

/// A convolution with random images, kernel and bias.
#[derive(Clone)]
struct Case {
    /// Of the unfolded images, if that pays.
    conv: Conv,
    unfold: Option<Unfold>,
    x: Shape,
    window: Window,
    n: usize,
    images: Vec<f32>,
    kernel: Vec<f32>,
    bias: Vec<f32>,
    dy: Vec<f32>,
}

impl Case {
    fn new(n: usize, [c, h, w]: [usize; 3], filters: usize, size: usize, stride: usize, padding: Padding) -> Self {
        let (top, _, oh) = padding.along(h, size, stride);
        let (left, _, ow) = padding.along(w, size, stride);
        let window = Window { size, stride, top, left };
        let (x, y) = (Shape { c, h, w }, Shape { c: filters, h: oh, w: ow });
        let unfold = Unfold::of(x, y, window);
        Self {
            conv: unfold.map_or_else(|| Conv::new(x, y, window), |unfold| Conv::of_unfolded(&unfold)),
            unfold,
            x,
            window,
            n,
            images: numbers(n * x.values(), 1),
            kernel: numbers(filters * c * size * size, 2),
            bias: numbers(filters, 3),
            dy: numbers(n * y.values(), 4),
        }
    }

    /// Returns what the convolution reads.
    fn read(&self) -> Vec<f32> {
        let map = map_of(self.x, &self.images);
        let Some(unfold) = self.unfold else { return map };
        let unfolded = |x: (Layout, &[f32])| {
            everywhere(|isa| {
                let mut windows = vec![f32::NAN; self.n * unfold.y.len()];
                unfold.forward(isa, x, &mut windows);
                windows
            })
        };
        let windows = unfolded((Layout::Map, &map));
        assert_eq!(windows, unfolded((Layout::Images, &self.images)));
        windows
    }

    fn padded_bias(&self) -> Vec<f32> {
        let mut bias = self.bias.clone();
        bias.resize(self.conv.y.padded(), 0.0);
        bias
    }

    fn packed(&self) -> Vec<f32> {
        let mut weights = vec![f32::NAN; self.conv.packed_len()];
        self.conv.pack(&self.kernel, &mut weights);
        weights
    }

    fn kernel(&self, filter: usize, channel: usize, place: usize) -> f32 {
        self.kernel[(filter * self.x.c + channel) * self.window.places() + place]
    }

    /// Calls `f` for every output of an image, place and pixel that the window sees there (none outside the image).
    fn for_seen(&self, mut f: impl FnMut(usize, usize, Option<usize>)) {
        let (x, y) = (self.x, self.conv.y);
        for output in 0..y.pixels() {
            for place in 0..self.window.places() {
                let pixel = self.window.pixel((output / y.w, output % y.w), place, x);
                f(output, place, pixel.map(|(iy, ix)| iy * x.w + ix));
            }
        }
    }

    fn forward(&self, isa: Isa, function: Option<Function>) -> Vec<f32> {
        let weights = self.packed();
        let mut y = vec![f32::NAN; self.n * self.conv.y.len()];
        let x = self.read();
        self.conv.forward(isa, (self.n, &x), (&weights, &self.padded_bias()), function, &mut y);
        images_of(self.conv.y, &y)
    }

    /// The definition: each output from its bias, over the places and then the channels.
    fn forward_oracle(&self) -> Vec<f32> {
        let (x, y) = (self.x, self.conv.y);
        let mut out = vec![0.0; self.n * y.values()];
        for image in 0..self.n {
            for filter in 0..y.c {
                let out = &mut out[(image * y.c + filter) * y.pixels()..][..y.pixels()];
                out.fill(self.bias[filter]);
                self.for_seen(|output, place, pixel| {
                    for channel in 0..x.c {
                        let value = pixel.map_or(0.0, |p| self.images[(image * x.c + channel) * x.pixels() + p]);
                        out[output] = value.mul_add(self.kernel(filter, channel, place), out[output]);
                    }
                });
            }
        }
        out
    }

    fn by_x(&self, isa: Isa, start: Option<&[f32]>) -> Vec<f32> {
        let mut weights = vec![f32::NAN; self.conv.packed_transposed_len()];
        self.conv.pack_transposed(&self.kernel, &mut weights);
        let mut dx = start.map_or(vec![f32::NAN; self.n * self.x.len()], |start| map_of(self.x, start));
        let dy = map_of(self.conv.y, &self.dy);
        let transposed = self.conv.transposed();
        if let Some(unfold) = self.unfold {
            let mut by_windows = vec![f32::NAN; self.n * unfold.y.len()];
            self.conv.gradient_by_x(isa, &transposed, (self.n, ByOutput::Whole(&dy)), &weights, true, &mut by_windows);
            if start.is_none() {
                dx.fill(0.0);
            }
            unfold.backward(&by_windows, &mut dx);
        } else {
            self.conv.gradient_by_x(
                isa,
                &transposed,
                (self.n, ByOutput::Whole(&dy)),
                &weights,
                start.is_none(),
                &mut dx,
            );
        }
        images_of(self.x, &dx)
    }

    /// Each pixel's gradient in f64: the outputs that see it, times the weights by which they do.
    fn by_x_oracle(&self) -> Vec<f64> {
        let (x, y) = (self.x, self.conv.y);
        let mut dx = vec![0.0; self.n * x.values()];
        for image in 0..self.n {
            self.for_seen(|output, place, pixel| {
                let Some(pixel) = pixel else { return };
                for channel in 0..x.c {
                    for filter in 0..y.c {
                        let dy = self.dy[(image * y.c + filter) * y.pixels() + output];
                        dx[(image * x.c + channel) * x.pixels() + pixel] +=
                            f64::from(dy) * f64::from(self.kernel(filter, channel, place));
                    }
                }
            });
        }
        dx
    }

    fn by_kernel(&self, isa: Isa) -> (Vec<f32>, Vec<f32>) {
        let (x, dy) = (self.read(), map_of(self.conv.y, &self.dy));
        let (packed, bias) =
            self.conv.gradient_by_kernel(isa, (self.n, &x), ByOutput::Whole(&dy), &mut Buffers::default());
        let mut kernel = vec![f32::NAN; self.kernel.len()];
        self.conv.unpack(&packed, &mut kernel);
        (kernel, bias[..self.conv.y.c].to_vec())
    }

    fn by_kernel_oracle(&self) -> (Vec<f64>, Vec<f64>) {
        let (x, y) = (self.x, self.conv.y);
        let (mut kernel, mut bias) = (vec![0.0; self.kernel.len()], vec![0.0; y.c]);
        for image in 0..self.n {
            let dy = |filter: usize, output: usize| f64::from(self.dy[(image * y.c + filter) * y.pixels() + output]);
            self.for_seen(|output, place, pixel| {
                for filter in 0..y.c {
                    if place == 0 {
                        bias[filter] += dy(filter, output);
                    }
                    let Some(pixel) = pixel else { continue };
                    for channel in 0..x.c {
                        let value = self.images[(image * x.c + channel) * x.pixels() + pixel];
                        kernel[(filter * x.c + channel) * self.window.places() + place] +=
                            f64::from(value) * dy(filter, output);
                    }
                }
            });
        }
        (kernel, bias)
    }
}

/// Asserts that numbers are near, relative to the largest.
fn near(found: &[f32], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-3f64, |largest, x| largest.max(x.abs()));
    let furthest = found.iter().zip(expected).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max);
    assert!(furthest < 5e-6 * largest, "{what}: {furthest} of {largest}");
}

/// Kernels odd and even, strides 1 and 2, both paddings, few channels and many, more images than a group, more rows than a part.
fn cases() -> Vec<Case> {
    let (same, valid) = (Padding::Same, Padding::Valid);
    vec![
        Case::new(2, [3, 9, 7], 5, 3, 1, same),
        Case::new(3, [1, 8, 8], 33, 3, 1, valid),
        Case::new(2, [17, 6, 5], 70, 2, 1, same),
        Case::new(5, [9, 7, 6], 20, 4, 1, same),
        Case::new(2, [8, 9, 8], 100, 3, 2, same),
        Case::new(2, [21, 5, 8], 16, 2, 2, valid),
        Case::new(3, [12, 4, 3], 49, 1, 1, same),
        Case::new(3, [12, 5, 5], 7, 1, 2, same),
        Case::new(2, [7, 5, 9], 7, 5, 3, same),
        Case::new(2, [3, 10, 10], 12, 4, 2, same),
        Case::new(300, [10, 1, 1], 18, 1, 1, valid),
        Case::new(40, [9, 16, 16], 6, 2, 1, same),
    ]
}

#[test]
fn a_convolution_is_its_definition_bit_for_bit_everywhere() {
    for case in cases() {
        assert_eq!(bits(&everywhere(|isa| case.forward(isa, None))), bits(&case.forward_oracle()), "{:?}", case.conv);
    }
}

#[test]
fn a_long_sum_is_one_chain_whatever_its_blocks() {
    let case = Case::new(2, [1100, 2, 2], 5, 2, 1, Padding::Same);
    assert_eq!(bits(&everywhere(|isa| case.forward(isa, None))), bits(&case.forward_oracle()));
}

#[test]
fn an_activation_behind_a_convolution_is_that_of_its_output() {
    for function in [Function::Relu, Function::Elu, Function::Selu] {
        for case in cases() {
            let y = case.forward(Isa::detect(), None);
            let mut expected = vec![0.0; y.len()];
            activation::apply(Isa::detect(), function, &y, &mut expected);
            assert_eq!(bits(&everywhere(|isa| case.forward(isa, Some(function)))), bits(&expected));
        }
    }
}

/// The convolution, the pooling and ReLU one after the other are the oracle.
#[test]
fn peaks_are_those_of_the_whole_output_and_gradients_too() {
    let function = Some(Function::Relu);
    for (mut case, size) in cases().into_iter().flat_map(|case| [(case.clone(), 2), (case, 3)]) {
        let x = case.conv.y;
        let (h, w) = (x.h / size, x.w / size);
        if h * w == 0 {
            continue;
        }
        // Few different numbers, so that a largest one is often seen twice.
        let round = |numbers: &mut Vec<f32>| numbers.iter_mut().for_each(|x| *x = (*x * 3.0).round());
        [&mut case.images, &mut case.kernel, &mut case.bias].into_iter().for_each(round);
        let y = Shape { h, w, ..x };
        let pool = Pool { x, y, window: Window { size, stride: size, top: 0, left: 0 }, kind: PoolKind::Max };
        let mut dy = map_of(y, &numbers(case.n * y.values(), 5));
        let (read, kernel, bias) = (case.read(), case.packed(), case.padded_bias());
        let weights = (kernel.as_slice(), bias.as_slice());

        let isa = Isa::detect();
        let mut whole = vec![f32::NAN; case.n * x.len()];
        case.conv.forward(isa, (case.n, &read), weights, None, &mut whole);
        let mut expected = vec![f32::NAN; case.n * y.len()];
        pool.forward(isa, &whole, &mut expected);
        let mut by_whole = vec![0.0; whole.len()];
        let largest = expected.clone();
        activation::apply(isa, Function::Relu, &largest, &mut expected);
        activation::backward(isa, Function::Relu, &expected, &mut dy);
        pool.backward(isa, (&whole, &largest), &dy, true, &mut by_whole);

        let found = everywhere(|isa| {
            let mut y = vec![f32::NAN; expected.len()];
            let mut peaks = Peaks::of(pool).expect("windows are apart");
            case.conv.forward_to_peaks(isa, (case.n, &read), weights, function, &mut peaks, &mut y);
            let by_kernel = |dy| case.conv.gradient_by_kernel(isa, (case.n, &read), dy, &mut Buffers::default());
            assert_eq!(by_kernel(ByOutput::Peaks(&peaks, &dy)), by_kernel(ByOutput::Whole(&by_whole)));
            let mut transposed = vec![0.0; case.conv.packed_transposed_len()];
            case.conv.pack_transposed(&case.kernel, &mut transposed);
            let by_x = |dy| {
                let mut dx = vec![f32::NAN; read.len()];
                case.conv.gradient_by_x(isa, &case.conv.transposed(), (case.n, dy), &transposed, true, &mut dx);
                dx
            };
            assert_eq!(bits(&by_x(ByOutput::Peaks(&peaks, &dy))), bits(&by_x(ByOutput::Whole(&by_whole))));
            y
        });
        assert_eq!(bits(&found), bits(&expected), "{pool:?}");
    }
}

#[test]
fn the_gradient_by_the_input_is_its_definition_and_adds_to_what_is_there() {
    for case in cases() {
        let found = everywhere(|isa| case.by_x(isa, None));
        near(&found, &case.by_x_oracle(), "by x");
        let start = numbers(found.len(), 8);
        let expected: Vec<f64> = case.by_x_oracle().iter().zip(&start).map(|(dx, &x)| dx + f64::from(x)).collect();
        near(&everywhere(|isa| case.by_x(isa, Some(&start))), &expected, "by x, added");
    }
}

#[test]
fn the_gradients_by_kernel_and_bias_are_their_definition() {
    for case in cases() {
        let (kernel, bias) = case.by_kernel_oracle();
        near(&everywhere(|isa| case.by_kernel(isa).0), &kernel, "by kernel");
        near(&everywhere(|isa| case.by_kernel(isa).1), &bias, "by bias");
    }
}

/// The gradients are linear maps transposed: `<dy, conv(x)> = <dx, x> = <dkernel, kernel>` without a bias.
#[test]
fn gradients_are_slopes() {
    for mut case in cases() {
        case.bias.fill(0.0);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let isa = Isa::detect();
        let value = dot(&case.dy, &case.forward(isa, None));
        let scale = (dot(&case.dy, &case.dy) * dot(&case.images, &case.images)).sqrt() * 1e-6;
        assert!((dot(&case.by_x(isa, None), &case.images) - value).abs() < scale);
        assert!((dot(&case.by_kernel(isa).0, &case.kernel) - value).abs() < scale);
    }
}

#[test]
fn dense_layers_are_convolutions_of_one_pixel() {
    let (inputs, units, n) = (37, 50, 70);
    let case = Case::new(n, [inputs, 1, 1], units, 1, 1, Padding::Valid);
    // The same numbers as [inputs, units].
    let dense: Vec<f32> = (0..inputs * units).map(|i| case.kernel[i % units * inputs + i / units]).collect();
    let conv = &case.conv;
    let mut found = (vec![f32::NAN; conv.packed_len()], vec![f32::NAN; conv.packed_transposed_len()]);
    conv.pack_dense(&dense, &mut found.0);
    conv.pack_dense_transposed(&dense, &mut found.1);
    let mut expected = found.clone();
    conv.pack(&case.kernel, &mut expected.0);
    conv.pack_transposed(&case.kernel, &mut expected.1);
    assert_eq!(found, expected);
    let (x, dy) = (map_of(conv.x, &case.images), map_of(conv.y, &case.dy));
    let (packed, _) = conv.gradient_by_kernel(Isa::detect(), (n, &x), ByOutput::Whole(&dy), &mut Buffers::default());
    let mut by_dense = vec![f32::NAN; dense.len()];
    conv.unpack_dense(&packed, &mut by_dense);
    let (by_kernel, _) = case.by_kernel(Isa::detect());
    assert!((0..inputs * units).all(|i| by_dense[i] == by_kernel[i % units * inputs + i / units]));
}

#[test]
fn activations_and_their_gradients_are_those_of_their_definition_even_for_large_values() {
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
            // At 0 the slope of ReLU is taken as 0.
            assert!((f64::from(slopes[i]) - slope).abs() < 3e-7 * (1.0 + slope), "{function:?} {x}: {}", slopes[i]);
        }
        let mut y = [0.0];
        activation::apply(Isa::detect(), function, &[f32::NAN], &mut y);
        assert!(y[0].is_nan(), "{function:?}");
    }
}

/// Printed by Keras 3.15.1: `keras.activations.selu` and its gradient, in f64. At 0 its slope is taken from the right.
#[test]
fn selu_is_kerass() {
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
fn statistics_of_a_batch_are_mean_and_variance_also_far_from_zero() {
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
fn batch_normalisation_and_its_gradient_are_their_formulas() {
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
        let by = batch_norm::backward(isa, &statistics, &gamma, epsilon, &x, &mut dx);
        [dx, by.gamma, by.beta].concat()
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
        let (by_beta, by_gamma) = (dy.iter().sum::<f64>(), dy.iter().zip(&normalised).map(|(a, b)| a * b).sum::<f64>());
        let (gamma, beta) = (f64::from(gamma[channel]), f64::from(beta[channel]));
        for i in 0..x.len() {
            let at = i * width + channel;
            assert!((f64::from(y[at]) - (normalised[i] * gamma + beta)).abs() < 1e-6);
            let expected = gamma * inverse * (dy[i] - by_beta / n - normalised[i] * by_gamma / n);
            assert!((f64::from(found[at]) - expected).abs() < 1e-6, "{} {expected}", found[at]);
        }
        let parameters = &found[x.len() * width..];
        assert!((f64::from(parameters[channel]) - by_gamma).abs() < 1e-4);
        assert!((f64::from(parameters[width + channel]) - by_beta).abs() < 1e-4);
    }
}

#[test]
fn dropout_draws_the_same_numbers_forward_and_back_and_keeps_the_expectation() {
    // Not a whole number of draws, and more than a thread takes at a time.
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
fn pooling_takes_what_windows_see_and_gives_gradients_to_it() {
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
        // Few different numbers, so that a largest one is often seen twice.
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
            near(&dx, &expected_dx, "by x");
        }
    }
}

#[test]
fn sums_and_copies_are_those_of_each_number() {
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
