//! Counts files.

use serde::Serialize;

/// A number of files, and their length together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// The number of files.
    pub count: u64,
    /// Their length on the disk, in bytes.
    pub bytes: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }

    /// Adds other files.
    pub(crate) fn add_all(&mut self, others: Self) {
        self.count += others.count;
        self.bytes += others.bytes;
    }
}
