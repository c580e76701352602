//! Writes the views of a study as plain files: the report and the pictures.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use pipe_engine::study::{self, Found, Study, StudyError};
use pipe_store::{Digest, ObjectSource, Store, StoreError};
use pipe_views::{ViewError, findings::Findings, report};

use crate::publish::{ExistingFolder, Folder, PublishError, is_stage};

/// The paths of the views of a study.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Views {
    /// The report, an HTML page.
    pub(crate) report: PathBuf,
    /// The folder of the pictures, if there are any.
    pub(crate) pictures: Option<PathBuf>,
    /// What the study found.
    pub(crate) findings: Findings,
}

/// Why views could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ViewsError {
    #[error(transparent)]
    View(#[from] ViewError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl ViewsError {
    /// Returns the object that is at a remote, if that is why.
    pub(crate) fn promised(&self) -> Option<Digest> {
        match self {
            Self::Store(StoreError::Promised { name, .. })
            | Self::View(
                ViewError::Store(StoreError::Promised { name, .. })
                | ViewError::Study(StudyError::Store(StoreError::Promised { name, .. })),
            ) => Some(*name),
            _ => None,
        }
    }
}

/// Writes the views of a study to the folder of the store. Existing views are not written again, because they depend only on the
/// study and on the version of the program.
pub(crate) fn write(store: &Store, name: &str, hash: &Digest, study: &Study) -> Result<Views, ViewsError> {
    write_over(store, name, hash, study, false)
}

/// Writes the views of a study again wherever they are, after something that they show has changed beside the study.
pub(crate) fn refresh(store: &Store, hash: &Digest, study: &Study) -> Result<(), ViewsError> {
    let ending = folder_name("", hash);
    for entry in fs::read_dir(store.root().join(FOLDER)).into_iter().flatten().flatten() {
        let folder = entry.file_name();
        if let Some(name) =
            folder.to_str().and_then(|folder| folder.strip_suffix(&ending)).filter(|name| !name.is_empty())
        {
            write_over(store, name, hash, study, true)?;
        }
    }
    Ok(())
}

fn write_over(store: &Store, name: &str, hash: &Digest, study: &Study, again: bool) -> Result<Views, ViewsError> {
    let folder = store.root().join(FOLDER).join(folder_name(name, hash));
    let report = folder.join("report.html");
    let pictures = pictures(store, study)?;
    let views = |findings| Views {
        report: report.clone(),
        pictures: (!pictures.is_empty()).then(|| folder.join("pictures")),
        findings,
    };
    // Of a large study, reading the findings again takes longer than the rest of a run that reuses everything.
    if let Some(findings) = (!again && up_to_date(&report)).then(|| known_findings(&folder)).flatten() {
        return Ok(views(findings));
    }
    let found = Found { name: Some(name.to_owned()), hash: *hash, study: study.clone(), open: None };
    let html = report::html(store, &found)?;
    let mut draft = Folder::new(&folder)?;
    draft.add("report.html", html.as_bytes(), &Digest::of(html.as_bytes()))?;
    let findings = Findings::of(store, &found)?;
    let record = serde_json::to_vec(&findings).expect("findings are plain data");
    draft.add(FINDINGS, &record, &Digest::of(&record))?;
    for (path, digest) in &pictures {
        draft.add(&format!("pictures/{path}"), &store.read(digest)?, digest)?;
    }
    draft.publish(ExistingFolder::Replace)?;
    store.share_with_group(&folder)?;
    Ok(views(findings))
}

/// Returns the place of the report of a study that has not come to its end. Each replaces the one before.
pub(crate) fn unfinished(store: &Store, found: &Found) -> PathBuf {
    let name = found.name.as_deref().unwrap_or("study");
    store.root().join(FOLDER).join(format!("{name}-unfinished")).join("report.html")
}

/// Returns what a study found, from the folder of its views if it is there.
pub(crate) fn findings(store: &Store, found: &Found) -> Result<Findings, ViewsError> {
    let name = found.name.as_deref().unwrap_or_default();
    let folder = store.root().join(FOLDER).join(folder_name(name, &found.hash));
    let known = up_to_date(&folder.join("report.html")).then(|| known_findings(&folder)).flatten();
    known.map_or_else(|| Ok(Findings::of(store, found)?), Ok)
}

/// The file with the findings, for the next run.
const FINDINGS: &str = "findings.json";

/// Returns the findings that were written with the views. `None` if they cannot be read, so that they are made again.
fn known_findings(folder: &Path) -> Option<Findings> {
    serde_json::from_slice(&fs::read(folder.join(FINDINGS)).ok()?).ok()
}

/// Returns the place of the page that shows two studies side by side.
pub(crate) fn comparison(store: &Store, a: &Digest, b: &Digest) -> PathBuf {
    store.root().join(FOLDER).join(DIFF).join(pair_name(a, b)).join("diff.html")
}

/// Returns the folders of views that belong to no study in `kept`, given as (name, hash), or to two of which one is not.
pub(crate) fn stale(store: &Store, kept: &BTreeSet<(String, Digest)>) -> Vec<PathBuf> {
    let names: BTreeSet<String> = kept.iter().map(|(name, hash)| folder_name(name, hash)).collect();
    let hashes: BTreeSet<Digest> = kept.iter().map(|(_, hash)| *hash).collect();
    let folder = store.root().join(FOLDER);
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_pair = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        hashes.iter().any(|a| name.starts_with(&a.short()) && hashes.iter().any(|b| *name == pair_name(a, b)))
    };
    let of_studies = entries(&folder).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name != DIFF && !names.contains(&*name)
    });
    let of_pairs = entries(&folder.join(DIFF)).filter(|path| !is_pair(path));
    let mut stale: Vec<_> = of_studies.chain(of_pairs).filter(|path| !is_stage(path)).collect();
    stale.sort();
    stale
}

/// The folder of all views, within the folder of the store.
const FOLDER: &str = "reports";

/// The folder of the pages that show two studies, within the folder of all views.
const DIFF: &str = "diff";

fn pair_name(a: &Digest, b: &Digest) -> String {
    format!("{}-{}", a.short(), b.short())
}

fn folder_name(name: &str, hash: &Digest) -> String {
    format!("{name}-{}", hash.short())
}

/// Returns whether the page exists and was written by this version.
fn up_to_date(report: &Path) -> bool {
    let version = report::GENERATOR.as_bytes();
    let head = fs::File::open(report).and_then(|file| {
        let mut head = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(file, 4096), &mut head)?;
        Ok(head)
    });
    head.is_ok_and(|head| head.windows(version.len()).any(|window| window == version))
}

/// Returns the PNG outputs of a study as (path, digest), without those of trials.
fn pictures(store: &Store, study: &Study) -> Result<Vec<(String, Digest)>, StoreError> {
    let mut pictures = Vec::new();
    for (name, node) in &study.nodes {
        if node.part_of != *name {
            continue;
        }
        let tree = study::tree_of(store, node)?;
        let files = tree.into_iter().flat_map(|tree| tree.files);
        pictures.extend(
            files
                .filter(|(path, _)| path.ends_with(".png"))
                .map(|(path, entry)| (format!("{name}/{path}"), entry.digest)),
        );
    }
    Ok(pictures)
}
