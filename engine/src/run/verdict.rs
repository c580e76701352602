//! What came of executing a node again to check it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::compare::ResultDifference;

/// What came of checking a node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It gave the committed result again.
    Equal {
        /// How it was executed the second time. `None` if it is not a training.
        #[serde(skip_serializing_if = "Option::is_none")]
        resumed: Option<Resumed>,
    },
    /// It gave another result. The committed one stands.
    Different {
        /// How it was executed.
        way: Way,
        /// How the result differs.
        difference: ResultDifference,
        /// The other ways in which the result of a program differs.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        others: Vec<OtherWay>,
    },
    /// It is a program of which nothing is claimed: it may give anything.
    Unclaimed,
    /// It has no committed result to compare with.
    NotRun,
    /// It could not be executed.
    Unchecked {
        /// What went wrong.
        message: String,
        /// What the user can do about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// Whether the store is damaged.
        damaged: bool,
    },
}

/// How a node was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// From the beginning to the end.
    Straight,
    /// Stopped half way, and continued from its checkpoint.
    Resumed,
    /// Stopped after its first report, and continued from its state. Only for programs.
    Stopped,
    /// Run for half of its epochs, and then for all of them from that state. Only for programs.
    Longer,
    /// In another folder, with another number of threads. Only for programs.
    Elsewhere,
}

/// A way in which the result of a program differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OtherWay {
    /// How it was executed.
    pub way: Way,
    /// How the result differs.
    pub difference: ResultDifference,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Straight => "run again",
            Self::Resumed => "stopped half way and continued",
            Self::Stopped => "stopped after its first report and continued",
            Self::Longer => "first run for half of its epochs",
            Self::Elsewhere => "run in another folder with another number of threads",
        })
    }
}

/// How a training or a program was executed the second time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resumed {
    /// It was stopped after this step, and continued.
    AtStep(u64),
    /// It ended before it was half way: it stopped early, diverged, or failed.
    EndedBefore,
    /// It is a program, and was executed in these ways as well.
    Also(Vec<Way>),
}

impl fmt::Display for Resumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtStep(step) => write!(f, "also stopped at step {step} and continued"),
            Self::EndedBefore => write!(f, "it ended before it could be stopped half way"),
            Self::Also(ways) => {
                let ways: Vec<_> = ways.iter().map(Way::to_string).collect();
                write!(f, "also {}", ways.join("; "))
            }
        }
    }
}

/// The number of nodes with each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Nodes that gave the committed result again.
    pub equal: usize,
    /// Nodes that gave another.
    pub different: usize,
    /// Nodes without a committed result.
    pub not_run: usize,
    /// Nodes that could not be executed.
    pub unchecked: usize,
    /// Whether the store turned out to be damaged.
    pub damaged: bool,
    /// Whether the check was stopped early.
    pub interrupted: bool,
}

impl Counts {
    /// Counts a verdict.
    pub(super) fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Equal { .. } => self.equal += 1,
            Verdict::Different { .. } => self.different += 1,
            Verdict::Unclaimed => {}
            Verdict::NotRun => self.not_run += 1,
            Verdict::Unchecked { damaged, .. } => {
                self.unchecked += 1;
                self.damaged |= damaged;
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal { resumed: None } => write!(f, "equal"),
            Self::Equal { resumed: Some(Resumed::AtStep(step)) } => {
                write!(f, "equal, also when it is stopped at step {step} and continued")
            }
            Self::Equal { resumed: Some(Resumed::EndedBefore) } => {
                write!(f, "equal; it ended before it could be stopped half way")
            }
            Self::Equal { resumed: Some(also @ Resumed::Also(_)) } => write!(f, "equal, {also}"),
            Self::Different { way: Way::Straight, difference, .. } => write!(f, "{difference}"),
            Self::Different { way: Way::Resumed, difference, .. } => {
                write!(f, "equal if it runs straight, not if it is stopped half way and continued: {difference}")
            }
            Self::Different { way, difference, others } => {
                write!(f, "equal if it is run again, not if it is {way}: {difference}")?;
                others
                    .iter()
                    .try_for_each(|OtherWay { way, difference }| write!(f, "; nor if it is {way}: {difference}"))
            }
            Self::Unclaimed => write!(f, "nothing is claimed of it"),
            Self::NotRun => write!(f, "not run yet"),
            Self::Unchecked { message, hint: None, .. } => write!(f, "{message}"),
            Self::Unchecked { message, hint: Some(hint), .. } => write!(f, "{message}\n  hint: {hint}"),
        }
    }
}
