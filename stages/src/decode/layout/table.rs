//! Pictures with a table of their classes.

use std::collections::BTreeMap;

use crate::{
    containers::nfc,
    decode::{
        chosen::{Chosen, Item, Published, listed, pictures},
        params::Table,
        scan::Scan,
    },
    records::Verdict,
    stage::StageError,
};

/// The most mistakes that are named.
const NAMED: usize = 100;

pub(super) fn choose(table: &Table, scan: &Scan) -> Result<Chosen, StageError> {
    let Some((path, bytes)) = &scan.table else {
        let files =
            scan.entries.iter().filter(|entry| entry.verdict == Verdict::NotAPicture).map(|entry| entry.path.as_str());
        let hint = format!("the files that are not pictures are {}", listed(files));
        return Err(StageError::failed_with_hint(format!("there is no table `{}`", table.csv), hint));
    };
    let rows = Rows::read(table, path, bytes)?;
    let files = Files::of(scan, path);
    let mut chosen = Chosen::default();
    let mut known: BTreeMap<usize, usize> = BTreeMap::new();
    let (mut mistakes, mut unlabelled) = (Vec::new(), Vec::new());
    for row in rows.0 {
        let line = row.line;
        let entry = match files.find(&row.file) {
            Ok(entry) => entry,
            Err(why) => {
                mistakes.push(format!("line {line}: {why}"));
                continue;
            }
        };
        if row.label.is_empty() {
            unlabelled.push(entry);
            continue;
        }
        let item = Item {
            entry,
            class: row.label,
            published: row.published,
            group: row.group,
            order: scan.entries[entry].path.clone(),
        };
        match known.get(&entry) {
            // Tables of boxes have a row for each.
            Some(first) if chosen.items[*first] == item => {}
            Some(first) => {
                let first = &chosen.items[*first];
                let (found, before) = match (first.class != item.class, first.published != item.published) {
                    (true, _) => (format!("`{}`", item.class), format!("`{}`", first.class)),
                    (false, true) => ("in one split".to_owned(), "in another".to_owned()),
                    (false, false) => {
                        let group =
                            |item: &Item| format!("in the group `{}`", item.group.as_deref().unwrap_or_default());
                        (group(&item), group(first))
                    }
                };
                mistakes.push(format!("line {line}: `{}` is {found} here, and {before} before", row.file));
            }
            None => {
                known.insert(entry, chosen.items.len());
                chosen.items.push(item);
            }
        }
    }
    if !mistakes.is_empty() {
        let n = mistakes.len();
        let more = n.checked_sub(NAMED).filter(|more| *more > 0);
        mistakes.truncate(NAMED);
        mistakes.extend(more.map(|more| format!("and {more} more")));
        return Err(StageError::failed_with_hint(
            format!("the table `{path}` does not fit the pictures in {n} lines:\n  {}", mistakes.join("\n  ")),
            "correct the table; if it is in an archive, put a corrected copy beside it: `Fetch(Files([..]))` reads several files as one source",
        ));
    }
    for entry in unlabelled {
        if known.contains_key(&entry) {
            continue;
        }
        chosen.unused.insert(entry, "no label in the table".to_owned());
    }
    for entry in pictures(scan).filter(|entry| !known.contains_key(entry)) {
        chosen.unused.entry(entry).or_insert_with(|| "not in the table".to_owned());
    }
    Ok(chosen)
}

struct Row {
    line: u64,
    file: String,
    label: String,
    published: Published,
    group: Option<String>,
}

/// The rows of a table.
struct Rows(Vec<Row>);

impl Rows {
    fn read(table: &Table, path: &str, bytes: &[u8]) -> Result<Self, StageError> {
        let wrong = |why: String| StageError::failed(format!("the table `{path}`: {why}"));
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            StageError::failed_with_hint(
                format!("the table `{path}`: line {line} is not UTF-8"),
                "save it as UTF-8: `iconv -f latin1 -t utf-8 OLD > NEW`",
            )
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let wanted: Vec<&str> = [Some(&table.file), Some(&table.label), table.split.as_ref(), table.group.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let reader = |delimiter| csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
        let titles = |delimiter| -> Vec<String> {
            let titles = reader(delimiter).headers().cloned().unwrap_or_default();
            titles.iter().map(|title| title.trim().to_owned()).collect()
        };
        let has_all = |delimiter: &u8| {
            let titles = titles(*delimiter);
            wanted.iter().all(|column| titles.iter().any(|title| title == column))
        };
        let Some(delimiter) = [b',', b';', b'\t'].into_iter().find(has_all) else {
            let found = [b',', b';', b'\t'].into_iter().map(titles).max_by_key(Vec::len).unwrap_or_default();
            let missing = wanted.iter().copied().filter(|column| !found.iter().any(|title| title == column));
            let message = format!("the table `{path}` has no column {}", listed(missing));
            let hint = format!("its columns are {}", listed(found.iter().map(String::as_str)));
            return Err(StageError::failed_with_hint(message, hint));
        };
        let titles = titles(delimiter);
        let column = |name: &str| titles.iter().position(|title| title == name).expect("the table has it");
        let (file, label) = (column(&table.file), column(&table.label));
        let (split, group) = (table.split.as_deref().map(column), table.group.as_deref().map(column));
        let mut rows = Vec::new();
        for record in reader(delimiter).into_records() {
            let record = record.map_err(|error| wrong(error.to_string()))?;
            let line = record.position().map_or(0, csv::Position::line);
            let cell = |column: usize| nfc(record.get(column).unwrap_or_default().trim());
            let published = match split {
                None => Published::Any,
                Some(split) => published(&cell(split)).ok_or_else(|| {
                    let title = &titles[split];
                    wrong(format!(
                        "line {line}, column `{title}`: found `{}`, expected `train`, `validation` or `test`",
                        cell(split).escape_debug()
                    ))
                })?,
            };
            rows.push(Row { line, file: cell(file), label: cell(label), published, group: group.map(cell) });
        }
        let has_test = rows.iter().any(|row| row.published == Published::Test);
        if let (Some(split), Some(_), true) = (split, &table.test, has_test) {
            let title = &titles[split];
            return Err(StageError::failed_with_hint(
                format!("the table `{path}` has test pictures in its column `{title}`, and `test` is a share"),
                "leave out `test`, or `split`",
            ));
        }
        if table.test.is_some() {
            rows.iter_mut()
                .filter(|row| row.published == Published::Train)
                .for_each(|row| row.published = Published::Any);
        } else if !has_test {
            return Err(StageError::failed_with_hint(
                format!("the table `{path}` has no test pictures"),
                "take a share of the others: `test: Share(0.15)`",
            ));
        }
        Ok(Self(rows))
    }
}

/// Returns the split that a table means.
fn published(cell: &str) -> Option<Published> {
    match cell.to_lowercase().as_str() {
        "train" | "training" => Some(Published::Train),
        "validation" | "valid" | "val" | "dev" => Some(Published::Validation),
        "test" | "testing" => Some(Published::Test),
        _ => None,
    }
}

/// The pictures of a source, by their names without folders and endings.
struct Files<'s> {
    scan: &'s Scan,
    by_stem: BTreeMap<&'s str, Vec<usize>>,
    /// The folder of the table, with a slash.
    beside: &'s str,
}

impl<'s> Files<'s> {
    fn of(scan: &'s Scan, table: &'s str) -> Self {
        let mut by_stem: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for entry in pictures(scan) {
            let name = scan.entries[entry].path.rsplit('/').next().unwrap_or_default();
            let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
            by_stem.entry(stem).or_default().push(entry);
            if stem != name {
                by_stem.entry(name).or_default().push(entry);
            }
        }
        let beside = table.rfind('/').map_or("", |slash| &table[..=slash]);
        Self { scan, by_stem, beside }
    }

    /// Returns the entry that a table calls `written`.
    fn find(&self, written: &str) -> Result<usize, String> {
        let parts: Vec<&str> = written.split(['/', '\\']).filter(|part| !matches!(*part, "" | ".")).collect();
        let Some(name) = parts.last() else { return Err("the name of the picture is empty".to_owned()) };
        let wanted = parts.join("/");
        let path = |entry: usize| self.scan.entries[entry].path.as_str();
        let candidates = self.by_stem.get(name).map_or(&[][..], Vec::as_slice);
        let without_ending = |path: &'s str| path.rsplit_once('.').map_or(path, |(stem, _)| stem);
        for place in [format!("{}{wanted}", self.beside), wanted.clone()] {
            let is_there = |entry: &&usize| path(**entry) == place || without_ending(path(**entry)) == place;
            if let Some(exact) = candidates.iter().find(is_there) {
                return Ok(*exact);
            }
        }
        let end = format!("/{wanted}");
        let ends = |entry: &&usize| path(**entry).ends_with(&end) || without_ending(path(**entry)).ends_with(&end);
        let mut fits = candidates.iter().filter(ends);
        match (fits.next(), fits.next()) {
            (Some(one), None) => Ok(*one),
            (Some(one), Some(two)) => {
                Err(format!("`{written}` may be `{}` or `{}`: write more of the path", path(*one), path(*two)))
            }
            (None, _) => Err(format!("there is no picture `{written}`")),
        }
    }
}
