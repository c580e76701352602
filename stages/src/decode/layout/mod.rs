//! Layouts: which pictures of a source are used, of which class they are, and which split their publisher meant them for.

mod folders;
mod names;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    chosen::{Chosen, Item, Published, listed},
    params::{ClassChange, Classes, Format},
    scan::Scan,
};
use crate::{stage::StageError, words::one_of};

/// Returns the pictures that `format` uses.
///
/// # Errors
/// If the source does not have the layout, or a class, a group or a table does not fit.
pub(super) fn choose(format: &Format, classes: Option<&Classes>, scan: &Scan) -> Result<Chosen, StageError> {
    let mut chosen = match format {
        Format::Folders(folders) => folders::choose(folders, scan)?,
        Format::Labels(table) => table::choose(table, scan)?,
        Format::Names(names) => names::choose(names, scan)?,
        Format::Cifar10 | Format::Cifar100 | Format::Idx => unreachable!("the format has no files of pictures"),
    };
    if let Some(Classes::Change(change)) = classes {
        change_classes(&mut chosen, change)?;
    }
    check_classes(&chosen, scan)?;
    check_groups(&chosen, scan)?;
    Ok(chosen)
}

fn change_classes(chosen: &mut Chosen, change: &ClassChange) -> Result<(), StageError> {
    let known: BTreeSet<&str> = chosen.items.iter().map(|item| item.class.as_str()).collect();
    let named: Vec<&String> = match change {
        ClassChange::Exclude(names) | ClassChange::Only(names) => names.iter().collect(),
        ClassChange::Rename(names) => names.keys().collect(),
    };
    if let Some(unknown) = named.iter().find(|name| !known.contains(name.as_str())) {
        let hint = format!("the classes are {}", listed(known.iter().copied()));
        return Err(StageError::failed_with_hint(format!("`classes` names `{unknown}`, which is no class"), hint));
    }
    let (is_kept, why): (&dyn Fn(&String) -> bool, _) = match change {
        ClassChange::Rename(names) => {
            for item in &mut chosen.items {
                if let Some(new) = names.get(&item.class) {
                    item.class.clone_from(new);
                }
            }
            return Ok(());
        }
        ClassChange::Exclude(names) => (&|class| !names.contains(class), "class is excluded"),
        ClassChange::Only(names) => (&|class| names.contains(class), "class is not used"),
    };
    let (kept, left) = std::mem::take(&mut chosen.items).into_iter().partition(|item| is_kept(&item.class));
    chosen.items = kept;
    chosen.unused.extend(left.into_iter().map(|item: Item| (item.entry, why.to_owned())));
    Ok(())
}

fn check_classes(chosen: &Chosen, scan: &Scan) -> Result<(), StageError> {
    let of = |published: &[Published]| -> BTreeSet<&str> {
        let items = chosen.items.iter().filter(|item| published.contains(&item.published));
        items.map(|item| item.class.as_str()).collect()
    };
    let train = of(&[Published::Train, Published::Any]);
    if train.is_empty() {
        return Err(StageError::failed("there is no picture to train on"));
    }
    let others = of(&[Published::Validation, Published::Test]);
    let unknown: Vec<&str> = others.difference(&train).copied().collect();
    let Some(first) = unknown.first() else { return Ok(()) };
    let item = chosen.items.iter().find(|item| item.class == *first).expect("it has a picture");
    let path = scan.entries[item.entry].path.escape_debug();
    let message = match unknown.len() {
        1 => format!("entry `{path}` has the class `{first}`, which the training images do not have"),
        _ => format!("the training images have no picture of the classes {}", listed(unknown.iter().copied())),
    };
    let names: Vec<_> = unknown.iter().map(|name| format!("\"{name}\"")).collect();
    let hint = format!(
        "leave them out with `classes: Exclude([{}])`, or give them names that training has with `classes: Rename({{..}})`; it has {}",
        names.join(", "),
        listed(train.iter().copied())
    );
    Err(StageError::failed_with_hint(message, hint))
}

/// Refuses groups that the publisher divided.
fn check_groups(chosen: &Chosen, scan: &Scan) -> Result<(), StageError> {
    let mut known: BTreeMap<&str, &Item> = BTreeMap::new();
    for item in &chosen.items {
        let Some(group) = &item.group else { continue };
        let first = known.entry(group).or_insert(item);
        if first.published != item.published {
            let paths = [first, &item].map(|item| format!("`{}`", scan.entries[item.entry].path.escape_debug()));
            let message = format!(
                "the group `{}` is in two splits: {}",
                group.escape_debug(),
                one_of(paths.iter().map(|path| path.trim_matches('`'))).replace(" or ", " and ")
            );
            return Err(StageError::failed_with_hint(
                message,
                "let `pipe` divide the pictures, `test: Share(0.15)`, or leave out `group`",
            ));
        }
    }
    Ok(())
}
