//! Says why a node runs, compared with the latest study of the same name.

use std::collections::BTreeMap;

use pipe_store::{ActionKey, Store};

use crate::{
    action::Action,
    leaves,
    study::{self, Outcome, Study, StudyNode},
};

/// Returns why a result is reused.
pub(super) fn reused(before: Option<&StudyNode>, key: &ActionKey) -> String {
    match before {
        Some(node) if node.key() == Some(*key) => "unchanged".to_owned(),
        _ => "known from an earlier run".to_owned(),
    }
}

/// Returns why `action` is executed: how it differs from the action that the node had in `previous`.
pub(super) fn executed(store: &Store, previous: Option<&Study>, before: Option<&StudyNode>, action: &Action) -> String {
    let Some(_) = previous else { return "first run".to_owned() };
    let Some(node) = before else { return "new in this study".to_owned() };
    let Some(old) = node.action.and_then(|key| study::action(store, &key).ok()) else {
        return "it had no result".to_owned();
    };
    if old == *action {
        return match node.outcome {
            Outcome::Tree(_) => "its result is no longer in the store".to_owned(),
            _ => "it had no result".to_owned(),
        };
    }
    differences(&old, action).join(", ")
}

/// Returns how two actions of a node differ, causes before consequences.
fn differences(old: &Action, new: &Action) -> Vec<String> {
    let mut texts = Vec::new();
    if old.stage != new.stage {
        return vec![format!("stage {} -> {}", old.stage, new.stage)];
    }
    if old.version != new.version {
        texts.push(format!("version of {} {} -> {}", new.stage, old.version, new.version));
    }
    let mut changed = Vec::new();
    leaves::changes("", Some(&old.params), Some(&new.params), &mut changed);
    texts.extend(changed.iter().map(ToString::to_string));
    if texts.len() > 3 {
        let more = texts.len() - 3;
        texts.truncate(3);
        texts.push(format!("{more} more parameters"));
    }
    let text = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    for (name, before, after) in [
        ("seed", old.seed.clone(), new.seed.clone()),
        ("device", old.device.map(|d| format!("{d:?}")), new.device.map(|d| format!("{d:?}"))),
        ("numerics", old.numerics.clone(), new.numerics.clone()),
    ] {
        if before != after {
            texts.push(format!("{name} {} -> {}", text(before), text(after)));
        }
    }
    let slots: BTreeMap<_, _> = old.inputs.iter().chain(&new.inputs).collect();
    let changed: Vec<_> = slots
        .keys()
        .filter(|slot| old.inputs.get(**slot) != new.inputs.get(**slot))
        .map(|slot| format!("`{slot}`"))
        .collect();
    match changed.as_slice() {
        [] => {}
        [slot] => texts.push(format!("input {slot} changed")),
        slots => texts.push(format!("inputs {} changed", slots.join(", "))),
    }
    texts
}
