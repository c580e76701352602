//! Chains of records: each names the one before it by digest, back to that of trial 0. An action so has few inputs, however many
//! trials there are.

use pipe_store::Digest;
use serde::de::DeserializeOwned;

use crate::stage::{Inputs, StageError};

/// The version of the records of a search.
pub(crate) const FORMAT: u32 = 1;

/// A record of a chain.
pub(crate) trait Link: DeserializeOwned {
    fn format(&self) -> u32;
    fn trial(&self) -> u32;
    fn previous(&self) -> Option<Digest>;
}

/// Returns the chain whose last link is connected to `slot`, from trial 0 on; nothing if the slot is not connected.
pub(crate) fn read<T: Link>(inputs: &Inputs<'_>, slot: &str) -> Result<Vec<T>, StageError> {
    let mut links: Vec<T> = Vec::new();
    let mut next = inputs.digest(slot);
    while let Some(digest) = next {
        let broken =
            |why: String| StageError::failed(format!("the chain in the slot `{slot}` is broken at {digest}: {why}"));
        let bytes = inputs.object(&digest)?;
        let link: T = serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        if link.format() != FORMAT {
            return Err(broken(format!("its format is {}, not {FORMAT}", link.format())));
        }
        let expected = links.last().map(|later| later.trial().checked_sub(1));
        if expected.is_some_and(|expected| expected != Some(link.trial())) {
            return Err(broken(format!("trial {} is out of order", link.trial())));
        }
        next = link.previous();
        links.push(link);
    }
    match links.last() {
        Some(first) if first.trial() != 0 => {
            Err(StageError::failed(format!("the chain in the slot `{slot}` ends at trial {}, not 0", first.trial())))
        }
        _ => {
            links.reverse();
            Ok(links)
        }
    }
}
