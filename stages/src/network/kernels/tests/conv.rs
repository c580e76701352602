//! Compares the convolution, with unfolding before it and fused layers after it, with its definition.

use std::fmt::Debug;

use super::{bits, everywhere, images_of, map_of, near, numbers};
use crate::network::{
    Padding,
    kernels::{
        Isa,
        activation::{self, Function},
        buffers::Buffers,
        conv::{Conv, Input, OutputGradient},
        map::Shape,
        peaks::Peaks,
        pool::{Pool, PoolKind},
        unfold::{Layout, Unfold},
        window::Window,
    },
};

/// A convolution with random images, kernel and bias.
#[derive(Clone)]
struct Case {
    /// Reads the windows of the images if there is an `unfold`.
    conv: Conv,
    unfold: Option<Unfold>,
    x: Shape,
    window: Window,
    n: usize,
    images: Vec<f32>,
    /// The images as a map.
    map: Vec<f32>,
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
        let images = numbers(n * x.values(), 1);
        Self {
            conv: unfold.map_or_else(|| Conv::new(x, y, window), |unfold| Conv::of_unfolded(&unfold)),
            unfold,
            x,
            window,
            n,
            map: map_of(x, &images),
            images,
            kernel: numbers(filters * c * size * size, 2),
            bias: numbers(filters, 3),
            dy: numbers(n * y.values(), 4),
        }
    }

    /// Returns what the convolution can read, which is the same in each form.
    fn inputs(&self) -> Vec<Input<'_>> {
        match &self.unfold {
            None => vec![Input::Maps(&self.map)],
            Some(unfold) => vec![
                Input::Windows(unfold, Layout::Map, &self.map),
                Input::Windows(unfold, Layout::Images, &self.images),
            ],
        }
    }

    /// Returns the result of `f` for each input.
    fn of_inputs<T: PartialEq + Debug>(&self, f: impl Fn(Input<'_>) -> T) -> T {
        let mut results: Vec<T> = self.inputs().into_iter().map(f).collect();
        let last = results.pop().expect("there is an input");
        assert!(results.iter().all(|result| *result == last));
        last
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

    /// Calls `f` for every output pixel and every place of its window, with the pixel at that place, or `None` outside the image.
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
        let y = self.of_inputs(|x| {
            let mut y = vec![f32::NAN; self.n * self.conv.y.len()];
            self.conv.forward(isa, (self.n, x), (&weights, &self.padded_bias()), function, &mut y);
            bits(&y)
        });
        images_of(self.conv.y, &y.into_iter().map(f32::from_bits).collect::<Vec<_>>())
    }

    /// The definition: each output starts from its bias, and adds over the places and then the channels.
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

    fn input_gradient(&self, isa: Isa, start: Option<&[f32]>) -> Vec<f32> {
        let mut weights = vec![f32::NAN; self.conv.packed_transposed_len()];
        self.conv.pack_transposed(&self.kernel, &mut weights);
        let mut dx = start.map_or(vec![f32::NAN; self.n * self.x.len()], |start| map_of(self.x, start));
        let dy = map_of(self.conv.y, &self.dy);
        let transposed = self.conv.transposed();
        if let Some(unfold) = self.unfold {
            let mut d_windows = vec![f32::NAN; self.n * unfold.y.len()];
            self.conv.input_gradient(
                isa,
                &transposed,
                (self.n, OutputGradient::Whole(&dy)),
                &weights,
                true,
                &mut d_windows,
            );
            if start.is_none() {
                dx.fill(0.0);
            }
            unfold.backward(&d_windows, &mut dx);
        } else {
            self.conv.input_gradient(
                isa,
                &transposed,
                (self.n, OutputGradient::Whole(&dy)),
                &weights,
                start.is_none(),
                &mut dx,
            );
        }
        images_of(self.x, &dx)
    }

    /// The definition of the gradient with respect to the input, in f64: each pixel sums gradient times weight over the outputs that
    /// read it.
    fn input_gradient_oracle(&self) -> Vec<f64> {
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

    fn kernel_gradients(&self, isa: Isa) -> (Vec<f32>, Vec<f32>) {
        let dy = map_of(self.conv.y, &self.dy);
        let (packed, bias) = self.of_inputs(|x| {
            let mut buffers = Buffers::default();
            let gradients = |buffers: &mut Buffers| {
                self.conv.kernel_gradients(isa, (self.n, x), OutputGradient::Whole(&dy), buffers)
            };
            // A step gets the buffers of the step before.
            let (mut used, _) = gradients(&mut buffers);
            used.fill(f32::NAN);
            buffers.give(used);
            gradients(&mut buffers)
        });
        let mut kernel = vec![f32::NAN; self.kernel.len()];
        self.conv.unpack(&packed, &mut kernel);
        (kernel, bias[..self.conv.y.c].to_vec())
    }

    fn kernel_gradients_oracle(&self) -> (Vec<f64>, Vec<f64>) {
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

/// Odd and even kernels, strides 1 to 3, both paddings, few and many channels, more images than a group has, more rows than a part
/// has.
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
fn a_convolution_equals_its_definition_bit_for_bit() {
    for case in cases() {
        assert_eq!(bits(&everywhere(|isa| case.forward(isa, None))), bits(&case.forward_oracle()), "{:?}", case.conv);
    }
}

#[test]
fn a_sum_over_several_blocks_is_still_one_chain() {
    let case = Case::new(2, [1100, 2, 2], 5, 2, 1, Padding::Same);
    assert_eq!(bits(&everywhere(|isa| case.forward(isa, None))), bits(&case.forward_oracle()));
}

#[test]
fn a_fused_activation_equals_a_separate_one() {
    for function in [Function::Relu, Function::Elu, Function::Selu] {
        for case in cases() {
            let y = case.forward(Isa::detect(), None);
            let mut expected = vec![0.0; y.len()];
            activation::apply(Isa::detect(), function, &y, &mut expected);
            assert_eq!(bits(&everywhere(|isa| case.forward(isa, Some(function)))), bits(&expected));
        }
    }
}

/// Compares with the convolution, the pooling and ReLU as separate operations.
#[test]
fn fused_max_pooling_and_its_gradients_equal_separate_ones() {
    let function = Some(Function::Relu);
    for (mut case, size) in cases().into_iter().flat_map(|case| [(case.clone(), 2), (case, 3)]) {
        let x = case.conv.y;
        let (h, w) = (x.h / size, x.w / size);
        if h * w == 0 {
            continue;
        }
        // Few different numbers, so that several pixels of a window often share the maximum.
        let round = |numbers: &mut Vec<f32>| numbers.iter_mut().for_each(|x| *x = (*x * 3.0).round());
        [&mut case.images, &mut case.map, &mut case.kernel, &mut case.bias].into_iter().for_each(round);
        let y = Shape { h, w, ..x };
        let pool = Pool { x, y, window: Window { size, stride: size, top: 0, left: 0 }, kind: PoolKind::Max };
        let mut dy = map_of(y, &numbers(case.n * y.values(), 5));
        let (kernel, bias) = (case.packed(), case.padded_bias());
        let weights = (kernel.as_slice(), bias.as_slice());

        let isa = Isa::detect();
        let mut whole = vec![f32::NAN; case.n * x.len()];
        case.conv.forward(isa, (case.n, case.inputs()[0]), weights, None, &mut whole);
        let mut expected = vec![f32::NAN; case.n * y.len()];
        pool.forward(isa, &whole, &mut expected);
        let mut d_whole = vec![0.0; whole.len()];
        let largest = expected.clone();
        activation::apply(isa, Function::Relu, &largest, &mut expected);
        activation::backward(isa, Function::Relu, &expected, &mut dy);
        pool.backward(isa, (&whole, &largest), &dy, true, &mut d_whole);

        let found = everywhere(|isa| {
            let mut y = vec![f32::NAN; expected.len()];
            let mut peaks = Peaks::of(pool).expect("windows do not overlap");
            for read in case.inputs() {
                y.fill(f32::NAN);
                case.conv.forward_to_peaks(isa, (case.n, read), weights, function, &mut peaks, &mut y);
            }
            let kernel_gradients = |dy| {
                case.of_inputs(|read| case.conv.kernel_gradients(isa, (case.n, read), dy, &mut Buffers::default()))
            };
            assert_eq!(
                kernel_gradients(OutputGradient::Peaks(&peaks, &dy)),
                kernel_gradients(OutputGradient::Whole(&d_whole))
            );
            let mut transposed = vec![0.0; case.conv.packed_transposed_len()];
            case.conv.pack_transposed(&case.kernel, &mut transposed);
            let input_gradient = |dy| {
                let mut dx = vec![f32::NAN; case.n * case.conv.x.len()];
                case.conv.input_gradient(isa, &case.conv.transposed(), (case.n, dy), &transposed, true, &mut dx);
                dx
            };
            assert_eq!(
                bits(&input_gradient(OutputGradient::Peaks(&peaks, &dy))),
                bits(&input_gradient(OutputGradient::Whole(&d_whole)))
            );
            y
        });
        assert_eq!(bits(&found), bits(&expected), "{pool:?}");
    }
}

#[test]
fn the_gradient_with_respect_to_the_input_agrees_with_its_definition() {
    for case in cases() {
        let found = everywhere(|isa| case.input_gradient(isa, None));
        near(&found, &case.input_gradient_oracle(), "with respect to x");
        let start = numbers(found.len(), 8);
        let expected: Vec<f64> =
            case.input_gradient_oracle().iter().zip(&start).map(|(dx, &x)| dx + f64::from(x)).collect();
        near(
            &everywhere(|isa| case.input_gradient(isa, Some(&start))),
            &expected,
            "with respect to x, added to earlier numbers",
        );
    }
}

#[test]
fn the_gradients_with_respect_to_kernel_and_bias_agree_with_their_definition() {
    for case in cases() {
        let (kernel, bias) = case.kernel_gradients_oracle();
        near(&everywhere(|isa| case.kernel_gradients(isa).0), &kernel, "with respect to the kernel");
        near(&everywhere(|isa| case.kernel_gradients(isa).1), &bias, "with respect to the bias");
    }
}

/// A convolution without bias is linear in its input and in its kernel, and gradients are the transposed maps, so
/// `<dy, conv(x)> = <dx, x> = <dkernel, kernel>`.
#[test]
fn gradients_are_the_transposed_linear_maps() {
    for mut case in cases() {
        case.bias.fill(0.0);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let isa = Isa::detect();
        let value = dot(&case.dy, &case.forward(isa, None));
        let scale = (dot(&case.dy, &case.dy) * dot(&case.images, &case.images)).sqrt() * 1e-6;
        assert!((dot(&case.input_gradient(isa, None), &case.images) - value).abs() < scale);
        assert!((dot(&case.kernel_gradients(isa).0, &case.kernel) - value).abs() < scale);
    }
}

#[test]
fn dense_layers_are_convolutions_of_one_pixel() {
    let (inputs, units, n) = (37, 50, 70);
    let case = Case::new(n, [inputs, 1, 1], units, 1, 1, Padding::Valid);
    // The same kernel as [inputs, units].
    let dense: Vec<f32> = (0..inputs * units).map(|i| case.kernel[i % units * inputs + i / units]).collect();
    let conv = &case.conv;
    let mut found = (vec![f32::NAN; conv.packed_len()], vec![f32::NAN; conv.packed_transposed_len()]);
    conv.pack_dense(&dense, &mut found.0);
    conv.pack_dense_transposed(&dense, &mut found.1);
    let mut expected = found.clone();
    conv.pack(&case.kernel, &mut expected.0);
    conv.pack_transposed(&case.kernel, &mut expected.1);
    assert_eq!(found, expected);
    let dy = map_of(conv.y, &case.dy);
    let (x, dy) = (case.inputs()[0], OutputGradient::Whole(&dy));
    let (packed, _) = conv.kernel_gradients(Isa::detect(), (n, x), dy, &mut Buffers::default());
    let mut d_dense = vec![f32::NAN; dense.len()];
    conv.unpack_dense(&packed, &mut d_dense);
    let (d_kernel, _) = case.kernel_gradients(Isa::detect());
    assert!((0..inputs * units).all(|i| d_dense[i] == d_kernel[i % units * inputs + i / units]));
}
