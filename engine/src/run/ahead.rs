//! Looks up, on all cores, the results that a run will most likely need: those of the latest study of the same name.
//!
//! The run itself settles one node after the other, because the key of a node may need the outputs of another. If nothing
//! is left to do in a study of a thousand trials, these look-ups take almost all of the time.

use std::collections::BTreeMap;

use pipe_store::{ActionKey, ActionResult, Store, StoreError};
use rayon::prelude::*;

use crate::{plan::Plan, study::Study};

/// What was looked up, by key. Each entry is used once.
pub(super) type LookedUp = BTreeMap<ActionKey, Result<Option<ActionResult>, StoreError>>;

/// With fewer keys than this, threads cost more than they save.
const WORTHWHILE: usize = 64;

/// Returns the known results of the actions that the nodes of `plan` had in `previous`.
pub(super) fn look_up(store: &Store, plan: &Plan, previous: Option<&Study>) -> LookedUp {
    let Some(previous) = previous else { return LookedUp::new() };
    let nodes = plan.nodes.iter().filter_map(|node| previous.nodes.get(&node.name));
    let keys: Vec<ActionKey> = nodes.filter_map(|node| node.key()).collect();
    if keys.len() < WORTHWHILE {
        return LookedUp::new();
    }
    let found: Vec<_> = keys.into_par_iter().map(|key| (key, store.result(&key))).collect();
    found.into_iter().collect()
}
