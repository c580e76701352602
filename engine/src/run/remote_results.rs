//! Results that another store may have.

use pipe_store::{ActionKey, Digest, Store};

/// The results of a remote. It is asked before a node is executed.
///
/// Whatever goes wrong there is its own to say: a run goes on without it.
pub trait RemoteResults: Send + Sync {
    /// Fetches results of these actions, whose records are in `store`, and stores them there with everything that they name. Those
    /// that it does not have, or cannot give, stay unknown.
    fn fetch(&self, store: &Store, keys: &[ActionKey]);

    /// Hears that a run has executed an action, and that this is its output tree.
    fn executed(&self, key: &ActionKey, tree: &Digest);
}
