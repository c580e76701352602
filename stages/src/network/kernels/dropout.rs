//! Dropout (Srivastava et al. 2014). The backward pass draws the same random numbers again, so no mask is kept.

use rayon::prelude::*;

use super::{
    Isa,
    lanes::{LANES, kernel},
};
use crate::philox::{Purpose, Stream};

/// How many numbers one draw decides about: four for each lane.
const DRAWN: usize = 4 * LANES;

/// How many numbers a thread takes at a time.
const CHUNK: usize = 128 * DRAWN;

/// Which numbers are dropped: each with probability `p`, drawn for a step and a layer.
///
/// Number `e` of a map (padding included) is dropped if `x[e / 16 % 4] < p * 2^32`, where `x` is block `e / 64 * 16 + e % 16` of the
/// stream (step, layer). Sixteen blocks side by side decide about 64 numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mask {
    stream: Stream,
    threshold: u32,
    /// The factor of the numbers that are kept.
    scale: f32,
}

impl Mask {
    /// Returns the mask for a layer at a step.
    pub(crate) fn new(seed: u64, step: u32, layer: u32, p: f32) -> Self {
        let stream = Stream::new(seed, Purpose::Dropout, step, layer);
        // p is below 1, so the threshold fits.
        Self { stream, threshold: (f64::from(p) * 4_294_967_296.0) as u32, scale: 1.0 / (1.0 - p) }
    }

    /// Writes what dropout leaves of `x` to `y`.
    pub(crate) fn apply(&self, isa: Isa, x: &[f32], y: &mut [f32]) {
        let chunks = y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).enumerate();
        chunks.for_each(|(chunk, (y, x))| masked(isa, self, first_block(chunk), x, y));
    }

    /// Adds what dropout leaves of `x` to `y`.
    pub(crate) fn add(&self, isa: Isa, x: &[f32], y: &mut [f32]) {
        let chunks = y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).enumerate();
        chunks.for_each(|(chunk, (y, x))| add_masked(isa, self, first_block(chunk), x, y));
    }

    /// Returns the factors of 64 numbers, given their first block.
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
    u32::try_from(chunk * (CHUNK / 4)).expect("fewer than 2^34 numbers")
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
