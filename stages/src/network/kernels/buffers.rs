//! Memory that is reused: a training step takes and returns the same buffers as the step before.

use std::cell::RefCell;

use super::{buffer::Buffer, lanes::LANES};

/// The free buffers.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: Vec<Buffer>,
}

impl Buffers {
    /// Returns a buffer of `len` numbers with arbitrary content.
    pub(crate) fn take(&mut self, len: usize) -> Buffer {
        // Take the smallest buffer that is large enough. Leave those that are more than twice as large for larger requests.
        let least = len.next_multiple_of(LANES);
        let fits = |buffer: &Buffer| (least..=2 * least).contains(&buffer.capacity());
        let fitting = self.free.iter().enumerate().filter(|(_, buffer)| fits(buffer));
        let smallest = fitting.min_by_key(|(_, buffer)| buffer.capacity()).map(|(i, _)| i);
        let mut buffer = smallest.map(|i| self.free.swap_remove(i)).unwrap_or_default();
        buffer.resize(len);
        buffer
    }

    /// Returns a buffer of `len` zeros.
    pub(crate) fn take_zeros(&mut self, len: usize) -> Buffer {
        let mut buffer = self.take(len);
        buffer.fill(0.0);
        buffer
    }

    /// Takes a buffer back.
    pub(crate) fn give(&mut self, buffer: Buffer) {
        if buffer.capacity() > 0 {
            self.free.push(buffer);
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<Buffer>> = RefCell::default();
}

/// Calls `f` with `len` numbers of arbitrary content. The memory belongs to this thread, whose next call reuses it.
pub(super) fn with_scratch<T>(len: usize, f: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut buffer = SCRATCH.with_borrow_mut(|free| free.pop()).unwrap_or_default();
    buffer.resize(len);
    let result = f(&mut buffer);
    SCRATCH.with_borrow_mut(|free| free.push(buffer));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise the free buffers become more with each step.
    #[test]
    fn a_buffer_is_taken_again_for_the_length_it_had() {
        let mut buffers = Buffers::default();
        for len in [1, 2, 10, 15, 16, 17, 31, 100, 1000] {
            for _ in 0..3 {
                let buffer = buffers.take(len);
                assert_eq!(buffer.len(), len);
                buffers.give(buffer);
            }
            assert_eq!(buffers.free.len(), 1, "{len}");
            buffers.free.clear();
        }
    }

    #[test]
    fn a_much_larger_buffer_is_left_for_larger_requests() {
        let mut buffers = Buffers::default();
        buffers.give(Buffer::zeros(1000));
        assert!(buffers.take(100).capacity() < 1000);
        assert_eq!(buffers.free.len(), 1);
        assert!(buffers.take(600).capacity() >= 1000);
    }
}
