//! Looks up ahead what a run will most likely ask for, on all processors: the results of the latest study of its name.
//! Nodes are settled one after the other, since the key of one may need the outputs of another; a study of a thousand
//! trials with nothing to do is little but these lookups.

use std::{collections::BTreeMap, thread};

use pipe_store::{ActionKey, ActionResult, Store, StoreError};

use crate::{plan::Plan, study::Study};

/// What was found, to be taken once.
pub(super) type Found = BTreeMap<ActionKey, Result<Option<ActionResult>, StoreError>>;

/// Below so many nodes a thread costs more than it saves.
const WORTHWHILE: usize = 64;

/// Returns what is known of the actions that the nodes of `plan` had in `previous`.
pub(super) fn look_up(store: &Store, plan: &Plan, previous: Option<&Study>) -> Found {
    let Some(previous) = previous else { return Found::new() };
    let nodes = plan.nodes.iter().filter_map(|node| previous.nodes.get(&node.name));
    let keys: Vec<ActionKey> = nodes.filter_map(|node| node.key()).collect();
    if keys.len() < WORTHWHILE {
        return Found::new();
    }
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let look = |keys: &[ActionKey]| keys.iter().map(|key| (*key, store.result(key))).collect::<Vec<_>>();
        let parts: Vec<_> =
            keys.chunks(keys.len().div_ceil(threads)).map(|keys| scope.spawn(move || look(keys))).collect();
        parts.into_iter().flat_map(|part| part.join().expect("a lookup does not panic")).collect()
    })
}
