//! Why a remote could not do what it was asked.

use std::path::PathBuf;

use pipe_engine::study::StudyError;
use pipe_store::{ActionKey, Damage, Digest, StoreError};

/// The result of the functions of remotes.
pub(crate) type Result<T, E = RemoteError> = std::result::Result<T, E>;

/// Why a remote could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// A URL cannot be a remote's.
    #[error("`{url}` cannot be a remote: {reason}")]
    Url {
        /// The URL, without what may be a secret.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A name cannot be a remote's.
    #[error("`{name}` cannot be the name of a remote: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no remote of this name.
    #[error("there is no remote `{name}`")]
    Unknown {
        /// The name.
        name: String,
        /// The names of all remotes.
        known: Vec<String>,
    },
    /// A remote of this name exists.
    #[error("there is a remote `{name}` already: {url}")]
    Taken {
        /// The name.
        name: String,
        /// Its URL.
        url: String,
    },
    /// The file `remotes.ron` has a mistake.
    #[error("`{path}` cannot be read: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Where and what the mistake is.
        reason: String,
    },
    /// The credentials or settings for a remote cannot be used.
    #[error("{message}")]
    Credentials {
        /// What is wrong.
        message: String,
        /// What the user can do about it.
        hint: String,
    },
    /// A remote could not be asked, or gave no answer that can be understood.
    #[error("cannot {doing} in the remote `{remote}`: {reason}")]
    Failed {
        /// The name of the remote.
        remote: String,
        /// What was to be done, as in "read `format`".
        doing: String,
        /// What went wrong.
        reason: String,
    },
    /// A remote does not let this user do something.
    #[error("no permission to {doing} in the remote `{remote}`: {reason}")]
    Denied {
        /// The name of the remote.
        remote: String,
        /// What was to be done.
        doing: String,
        /// What the server said.
        reason: String,
    },
    /// A remote does not know this user.
    #[error("the remote `{remote}` does not accept the credentials: {reason}")]
    Unauthenticated {
        /// The name of the remote.
        remote: String,
        /// What the server said.
        reason: String,
    },
    /// The place is not a remote: it holds something else, or a newer `pipe` wrote it.
    #[error("`{remote}` is not a remote that this build can use: {reason}")]
    Foreign {
        /// The name of the remote.
        remote: String,
        /// What was found.
        reason: String,
    },
    /// A remote lacks something that it should have.
    #[error("the remote `{remote}` lacks `{path}`, which {named_by} names")]
    Missing {
        /// The name of the remote.
        remote: String,
        /// What is missing.
        path: String,
        /// What names it.
        named_by: String,
    },
    /// What a remote sent is not what it should be. It was not stored.
    #[error("`{path}` in the remote `{remote}` is damaged: {reason}")]
    Damaged {
        /// The name of the remote.
        remote: String,
        /// What is damaged.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A remote has no such study.
    #[error("the remote `{remote}` has no study `{study}`")]
    NoStudy {
        /// The name of the remote.
        remote: String,
        /// What the user asked for.
        study: String,
        /// The names of its studies.
        known: Vec<String>,
    },
    /// Results here and in a remote differ although their actions are the same.
    #[error("{}", conflicts(remote, found))]
    Conflicts {
        /// The name of the remote.
        remote: String,
        /// The results.
        found: Vec<Conflict>,
    },
    /// Files of a study that is pushed are at another remote.
    #[error("{} of the study `{study}` {} at the remote `{remote}` and not here", files_are(*files).0, files_are(*files).1)]
    Elsewhere {
        /// The name of the study.
        study: String,
        /// The name of that remote.
        remote: String,
        /// The number of files.
        files: usize,
    },
    /// Nobody whom this project trusts has signed a study.
    #[error("the study {} of the remote `{remote}` is signed by nobody whom this project trusts", study.short())]
    Unsigned {
        /// The name of the remote.
        remote: String,
        /// The study.
        study: Digest,
    },
    /// Something cannot be done as it was asked.
    #[error("{0}")]
    Unfit(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A study cannot be found or read.
    #[error(transparent)]
    Study(#[from] StudyError),
}

/// Two results of one action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The action.
    pub key: ActionKey,
    /// A node of the study that has it.
    pub node: String,
    /// What it gave here, as text.
    pub ours: String,
    /// What it gave according to the remote.
    pub theirs: String,
}

/// The most conflicts that are shown.
const SHOWN: usize = 10;

fn conflicts(remote: &str, found: &[Conflict]) -> String {
    let mut text =
        format!("{} of the remote `{remote}` DIFFER from those of this store for the same action:", count(found.len()));
    for Conflict { key, node, ours, theirs } in found.iter().take(SHOWN) {
        let node = if node.is_empty() { "a node" } else { node };
        text += &format!("\n  {node} (action {})\n    here   {ours}\n    there  {theirs}", key.0.short());
    }
    if found.len() > SHOWN {
        text += &format!("\n  and {} more", found.len() - SHOWN);
    }
    text + "\nEither the stage is not deterministic, or one of the two was not made by it. Nothing was overwritten."
}

fn files_are(n: usize) -> (String, &'static str) {
    if n == 1 { ("1 file".to_owned(), "is") } else { (format!("{n} files"), "are") }
}

fn count(n: usize) -> String {
    if n == 1 { "1 result".to_owned() } else { format!("{n} results") }
}

/// Returns a result as a conflict shows it.
pub(crate) fn shown(result: &pipe_store::ActionResult) -> String {
    match result {
        pipe_store::ActionResult::Tree(tree) => format!("outputs {tree}"),
        pipe_store::ActionResult::Failure(failure) => format!("failure: {}", failure.message),
    }
}

/// What makes damage of a received object an error.
pub(crate) fn damaged(remote: &str, path: &str, damage: &Damage) -> RemoteError {
    RemoteError::Damaged { remote: remote.to_owned(), path: path.to_owned(), reason: damage.to_string() }
}

/// Returns the error for an object that a remote lacks.
pub(crate) fn lacks(remote: &str, path: &str, study: &Digest) -> RemoteError {
    let named_by = format!("the study {}", study.short());
    RemoteError::Missing { remote: remote.to_owned(), path: path.to_owned(), named_by }
}
