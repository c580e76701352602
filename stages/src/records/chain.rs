//! Chains of records: each names the record of the trial before it by digest, back to trial 0. This keeps the number of inputs
//! of an action small, however many trials there are.

use pipe_store::Digest;

use super::{HistoryLink, ParametersLink, Record};
use crate::stage::{Inputs, StageError};

/// A record of a chain.
pub(crate) trait Link: Record {
    fn trial(&self) -> u32;
    fn previous(&self) -> Option<Digest>;
}

impl Link for HistoryLink {
    fn trial(&self) -> u32 {
        self.trial
    }

    fn previous(&self) -> Option<Digest> {
        self.previous
    }
}

impl Link for ParametersLink {
    fn trial(&self) -> u32 {
        self.trial
    }

    fn previous(&self) -> Option<Digest> {
        self.previous
    }
}

/// Returns the chain whose last link is connected to `slot`, from trial 0 on. It is empty if the slot is not connected.
pub(crate) fn read<T: Link>(inputs: &Inputs<'_>, slot: &str) -> Result<Vec<T>, StageError> {
    let mut links: Vec<T> = Vec::new();
    let mut next = inputs.digest(slot);
    while let Some(digest) = next {
        let broken =
            |why: String| StageError::failed(format!("the chain in the slot `{slot}` is broken at {digest}: {why}"));
        let bytes = inputs.object(&digest)?;
        let link: T = super::read(&bytes).map_err(|error| broken(error.to_string()))?;
        let expected = links.last().map(|later| later.trial().checked_sub(1));
        if expected.is_some_and(|expected| expected != Some(link.trial())) {
            return Err(broken(format!("trial {} is out of order", link.trial())));
        }
        next = link.previous();
        links.push(link);
    }
    match links.last() {
        Some(first) if first.trial() != 0 => {
            let first = first.trial();
            Err(StageError::failed(format!("the chain in the slot `{slot}` starts at trial {first}, expected trial 0")))
        }
        _ => {
            links.reverse();
            Ok(links)
        }
    }
}
