//! Memory whose numbers start at a cache line.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use super::lanes::LANES;

/// A growable array of numbers, the first of which is at the start of a cache line.
///
/// Kernels load and store vectors of sixteen numbers at multiples of sixteen, so each stays within one cache line. A `Vec<f32>` starts
/// wherever the allocator happens to put it, and a vector in two cache lines costs twice as much.
#[derive(Clone, Default)]
pub struct Buffer {
    /// As many as were ever needed, so that growing again writes nothing.
    lines: Vec<Line>,
    /// The number of numbers, at most those of `lines`.
    len: usize,
}

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LANES]);

const _: () = assert!(size_of::<Line>() == size_of::<[f32; LANES]>(), "lines have no padding");

impl Buffer {
    /// Returns a buffer of `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut buffer = Self::default();
        buffer.resize(len);
        buffer
    }

    /// Returns the number of numbers for which there is memory.
    pub(crate) fn capacity(&self) -> usize {
        self.lines.capacity() * LANES
    }

    /// Changes the length. Numbers beyond the old one are arbitrary.
    pub(crate) fn resize(&mut self, len: usize) {
        let more = len.div_ceil(LANES).saturating_sub(self.lines.len());
        self.lines.reserve_exact(more);
        self.lines.extend(std::iter::repeat_n(Line([0.0; LANES]), more));
        self.len = len;
    }

    /// Replaces the numbers.
    pub(crate) fn replace(&mut self, numbers: &[f32]) {
        self.resize(numbers.len());
        self.copy_from_slice(numbers);
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `lines` has at least `len` numbers, one after the other, because lines have no padding. They are borrowed as `self` is.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

impl From<&[f32]> for Buffer {
    fn from(numbers: &[f32]) -> Self {
        let mut buffer = Self::default();
        buffer.replace(numbers);
        buffer
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_start_at_a_cache_line_and_stay() {
        let mut buffers: Vec<Buffer> = (0..100).map(Buffer::zeros).collect();
        for (n, buffer) in buffers.iter_mut().enumerate() {
            assert_eq!((buffer.len(), buffer.as_ptr().addr() % 64), (n, 0));
            assert!(buffer.iter().all(|x| *x == 0.0));
            buffer.fill(1.5);
            buffer.resize(2 * n);
            assert_eq!((buffer.len(), buffer.as_ptr().addr() % 64), (2 * n, 0));
            assert!(buffer[..n].iter().all(|x| *x == 1.5));
            buffer.resize(n / 2);
            assert_eq!(**buffer, vec![1.5; n / 2]);
            assert!(buffer.capacity() >= 2 * n);
        }
        assert_eq!(format!("{:?}", Buffer::from(&[1.0, 2.0][..])), "[1.0, 2.0]");
    }
}
