//! Pictures in a folder for each class: `<root>/<train>/<class>/..`, `<root>/<test>/..`, or `<root>/<class>/..` without a split.

use std::collections::BTreeSet;

use crate::{
    containers::is_junk,
    decode::{
        chosen::{Chosen, Item, Published, listed, pictures},
        params::{Folders, TestImages},
        scan::Scan,
    },
    records::Verdict,
    stage::StageError,
};

/// A picture in the folder of a split.
struct Place<'s> {
    entry: usize,
    published: Published,
    /// The path below the folder.
    rest: Vec<&'s str>,
}

pub(super) fn choose(folders: &Folders, scan: &Scan) -> Result<Chosen, StageError> {
    let mut chosen = Chosen::default();
    let mut places: Vec<Place<'_>> = Vec::new();
    let wanted = Wanted::find(folders, scan)?;
    for entry in pictures(scan) {
        let path = &scan.entries[entry].path;
        let parts: Vec<&str> = path.split('/').collect();
        match wanted.of(&parts) {
            Some((published, below)) => places.push(Place { entry, published, rest: parts[below..].to_vec() }),
            None => {
                chosen.unused.insert(entry, format!("in none of the folders {}", listed(wanted.names())));
            }
        }
    }
    wanted.check(&places, scan)?;
    strip(&mut places, &wanted);
    for place in &places {
        let path = &scan.entries[place.entry].path;
        let Some((class, file)) = place.rest.split_first().filter(|(_, file)| !file.is_empty()) else {
            let folder = wanted.name_of(place.published).map_or_else(String::new, |name| format!("{name}/"));
            return Err(StageError::failed_with_hint(
                format!("entry `{}` is not at `{folder}<class>/<picture>`", path.escape_debug()),
                "move it to the folder of its class, or out of the data",
            ));
        };
        let file = file.join("/");
        let group = match &folders.group {
            Some(pattern) => {
                let found = pattern.find(path).and_then(|found| found.group);
                let why = || {
                    StageError::failed(format!("entry `{}` does not fit the pattern of `group`", path.escape_debug()))
                };
                Some(found.ok_or_else(why)?.to_owned())
            }
            None => None,
        };
        let class = (*class).to_owned();
        chosen.items.push(Item { entry: place.entry, class, published: place.published, group, order: file });
    }
    chosen.empty = empty(&chosen.items, scan);
    Ok(chosen)
}

/// The folders of the splits, as the source calls them.
struct Wanted {
    /// Empty if all pictures are one split.
    folders: Vec<(String, Published)>,
}

impl Wanted {
    fn find(folders: &Folders, scan: &Scan) -> Result<Self, StageError> {
        let mut names = Vec::new();
        let is_divided = matches!(folders.test, TestImages::Folder(_));
        if let Some(train) = folders.train() {
            names.push((train, "train", if is_divided { Published::Train } else { Published::Any }));
        }
        if let Some(validation) = &folders.validation {
            names.push((validation, "validation", Published::Validation));
        }
        if let TestImages::Folder(test) = &folders.test {
            names.push((test, "test", Published::Test));
        }
        let known = folders_of_pictures(scan);
        let mut found = Vec::new();
        for (name, field, published) in names {
            let name = crate::containers::nfc(name);
            let like = || known.iter().filter(|known| known.to_lowercase() == name.to_lowercase());
            let folder = match known.get(name.as_str()) {
                Some(exact) => *exact,
                None if like().count() == 1 => like().next().expect("there is one"),
                None if known.is_empty() => {
                    return Err(StageError::failed_with_hint(
                        "there is no picture in a folder",
                        "`pipe cat` shows what was fetched; other layouts are `Labels(..)` and `Names(..)`",
                    ));
                }
                None => {
                    let hint = format!(
                        "give its name: `Folders({field}: \"..\", ..)`, or let `pipe` divide the pictures: `Folders(test: Share(0.15), ..)`; the folders with pictures are {}",
                        listed(known.iter().copied())
                    );
                    return Err(StageError::failed_with_hint(
                        format!("there is no picture in `{name}/<class>/`"),
                        hint,
                    ));
                }
            };
            found.push((folder.to_owned(), published));
        }
        Ok(Self { folders: found })
    }

    fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.folders.iter().map(|(name, _)| name.as_str())
    }

    fn name_of(&self, published: Published) -> Option<&str> {
        self.folders.iter().find(|(_, of)| *of == published).map(|(name, _)| name.as_str())
    }

    /// Returns the split of a path and how many of its parts lead to the split's folder, or `None` if it is in none.
    fn of(&self, parts: &[&str]) -> Option<(Published, usize)> {
        if self.folders.is_empty() {
            return Some((Published::Any, 0));
        }
        let folders = &parts[..parts.len() - 1];
        let place = |(at, part): (usize, &&str)| {
            self.folders.iter().find(|(name, _)| name == part).map(|(_, published)| (*published, at + 1))
        };
        folders.iter().enumerate().find_map(place)
    }

    /// Refuses two datasets in one source, and a split without pictures.
    fn check(&self, places: &[Place<'_>], scan: &Scan) -> Result<(), StageError> {
        let root = |place: &Place<'_>| {
            let path = scan.entries[place.entry].path.as_str();
            let below: usize = place.rest.iter().map(|part| part.len() + 1).sum();
            let folder = path[..path.len() + 1 - below].trim_end_matches('/');
            folder.rsplit_once('/').map_or("", |(root, _)| root).to_owned()
        };
        if self.folders.is_empty() {
            return Ok(());
        }
        if let Some(first) = places.first() {
            let known = root(first);
            if let Some(other) = places.iter().find(|place| root(place) != known) {
                let [first, other] = [first, other].map(|place| scan.entries[place.entry].path.escape_debug());
                return Err(StageError::failed(format!(
                    "entries `{first}` and `{other}` are in two datasets: expected one of each folder of {}",
                    listed(self.names())
                )));
            }
        }
        for (name, published) in &self.folders {
            if !places.iter().any(|place| place.published == *published) {
                let known = folders_of_pictures(scan);
                let hint = format!(
                    "it is inside the folder of another split: put them beside each other; the folders with pictures are {}",
                    listed(known.iter().copied())
                );
                return Err(StageError::failed_with_hint(format!("there is no picture in `{name}/<class>/`"), hint));
            }
        }
        Ok(())
    }
}

/// Returns the names of the folders that a picture is in, or in a folder of.
fn folders_of_pictures(scan: &Scan) -> BTreeSet<&str> {
    let folders = |entry: usize| scan.entries[entry].path.rsplit_once('/').map_or("", |(folder, _)| folder).split('/');
    pictures(scan).flat_map(folders).filter(|folder| !folder.is_empty()).collect()
}

/// Leaves out folders that all pictures of a split share, such as the second of `train/train/cat`, as long as there are classes
/// below. Without a split, the classes are the folders below the one that all share.
fn strip(places: &mut [Place<'_>], wanted: &Wanted) {
    loop {
        let shared = |published: Option<Published>| {
            let mut of = places.iter().filter(|place| published.is_none_or(|published| place.published == published));
            let first = *of.next()?.rest.first()?;
            of.all(|place| place.rest.len() > 1 && place.rest[0] == first).then_some(first)
        };
        let below: BTreeSet<&str> =
            places.iter().filter(|place| place.rest.len() > 2).map(|place| place.rest[1]).collect();
        let may_go = if wanted.folders.is_empty() {
            // With a single class, its folder stays.
            shared(None).is_some() && !below.is_empty()
        } else {
            // A single folder may be the only class, unless it is called like the split.
            let is_called_like = |place: &Place<'_>| {
                wanted.name_of(place.published).is_some_and(|name| name.to_lowercase() == place.rest[0].to_lowercase())
            };
            let all: BTreeSet<Published> = places.iter().map(|place| place.published).collect();
            all.iter().all(|published| shared(Some(*published)).is_some())
                && places.iter().all(|place| place.rest.len() > 2)
                && (below.len() > 1 || places.iter().all(is_called_like))
        };
        if !may_go {
            return;
        }
        for place in places.iter_mut() {
            place.rest.remove(0);
        }
    }
}

/// Returns the folders beside those of the classes in which there is no picture.
fn empty(items: &[Item], scan: &Scan) -> Vec<String> {
    let of_class = |item: &Item| {
        let path = &scan.entries[item.entry].path;
        path[..path.len() - item.order.len()].trim_end_matches('/').to_owned()
    };
    let used: BTreeSet<String> = items.iter().map(of_class).collect();
    let parents: BTreeSet<&str> =
        used.iter().map(|folder| folder.rsplit_once('/').map_or("", |(parent, _)| parent)).collect();
    let of_files = scan
        .entries
        .iter()
        .filter(|entry| entry.verdict != Verdict::Junk)
        .filter_map(|entry| entry.path.rsplit_once('/').map(|(folder, _)| folder));
    let all: BTreeSet<&str> = scan.folders.iter().map(String::as_str).chain(of_files).collect();
    let is_beside = |folder: &&str| parents.contains(folder.rsplit_once('/').map_or("", |(parent, _)| parent));
    let is_empty =
        |folder: &&str| !is_junk(folder) && !folder.is_empty() && !used.contains(*folder) && !parents.contains(folder);
    all.into_iter().filter(is_beside).filter(is_empty).map(str::to_owned).collect()
}
