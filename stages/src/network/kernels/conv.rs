//! Convolution, and its gradients with respect to input, kernel and bias.
//!
//! A *place* is a position within the window; a window of size k has k * k places. Every sum is one chain of fused multiply-adds in
//! a fixed order:
//! - an output starts from its bias, and adds over the places of the window and the channels;
//! - a gradient with respect to the input starts from the number that is already there, and adds over the places and the filters;
//! - a gradient with respect to the kernel adds over images and pixels, separately for each of at most [`PARTS`] parts of the
//!   batch. The parts are then added in order.
//!
//! Pixels outside the image are zeros.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    Isa,
    activation::{self, Function},
    buffer::Buffer,
    buffers::{Buffers, with_scratch},
    elementwise,
    lanes::{LANES, kernel},
    map::Shape,
    peaks::{self, Peaks},
    product::{Gathered, Outer, gathered, outer},
    rows::Rows,
    shared::Shared,
    unfold::{Layout, Unfold},
    window::Window,
};

/// The minimum number of rows (output pixels) in a group of images, so that weights are reused while they are in the cache.
const GROUP_ROWS: usize = 256;

/// The maximum number of parts of a batch whose gradients with respect to the kernel are summed separately.
const PARTS: usize = 8;
/// About the minimum number of rows in a part. A batch with fewer rows is one part.
const PART_ROWS: usize = 4096;

/// The number of panels that a thread takes at a time if there are too few images to divide among threads.
const PANELS: usize = 4;

/// The number of channels that a thread takes at a time for the gradient with respect to a kernel, if there are few parts of the batch.
const CHANNELS: usize = 128;

/// What a convolution reads.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    /// Maps.
    Maps(&'a [f32]),
    /// The windows of maps or images.
    Windows(&'a Unfold, Layout, &'a [f32]),
}

impl Input<'_> {
    /// Returns whether it has the length for `n` maps of shape `x`.
    fn fits(&self, n: usize, x: Shape) -> bool {
        match self {
            Self::Maps(maps) => maps.len() == n * x.len(),
            Self::Windows(unfold, layout, images) => unfold.y == x && images.len() == n * unfold.image_len(*layout),
        }
    }

    /// Calls `f` with the maps of `images`, which have the shape `x`.
    fn with(&self, isa: Isa, images: &Range<usize>, x: Shape, f: impl FnOnce(&[f32])) {
        match self {
            Self::Maps(maps) => f(&maps[images.start * x.len()..images.end * x.len()]),
            Self::Windows(unfold, layout, from) => with_scratch(images.len() * x.len(), |maps| {
                let len = unfold.image_len(*layout);
                unfold.forward(isa, (*layout, &from[images.start * len..images.end * len]), maps);
                f(maps);
            }),
        }
    }
}

/// The gradient with respect to a convolution's output maps.
#[derive(Clone, Copy)]
pub(crate) enum OutputGradient<'a> {
    /// The gradient with respect to the maps themselves.
    Whole(&'a [f32]),
    /// The gradient with respect to their peaks.
    Peaks(&'a Peaks, &'a [f32]),
}

impl OutputGradient<'_> {
    /// Returns whether it has the length for `n` output maps of shape `y`.
    fn fits(&self, n: usize, y: Shape) -> bool {
        match self {
            Self::Whole(dy) => dy.len() == n * y.len(),
            Self::Peaks(peaks, dy) => dy.len() == n * peaks.y().len(),
        }
    }

    /// Calls `f` with the gradient with respect to the maps of `images`.
    fn with(&self, isa: Isa, images: &Range<usize>, y: Shape, f: impl FnOnce(&[f32])) {
        match self {
            Self::Whole(dy) => f(&dy[images.start * y.len()..images.end * y.len()]),
            Self::Peaks(peaks, dy) => with_scratch(images.len() * y.len(), |whole| {
                peaks.gradient(isa, images.clone(), dy, whole);
                f(whole);
            }),
        }
    }
}

/// A convolution of maps of a fixed shape. A dense layer is a 1x1 convolution over an image of one pixel.
#[derive(Debug, Clone)]
pub(crate) struct Conv {
    pub(crate) x: Shape,
    pub(crate) y: Shape,
    window: Window,
    /// The number of places and of channels of the kernel: those of the window and of `x`, unless `x` is unfolded.
    kernel: (usize, usize),
    /// The number of images in a group.
    group: usize,
    rows: Rows,
}

impl Conv {
    /// Returns the convolution from maps of shape `x` to maps of shape `y`.
    pub(crate) fn new(x: Shape, y: Shape, window: Window) -> Self {
        let group = GROUP_ROWS.div_ceil(y.pixels());
        Self { x, y, window, kernel: (window.places(), x.c), group, rows: window.rows(group, x, y) }
    }

    /// Returns the 1x1 convolution that, applied to the output of `unfold`, equals the original convolution.
    pub(crate) fn of_unfolded(unfold: &Unfold) -> Self {
        let pixel = Window { size: 1, stride: 1, top: 0, left: 0 };
        Self { kernel: (unfold.window.places(), unfold.x.c), ..Self::new(unfold.y, unfold.of, pixel) }
    }

    fn panels(&self) -> usize {
        self.y.padded() / LANES
    }

    /// Returns the length of the kernel.
    pub(crate) fn kernel_len(&self) -> usize {
        self.kernel.0 * self.kernel.1 * self.y.c
    }

    /// Returns the length of the packed weights for [`forward`](Self::forward).
    pub(crate) fn packed_len(&self) -> usize {
        self.kernel.0 * self.kernel.1 * self.y.padded()
    }

    /// Returns the length of the packed weights for [`input_gradient`](Self::input_gradient).
    pub(crate) fn packed_transposed_len(&self) -> usize {
        self.window.places() * self.y.c * self.x.padded()
    }

    /// Packs a kernel `[filters, channels, k, k]` for [`forward`](Self::forward), as `[panels, k, k, channels, LANES]`.
    pub(crate) fn pack(&self, kernel: &[f32], packed: &mut [f32]) {
        let ((places, c), o) = (self.kernel, self.y.c);
        packed.par_chunks_exact_mut(places * c * LANES).enumerate().for_each(|(panel, packed)| {
            for (lane, filter) in (panel * LANES..(panel + 1) * LANES).enumerate() {
                let lanes = packed[lane..].iter_mut().step_by(LANES);
                if filter >= o {
                    lanes.for_each(|to| *to = 0.0);
                    continue;
                }
                let kernel = &kernel[filter * c * places..][..c * places];
                let from = (0..places).flat_map(|place| kernel[place..].iter().step_by(places));
                lanes.zip(from).for_each(|(to, from)| *to = *from);
            }
        });
    }

    /// Packs a kernel `[filters, channels, k, k]` for [`input_gradient`](Self::input_gradient), as
    /// `[panels of channels, k, k, filters, LANES]`.
    pub(crate) fn pack_transposed(&self, kernel: &[f32], packed: &mut [f32]) {
        let ((places, c), o) = (self.kernel, self.y.c);
        packed.par_chunks_exact_mut(self.window.places() * o * LANES).enumerate().for_each(|(panel, packed)| {
            let channels = panel * LANES..((panel + 1) * LANES).min(self.x.c);
            for (row, to) in packed.chunks_exact_mut(LANES).enumerate() {
                let (place, filter) = (row / o, row % o);
                for (to, channel) in to.iter_mut().zip(channels.clone()) {
                    let i = place * self.x.c + channel;
                    *to = kernel[(filter * c + i % c) * places + i / c];
                }
                to[channels.len()..].fill(0.0);
            }
        });
    }

    /// Packs a dense kernel `[inputs, units]` for [`forward`](Self::forward), as `[panels, inputs, LANES]`.
    pub(crate) fn pack_dense(&self, kernel: &[f32], packed: &mut [f32]) {
        let (c, o) = (self.x.c, self.y.c);
        // Several panels at a time, because a cache line of the kernel may have numbers of two.
        packed.par_chunks_mut(PANELS * c * LANES).enumerate().for_each(|(group, packed)| {
            let mut panels: Vec<_> = packed.chunks_exact_mut(c * LANES).map(|panel| panel.as_chunks_mut().0).collect();
            for (row, from) in kernel.chunks_exact(o).enumerate() {
                for (panel, to) in panels.iter_mut().enumerate() {
                    let first = (group * PANELS + panel) * LANES;
                    // The last panel may be partly padding.
                    to[row] = from[first..]
                        .first_chunk::<LANES>()
                        .copied()
                        .unwrap_or_else(|| std::array::from_fn(|lane| from.get(first + lane).copied().unwrap_or(0.0)));
                }
            }
        });
    }

    /// Packs a dense kernel `[inputs, units]` for [`input_gradient`](Self::input_gradient), as `[panels of inputs, units, LANES]`.
    pub(crate) fn pack_dense_transposed(&self, kernel: &[f32], packed: &mut [f32]) {
        let (c, o) = (self.x.c, self.y.c);
        packed.par_chunks_exact_mut(o * LANES).enumerate().for_each(|(panel, packed)| {
            for lane in 0..LANES {
                let lanes = packed[lane..].iter_mut().step_by(LANES);
                match panel * LANES + lane {
                    input if input < c => {
                        lanes.zip(&kernel[input * o..][..o]).for_each(|(to, from)| *to = *from);
                    }
                    _ => lanes.for_each(|to| *to = 0.0),
                }
            }
        });
    }

    /// Convolves `n` maps `x`, applies `function`, and writes the result to `y`. `weights` are the packed kernel and the padded
    /// bias.
    ///
    /// # Panics
    /// If a length does not fit the shapes.
    pub(crate) fn forward(
        &self,
        isa: Isa,
        (n, x): (usize, Input<'_>),
        weights: (&[f32], &[f32]),
        function: Option<Function>,
        y: &mut [f32],
    ) {
        assert!(x.fits(n, self.x) && y.len() == n * self.y.len(), "maps fit the shapes of the convolution");
        let y = Shared::new(y);
        self.for_groups(n, self.panels(), |images, panels| {
            let y = y.from(images.start * self.y.len());
            // SAFETY: no other call has both these images and these panels, so no other code uses their columns.
            x.with(isa, &images, self.x, |x| unsafe { self.compute(isa, images.len(), &panels, x, weights, y) });
            let Some(function) = function else { return };
            let (columns, padded) = (panels.len() * LANES, self.y.padded());
            let n_rows = images.len() * self.y.pixels();
            // If these are all columns, the rows are contiguous.
            let (rows, len) = if columns == padded { (1, n_rows * padded) } else { (n_rows, columns) };
            for row in 0..rows {
                // SAFETY: as above. `compute` has returned, so this call uses the columns only here.
                let part = unsafe { y.from(row * padded + panels.start * LANES).slice(len) };
                activation::forward(isa, function, part);
            }
        });
    }

    /// Convolves `n` maps `x`, takes the peaks, applies `function`, and writes the result to `y`. `weights` are the packed kernel
    /// and the padded bias.
    ///
    /// # Panics
    /// If a length does not fit the shapes.
    pub(crate) fn forward_to_peaks(
        &self,
        isa: Isa,
        (n, x): (usize, Input<'_>),
        weights: (&[f32], &[f32]),
        function: Option<Function>,
        peaks: &mut Peaks,
        y: &mut [f32],
    ) {
        let len = peaks.y().len();
        assert!(x.fits(n, self.x) && y.len() == n * len, "maps fit the shapes of the convolution and the peaks");
        let (pool, places) = peaks.room(n);
        let groups = y.par_chunks_mut(self.group * len).zip(places.par_chunks_mut(self.group * len)).enumerate();
        groups.for_each(|(group, (y, places))| {
            let images = group * self.group..(group * self.group + self.group).min(n);
            with_scratch(images.len() * self.y.len(), |whole| {
                // SAFETY: `whole` belongs to this thread.
                let compute = |x: &[f32], whole| unsafe {
                    self.compute(isa, images.len(), &(0..self.panels()), x, weights, Shared::new(whole));
                };
                x.with(isa, &images, self.x, |x| compute(x, whole));
                peaks::find(isa, pool, whole, y, places);
            });
            function.into_iter().for_each(|function| activation::forward(isa, function, y));
        });
    }

    /// Writes `panels` of the convolution of the `n` maps `x`, which are at most one group.
    ///
    /// # Safety
    /// No other code may read or write these panels of the first `n` maps of `y` during the call.
    unsafe fn compute(
        &self,
        isa: Isa,
        n: usize,
        panels: &Range<usize>,
        x: &[f32],
        (weights, bias): (&[f32], &[f32]),
        y: Shared<'_>,
    ) {
        let product = Gathered {
            rows: &self.rows,
            n_rows: n * self.y.pixels(),
            x,
            channels: self.x.c,
            weights,
            places: self.window.places(),
            init: Some(bias),
            panels: panels.clone(),
            y,
        };
        // SAFETY: the rows are the pixels of these maps, and the caller promises that no other code uses their panels.
        unsafe { gathered(isa, &product) };
    }

    /// Computes the gradient with respect to `x` from the gradient `dy` with respect to `y`. Adds it to `dx`, or overwrites `dx` if
    /// `is_new`. `weights` are packed by [`pack_transposed`](Self::pack_transposed) or
    /// [`pack_dense_transposed`](Self::pack_dense_transposed).
    ///
    /// # Panics
    /// If a length does not fit the shapes.
    pub(crate) fn input_gradient(
        &self,
        isa: Isa,
        transposed: &Transposed,
        (n, dy): (usize, OutputGradient<'_>),
        weights: &[f32],
        is_new: bool,
        dx: &mut [f32],
    ) {
        assert!(dx.len() == n * self.x.len() && dy.fits(n, self.y), "maps fit the shapes of the convolution");
        let zeros = Buffer::zeros(self.x.padded());
        let dx = Shared::new(dx);
        self.for_groups(n, self.x.padded() / LANES, |images, panels| {
            dy.with(isa, &images, self.y, |dy| {
                for rows in &transposed.0 {
                    let product = Gathered {
                        rows,
                        n_rows: rows.len() / self.group * images.len(),
                        x: dy,
                        channels: self.y.c,
                        weights,
                        places: self.window.places(),
                        init: is_new.then_some(&zeros),
                        panels: panels.clone(),
                        y: dx.from(images.start * self.x.len()),
                    };
                    // SAFETY: no other call has both these images and these panels, so no other code uses their columns. This call
                    // computes the phases one by one.
                    unsafe { gathered(isa, &product) };
                }
            });
        });
    }

    /// Returns what [`input_gradient`](Self::input_gradient) needs besides the convolution.
    pub(crate) fn transposed(&self) -> Transposed {
        Transposed(self.window.transposed_rows(self.group, self.x, self.y))
    }

    /// Returns the gradients with respect to the kernel, `[k, k, channels, padded filters]`, and to the bias, `[padded filters]`,
    /// given the gradient `dy` with respect to `y`. The returned buffers may be longer than that.
    ///
    /// # Panics
    /// If a length does not fit the shapes.
    pub(crate) fn kernel_gradients(
        &self,
        isa: Isa,
        (n, x): (usize, Input<'_>),
        dy: OutputGradient<'_>,
        buffers: &mut Buffers,
    ) -> (Buffer, Buffer) {
        assert!(x.fits(n, self.x) && dy.fits(n, self.y), "maps fit the shapes of the convolution");
        let per_part = self.images_of_a_part(n);
        let parts = n.div_ceil(per_part);
        let (places, channels, panels) = (self.window.places(), self.x.c, self.panels());
        let size = places * channels * self.y.padded();
        let mut sums = buffers.take(parts * size);
        let mut bias_sums = buffers.take_zeros(parts * self.y.padded());
        let (shared, bias_shared) = (Shared::new(&mut sums), Shared::new(&mut bias_sums));
        // If there are few parts, a part's columns, places and channels are divided among threads.
        let panels_at_once = if parts < PARTS / 2 { PANELS } else { panels };
        let places_at_once = if parts < PARTS / 2 { 1 } else { places };
        let channels_at_once = if parts < PARTS / 2 { CHANNELS } else { channels };
        let tasks = (0..parts).flat_map(|part| {
            steps(panels, panels_at_once).flat_map(move |panels| {
                steps(places, places_at_once).flat_map(move |places| {
                    let panels = panels.clone();
                    steps(channels, channels_at_once)
                        .map(move |channels| (part, panels.clone(), places.clone(), channels))
                })
            })
        });
        tasks.collect::<Vec<_>>().into_par_iter().for_each(|(part, panels, places, channels)| {
            let is_first = places.start == 0 && channels.start == 0;
            for images in steps(per_part.min(n - part * per_part), self.group) {
                let images = part * per_part + images.start..part * per_part + images.end;
                let add = |x: &[f32], dy: &[f32]| {
                    let product = Outer {
                        rows: &self.rows,
                        n_rows: images.len() * self.y.pixels(),
                        x,
                        n_channels: self.x.c,
                        channels: channels.clone(),
                        dy,
                        n_panels: self.panels(),
                        panels: panels.clone(),
                        places: places.clone(),
                        is_new: images.start == part * per_part,
                        sum: shared.from(part * size),
                    };
                    // SAFETY: no other task has the same part and the same panels, places and channels.
                    unsafe { outer(isa, &product) };
                    if is_first {
                        let start = part * self.y.padded() + panels.start * LANES;
                        // SAFETY: of the tasks with these columns of this part, only the one with the first place and channel
                        // gets here.
                        let sums = unsafe { bias_shared.from(start).slice(panels.len() * LANES) };
                        add_rows(isa, dy, self.y.padded(), panels.start * LANES, sums);
                    }
                };
                x.with(isa, &images, self.x, |x| dy.with(isa, &images, self.y, |dy| add(x, dy)));
            }
        });
        add_parts(isa, &mut sums, size);
        add_parts(isa, &mut bias_sums, self.y.padded());
        (sums, bias_sums)
    }

    /// Returns the number of images in a part of the batch, a multiple of those in a group.
    fn images_of_a_part(&self, n: usize) -> usize {
        let parts = (n * self.y.pixels() / PART_ROWS).clamp(1, PARTS);
        n.div_ceil(parts).next_multiple_of(self.group)
    }

    /// Calls `f` in parallel, once for each group of images and range of panels.
    fn for_groups(&self, n: usize, panels: usize, f: impl Fn(Range<usize>, Range<usize>) + Sync) {
        let (images_at_once, panels_at_once) = self.at_once(n, panels);
        let tasks: Vec<_> = steps(n, images_at_once)
            .flat_map(|images| steps(panels, panels_at_once).map(move |panels| (images.clone(), panels)))
            .collect();
        tasks.into_par_iter().for_each(|(images, panels)| f(images, panels));
    }

    /// Returns the numbers of images (at most a group) and of panels that a thread computes at a time. There are so many tasks that all
    /// threads have about the same to do.
    fn at_once(&self, n: usize, panels: usize) -> (usize, usize) {
        if n.div_ceil(self.group) >= 2 * PARTS {
            return (self.group, panels);
        }
        let images = self.group.div_ceil(4);
        (images, if n > images { PANELS } else { PANELS / 2 })
    }

    /// Converts a gradient `[k, k, channels, padded filters]` to the layout of the kernel, `[filters, channels, k, k]`.
    pub(crate) fn unpack(&self, packed: &[f32], kernel: &mut [f32]) {
        let ((places, c), padded) = (self.kernel, self.y.padded());
        kernel.par_chunks_exact_mut(c * places).enumerate().for_each(|(filter, kernel)| {
            for (i, to) in kernel.iter_mut().enumerate() {
                let (channel, place) = (i / places, i % places);
                *to = packed[(place * c + channel) * padded + filter];
            }
        });
    }

    /// Converts a gradient `[inputs, padded units]` to the layout of a dense kernel, `[inputs, units]`.
    pub(crate) fn unpack_dense(&self, packed: &[f32], kernel: &mut [f32]) {
        let (o, padded) = (self.y.c, self.y.padded());
        kernel
            .par_chunks_exact_mut(o)
            .zip(packed.par_chunks_exact(padded))
            .with_min_len(64)
            .for_each(|(to, from)| to.copy_from_slice(&from[..o]));
    }
}

/// The rows of the products that give the gradient with respect to the input.
#[derive(Debug, Clone)]
pub(crate) struct Transposed(Vec<Rows>);

/// Divides `0..end` into ranges of length `step`. The last one may be shorter.
fn steps(end: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..end).step_by(step).map(move |start| start..(start + step).min(end))
}

kernel! {
    /// Adds each row of `rows` `[n, width]`, from column `first` on, to `sums`.
    fn add_rows(rows: &[f32], width: usize, first: usize, sums: &mut [f32]) {
        for row in rows.chunks_exact(width) {
            sums.iter_mut().zip(&row[first..]).for_each(|(sum, x)| *sum += x);
        }
    }
}

/// Adds all parts, each of `size` numbers, to the first one in order.
fn add_parts(isa: Isa, parts: &mut [f32], size: usize) {
    let (first, others) = parts.split_at_mut(size);
    others.chunks_exact(size).for_each(|other| elementwise::add(isa, other, first));
}
