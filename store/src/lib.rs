//! The content-addressed store of `pipe`: objects and trees named by their digests, a cache of results, refs, and garbage collection.
//! It knows bytes and names, but nothing about stages or studies.
//!
//! Several processes may use a store at once. It needs a file system with POSIX renames and `flock`. Other programs may read its
//! files but must not change them: large objects are mapped into memory.

#![warn(missing_docs, unreachable_pub)]
#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests damage files, and make old and new ones"))]

mod action_key;
mod actions;
mod ages;
mod checkpoints;
mod conclude;
mod digest;
#[expect(clippy::disallowed_methods, reason = "the operations that everything else is made of")]
mod disk;
mod drafted;
mod encoding;
mod error;
#[cfg(feature = "faults")]
pub mod faults;
#[cfg(not(feature = "faults"))]
mod faults;
mod fit;
mod gc;
mod group;
mod jobs;
mod lay;
mod layout;
mod live;
mod locks;
mod logs;
mod mapped;
mod names;
mod objects;
mod outside;
mod paths;
mod process;
mod promises;
mod refs;
mod repair;
mod reserve;
mod runs;
mod sealed;
mod set_aside;
mod settings;
mod source;
mod store;
mod sweep;
mod tally;
#[cfg(test)]
mod testing;
mod together;
mod transfer;
mod tree;
mod usage;
mod verified;
mod verify;
mod waiting;
mod work;

pub use action_key::ActionKey;
pub use actions::{ActionResult, FailureRecord};
pub use checkpoints::CheckpointEntry;
pub use conclude::Ending;
pub use digest::{Digest, ParseDigestError};
pub use encoding::Encoding;
pub use error::{Damage, FORMAT, Result, StoreError};
pub use fit::Fitted;
pub use gc::{GcItem, GcKind, GcPlan, GcRoots};
pub use jobs::JobNote;
pub use lay::LaidFile;
pub use locks::{ActionLock, GcLock, NoSweep};
pub use logs::LogBuffer;
pub use outside::{FoundFile, KnownFile};
pub use process::{prepare_process, start_threads};
pub use promises::PromisedFile;
pub use refs::{RefEntry, RefKind};
pub use repair::Repaired;
pub use runs::{LoggedKeys, Run, RunLog};
pub use source::{Bytes, MemoryObjects, ObjectSource};
pub use store::{Store, check_reads};
pub use sweep::Swept;
pub use tally::Tally;
pub use transfer::{Incoming, Received, Stored, StoredFile};
pub use tree::{Tree, TreeEntry, check_path};
pub use usage::Usage;
pub use verify::{DamagedObject, Manifest, MissingObject, PromisedObject, ReadManifest, UnreadableFile, VerifyReport};
pub use waiting::stop_waiting_when;
pub use work::{WorkEntry, WorkFolder};
