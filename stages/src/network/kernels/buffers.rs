//! Memory that is reused: a training step takes and returns the same buffers as the step before.

/// The free buffers.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: Vec<Vec<f32>>,
}

impl Buffers {
    /// Returns a buffer of `len` numbers with arbitrary content.
    pub(crate) fn take(&mut self, len: usize) -> Vec<f32> {
        // Take the smallest buffer that is large enough. Leave those that are more than twice as large for larger requests.
        let fits = |buffer: &Vec<f32>| buffer.capacity() >= len && buffer.capacity() / 2 <= len;
        let fitting = self.free.iter().enumerate().filter(|(_, buffer)| fits(buffer));
        let smallest = fitting.min_by_key(|(_, buffer)| buffer.capacity()).map(|(i, _)| i);
        let mut buffer = smallest.map(|i| self.free.swap_remove(i)).unwrap_or_default();
        // This writes only beyond the buffer's last length.
        buffer.resize(len, 0.0);
        buffer
    }

    /// Returns a buffer of `len` zeros.
    pub(crate) fn take_zeros(&mut self, len: usize) -> Vec<f32> {
        let mut buffer = self.take(len);
        buffer.fill(0.0);
        buffer
    }

    /// Takes a buffer back.
    pub(crate) fn give(&mut self, buffer: Vec<f32>) {
        if buffer.capacity() > 0 {
            self.free.push(buffer);
        }
    }
}
