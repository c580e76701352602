//! Pictures with their classes in their names.

use crate::{
    decode::{
        chosen::{Chosen, Item, Published, listed, pictures},
        params::Names,
        scan::Scan,
    },
    stage::StageError,
};

pub(super) fn choose(names: &Names, scan: &Scan) -> Result<Chosen, StageError> {
    let mut chosen = Chosen::default();
    for entry in pictures(scan) {
        let path = &scan.entries[entry].path;
        match names.pattern.find(path) {
            Some(found) => chosen.items.push(Item {
                entry,
                class: found.label.expect("the pattern has one").to_owned(),
                published: Published::Any,
                group: found.group.map(str::to_owned),
                order: path.clone(),
            }),
            None => drop(chosen.unused.insert(entry, "name does not fit the pattern".to_owned())),
        }
    }
    if chosen.items.is_empty() {
        let some = chosen.unused.keys().map(|entry| scan.entries[*entry].path.as_str());
        let hint = match chosen.unused.len() {
            0 => "there is no picture at all".to_owned(),
            _ => format!("the pictures are {}", listed(some)),
        };
        return Err(StageError::failed_with_hint("no picture has a name that fits the pattern", hint));
    }
    Ok(chosen)
}
