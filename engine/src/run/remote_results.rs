//! Results that another store may have.

use pipe_store::{ActionKey, Digest, PromisedFile, Store};

/// The results of a remote. It is asked before a node is executed.
///
/// Whatever goes wrong there is its own to say: a run goes on without it.
pub trait RemoteResults: Send + Sync {
    /// Fetches results of these actions, whose records are in `store`, and stores them there with everything that they name. Large
    /// files may only be [promised](Store::promise). Results that it does not have, or cannot give, stay unknown.
    fn fetch(&self, store: &Store, keys: &[ActionKey]);

    /// Fetches files that are only promised, each from its remote, and stores them in `store`. Those that cannot be had stay away.
    fn fetch_files(&self, store: &Store, files: &[PromisedFile]);

    /// Hears that a run has executed an action, and that this is its output tree.
    fn executed(&self, key: &ActionKey, tree: &Digest);
}
