//! Removes from a remote what no study needs any more, in two phases and without locks.
//!
//! The first phase writes a *mark*: a list of what nothing named at that time. The second, at least the grace period later, removes what is
//! on the list, what nothing names even then, and what has not been written since. A push that finds something of it sends it again, so
//! it is newer than the mark.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    time::Duration,
};

use pipe_store::{ActionKey, Digest};
use serde::{Deserialize, Serialize};

use crate::{
    bucket::{Bucket, Listed},
    closure::{Closure, read_closure},
    error::{RemoteError, Result},
    format::check_format,
    layout,
    meter::{Meter, all},
    studies::{self, RemoteStudy},
};

/// How a remote is cleaned up.
#[derive(Debug, Clone, Copy)]
pub struct GcOptions {
    /// How many studies of each name stay. `None` for all.
    pub keep_last: Option<usize>,
    /// How old something must be, and how long it must have been on a list.
    pub grace: Duration,
    /// Whether nothing is changed.
    pub dry: bool,
    /// The time, in seconds since 1970.
    pub now: u64,
}

/// What a collection does, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GcDone {
    /// The studies that lose their names.
    pub forgotten: Vec<RemoteStudy>,
    /// The files that are removed, which an earlier collection has marked.
    pub removed: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// The files that are marked now, to be removed by a collection after the grace period.
    pub marked: u64,
    /// Their bytes.
    pub marked_bytes: u64,
    /// When marked files can be removed at the earliest, in seconds since 1970.
    pub due: Option<u64>,
}

/// A mark. The fields are sorted.
#[derive(Serialize, Deserialize)]
struct Mark {
    at: u64,
    files: BTreeSet<String>,
    format: u32,
}

/// The most bytes of a mark. A million files have about 100 MB.
const LONGEST: u64 = 1 << 30;

/// Cleans up a remote.
///
/// # Errors
/// If it cannot be listed, read or written, or if a closure is damaged: then it is not known what is needed, and nothing is removed.
pub(crate) async fn collect(bucket: &Bucket, options: GcOptions) -> Result<GcDone> {
    check_format(bucket, false).await?;
    let mut done = GcDone::default();
    let mut by_name: BTreeMap<String, Vec<RemoteStudy>> = BTreeMap::new();
    for study in studies::list(bucket).await? {
        by_name.entry(study.name.clone()).or_default().push(study);
    }
    let mut kept = BTreeSet::new();
    for studies in by_name.into_values() {
        let first = studies.len() - options.keep_last.unwrap_or(studies.len()).min(studies.len());
        kept.extend(studies[first..].iter().map(|study| study.study));
        done.forgotten.extend(studies.into_iter().take(first));
    }
    if !options.dry {
        // The names go first, so that nobody pulls what will be removed.
        for study in &done.forgotten {
            for listed in bucket.list(&layout::studies_of(&study.name)).await? {
                if layout::parse_study(&listed.path).is_some_and(|(_, _, hash)| hash == study.study) {
                    bucket.delete(&listed.path).await?;
                }
            }
        }
    }
    let needed = needed(bucket, &kept).await?;
    let mut files: BTreeMap<String, Listed> = BTreeMap::new();
    // The same folders as in `needed`. Everything else stays.
    for folder in ["actions", "closures", "objects", "signatures"] {
        files.extend(bucket.list(folder).await?.into_iter().map(|listed| (listed.path.clone(), listed)));
    }
    let is_old = |listed: &Listed, than: u64| listed.modified < than;
    let before = options.now.saturating_sub(options.grace.as_secs());
    let (mut going, mut marked): (BTreeSet<String>, BTreeSet<String>) = Default::default();
    for (Listed { path, modified, .. }, mark) in marks(bucket).await? {
        if mark.at > before {
            let due = mark.at + options.grace.as_secs();
            done.due = Some(done.due.map_or(due, |other| other.min(due)));
            marked.extend(mark.files);
            continue;
        }
        // What was written after the mark was made may be needed by a push that has not come to its end. Both times are those of the
        // server, whose clock may differ.
        let is_spent = |file: &&String| files.get(*file).is_some_and(|listed| is_old(listed, modified));
        going.extend(mark.files.iter().filter(is_spent).filter(|file| !needed.contains(*file)).cloned());
        if !options.dry {
            remove(bucket, &going).await?;
            bucket.delete(&path).await?;
        }
    }
    let bytes =
        |paths: &BTreeSet<String>| paths.iter().filter_map(|path| files.get(path)).map(|listed| listed.length).sum();
    (done.removed, done.removed_bytes) = (going.len() as u64, bytes(&going));
    let is_new = |path: &String| !needed.contains(path) && !going.contains(path) && !marked.contains(path);
    let new =
        files.iter().filter(|(path, listed)| is_new(path) && is_old(listed, before)).map(|(path, _)| path.clone());
    let new: BTreeSet<_> = new.collect();
    (done.marked, done.marked_bytes) = (new.len() as u64, bytes(&new));
    if !new.is_empty() {
        let due = options.now + options.grace.as_secs();
        done.due = Some(done.due.map_or(due, |other| other.min(due)));
        if !options.dry {
            let mark = Mark { at: options.now, files: new, format: 1 };
            let json = serde_json::to_vec(&mark).expect("a mark is plain data");
            let bytes = zstd::bulk::compress(&json, 3).expect("memory takes all bytes");
            bucket.put(&layout::mark(options.now), bytes).await?;
        }
    }
    Ok(done)
}

/// Returns the files that the kept studies need.
async fn needed(bucket: &Bucket, kept: &BTreeSet<Digest>) -> Result<BTreeSet<String>> {
    let jobs = kept.iter().map(|hash| async move {
        // A study without a closure cannot be pulled, but somebody may be pushing it.
        Ok(read_closure(bucket, hash).await?.map(|closure| (*hash, closure)))
    });
    let closures = all(jobs, &Meter::default(), &mut |_| ()).await?;
    let mut needed = BTreeSet::new();
    for (hash, Closure { objects, results, failures, .. }) in closures.into_iter().flatten() {
        needed.insert(layout::closure(&hash));
        needed.extend(objects.iter().map(|(digest, held)| layout::object(digest, held.stored().encoding)));
        let keys: BTreeSet<&ActionKey> = results.keys().chain(failures.keys()).collect();
        needed.extend(keys.into_iter().map(layout::action));
    }
    // Signatures stand and fall with what they sign.
    for listed in bucket.list("signatures").await? {
        let signed = layout::signed(&listed.path);
        if signed.is_some_and(|path| needed.contains(&path)) {
            needed.insert(listed.path);
        }
    }
    Ok(needed)
}

/// Returns the marks with their files.
async fn marks(bucket: &Bucket) -> Result<Vec<(Listed, Mark)>> {
    let mut marks = Vec::new();
    for listed in bucket.list(layout::MARKS).await? {
        let Some(bytes) = bucket.get(&listed.path, LONGEST).await? else { continue };
        let mark = read_mark(&bytes);
        let (remote, path) = (bucket.name.clone(), listed.path.clone());
        marks.push((listed, mark.map_err(|reason| RemoteError::Damaged { remote, path, reason })?));
    }
    Ok(marks)
}

fn read_mark(bytes: &[u8]) -> Result<Mark, String> {
    let decoder = zstd::Decoder::new(bytes).map_err(|error| error.to_string())?;
    let mark: Mark = serde_json::from_reader(decoder.take(LONGEST)).map_err(|error| error.to_string())?;
    if mark.format == 1 { Ok(mark) } else { Err(format!("format {} is not 1", mark.format)) }
}

/// Returns the objects that a collection has marked. A push sends them again.
pub(crate) async fn marked_objects(bucket: &Bucket) -> Result<BTreeSet<String>> {
    Ok(marks(bucket).await?.into_iter().flat_map(|(_, mark)| mark.files).collect())
}

/// Removes files: results before the objects that they name.
async fn remove(bucket: &Bucket, paths: &BTreeSet<String>) -> Result<()> {
    let (records, objects): (Vec<_>, Vec<_>) = paths.iter().partition(|path| !path.starts_with("objects/"));
    for part in [records, objects] {
        all(part.into_iter().map(|path| bucket.delete(path)), &Meter::default(), &mut |_| ()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::{self, Watched, check_clean, files, remote, store, study};

    const GRACE: Duration = Duration::from_secs(1000);

    /// Returns the options of a collection `later` seconds from now: a place in memory has the clock of the machine.
    fn options(keep_last: Option<usize>, later: u64) -> GcOptions {
        let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
        GcOptions { keep_last, grace: GRACE, dry: false, now: now + later }
    }

    #[test]
    fn what_nothing_needs_goes_after_it_was_marked_and_the_grace_period_is_over() {
        let (_folder, from) = store();
        let place = Arc::new(Watched::default());
        let remote = remote(&place);
        study(&from, "t", 1);
        remote.push(&from, Some("t"), &testing::options(50), &mut |_| ()).unwrap();
        study(&from, "s", 3);
        remote.push(&from, Some("s"), &testing::options(100), &mut |_| ()).unwrap();
        let latest = study(&from, "s", 2);
        remote.push(&from, Some("s"), &testing::options(200), &mut |_| ()).unwrap();
        let all = files(&place).len();
        std::thread::sleep(Duration::from_millis(1100));
        let collect = |options| remote.collect(options).unwrap();
        assert_eq!(collect(options(None, 5000)), GcDone::default(), "all studies stay");
        let dry = collect(GcOptions { dry: true, ..options(Some(1), 5000) });
        assert_eq!(files(&place).len(), all);
        assert_eq!(dry.forgotten.len(), 1);
        // The study, its closure, and of the third training the action, its result, tree, weights, score and log.
        let marked = collect(options(Some(1), 5000));
        assert_eq!((marked.removed, marked.marked), (0, dry.marked));
        assert_eq!(dry.marked, 8);
        assert_eq!(files(&place).len(), all - 1 + 1, "a name goes, and a mark comes");
        let early = collect(options(Some(1), 5500));
        assert_eq!((early.removed, early.marked), (0, 0), "they are marked already");
        assert_eq!(early.due, marked.due);
        let done = collect(options(Some(1), 6001));
        assert_eq!((done.removed, done.marked, done.due), (8, 0, None));
        check_clean(&place);
        let (_other, to) = store();
        assert_eq!(remote.pull(&to, "s", testing::at(1), &mut |_| ()).unwrap().study, latest);
        remote.pull(&to, "t", testing::at(1), &mut |_| ()).unwrap();
        assert_eq!(collect(options(Some(1), 99_999)), GcDone::default());
    }

    #[test]
    fn what_is_pushed_again_after_it_was_marked_stays() {
        let (_folder, from) = store();
        let place = Arc::new(Watched::default());
        let remote = remote(&place);
        let long = study(&from, "s", 3);
        remote.push(&from, Some("s"), &testing::options(100), &mut |_| ()).unwrap();
        study(&from, "s", 2);
        remote.push(&from, Some("s"), &testing::options(200), &mut |_| ()).unwrap();
        // The clock of the place is behind, as if the mark was made just before everything was written.
        let mark = options(Some(1), 1001);
        assert!(remote.collect(mark).unwrap().marked > 0);
        study(&from, "s", 3);
        remote.push(&from, Some("s"), &testing::options(300), &mut |_| ()).unwrap();
        remote.collect(options(None, 2002)).unwrap();
        check_clean(&place);
        let (_other, to) = store();
        assert_eq!(remote.pull(&to, "s", testing::at(1), &mut |_| ()).unwrap().study, long);
    }

    #[test]
    fn nothing_is_removed_if_a_closure_is_damaged() {
        let (_folder, from) = store();
        let place = Arc::new(Watched::default());
        let remote = remote(&place);
        let hash = study(&from, "s", 1);
        remote.push(&from, None, &testing::options(100), &mut |_| ()).unwrap();
        testing::block(async {
            let path = object_store::path::Path::from(layout::closure(&hash));
            object_store::ObjectStoreExt::put(&place.inner, &path, b"x".to_vec().into()).await.unwrap();
        });
        let before = files(&place);
        assert!(matches!(remote.collect(options(Some(1), 5000)), Err(RemoteError::Damaged { .. })));
        assert!(files(&place) == before);
    }
}
