//! Convolution on a CPU, with the activation and the max-pooling that may follow it. A dense layer is a convolution over an image
//! of one pixel.

use super::{
    activation,
    operation::{Arrays, Backward, Follower, Joined, Keeps, Map, Operation, Run},
};
use crate::network::{
    function::Function,
    kernels::{
        activation as kernel,
        buffer::Buffer,
        conv::{Conv, OutputGradient, Transposed},
        peaks::Peaks,
        unfold::Unfold,
    },
    pass::Pass,
};

/// A convolution or a dense layer.
pub(super) struct Convolution {
    conv: Conv,
    is_dense: bool,
    /// The fused max-pooling.
    peaks: Option<Peaks>,
    /// The fused activation function.
    function: Option<Function>,
    /// The kernel, packed for the forward pass.
    weights: Buffer,
    /// One number for each output channel, including padding.
    bias: Buffer,
    /// The transposed convolution and its packed kernel, if the gradient with respect to the input is needed.
    transposed: Option<(Transposed, Buffer)>,
}

impl Convolution {
    /// Returns the operation of a convolution, or of a dense layer if `is_dense`.
    pub(super) fn new(conv: Conv, is_dense: bool) -> Self {
        let (weights, bias) = (Buffer::default(), Buffer::default());
        Self { conv, is_dense, peaks: None, function: None, weights, bias, transposed: None }
    }

    fn output_gradient<'a>(&'a self, dy: &'a [f32]) -> OutputGradient<'a> {
        self.peaks.as_ref().map_or(OutputGradient::Whole(dy), |peaks| OutputGradient::Peaks(peaks, dy))
    }

    /// Writes the gradients with respect to the kernel and the bias.
    fn parameters(&self, back: &mut Backward<'_>, dy: &[f32]) {
        let (conv, run) = (&self.conv, back.run);
        let maps = (run.n, back.x());
        let (mut kernel, bias) = conv.kernel_gradients(run.isa, maps, self.output_gradient(dy), back.buffers);
        let gradient = back.parameter("kernel");
        if self.is_dense && conv.y.c == conv.y.padded() {
            // Without padding, both have the same layout.
            std::mem::swap(gradient, &mut kernel);
            gradient.resize(conv.kernel_len());
        } else {
            gradient.resize(conv.kernel_len());
            if self.is_dense {
                conv.unpack_dense(&kernel, gradient);
            } else {
                conv.unpack(&kernel, gradient);
            }
        }
        back.parameter("bias").replace(&bias[..conv.y.c]);
        back.buffers.give(kernel);
        back.buffers.give(bias);
    }
}

impl Operation for Convolution {
    fn is_trained(&self) -> bool {
        true
    }

    fn keeps(&self, pass: Pass) -> Keeps {
        Keeps { input: pass == Pass::Training, output: self.function.is_some() }
    }

    fn reach_inputs(&mut self) {
        self.transposed = Some((self.conv.transposed(), Buffer::default()));
    }

    /// ReLU and max-pooling commute. If both follow, pooling comes first, because that leaves fewer elements for ReLU.
    fn join(&mut self, follower: Follower) -> Joined {
        match (follower, self.function) {
            _ if self.peaks.is_some() => Joined::Not,
            (Follower::Function(function), None) => {
                self.function = Some(function);
                Joined::Done
            }
            (Follower::MaxPool(pool), None | Some(Function::Relu)) => match (Peaks::of(pool), self.function.take()) {
                (Some(peaks), function) => {
                    (self.peaks, self.function) = (Some(peaks), function);
                    Joined::Done
                }
                (None, Some(function)) => Joined::Before(Box::new(activation::Apply(function))),
                (None, None) => Joined::Not,
            },
            (Follower::Function(_), Some(_)) | (Follower::MaxPool(_), Some(_)) => Joined::Not,
        }
    }

    fn set_weights(&mut self, arrays: Arrays<'_, '_>) {
        let conv = &self.conv;
        let kernel = arrays("kernel");
        self.weights.resize(conv.packed_len());
        self.bias.replace(arrays("bias"));
        self.bias.resize(conv.y.padded());
        self.bias[conv.y.c..].fill(0.0);
        if self.is_dense {
            conv.pack_dense(kernel, &mut self.weights);
        } else {
            conv.pack(kernel, &mut self.weights);
        }
        if let Some((_, transposed)) = &mut self.transposed {
            transposed.resize(conv.packed_transposed_len());
            if self.is_dense {
                conv.pack_dense_transposed(kernel, transposed);
            } else {
                conv.pack_transposed(kernel, transposed);
            }
        }
    }

    fn forward(&mut self, run: Run, inputs: &[Map<'_>], y: &mut [f32]) {
        let weights = (&*self.weights, &*self.bias);
        let maps = (run.n, inputs[0].values);
        match &mut self.peaks {
            Some(peaks) => self.conv.forward_to_peaks(run.isa, maps, weights, self.function, peaks, y),
            None => self.conv.forward(run.isa, maps, weights, self.function, y),
        }
    }

    fn backward(&mut self, back: &mut Backward<'_>, mut dy: Buffer) {
        let Run { isa, n, pass, .. } = back.run;
        if let Some(function) = self.function {
            kernel::backward(isa, function, back.y(), &mut dy);
        }
        if pass == Pass::Training {
            self.parameters(back, &dy);
        }
        if let Some((transposed, weights)) = &self.transposed {
            let (mut dx, is_new) = back.take();
            self.conv.input_gradient(isa, transposed, (n, self.output_gradient(&dy)), weights, is_new, &mut dx);
            back.put(dx);
        }
        back.buffers.give(dy);
    }
}

/// Copies the pixels of each window into the channels of one pixel, for a convolution that is faster on those.
pub(super) struct Windows(pub(super) Unfold);

impl Operation for Windows {
    fn reads_images(&self) -> bool {
        true
    }

    fn forward(&mut self, run: Run, inputs: &[Map<'_>], y: &mut [f32]) {
        self.0.forward(run.isa, (inputs[0].layout, inputs[0].values), y);
    }

    fn backward(&mut self, back: &mut Backward<'_>, dy: Buffer) {
        let mut dx = back.take_or_zeros();
        self.0.backward(&dy, &mut dx);
        back.put(dx);
        back.buffers.give(dy);
    }
}
