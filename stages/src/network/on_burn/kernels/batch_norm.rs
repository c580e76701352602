//! Batch normalisation of a batch, with its gradients: the formulas of [`crate::network::kernels::batch_norm`], all in f32.
//!
//! A batch is a matrix of rows (pixels of images) and channels. Sums are of chunks of rows first, and then of the chunks. Which rows a
//! chunk has depends only on the shape and on the layout.

use burn::tensor::Tensor;
use burn_autodiff::{
    Autodiff,
    checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn_cubecl::{Cube, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{
    launch::{empty, empty_like, units},
    layout::Layout,
    sums::of_team,
    tiles::TEAM,
};

/// The rows that a unit adds.
const RUN: u32 = 32;

/// A normalised batch, and the statistics with which it was normalised, without autodiff.
pub(crate) struct Normalised {
    /// `[n, c, h, w]`
    pub(crate) output: Tensor<4>,
    /// `[c]`
    pub(crate) mean: Tensor<1>,
    /// `[c]`, biased: divided by the number of pixels.
    pub(crate) variance: Tensor<1>,
}

/// Normalises `x` `[n, c, h, w]` by the statistics of its channels, and scales and shifts it by `gamma` and `beta` `[c]`. `gamma` and
/// `beta` must be with autodiff.
pub(crate) fn normalise(x: Tensor<4>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f32) -> Normalised {
    type Tracked = Autodiff<Cube>;
    const TRACKED: &str = "a tensor with autodiff, on a device of CubeCL";
    let x = if x.is_autodiff() { x } else { x.autodiff() };
    let x = x.try_into_primitive::<Tracked>().expect(TRACKED);
    let [gamma, beta] = [gamma, beta].map(|array| array.try_into_primitive::<Tracked>().expect(TRACKED));
    let prepared =
        Normalise.prepare::<NoCheckpointing>([x.node(), gamma.node(), beta.node()]).compute_bound().stateful();
    let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.into_primitive());
    let batch = Batch::of(x);
    let [mean, variance] = batch.moments();
    let output = batch.normalised([&mean, &variance, &gamma, &beta], epsilon);
    let statistics = [&mean, &variance].map(|array| Tensor::from_primitive::<Cube>(array.clone()));
    let output = match prepared {
        OpsKind::Tracked(prepared) => prepared.finish(Used { batch, gamma, mean, variance, epsilon }, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    let [mean, variance] = statistics;
    Normalised { output: Tensor::from_primitive::<Tracked>(output), mean, variance }
}

/// The operation for autodiff.
#[derive(Debug)]
struct Normalise;

/// What a forward pass used.
#[derive(Debug, Clone)]
struct Used {
    batch: Batch,
    gamma: CubeTensor,
    mean: CubeTensor,
    variance: CubeTensor,
    epsilon: f32,
}

impl Backward<Cube, 3> for Normalise {
    type State = Used;

    fn backward(self, ops: Ops<Used, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients.consume::<Cube>(&ops.node);
        let of = ops.state.gradients(dy);
        for (parent, gradient) in ops.parents.into_iter().zip(of) {
            if let Some(parent) = parent {
                gradients.register::<Cube>(parent.id, gradient);
            }
        }
    }
}

impl Used {
    /// Returns the gradients with respect to the input, gamma and beta, given that with respect to the output.
    fn gradients(&self, dy: CubeTensor) -> [CubeTensor; 3] {
        let Self { batch, gamma, mean, variance, epsilon } = self;
        let dy = batch.layout.arranged(dy);
        let [of_gamma, of_beta] = batch.slopes(&dy, [mean, variance], *epsilon);
        let of_x = empty_like(&batch.x);
        let (count, dim) = units(batch.x.meta.num_elements(), &batch.x);
        of_input::launch(
            &batch.x.client,
            count,
            dim,
            batch.x.clone().into_buffer_arg(),
            dy.into_buffer_arg(),
            mean.clone().into_buffer_arg(),
            variance.clone().into_buffer_arg(),
            gamma.clone().into_buffer_arg(),
            of_gamma.clone().into_buffer_arg(),
            of_beta.clone().into_buffer_arg(),
            of_x.clone().into_buffer_arg(),
            *epsilon,
            batch.rows as f32,
            batch.stride(),
        );
        [of_x, of_gamma, of_beta]
    }
}

/// A batch of images as a matrix.
#[derive(Debug, Clone)]
struct Batch {
    x: CubeTensor,
    layout: Layout,
    /// The pixels of all images.
    rows: usize,
    channels: usize,
    /// The pixels of an image.
    pixels: usize,
}

impl Batch {
    fn of(x: CubeTensor) -> Self {
        let layout = Layout::of(&x);
        let x = layout.arranged(x);
        let [n, channels, h, w] = x.meta.shape()[..] else { panic!("images have four dimensions") };
        Self { x, layout, rows: n * h * w, channels, pixels: h * w }
    }

    /// Returns the distance of two channels of a pixel.
    fn stride(&self) -> u32 {
        match self.layout {
            Layout::Planes => self.pixels as u32,
            Layout::Pixels => 1,
        }
    }

    fn form(&self) -> Form {
        Form { by_pixels: self.layout == Layout::Pixels }
    }

    /// Returns the cubes for a chunk each, and an empty buffer for two numbers of each chunk and channel.
    fn chunks(&self) -> (CubeCount, CubeTensor) {
        let lanes = self.form().lanes() as usize;
        let chunks = self.rows.div_ceil(TEAM as usize / lanes * RUN as usize);
        let count = CubeCount::Static(self.channels.div_ceil(lanes) as u32, chunks as u32, 1);
        (count, empty([2, chunks, self.channels], &self.x))
    }

    /// Returns the mean and the biased variance of each channel.
    fn moments(&self) -> [CubeTensor; 2] {
        let (count, parts) = self.chunks();
        of_chunks::launch(
            &self.x.client,
            count,
            CubeDim::new_1d(TEAM),
            self.x.clone().into_buffer_arg(),
            parts.clone().into_buffer_arg(),
            self.rows as u32,
            self.channels as u32,
            self.pixels as u32,
            self.form(),
        );
        let [mean, variance] = [(); 2].map(|()| empty([self.channels], &self.x));
        joined::launch(
            &self.x.client,
            CubeCount::Static(self.channels as u32, 1, 1),
            CubeDim::new_1d(TEAM),
            parts.into_buffer_arg(),
            mean.clone().into_buffer_arg(),
            variance.clone().into_buffer_arg(),
            self.rows as u32,
            self.form(),
        );
        [mean, variance]
    }

    /// Returns the batch normalised by mean, variance, gamma and beta.
    fn normalised(&self, channels: [&CubeTensor; 4], epsilon: f32) -> CubeTensor {
        let y = empty_like(&self.x);
        let (count, dim) = units(self.x.meta.num_elements(), &self.x);
        let [mean, variance, gamma, beta] = channels.map(|array| array.clone().into_buffer_arg());
        output::launch(
            &self.x.client,
            count,
            dim,
            self.x.clone().into_buffer_arg(),
            mean,
            variance,
            gamma,
            beta,
            y.clone().into_buffer_arg(),
            epsilon,
            self.stride(),
        );
        y
    }

    /// Returns the sums of `dy` times the normalised input, and of `dy`, for each channel.
    fn slopes(&self, dy: &CubeTensor, [mean, variance]: [&CubeTensor; 2], epsilon: f32) -> [CubeTensor; 2] {
        let (count, parts) = self.chunks();
        slopes_of_chunks::launch(
            &self.x.client,
            count,
            CubeDim::new_1d(TEAM),
            self.x.clone().into_buffer_arg(),
            dy.clone().into_buffer_arg(),
            mean.clone().into_buffer_arg(),
            variance.clone().into_buffer_arg(),
            parts.clone().into_buffer_arg(),
            epsilon,
            self.rows as u32,
            self.channels as u32,
            self.pixels as u32,
            self.form(),
        );
        let [of_gamma, of_beta] = [(); 2].map(|()| empty([self.channels], &self.x));
        added::launch(
            &self.x.client,
            CubeCount::Static(self.channels as u32, 1, 1),
            CubeDim::new_1d(TEAM),
            parts.into_buffer_arg(),
            of_gamma.clone().into_buffer_arg(),
            of_beta.clone().into_buffer_arg(),
        );
        [of_gamma, of_beta]
    }
}

/// What a kernel is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Form {
    by_pixels: bool,
}

impl Form {
    /// The channels of a cube: as many as make neighbouring units read neighbouring numbers.
    fn lanes(self) -> u32 {
        if self.by_pixels { 32 } else { 1 }
    }
}

/// Returns where the number of a row and channel is.
#[cube]
fn place(row: u32, channel: u32, channels: u32, pixels: u32, #[comptime] form: Form) -> usize {
    if comptime!(form.by_pixels) {
        (row * channels + channel) as usize
    } else {
        let image = row / pixels;
        ((image * channels + channel) * pixels + row - image * pixels) as usize
    }
}

/// Writes the mean of each chunk and channel, and the sum of the squared distances from it.
#[cube(launch)]
fn of_chunks(x: &[f32], parts: &mut [f32], rows: u32, channels: u32, pixels: u32, #[comptime] form: Form) {
    let lanes = comptime!(form.lanes());
    let tall = comptime!(TEAM / form.lanes());
    let mut team = Shared::<[f32]>::new_slice(comptime!(TEAM as usize));
    let channel = CUBE_POS_X * lanes + UNIT_POS % lanes;
    let start = CUBE_POS_Y * comptime!(TEAM / form.lanes() * RUN);
    let end = (start + comptime!(TEAM / form.lanes() * RUN)).min(rows);
    let first = start + UNIT_POS / lanes;
    let mut sum = 0.0f32;
    if channel < channels {
        let mut row = first;
        while row < end {
            sum += x[place(row, channel, channels, pixels, form)];
            row += tall;
        }
    }
    let n = (end - start) as f32;
    let mean = of_team(sum, &mut team, lanes) / n;
    let mut rest = 0.0f32;
    let mut squares = 0.0f32;
    if channel < channels {
        let mut row = first;
        while row < end {
            let distance = x[place(row, channel, channels, pixels, form)] - mean;
            rest += distance;
            squares += distance * distance;
            row += tall;
        }
    }
    // The mean of a chunk was rounded. The sum of the distances from it corrects that.
    let rest = of_team(rest, &mut team, lanes);
    let squares = of_team(squares, &mut team, lanes);
    if UNIT_POS < lanes && channel < channels {
        let at = CUBE_POS_Y * channels + channel;
        parts[at as usize] = mean + rest / n;
        parts[(at + CUBE_COUNT_Y * channels) as usize] = squares - rest * rest / n;
    }
}

/// A cube for each channel: joins the moments of its chunks (Chan, Golub and LeVeque 1983).
#[cube(launch)]
fn joined(parts: &[f32], mean: &mut [f32], variance: &mut [f32], rows: u32, #[comptime] form: Form) {
    let chunk = comptime!(TEAM / form.lanes() * RUN);
    let mut team = Shared::<[f32]>::new_slice(comptime!(TEAM as usize));
    let channels = mean.len() as u32;
    let channel = CUBE_POS_X;
    let chunks = parts.len() as u32 / (2 * channels);
    let mut sum = 0.0f32;
    let mut i = UNIT_POS;
    while i < chunks {
        let n = chunk.min(rows - i * chunk) as f32;
        sum += n * parts[(i * channels + channel) as usize];
        i += comptime!(TEAM);
    }
    let whole = of_team(sum, &mut team, 1u32) / rows as f32;
    let mut squares = 0.0f32;
    let mut i = UNIT_POS;
    while i < chunks {
        let n = chunk.min(rows - i * chunk) as f32;
        let distance = parts[(i * channels + channel) as usize] - whole;
        squares += parts[((chunks + i) * channels + channel) as usize] + n * distance * distance;
        i += comptime!(TEAM);
    }
    let squares = of_team(squares, &mut team, 1u32);
    if UNIT_POS == 0 {
        mean[channel as usize] = whole;
        variance[channel as usize] = (squares / rows as f32).max(0.0f32);
    }
}

#[cube(launch)]
fn output(
    x: &[f32],
    mean: &[f32],
    variance: &[f32],
    gamma: &[f32],
    beta: &[f32],
    y: &mut [f32],
    epsilon: f32,
    stride: u32,
) {
    if ABSOLUTE_POS < y.len() {
        let channel = ABSOLUTE_POS / stride as usize % mean.len();
        let scale = gamma[channel] / (variance[channel] + epsilon).sqrt();
        y[ABSOLUTE_POS] = (x[ABSOLUTE_POS] - mean[channel]) * scale + beta[channel];
    }
}

/// Writes the sums of `dy` times the normalised input, and of `dy`, for each chunk and channel.
#[cube(launch)]
fn slopes_of_chunks(
    x: &[f32],
    dy: &[f32],
    mean: &[f32],
    variance: &[f32],
    parts: &mut [f32],
    epsilon: f32,
    rows: u32,
    channels: u32,
    pixels: u32,
    #[comptime] form: Form,
) {
    let lanes = comptime!(form.lanes());
    let tall = comptime!(TEAM / form.lanes());
    let mut team = Shared::<[f32]>::new_slice(comptime!(TEAM as usize));
    let channel = CUBE_POS_X * lanes + UNIT_POS % lanes;
    let start = CUBE_POS_Y * comptime!(TEAM / form.lanes() * RUN);
    let end = (start + comptime!(TEAM / form.lanes() * RUN)).min(rows);
    let mut of_gamma = 0.0f32;
    let mut of_beta = 0.0f32;
    if channel < channels {
        let centre = mean[channel as usize];
        let inverse = 1.0f32 / (variance[channel as usize] + epsilon).sqrt();
        let mut row = start + UNIT_POS / lanes;
        while row < end {
            let at = place(row, channel, channels, pixels, form);
            of_gamma += dy[at] * ((x[at] - centre) * inverse);
            of_beta += dy[at];
            row += tall;
        }
    }
    let of_gamma = of_team(of_gamma, &mut team, lanes);
    let of_beta = of_team(of_beta, &mut team, lanes);
    if UNIT_POS < lanes && channel < channels {
        let at = CUBE_POS_Y * channels + channel;
        parts[at as usize] = of_gamma;
        parts[(at + CUBE_COUNT_Y * channels) as usize] = of_beta;
    }
}

/// A cube for each channel: adds both numbers of its chunks.
#[cube(launch)]
fn added(parts: &[f32], of_gamma: &mut [f32], of_beta: &mut [f32]) {
    let mut team = Shared::<[f32]>::new_slice(comptime!(TEAM as usize));
    let channels = of_gamma.len() as u32;
    let channel = CUBE_POS_X;
    let chunks = parts.len() as u32 / (2 * channels);
    let mut gamma = 0.0f32;
    let mut beta = 0.0f32;
    let mut i = UNIT_POS;
    while i < chunks {
        gamma += parts[(i * channels + channel) as usize];
        beta += parts[((chunks + i) * channels + channel) as usize];
        i += comptime!(TEAM);
    }
    let gamma = of_team(gamma, &mut team, 1u32);
    let beta = of_team(beta, &mut team, 1u32);
    if UNIT_POS == 0 {
        of_gamma[channel as usize] = gamma;
        of_beta[channel as usize] = beta;
    }
}

/// Writes the gradient with respect to the input.
#[cube(launch)]
fn of_input(
    x: &[f32],
    dy: &[f32],
    mean: &[f32],
    variance: &[f32],
    gamma: &[f32],
    of_gamma: &[f32],
    of_beta: &[f32],
    dx: &mut [f32],
    epsilon: f32,
    rows: f32,
    stride: u32,
) {
    if ABSOLUTE_POS < dx.len() {
        let channel = ABSOLUTE_POS / stride as usize % mean.len();
        let inverse = 1.0f32 / (variance[channel] + epsilon).sqrt();
        let normalised = (x[ABSOLUTE_POS] - mean[channel]) * inverse;
        let rest = dy[ABSOLUTE_POS] - of_beta[channel] / rows - normalised * (of_gamma[channel] / rows);
        dx[ABSOLUTE_POS] = gamma[channel] * inverse * rest;
    }
}
