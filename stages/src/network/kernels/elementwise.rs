//! Sums and copies of maps of equal shape.

use rayon::prelude::*;

use super::{Isa, lanes::kernel};

/// The number of elements that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// Writes `a + b` to `sums`.
pub(crate) fn sum(isa: Isa, a: &[f32], b: &[f32], sums: &mut [f32]) {
    let given = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK));
    sums.par_chunks_mut(CHUNK).zip(given).for_each(|(sums, (a, b))| sum_chunk(isa, a, b, sums));
}

/// Adds `x` to `sums`.
pub(crate) fn add(isa: Isa, x: &[f32], sums: &mut [f32]) {
    sums.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(sums, x)| add_chunk(isa, x, sums));
}

/// Copies `x` to `y`.
pub(crate) fn copy(x: &[f32], y: &mut [f32]) {
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| y.copy_from_slice(x));
}

kernel! {
    fn sum_chunk(a: &[f32], b: &[f32], sums: &mut [f32]) {
        sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum = a + b);
    }
}

kernel! {
    fn add_chunk(x: &[f32], sums: &mut [f32]) {
        sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
    }
}
