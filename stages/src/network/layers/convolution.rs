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
        conv::{Conv, Input, OutputGradient, Transposed},
        peaks::Peaks,
        unfold::{Layout, Unfold},
    },
    pass::Pass,
};

/// A convolution or a dense layer.
pub(super) struct Convolution {
    /// Reads the windows of the input if there are `windows`.
    conv: Conv,
    windows: Option<Unfold>,
    is_dense: bool,
    /// The layout of the input in the last forward pass.
    layout: Layout,
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
        Self {
            conv,
            windows: None,
            is_dense,
            layout: Layout::Map,
            peaks: None,
            function: None,
            weights: Buffer::default(),
            bias: Buffer::default(),
            transposed: None,
        }
    }

    /// Returns the operation of a convolution that unfolds its input.
    pub(super) fn of_windows(unfold: Unfold) -> Self {
        Self { windows: Some(unfold), ..Self::new(Conv::of_unfolded(&unfold), false) }
    }

    fn input<'a>(&'a self, x: &'a [f32]) -> Input<'a> {
        self.windows.as_ref().map_or(Input::Maps(x), |unfold| Input::Windows(unfold, self.layout, x))
    }

    fn output_gradient<'a>(&'a self, dy: &'a [f32]) -> OutputGradient<'a> {
        self.peaks.as_ref().map_or(OutputGradient::Whole(dy), |peaks| OutputGradient::Peaks(peaks, dy))
    }

    /// Writes the gradients with respect to the kernel and the bias.
    fn parameters(&self, back: &mut Backward<'_>, dy: &[f32]) {
        let (conv, run) = (&self.conv, back.run);
        let maps = (run.n, self.input(back.x()));
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

    fn reads_images(&self) -> bool {
        self.windows.is_some()
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
        self.layout = inputs[0].layout;
        let mut peaks = self.peaks.take();
        let (weights, maps) = ((&*self.weights, &*self.bias), (run.n, self.input(inputs[0].values)));
        match &mut peaks {
            Some(peaks) => self.conv.forward_to_peaks(run.isa, maps, weights, self.function, peaks, y),
            None => self.conv.forward(run.isa, maps, weights, self.function, y),
        }
        self.peaks = peaks;
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
            let dy = (n, self.output_gradient(&dy));
            if let Some(unfold) = &self.windows {
                let mut d_windows = back.buffers.take(n * unfold.y.len());
                self.conv.input_gradient(isa, transposed, dy, weights, true, &mut d_windows);
                let mut dx = back.take_or_zeros();
                unfold.backward(&d_windows, &mut dx);
                back.put(dx);
                back.buffers.give(d_windows);
            } else {
                let (mut dx, is_new) = back.take();
                self.conv.input_gradient(isa, transposed, dy, weights, is_new, &mut dx);
                back.put(dx);
            }
        }
        back.buffers.give(dy);
    }
}
