//! The files of a project that a program needs, as they are when a pipeline is planned.

use std::{
    fs,
    path::{Component, Path},
};

use pipe_store::check_path;

use super::{
    Snapshot,
    look::{DiskError, Look},
    seen::Seen,
    walk::{self, Found, Walked},
};

/// Why a file or a folder of a project cannot be used. The text follows the path, as in "`../train.py` leaves the folder ..".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProjectError {
    /// It is outside of the folder of the pipeline file.
    #[error("leaves the folder of the pipeline file")]
    Outside,
    /// It is in the folder, and leads out of it or to another folder.
    #[error("has a link that leads elsewhere: `{0}`")]
    Link(String),
    /// It is in the folder, and is neither a file, a folder nor a link.
    #[error("has something that is neither a file nor a folder: `{0}`")]
    Other(String),
    /// The name of a file cannot be used everywhere.
    #[error("has a file whose name cannot be used: {0}")]
    Name(String),
    /// It cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Snapshot {
    /// Returns the files and folders at these paths, which are relative to `root`. What Python and Git keep beside the files is not
    /// among them: `__pycache__`, files that end with `.pyc`, `.git` and `.ipynb_checkpoints`.
    ///
    /// # Errors
    /// For each path that cannot be used: its index, and why.
    pub fn of_project(root: &Path, paths: &[String], look: &Look<'_>) -> Result<Self, Vec<(usize, ProjectError)>> {
        let mut errors = Vec::new();
        // The folder of `pipeline.ron` is the empty path.
        let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
        let whole = match fs::canonicalize(root) {
            Ok(whole) => whole,
            Err(error) => return Err(vec![(0, DiskError::Unreadable(vec![error.to_string()]).into())]),
        };
        let mut all =
            Walked { root: whole, files: Vec::new(), empty: Vec::new(), links: Vec::new(), others: Vec::new() };
        // The notes of a project are apart from those of the same folder as data.
        let notes = all.root.join(format!("files {}", paths.join("\0")));
        let walk = || {
            for (index, path) in paths.iter().enumerate() {
                if let Err(error) = add(&mut all, path, look) {
                    errors.push((index, error));
                }
            }
        };
        // Of many files, both take about as long.
        let (seen, ()) = rayon::join(|| Seen::load(look.notes, &notes), walk);
        if !errors.is_empty() {
            return Err(errors);
        }
        all.files.sort_by(|a, b| a.name.cmp(&b.name));
        all.files.dedup_by(|a, b| a.name == b.name);
        Self::of_walked(all, seen, look, true).map_err(|error| vec![(0, error.into())])
    }
}

fn add(all: &mut Walked, path: &str, look: &Look<'_>) -> Result<(), ProjectError> {
    let plain = plain(path).ok_or(ProjectError::Outside)?;
    let place = all.root.join(&plain);
    let cannot = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => DiskError::Absent,
        _ => DiskError::Unreadable(vec![error.to_string()]),
    };
    let whole = fs::canonicalize(&place).map_err(cannot)?;
    if !whole.starts_with(&all.root) {
        return Err(ProjectError::Outside);
    }
    let metadata = fs::metadata(&whole).map_err(cannot)?;
    if metadata.is_file() {
        if path.ends_with('/') {
            return Err(DiskError::NotAFolder.into());
        }
        let file = Found::of(plain, whole, &metadata);
        check_path(&file.name).map_err(|error| ProjectError::Name(error.to_string()))?;
        all.files.push(file);
        return Ok(());
    }
    let walked = walk::walk(&whole, look, &is_ignored)?;
    let inside = |name: &str| if plain.is_empty() { name.to_owned() } else { format!("{plain}/{name}") };
    if let Some(link) = walked.links.first() {
        return Err(ProjectError::Link(inside(link)));
    }
    if let Some(other) = walked.others.first() {
        return Err(ProjectError::Other(inside(other)));
    }
    for file in walked.files {
        let file = Found { name: inside(&file.name), ..file };
        check_path(&file.name).map_err(|error| ProjectError::Name(error.to_string()))?;
        all.files.push(file);
    }
    Ok(())
}

/// Returns the parts of a relative path that matter, or `None` if it is absolute or leaves its folder.
fn plain(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_str()?),
            _ => return None,
        }
    }
    Some(parts.join("/"))
}

/// Returns whether a name in a folder is passed over.
fn is_ignored(name: &str) -> bool {
    matches!(name, "__pycache__" | ".git" | ".ipynb_checkpoints") || name.ends_with(".pyc")
}
