//! The layout of a store's folder.
//!
//! ```text
//! format                        the number of this layout
//! objects/ab/<62 digits>        an object's bytes; with `.zst`, compressed
//! actions/ab/<62 digits>.json   the result of an action
//! provenance/ab/<62>.json       when, where and how long it ran
//! logs/ab/<62>.txt              what its latest execution said, if it said anything
//! promises/ab/<62>              the remote that has an object that is not here
//! refs/studies/<name>           a line for each value that a study has had, and one that seals them
//! refs/tags/<name>              the study that a tag names
//! refs/readings/<digest>        the readings of the test split with this digest
//! refs/notes/<digest>           the notes of the study with this hash
//! refs/runs/<id>                the action keys of a run that is not finished
//! checkpoints/<trajectory>/<step>          names a tree among the parts
//! checkpoints/<trajectory>/parts/<digest>  bytes
//! work/<key>/                   where the program of an action works. The files in it are its own
//! jobs/<batch>.keys             the jobs of a batch that was put into the queue of a cluster
//! jobs/<batch>.<n>.log          what job n of it wrote
//! progress/<key>                how far the job of an action is
//! failures/<key>                why the job of an action ended without a result
//! locks/                        empty files, on which kernel locks are held
//! local-locks                   is there if other machines do not see these locks
//! tmp/                          files that are being written
//! quarantine/                   damaged files, set aside
//! reserve                       room for a collection if the disk is full
//! remotes.ron                   which other stores there are. People may edit it
//! ```

pub(crate) const OBJECTS: &str = "objects";
pub(crate) const ACTIONS: &str = "actions";
pub(crate) const PROVENANCE: &str = "provenance";
pub(crate) const LOGS: &str = "logs";
pub(crate) const PROMISES: &str = "promises";
pub(crate) const REFS: &str = "refs";
pub(crate) const CHECKPOINTS: &str = "checkpoints";
pub(crate) const PARTS: &str = "parts";
pub(crate) const WORK: &str = "work";
pub(crate) const JOBS: &str = "jobs";
pub(crate) const PROGRESS: &str = "progress";
pub(crate) const FAILURES: &str = "failures";
pub(crate) const LOCKS: &str = "locks";
pub(crate) const LOCAL_LOCKS: &str = "local-locks";
pub(crate) const TEMPORARY: &str = "tmp";
pub(crate) const REMOTES: &str = "remotes.ron";
pub(crate) const QUARANTINE: &str = "quarantine";
