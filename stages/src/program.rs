//! A program of the user's own, as a host runs it: a pure description, whose paths are all below one fresh folder.

use std::collections::BTreeMap;

use pipe_store::Digest;
pub use pipe_store::FoundFile;

/// The folder that the program writes its outputs to.
pub const OUT: &str = "out";
/// The folder for temporary files.
pub const TMP: &str = "tmp";
/// The folder that outlives kills, if the program keeps one.
pub const STATE: &str = "state";
/// The folder with the input files, which the program must not change.
pub const IN: &str = "in";

/// A program to run. Its working folder is a fresh one, and every path in it is relative to that folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// The words of the command line. The first is the program.
    pub words: Vec<String>,
    /// The variables that are set, by name.
    pub env: BTreeMap<String, String>,
    /// The files that are there before it starts, by path. Those below [`IN`] must not be changed.
    pub files: BTreeMap<String, Placed>,
    /// The state that it keeps, if it keeps one.
    pub state: Option<KeptState>,
}

/// A file that is there before a program starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// An object of the store.
    Object {
        /// Its name.
        digest: Digest,
        /// Whether it is a program itself.
        executable: bool,
    },
    /// These bytes.
    Bytes(Vec<u8>),
}

/// The state that a program keeps from one run to the next: the folder [`STATE`] and a file that it adds reports to. Both outlive
/// kills, and are saved as a checkpoint when the program has done its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptState {
    /// The number of epochs that the program is asked for, which is the step of the checkpoint that is saved at the end. It starts
    /// from the latest checkpoint of that step or before.
    pub epochs: u64,
    /// The path of the file with reports. It is kept as well.
    pub report: Option<String>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its exit code.
    pub code: i32,
    /// Every file below [`OUT`], by its path there. Links and whatever is neither file nor folder are not in it.
    pub outputs: BTreeMap<String, FoundFile>,
    /// What is below [`OUT`] and is neither a file nor a folder, sorted.
    pub others: Vec<String>,
    /// The file that was to be watched, as it is at the end.
    pub watched: Option<Vec<u8>>,
    /// The last lines that it wrote to its standard output and its standard error, at most twenty.
    pub last_lines: Vec<String>,
    /// What the user can do about a program that failed, if the host sees a cause.
    pub hint: Option<String>,
}

/// What the host watches while a program runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// Nothing.
    Nothing,
    /// A file below the folder, which may appear later. It is given as a whole, again and again, when it has grown.
    File(String),
    /// The lines of its standard output and its standard error, in the order in which they arrive. If the program keeps a state,
    /// they are kept as its report, so that they include those from before a kill.
    Output,
}
