//! The first look at a source of pictures: what each entry is. Layouts decide by it, before any picture is decoded.

use pipe_store::Digest;

use crate::{
    containers::{ContentError, EntryKind, Source, is_junk},
    pictures::{self, Kind, Reading},
    records::Verdict,
    stage::{Host, Progress, StageError},
};

/// The first bytes of a file, by which it is judged.
const HEAD: usize = 4096;

/// The most bytes of a table of labels.
const TABLE: u64 = 256 << 20;

/// How many links may lead to one another.
const LINKS: usize = 8;

/// The entries of a source, sorted by path.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) entries: Vec<Scanned>,
    /// The folders, sorted.
    pub(super) folders: Vec<String>,
    /// The table that was asked for: its path and bytes.
    pub(super) table: Option<(String, Vec<u8>)>,
    /// The memory that decoding takes: of the largest picture, and of all.
    pub(super) largest: u64,
    pub(super) sum: u64,
}

/// An entry.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) path: String,
    pub(super) verdict: Verdict,
    /// What is wrong with it.
    pub(super) why: Option<String>,
    /// The digest of a picture's file.
    pub(super) digest: Option<Digest>,
    /// The index of the entry with the content, if this is a link.
    pub(super) content: Option<usize>,
}

/// What an entry looks like before links are followed.
enum Look {
    File { kind: Kind, digest: Digest, why: String },
    Broken(String),
    Link(Option<String>),
    Other,
}

/// Looks at the entries of `source`. The file at `table`, or the only one whose path ends in it, is kept.
///
/// # Errors
/// If the source cannot be read.
pub(super) fn scan(
    source: &Source<'_, '_>,
    table: Option<&str>,
    reading: &Reading,
    host: &dyn Host,
) -> Result<Scan, StageError> {
    let mut looks: Vec<(String, Look)> = Vec::new();
    let mut scan = Scan::default();
    let mut tables: Vec<(String, Vec<u8>)> = Vec::new();
    let mut progress = Progress { unit: "entries".to_owned(), ..Progress::default() };
    source.visit(|entry| {
        progress.done += 1;
        if progress.done.is_multiple_of(1024) {
            if host.interrupted() {
                return Err(StageError::Interrupted);
            }
            host.progress(&progress);
        }
        let path = entry.path;
        let look = match entry.kind {
            EntryKind::Folder => {
                scan.folders.push(path.to_owned());
                return Ok(());
            }
            EntryKind::Link(target) => Look::Link(target),
            EntryKind::Other => Look::Other,
            EntryKind::File(content) => {
                let is_table = table.is_some_and(|table| path == table || path.ends_with(&format!("/{table}")));
                let looked = if is_table {
                    content.read(TABLE).map(|bytes| {
                        let look = file(pictures::kind(&bytes), Digest::of(&bytes), &bytes);
                        tables.push((path.to_owned(), bytes));
                        look
                    })
                } else {
                    look_at(content, reading, &mut scan)
                };
                match looked {
                    Ok(look) => look,
                    Err(ContentError::File(why)) => Look::Broken(why),
                    Err(ContentError::Container(error)) => return Err(error),
                }
            }
        };
        looks.push((path.to_owned(), look));
        Ok(())
    })?;
    if let Some(table) = table {
        let exact = tables.iter().position(|(path, _)| path == table);
        scan.table = match (exact, tables.len()) {
            (Some(exact), _) => Some(tables.swap_remove(exact)),
            (None, 0 | 1) => tables.pop(),
            (None, _) => {
                let (one, two) = (&tables[0].0, &tables[1].0);
                return Err(StageError::failed(format!("`{table}` may be `{one}` or `{two}`: write more of its path")));
            }
        };
    }
    looks.sort_by(|(a, _), (b, _)| a.cmp(b));
    scan.folders.sort_unstable();
    scan.entries = judge(looks);
    Ok(scan)
}

/// Looks at a file, and adds to the memory that decoding takes.
fn look_at(content: crate::containers::Content<'_>, reading: &Reading, scan: &mut Scan) -> Result<Look, ContentError> {
    let (digest, head, whole) = content.digest(HEAD, |head| pictures::kind(head).is_readable(), pictures::MAX_FILE)?;
    let kind = pictures::kind(&head);
    if let Some(bytes) = whole {
        let memory = bytes.len() as u64 + pictures::memory(&bytes, reading);
        scan.largest = scan.largest.max(memory);
        scan.sum += memory;
    }
    Ok(file(kind, digest, &head))
}

/// Returns the look at a file that begins with `head`.
fn file(kind: Kind, digest: Digest, head: &[u8]) -> Look {
    // Of two million entries few have something to say.
    let why = if kind.is_readable() { String::new() } else { pictures::unreadable(kind, head) };
    Look::File { kind, digest, why }
}

/// Returns the verdict on each entry, sorted by path.
fn judge(looks: Vec<(String, Look)>) -> Vec<Scanned> {
    let at_path = |path: &str| looks.binary_search_by(|(known, _)| known.as_str().cmp(path)).ok();
    let follow = |mut at: usize| {
        for _ in 0..LINKS {
            match &looks[at].1 {
                Look::Link(target) => at = at_path(target.as_deref()?)?,
                _ => return Some(at),
            }
        }
        None
    };
    let judge = |(index, (path, look)): (usize, &(String, Look))| {
        let content = matches!(look, Look::Link(_)).then(|| follow(index)).flatten();
        let (verdict, why, digest) = match content.map_or(look, |content| &looks[content].1) {
            _ if is_junk(path) => (Verdict::Junk, None, None),
            Look::Other => (Verdict::Other, None, None),
            Look::Link(_) => (Verdict::Link, None, None),
            Look::Broken(why) if content.is_none() => (Verdict::Unreadable, Some(why.clone()), None),
            Look::Broken(_) => (Verdict::Link, None, None),
            Look::File { kind, digest, .. } if kind.is_readable() => (Verdict::Picture, None, Some(*digest)),
            Look::File { kind, why, .. } if kind.is_picture() || has_picture_name(path) => {
                (Verdict::Unreadable, Some(why.clone()), None)
            }
            Look::File { .. } if content.is_some() => (Verdict::Link, None, None),
            Look::File { kind, .. } => (Verdict::NotAPicture, Some(kind.name().to_owned()), None),
        };
        (verdict, why, digest, content)
    };
    let verdicts: Vec<_> = looks.iter().enumerate().map(judge).collect();
    let paths = looks.into_iter().map(|(path, _)| path);
    let scanned = |(path, (verdict, why, digest, content))| Scanned { path, verdict, why, digest, content };
    paths.zip(verdicts).map(scanned).collect()
}

/// Returns whether a file says by its name that it is a picture, so that it is broken if it is none.
fn has_picture_name(path: &str) -> bool {
    let endings = [
        "jpg", "jpeg", "jpe", "jfif", "pjpeg", "png", "bmp", "gif", "tif", "tiff", "webp", "ppm", "pgm", "pbm", "heic",
        "avif", "jp2",
    ];
    path.rsplit_once('.').is_some_and(|(_, end)| endings.iter().any(|known| end.eq_ignore_ascii_case(known)))
}
