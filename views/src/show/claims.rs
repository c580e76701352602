//! What is known of the claims of the programs of a study.

use pipe_engine::{
    claims::{self, Standing},
    study::{Found, StudyError},
};
use pipe_store::Store;
use serde::Serialize;

use crate::text::counted;

/// The most nodes that are named.
const SHOWN: usize = 3;

/// What is known of the claims of the programs of a study.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Claims {
    /// The number of results of which a check found that the claim holds.
    pub checked: usize,
    /// The number of results that nobody has checked.
    pub not_checked: usize,
    /// The nodes of which a check found that the claim does not hold.
    pub broken: Vec<String>,
    /// The nodes of which nothing is claimed.
    pub nothing_claimed: Vec<String>,
}

impl Claims {
    /// Returns what is known of the claims of a study.
    ///
    /// # Errors
    /// If the pipeline or the provenance of a result cannot be read.
    pub(crate) fn of(store: &Store, found: &Found) -> Result<Self, StudyError> {
        let mut all = Self::default();
        let stages = found.study.read_pipeline(store)?.stages;
        for (name, node) in &found.study.nodes {
            match claims::of(store, &stages, node)?.map(|claimed| claimed.standing) {
                None => {}
                Some(Standing::NotChecked) => all.not_checked += 1,
                Some(Standing::Holds { .. }) => all.checked += 1,
                Some(Standing::Broken { .. }) => all.broken.push(name.clone()),
                Some(Standing::NothingClaimed) => all.nothing_claimed.push(name.clone()),
            }
        }
        Ok(all)
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the counts as words, if there is anything to say: `20 program results are claimed, not checked (..); 1 is checked`.
    pub(crate) fn sentence(&self) -> Option<String> {
        let are = |n: usize| if n == 1 { "is" } else { "are" };
        let named = |names: &[String]| {
            let more = names.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
        };
        let mut parts = Vec::new();
        if !self.broken.is_empty() {
            parts.push(format!("broken by {}", named(&self.broken)));
        }
        if self.not_checked > 0 {
            let how = "`pipe run --check` checks them";
            parts.push(format!(
                "{} {} claimed, not checked ({how})",
                counted(self.not_checked, "program result"),
                are(self.not_checked)
            ));
        }
        if self.checked > 0 {
            parts.push(format!("{} {} checked", self.checked, are(self.checked)));
        }
        if !self.nothing_claimed.is_empty() {
            parts.push(format!("nothing is claimed of {}", named(&self.nothing_claimed)));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}
