//! The content-addressed store of `pipe`: digests, objects, trees, refs, locks, sweep, verify.
//! It knows bytes and names; it knows no stage and no study.

mod digest;
mod source;

pub use digest::{Digest, ParseDigestError};
pub use source::{Bytes, MemoryObjects, ObjectSource};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object is not there.
    #[error("object {0} is missing")]
    Missing(Digest),
}
