//! Dropout (Srivastava et al. 2014). No mask is kept: the backward pass draws the same random numbers again.

use rayon::prelude::*;

use super::{
    Isa,
    lanes::{LANES, kernel},
};
use crate::philox::{Purpose, Stream};

/// The number of elements that one draw decides about: four for each lane.
const DRAWN: usize = 4 * LANES;

/// The number of elements that a thread takes at a time.
const CHUNK: usize = 128 * DRAWN;

/// The mask of a layer in a step. It drops each element with probability `p`.
///
/// Element `e` of a map (including padding) is dropped if `x[e / 16 % 4] < p * 2^32`, where `x` is block `e / 64 * 16 + e % 16` of
/// the stream (step, layer). Sixteen consecutive blocks decide about 64 elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mask {
    stream: Stream,
    threshold: u32,
    /// The factor of the elements that are kept.
    scale: f32,
}

impl Mask {
    /// Returns the mask of a layer in a step. `p` must be at least 0 and less than 1.
    pub(crate) fn new(seed: u64, step: u32, layer: u32, p: f32) -> Self {
        let stream = Stream::new(seed, Purpose::Dropout, step, layer);
        // The threshold fits because p is less than 1.
        Self { stream, threshold: (f64::from(p) * 4_294_967_296.0) as u32, scale: 1.0 / (1.0 - p) }
    }

    #[cfg(feature = "gpu")]
    pub(crate) fn stream(&self) -> Stream {
        self.stream
    }

    #[cfg(feature = "gpu")]
    pub(crate) fn threshold(&self) -> u32 {
        self.threshold
    }

    #[cfg(feature = "gpu")]
    pub(crate) fn scale(&self) -> f32 {
        self.scale
    }

    /// Writes `x` after dropout to `y`.
    pub(crate) fn apply(&self, isa: Isa, x: &[f32], y: &mut [f32]) {
        let chunks = y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).enumerate();
        chunks.for_each(|(chunk, (y, x))| masked(isa, self, first_block(chunk), x, y));
    }

    /// Adds `x` after dropout to `y`.
    pub(crate) fn add(&self, isa: Isa, x: &[f32], y: &mut [f32]) {
        let chunks = y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).enumerate();
        chunks.for_each(|(chunk, (y, x))| add_masked(isa, self, first_block(chunk), x, y));
    }

    /// Returns the factors of 64 elements, given their first block.
    #[inline(always)]
    fn factors(&self, first: u32) -> [f32; DRAWN] {
        let blocks = self.stream.blocks::<LANES>(first);
        let mut factors = [0.0; DRAWN];
        for (factors, numbers) in factors.chunks_exact_mut(LANES).zip(&blocks) {
            for (factor, &number) in factors.iter_mut().zip(numbers) {
                *factor = if number >= self.threshold { self.scale } else { 0.0 };
            }
        }
        factors
    }
}

fn first_block(chunk: usize) -> u32 {
    u32::try_from(chunk * (CHUNK / 4)).expect("a map has fewer than 2^34 elements")
}

kernel! {
    fn masked(mask: &Mask, first: u32, x: &[f32], y: &mut [f32]) {
        for (i, (y, x)) in y.chunks_mut(DRAWN).zip(x.chunks(DRAWN)).enumerate() {
            let factors = mask.factors(first + (i * LANES) as u32);
            y.iter_mut().zip(x).zip(&factors).for_each(|((y, x), factor)| *y = x * factor);
        }
    }
}

kernel! {
    fn add_masked(mask: &Mask, first: u32, x: &[f32], y: &mut [f32]) {
        for (i, (y, x)) in y.chunks_mut(DRAWN).zip(x.chunks(DRAWN)).enumerate() {
            let factors = mask.factors(first + (i * LANES) as u32);
            y.iter_mut().zip(x).zip(&factors).for_each(|((y, x), factor)| *y += x * factor);
        }
    }
}
