//! What is known of the claim of a program: that its outputs are the same when it runs again.
//!
//! `pipe` cannot know what a foreign program does. So a claim counts as not checked until `pipe run --check` has put it to the test. What the
//! check found is noted in the provenance of the result, and goes when the result goes.

use std::fmt;

use pipe_stages::StageName;
use pipe_store::{ActionKey, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    how::Claim,
    pipeline::stage::Stages,
    run::verdict::{Resumed, Verdict, Way},
    study::StudyNode,
};

/// The name of the field of the provenance.
const FIELD: &str = "check";

/// What a check found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Found {
    /// The ways in which the result was equal.
    equal: Vec<Way>,
    /// The ways in which it was not.
    different: Vec<Way>,
    /// The claim that was put to the test.
    claim: Claim,
}

/// What is claimed of a program's result, and what is known of that.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Claimed {
    /// What is claimed.
    pub claim: Claim,
    /// What is known of it.
    #[serde(flatten)]
    pub standing: Standing,
}

/// What is known of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub enum Standing {
    /// Nothing: nobody has checked it.
    NotChecked,
    /// It held in these ways.
    Holds {
        /// How the program was run.
        ways: Vec<Way>,
    },
    /// It did not hold in these ways.
    Broken {
        /// How the program was run.
        ways: Vec<Way>,
    },
    /// There is nothing to know, since nothing is claimed.
    NothingClaimed,
}

/// Notes the verdict of a check beside the result of `key`, of which `claim` was checked. Notes nothing if there is no verdict.
///
/// # Errors
/// If the provenance cannot be read or written.
pub(crate) fn note(store: &Store, key: &ActionKey, verdict: &Verdict, claim: Claim) -> Result<(), StoreError> {
    let found = match verdict {
        Verdict::Equal { resumed } => {
            let also = match resumed {
                Some(Resumed::AtStep(_)) => vec![Way::Resumed],
                Some(Resumed::Also(ways)) => ways.clone(),
                Some(Resumed::EndedBefore) | None => Vec::new(),
            };
            Found { equal: [vec![Way::Straight], also].concat(), different: Vec::new(), claim }
        }
        Verdict::Different { way, others, .. } => {
            let equal = if *way == Way::Straight { Vec::new() } else { vec![Way::Straight] };
            let different = std::iter::once(*way).chain(others.iter().map(|other| other.way)).collect();
            Found { equal, different, claim }
        }
        Verdict::Unclaimed | Verdict::NotRun | Verdict::Unchecked { .. } => return Ok(()),
    };
    store.annotate(key, FIELD, json!(found))
}

/// Returns what is claimed of the result of a node of a study with these stages, and what is known of that. `None` if the node ran no
/// program, or has no outputs.
///
/// # Errors
/// If the provenance of the result cannot be read.
pub fn of(store: &Store, stages: &Stages, node: &StudyNode) -> Result<Option<Claimed>, StoreError> {
    let program = stages.get(&node.part_of).and_then(|spec| spec.program(stages));
    let Some((key, spec)) = node.key().zip(program) else { return Ok(None) };
    if !node.is(StageName::Command) || node.tree().is_none() {
        return Ok(None);
    }
    let claim = spec.claim;
    if claim == Claim::Impure {
        return Ok(Some(Claimed { claim, standing: Standing::NothingClaimed }));
    }
    let found = store.provenance(&key)?.and_then(|provenance| Found::deserialize(provenance.get(FIELD)?).ok());
    // What held within a tolerance says nothing of another claim.
    let standing = match found.filter(|found| found.claim == claim) {
        None => Standing::NotChecked,
        Some(Found { equal, different, .. }) if different.is_empty() => Standing::Holds { ways: equal },
        Some(Found { different, .. }) => Standing::Broken { ways: different },
    };
    Ok(Some(Claimed { claim, standing }))
}

impl fmt::Display for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let claim = match self.claim {
            Claim::Exact => "the same bytes".to_owned(),
            Claim::Close(tolerance) => format!("the same numbers within {tolerance:e}"),
            Claim::Impure => return write!(f, "nothing"),
        };
        let list = |ways: &[Way]| ways.iter().map(Way::to_string).collect::<Vec<_>>().join("; ");
        match &self.standing {
            Standing::NotChecked | Standing::NothingClaimed => write!(f, "{claim}: claimed, not checked"),
            Standing::Holds { ways } => write!(f, "{claim}: checked ({})", list(ways)),
            Standing::Broken { ways } => write!(f, "{claim}: not if it is {}", list(ways)),
        }
    }
}
