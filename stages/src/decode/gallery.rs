//! Pictures: they are looked at, chosen, divided, and then decoded, some at a time.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::{
    chosen::{Chosen, Item, Published, listed},
    collection::Part,
    contact, layout,
    params::{Broken, Decode, Format, Table, TestImages, TestShare, Validation},
    scan::{Scan, scan},
    shares::{Member, share},
    split::Choice,
};
use crate::{
    containers::{ContentError, EntryKind, Source},
    images::dataset::{Head, ImageShape},
    pictures,
    records::{Inventory, InventoryEntry, Verdict, Version},
    stage::{Host, Progress, QuietHost, StageError},
};

/// The most broken pictures that are named.
const NAMED: usize = 100;

/// The most pictures that are decoded before the host is asked again whether to stop.
const BATCH: usize = 1024;

/// The memory from which on a batch takes no further picture, so that the number of threads does not decide how much large
/// pictures take.
const BATCH_MEMORY: u64 = 256 << 20;

/// The pictures of a source, decoded and divided.
pub(super) struct Gallery {
    pub(super) shape: ImageShape,
    pub(super) heads: Vec<Head>,
    /// The images of each split, by name.
    pub(super) splits: BTreeMap<&'static str, Part>,
    /// The entry of each image, for each split.
    pub(super) entries: BTreeMap<&'static str, Vec<usize>>,
    pub(super) inventory: Inventory,
}

/// Looks at the pictures that `decode` reads.
fn look(decode: &Decode, source: &Source<'_, '_>, host: &dyn Host) -> Result<(Scan, Chosen), StageError> {
    let table = match &decode.format {
        Format::Labels(table) => Some(table.csv.as_str()),
        _ => None,
    };
    let scan = scan(source, table, &decode.reading(), host)?;
    let chosen = layout::choose(&decode.format, decode.classes.as_ref(), &scan)?;
    Ok((scan, chosen))
}

/// Returns an estimate of the memory that [`read`] and what follows it take: the pictures twice, and the largest batch or the
/// contact sheet.
///
/// # Errors
/// If the source cannot be read.
pub(super) fn memory(decode: &Decode, source: &Source<'_, '_>) -> Result<u64, StageError> {
    let (scan, chosen) = look(decode, source, &QuietHost)?;
    let n = chosen.items.len();
    let shape = decode.image_shape();
    let batch = scan.sum.min(BATCH_MEMORY + scan.largest);
    let paths: usize = scan.entries.iter().map(|entry| 3 * entry.path.len() + 512).sum();
    Ok(2 * (n * shape.bytes()) as u64 + batch.max(contact::memory(shape, n)) + paths as u64)
}

/// Reads and divides the pictures of `source`.
///
/// # Errors
/// If the source does not have the layout, if a picture is broken and broken ones are refused, or if a split would be empty.
pub(super) fn read(decode: &Decode, source: &Source<'_, '_>, host: &dyn Host) -> Result<Gallery, StageError> {
    let (scan, mut chosen) = look(decode, source, host)?;
    let mut assigned = divide(decode, &scan, &mut chosen)?;
    let broken: BTreeMap<usize, String>;
    let mut planes;
    (planes, broken) = decode_all(decode, source, &scan, &assigned, host)?;
    if !broken.is_empty() && decode.broken == Broken::Refuse {
        return Err(refused(&broken, assigned.len(), &scan));
    }
    let mut kept = planes.iter().map(Option::is_some);
    assigned.retain(|_| kept.next().expect("there is one for each"));
    planes.retain(Option::is_some);
    let classes: Vec<String> = {
        let mut classes: Vec<_> =
            assigned.iter().filter(|(_, split)| *split == "train").map(|(item, _)| item.class.clone()).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    };
    let unknown = assigned.iter().find(|(item, _)| classes.binary_search(&item.class).is_err());
    if let Some((item, split)) = unknown {
        return Err(StageError::failed_with_hint(
            format!("no training picture of the class `{}` is left, and there is one in the {split} split", item.class),
            format!("leave the class out: `classes: Exclude([\"{}\"])`", item.class),
        ));
    }
    let mut gallery = Gallery {
        shape: decode.image_shape(),
        heads: vec![Head { name: "class".to_owned(), classes }],
        splits: decode.splits().iter().map(|name| (*name, Part::new(1))).collect(),
        entries: decode.splits().iter().map(|name| (*name, Vec::new())).collect(),
        inventory: inventory(&scan, &chosen, &broken),
    };
    for name in decode.splits() {
        let n = assigned.iter().filter(|(_, split)| split == name).count();
        gallery.splits.get_mut(name).expect("it was made").images.reserve_exact(n * gallery.shape.bytes());
    }
    // Each picture is freed as soon as it is copied.
    for ((item, split), planes) in assigned.iter().zip(&mut planes) {
        let part = gallery.splits.get_mut(split).expect("the split is one of them");
        part.images.extend(planes.take().expect("broken ones were taken out"));
        let label = gallery.heads[0].classes.binary_search(&item.class).expect("unknown classes were refused");
        part.labels[0].push(i32::try_from(label).expect("there are fewer than 2^31 classes"));
        gallery.entries.get_mut(split).expect("the split is one of them").push(item.entry);
    }
    for (item, split) in &assigned {
        let entry = &mut gallery.inventory.list[item.entry];
        (entry.class, entry.split) = (Some(item.class.clone()), Some((*split).to_owned()));
    }
    tell(&gallery.inventory);
    Ok(gallery)
}

/// Returns the used items with the names of their splits, in the order of the images: by class, then by place.
fn divide(decode: &Decode, scan: &Scan, chosen: &mut Chosen) -> Result<Vec<(Item, &'static str)>, StageError> {
    let mut items = std::mem::take(&mut chosen.items);
    items.sort_by(|a, b| {
        let path = |item: &Item| &scan.entries[item.entry].path;
        (&a.class, &a.order, path(a)).cmp(&(&b.class, &b.order, path(b)))
    });
    if let Some(subset) = &decode.subset {
        for (published, choice) in [
            ([Published::Train, Published::Any], Choice::TrainSubset),
            ([Published::Validation, Published::Validation], Choice::TestSubset),
            ([Published::Test, Published::Test], Choice::TestSubset),
        ] {
            let is_meant = |item: &Item| published.contains(&item.published);
            let taken = taken(&items, is_meant, scan, subset.fraction, subset.seed, choice);
            let mut taken = taken.into_iter();
            items.retain(|item| {
                let keep = taken.next().expect("there is one for each") || !is_meant(item);
                if !keep {
                    chosen.unused.insert(item.entry, "not in the subset".to_owned());
                }
                keep
            });
        }
    }
    if let Some(item) = items.iter().find(|item| item.published == Published::Validation)
        && decode.validation != Validation::Official
    {
        let path = scan.entries[item.entry].path.escape_debug();
        return Err(StageError::failed_with_hint(
            format!("entry `{path}` is for validation, and `validation` is `{}`", decode.validation.name()),
            "write `validation: Official`",
        ));
    }
    let test_share = match &decode.format {
        Format::Labels(Table { test: Some(TestShare::Share(share)), .. }) => Some(share),
        Format::Names(names) => {
            let TestShare::Share(share) = &names.test;
            Some(share)
        }
        Format::Folders(folders) => match &folders.test {
            TestImages::Share(share) => Some(share),
            TestImages::Folder(_) => None,
        },
        _ => None,
    };
    if let Some(part) = test_share {
        let is_meant = |item: &Item| item.published == Published::Any;
        let taken = taken(&items, is_meant, scan, part.fraction, part.seed, Choice::Test);
        tell_share("test", &items, is_meant, &taken, part.fraction);
        for (item, is_test) in items.iter_mut().zip(taken) {
            if is_meant(item) {
                item.published = if is_test { Published::Test } else { Published::Train };
            }
        }
    }
    if let Validation::Stratified(part) = &decode.validation {
        let is_meant = |item: &Item| item.published == Published::Train;
        let taken = taken(&items, is_meant, scan, part.fraction, part.seed, Choice::Validation);
        tell_share("validation", &items, is_meant, &taken, part.fraction);
        for (item, _) in items.iter_mut().zip(taken).filter(|(_, is_taken)| *is_taken) {
            item.published = Published::Validation;
        }
    }
    let split = |published| match published {
        Published::Train | Published::Any => "train",
        Published::Validation => "validation",
        Published::Test if decode.validation == Validation::OfficialTest => "validation",
        Published::Test => "test",
    };
    let assigned: Vec<_> =
        items.into_iter().map(|item| (split(item.published), item)).map(|(s, item)| (item, s)).collect();
    for name in decode.splits() {
        if !assigned.iter().any(|(_, split)| split == name) {
            let n = assigned.len();
            let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
            for (item, _) in &assigned {
                *groups.entry(item.group.as_deref().unwrap_or_default()).or_default() += 1;
            }
            let largest = groups.iter().filter(|(group, _)| !group.is_empty()).max_by_key(|(_, n)| **n);
            let hint = match largest {
                Some((group, of)) => format!(
                    "groups are not divided, and the largest, `{}`, has {of} pictures: use a larger share, or leave out `group`",
                    group.escape_debug()
                ),
                None => "a class needs two training pictures to give one away: use more pictures, a larger `subset` or another share"
                    .to_owned(),
            };
            return Err(StageError::failed_with_hint(format!("the {name} split of {n} pictures is empty"), hint));
        }
    }
    Ok(assigned)
}

/// Returns which of the meant `items` are in a share. The others are not.
fn taken(
    items: &[Item],
    is_meant: impl Fn(&Item) -> bool,
    scan: &Scan,
    fraction: f64,
    seed: u32,
    choice: Choice,
) -> Vec<bool> {
    let meant: Vec<usize> = (0..items.len()).filter(|index| is_meant(&items[*index])).collect();
    let member = |index: &usize| {
        let item = &items[*index];
        let path = scan.entries[item.entry].path.as_bytes();
        // A picture that cannot be read has no digest. It is left out later.
        let digest = scan.entries[item.entry].digest.unwrap_or_else(|| pipe_store::Digest::of(path));
        Member { class: &item.class, digest, group: item.group.as_deref() }
    };
    let members: Vec<Member<'_>> = meant.iter().map(member).collect();
    let mut taken = vec![false; items.len()];
    for (index, chosen) in meant.iter().zip(share(&members, fraction, seed, choice)) {
        taken[*index] = chosen;
    }
    taken
}

/// Tells classes of which much more or less is taken than the share says.
fn tell_share(split: &str, items: &[Item], is_meant: impl Fn(&Item) -> bool, taken: &[bool], fraction: f64) {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (item, taken) in items.iter().zip(taken).filter(|(item, _)| is_meant(item)) {
        let (all, part) = counts.entry(&item.class).or_default();
        *all += 1;
        *part += usize::from(*taken);
    }
    super::split::tell(split, fraction, counts.into_iter().map(|(class, (all, part))| (class.to_owned(), all, part)));
}

/// The planes of each item, and why those without planes have none, by entry.
type Decoded = (Vec<Option<Vec<u8>>>, BTreeMap<usize, String>);

/// Decodes the pictures of `assigned`.
fn decode_all(
    decode: &Decode,
    source: &Source<'_, '_>,
    scan: &Scan,
    assigned: &[(Item, &'static str)],
    host: &dyn Host,
) -> Result<Decoded, StageError> {
    let reading = decode.reading();
    let mut planes: Vec<Option<Vec<u8>>> = vec![None; assigned.len()];
    let mut broken = BTreeMap::new();
    // Several items may have one content, by links.
    let mut wanted: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, (item, _)) in assigned.iter().enumerate() {
        let entry = &scan.entries[item.entry];
        match &entry.why {
            Some(why) => drop(broken.insert(item.entry, why.clone())),
            None => wanted.entry(entry.content.unwrap_or(item.entry)).or_default().push(index),
        }
    }
    let mut progress = Progress { unit: "images".to_owned(), total: wanted.len() as u64, ..Progress::default() };
    let mut batch: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut memory = 0;
    let mut flush = |batch: &mut Vec<(usize, Vec<u8>)>| {
        if host.interrupted() {
            return Err(StageError::Interrupted);
        }
        progress.done += batch.len() as u64;
        let decoded: Vec<(usize, Result<Vec<u8>, String>)> = std::mem::take(batch)
            .into_par_iter()
            .map(|(entry, bytes)| (entry, pictures::planes(&bytes, &reading)))
            .collect();
        for (entry, decoded) in decoded {
            let (last, others) = wanted[&entry].split_last().expect("an item wants it");
            match decoded {
                Ok(decoded) => {
                    others.iter().for_each(|index| planes[*index] = Some(decoded.clone()));
                    planes[*last] = Some(decoded);
                }
                Err(why) => wanted[&entry].iter().for_each(|index| {
                    broken.insert(assigned[*index].0.entry, why.clone());
                }),
            }
        }
        host.progress(&progress);
        Ok(())
    };
    let mut unread: Vec<(usize, String)> = Vec::new();
    source.visit(|entry| {
        let EntryKind::File(content) = entry.kind else { return Ok(()) };
        let index = scan.entries.binary_search_by(|known| known.path.as_str().cmp(entry.path));
        let Some(index) = index.ok().filter(|index| wanted.contains_key(index)) else { return Ok(()) };
        match content.read(pictures::MAX_FILE) {
            Ok(bytes) => {
                memory += bytes.len() as u64 + pictures::memory(&bytes, &reading);
                batch.push((index, bytes));
            }
            Err(ContentError::File(why)) => unread.push((index, why)),
            Err(ContentError::Container(error)) => return Err(error),
        }
        if batch.len() >= BATCH || memory >= BATCH_MEMORY {
            memory = 0;
            flush(&mut batch)?;
        }
        Ok(())
    })?;
    flush(&mut batch)?;
    for (entry, why) in unread {
        wanted[&entry].iter().for_each(|index| drop(broken.insert(assigned[*index].0.entry, why.clone())));
    }
    Ok((planes, broken))
}

/// Returns the error for pictures that cannot be read.
fn refused(broken: &BTreeMap<usize, String>, all: usize, scan: &Scan) -> StageError {
    let line =
        |(entry, why): (&usize, &String)| format!("entry `{}` is {why}", scan.entries[*entry].path.escape_debug());
    let mut lines: Vec<String> = broken.iter().take(NAMED).map(line).collect();
    let hint = "mend or remove them, or leave them out: `broken: Skip`";
    if broken.len() == 1 {
        return StageError::failed_with_hint(lines.remove(0), hint.replace("them", "it"));
    }
    lines.extend(broken.len().checked_sub(NAMED).filter(|more| *more > 0).map(|more| format!("and {more} more")));
    let message = format!("{} of {all} pictures cannot be read:\n  {}", broken.len(), lines.join("\n  "));
    StageError::failed_with_hint(message, hint)
}

/// Returns the inventory, in which no picture is in a split yet.
fn inventory(scan: &Scan, chosen: &Chosen, broken: &BTreeMap<usize, String>) -> Inventory {
    let mut inventory = Inventory {
        format: Version,
        entries: scan.entries.len(),
        verdicts: BTreeMap::new(),
        unused: BTreeMap::new(),
        empty: chosen.empty.clone(),
        list: Vec::with_capacity(scan.entries.len()),
    };
    for (index, entry) in scan.entries.iter().enumerate() {
        let (verdict, why) = match broken.get(&index) {
            Some(why) => (Verdict::Unreadable, Some(why.clone())),
            None => (entry.verdict, entry.why.clone()),
        };
        let unused = chosen.unused.get(&index).filter(|_| verdict == Verdict::Picture);
        *inventory.verdicts.entry(verdict).or_default() += 1;
        if let Some(why) = unused {
            *inventory.unused.entry(why.clone()).or_default() += 1;
        }
        inventory.list.push(InventoryEntry {
            path: entry.path.clone(),
            verdict,
            why: why.or_else(|| unused.cloned()),
            class: None,
            split: None,
            image: None,
        });
    }
    inventory
}

/// Tells once what is not used of a source.
fn tell(inventory: &Inventory) {
    let of = |verdict: Verdict| inventory.list.iter().filter(move |entry| entry.verdict == verdict);
    let mut parts = Vec::new();
    for (verdict, n) in &inventory.verdicts {
        if *verdict == Verdict::Picture {
            continue;
        }
        let [one, many] = verdict.words();
        let words = if *n == 1 { one } else { many };
        let examples: Vec<_> = of(*verdict).take(2).map(|entry| format!("`{}`", entry.path.escape_debug())).collect();
        let more = if *n > 2 { ", .." } else { "" };
        parts.push(format!("{n} {words} ({}{more})", examples.join(", ")));
    }
    parts.extend(inventory.unused.iter().map(|(why, n)| match n {
        1 => format!("1 picture is not used ({why})"),
        _ => format!("{n} pictures are not used ({why})"),
    }));
    if !parts.is_empty() {
        let n = inventory.entries;
        tracing::warn!("of {n} entries some are left out: {}; `inventory.json` has all", parts.join("; "));
    }
    if !inventory.empty.is_empty() {
        tracing::warn!(
            "no picture is in {}: such a folder is no class",
            listed(inventory.empty.iter().map(String::as_str))
        );
    }
}

impl Gallery {
    /// Writes the place of each image into the inventory.
    pub(super) fn number(&mut self) {
        for entries in self.entries.values() {
            for (image, entry) in entries.iter().enumerate() {
                self.inventory.list[*entry].image = Some(image);
            }
        }
    }

    /// Leaves out images of a split, which is told in the inventory.
    pub(super) fn keep(&mut self, split: &'static str, kept: &[usize]) {
        let entries = self.entries.get_mut(split).expect("the split is one of them");
        let mut is_kept = vec![false; entries.len()];
        kept.iter().for_each(|image| is_kept[*image] = true);
        for (entry, _) in entries.iter().zip(&is_kept).filter(|(_, is_kept)| !**is_kept) {
            let entry = &mut self.inventory.list[*entry];
            (entry.split, entry.class) = (None, None);
            let why = "equal to a picture of another split";
            entry.why = Some(why.to_owned());
            *self.inventory.unused.entry(why.to_owned()).or_default() += 1;
        }
        let mut is_kept = is_kept.into_iter();
        entries.retain(|_| is_kept.next().expect("there is one for each"));
    }
}
