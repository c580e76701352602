//! The content-addressed store of `pipe`: digests, objects, trees, results, refs, locks, sweep, verify.
//! It knows bytes and names; it knows no stage and no study.
//!
//! Several processes may use one store at once, over a file system with POSIX renames and `flock`.

mod actions;
mod checkpoints;
mod digest;
mod disk;
mod encoding;
mod error;
mod gc;
mod layout;
mod lines;
mod locks;
mod objects;
mod refs;
mod repair;
mod runs;
mod set_aside;
mod source;
mod store;
mod sweep;
#[cfg(test)]
mod testing;
mod tree;
mod usage;
mod verified;
mod verify;

pub use actions::{ActionKey, ActionResult, FailureRecord};
pub use checkpoints::CheckpointEntry;
pub use digest::{Digest, ParseDigestError};
pub use error::{Damage, FORMAT, Result, StoreError};
pub use gc::{GcItem, GcKind, GcPlan, GcRoots, Tally};
pub use locks::ActionLock;
pub use refs::{RefEntry, RefKind};
pub use repair::Repaired;
pub use runs::{Run, RunLog};
pub use source::{Bytes, MemoryObjects, ObjectSource};
pub use store::Store;
pub use sweep::Swept;
pub use tree::{Tree, TreeEntry, check_path};
pub use usage::Usage;
pub use verify::{DamagedObject, MissingObject, UnreadableFile, VerifyReport};
