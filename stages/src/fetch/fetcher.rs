//! Downloads files from mirrors and URLs, and takes those of this disk. Beside `folder`, no other part of a stage uses the network or
//! the file system.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::{
    Expected, FetchAction, FetchSources, Mirror,
    folder::forget_file,
    http::{self, HttpError},
    location::Location,
    verify::{Mismatch, Verifier},
};
use crate::{
    records::Listing,
    stage::{Context, Host, Inputs, Outputs, Progress, Stage, StageError, StageId},
};

/// A fetch with the sources of its files, which are not part of its key. It has the same outputs as its action.
#[derive(Debug, Clone)]
pub struct Fetcher {
    /// The action: generated data, files known by their digests, or a folder known by its listing.
    pub action: FetchAction,
    /// The URLs of the files, and the files and folders of this disk.
    pub sources: FetchSources,
    /// The mirrors. They are tried before the URLs, in order. A mirror is asked for the last segment of the file's URL, then for
    /// its digests.
    pub mirrors: Vec<Mirror>,
    /// The folder of interrupted downloads, which can be continued, and of notes about files of this disk.
    pub partial_dir: PathBuf,
}

/// The most attempts in a row that bring no bytes.
const ATTEMPTS: u32 = 3;
/// The most attempts in all, for servers that end each answer early.
const ATTEMPTS_IN_ALL: u32 = 20;
/// The pause after the first attempt without bytes. It is twice that after the second.
const PAUSE: Duration = Duration::from_millis(200);
const CHUNK: usize = 1 << 16;

impl Stage for Fetcher {
    fn id(&self) -> StageId {
        self.action.id()
    }

    fn memory(&self, inputs: &Inputs<'_>) -> Result<u64, StageError> {
        let of_disk = self.sources.files.values().map(|file| file.size).sum();
        Ok(self.action.memory(inputs)?.saturating_sub(of_disk).max(64 << 20))
    }

    fn listing(&self) -> Option<&Listing> {
        self.sources.folder.as_ref().map(|folder| folder.listing())
    }

    fn forget(&self) {
        if let Some(folder) = &self.sources.folder {
            folder.forget(&self.partial_dir);
        }
        self.sources.files.values().for_each(|file| forget_file(&file.path, &self.partial_dir));
    }

    fn run(&self, inputs: &Inputs<'_>, context: &Context<'_>) -> Result<Outputs, StageError> {
        let files = match (&self.action, &self.sources.folder) {
            (FetchAction::Folder(_), Some(folder)) => return Ok(folder.outputs(&self.partial_dir)),
            (FetchAction::Files(files), _) => files,
            _ => return self.action.run(inputs, context),
        };
        let total = files.iter().map(|file| file.size).fold(0, u64::saturating_add);
        let mut outputs = Outputs::default();
        let mut done = 0;
        for file in files {
            if let Some(known) = self.sources.files.get(&file.name) {
                outputs.insert_known(&file.name, known.clone());
                continue;
            }
            // Without a digest, any bytes would be accepted.
            let digest = file.sha256.as_deref().or(file.blake3.as_deref());
            let digest = digest.ok_or_else(|| StageError::failed(format!("`{}` has no digest", file.name)))?;
            let transfer = Transfer {
                file,
                partial: self.partial_dir.join(format!("{digest}.partial")),
                host: context.host,
                done,
                total,
            };
            outputs.insert(&file.name, self.fetch(&transfer)?);
            done += file.size;
        }
        Ok(outputs)
    }
}

impl Fetcher {
    fn fetch(&self, transfer: &Transfer<'_>) -> Result<Vec<u8>, StageError> {
        let name = &transfer.file.name;
        let mut failures = Vec::new();
        let mut is_wrong = false;
        let mut cause = None;
        let url = self.sources.urls.get(name);
        let location = url.map(|url| url.parse::<Location>());
        for (url, is_mirror) in self.places(transfer.file, location.as_ref().and_then(|url| url.as_ref().ok())) {
            match transfer.from(&url) {
                Ok(bytes) => return Ok(bytes),
                Err(SourceError::Interrupted) => return Err(StageError::Interrupted),
                Err(SourceError::Absent(_)) if is_mirror => tracing::debug!("`{name}` is not at the mirror `{url}`"),
                Err(error) => {
                    tracing::warn!("`{name}` cannot be fetched from `{url}`: {error}");
                    is_wrong |= matches!(error, SourceError::Wrong(_));
                    failures.push(format!("from `{url}`: {error}"));
                    cause = Some(error);
                }
            }
        }
        if let (Some(url), Some(Err(error))) = (url, &location) {
            failures.push(format!("from `{url}`: {error}"));
        }
        if failures.is_empty() {
            failures.push("there is no URL for it, and no mirror has it".to_owned());
        }
        let hint = if is_wrong {
            "the file there is damaged or a different one: compare size and digest in the pipeline file with the \
             publisher's, or remove it from the mirror; nothing was stored"
        } else {
            "check the connection and the URL, or put the file into a folder and set PIPE_MIRRORS=file:///folder"
        };
        Err(StageError::Environment {
            message: format!("`{name}` cannot be fetched {}", failures.join("; ")),
            hint: Some(hint.to_owned()),
            source: cause.and_then(SourceError::into_cause),
        })
    }

    /// Returns the places to look for a file, and whether each is a mirror.
    fn places(&self, file: &Expected, url: Option<&Location>) -> Vec<(Location, bool)> {
        let name = url.and_then(Location::name);
        let names: Vec<&str> = [name, file.sha256.as_deref(), file.blake3.as_deref()].into_iter().flatten().collect();
        let mirrored = self.mirrors.iter().flat_map(|mirror| names.iter().filter_map(|name| mirror.file(name)));
        mirrored.map(|place| (place, true)).chain(url.map(|url| (url.clone(), false))).collect()
    }
}

/// Why a source did not have the file.
#[derive(Debug, thiserror::Error)]
enum SourceError {
    #[error("{0}")]
    Absent(String),
    #[error("{0}")]
    Unreachable(String),
    #[error(transparent)]
    Wrong(#[from] Mismatch),
    #[error("`{path}` cannot be used")]
    Disk { path: PathBuf, source: io::Error },
    #[error("interrupted")]
    Interrupted,
}

impl SourceError {
    fn into_cause(self) -> Option<Box<dyn std::error::Error + Send + Sync>> {
        match self {
            Self::Disk { source, .. } => Some(Box::new(source)),
            _ => None,
        }
    }
}

/// Why one request did not end with the file.
enum Attempt {
    /// Another attempt may succeed.
    Passing {
        why: String,
        /// Whether any bytes came.
        came: bool,
    },
    /// The bytes of an earlier download do not fit those that came. They have been removed.
    Stale(Mismatch),
    Final(SourceError),
}

impl From<SourceError> for Attempt {
    fn from(error: SourceError) -> Self {
        Self::Final(error)
    }
}

/// The transfer of one file.
struct Transfer<'a> {
    file: &'a Expected,
    /// The file with the bytes that came so far.
    partial: PathBuf,
    host: &'a dyn Host,
    /// The bytes of the files before this one.
    done: u64,
    /// The bytes of all files.
    total: u64,
}

impl Transfer<'_> {
    fn from(&self, location: &Location) -> Result<Vec<u8>, SourceError> {
        match location.path() {
            Some(path) => self.copy(&path),
            None => self.download(&location.to_string()),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a fetch may read `file://` sources, and checks their bytes")]
    fn copy(&self, path: &Path) -> Result<Vec<u8>, SourceError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => SourceError::Absent("there is no such file".to_owned()),
            _ => SourceError::Disk { path: path.to_owned(), source },
        };
        let mut file = File::open(path).map_err(failed)?;
        let mut verifier = Verifier::new(self.file);
        let mut chunk = vec![0; CHUNK];
        loop {
            self.check_interrupted()?;
            match file.read(&mut chunk) {
                Ok(0) => return Ok(verifier.finish()?),
                Ok(n) => verifier.update(&chunk[..n])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
            self.report(verifier.len());
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a server that does not answer gets time before the next attempt")]
    fn download(&self, url: &str) -> Result<Vec<u8>, SourceError> {
        let agent = http::agent();
        let (mut fruitless, mut was_stale) = (0, false);
        for attempt in 1.. {
            match self.attempt(&agent, url) {
                Ok(bytes) => return Ok(bytes),
                Err(Attempt::Final(error)) => return Err(error),
                Err(Attempt::Stale(mismatch)) if was_stale => return Err(mismatch.into()),
                Err(Attempt::Stale(mismatch)) => {
                    tracing::warn!(
                        "an interrupted download of `{}` does not fit and starts again: {mismatch}",
                        self.file.name
                    );
                    was_stale = true;
                }
                Err(Attempt::Passing { why, came }) => {
                    fruitless = if came { 0 } else { fruitless + 1 };
                    if fruitless == ATTEMPTS || attempt >= ATTEMPTS_IN_ALL {
                        return Err(SourceError::Unreachable(format!("{why} (attempt {attempt})")));
                    }
                    tracing::debug!("`{url}`: {why}; trying again");
                    if !came {
                        thread::sleep(PAUSE * fruitless);
                    }
                }
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Makes one request for the bytes that are still missing.
    fn attempt(&self, agent: &ureq::Agent, url: &str) -> Result<Vec<u8>, Attempt> {
        let (mut partial, mut verifier) = self.open_partial()?;
        let resumed = verifier.len();
        if resumed == self.file.size {
            return self.finish(verifier, true);
        }
        self.check_interrupted()?;
        let answer = match http::get(agent, url, resumed) {
            Ok(answer) => answer,
            Err(HttpError::Range) if resumed > 0 => {
                self.remove_partial()?;
                return Err(Attempt::Stale(Mismatch::TooShort { found: resumed, expected: self.file.size }));
            }
            Err(HttpError::Range) => {
                return Err(SourceError::Unreachable("the server answers with only a part of it".to_owned()).into());
            }
            Err(HttpError::Passing(why)) => return Err(Attempt::Passing { why, came: false }),
            Err(HttpError::Final(why)) => return Err(SourceError::Absent(why).into()),
        };
        if answer.from == 0 && resumed > 0 {
            partial.set_len(0).map_err(|error| self.disk(error))?;
            verifier = Verifier::new(self.file);
        }
        let start = verifier.len();
        let mut body = answer.body;
        let mut chunk = vec![0; CHUNK];
        loop {
            self.check_interrupted()?;
            let broken = |why: String, len: u64| {
                let why = format!("the answer ended after {len} of {} bytes{why}", self.file.size);
                Attempt::Passing { why, came: len > start }
            };
            let n = match body.read(&mut chunk) {
                Ok(0) if verifier.len() < self.file.size => return Err(broken(String::new(), verifier.len())),
                Ok(0) => return self.finish(verifier, start > 0),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken(format!(": {error}"), verifier.len())),
            };
            if let Err(mismatch) = verifier.update(&chunk[..n]) {
                return Err(self.refuse(mismatch, start > 0)?);
            }
            partial.write_all(&chunk[..n]).map_err(|error| self.disk(error))?;
            self.report(verifier.len());
        }
    }

    /// Opens the file of an earlier download, to append to it.
    #[expect(
        clippy::disallowed_methods,
        reason = "an interrupted download continues where it ended; its bytes are checked"
    )]
    fn open_partial(&self) -> Result<(File, Verifier<'_>), SourceError> {
        if let Some(folder) = self.partial.parent() {
            fs::create_dir_all(folder).map_err(|error| self.disk(error))?;
        }
        let open = || OpenOptions::new().read(true).append(true).create(true).open(&self.partial);
        let mut partial = match open() {
            // Another user of the store began it, and this one may not go on.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.remove_partial()?;
                open()
            }
            opened => opened,
        }
        .map_err(|error| self.disk(error))?;
        let mut verifier = Verifier::new(self.file);
        let mut chunk = vec![0; CHUNK];
        loop {
            match partial.read(&mut chunk) {
                Ok(0) => return Ok((partial, verifier)),
                Ok(n) => {
                    if verifier.update(&chunk[..n]).is_err() {
                        partial.set_len(0).map_err(|error| self.disk(error))?;
                        return Ok((partial, Verifier::new(self.file)));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.disk(error)),
            }
        }
    }

    fn finish(&self, verifier: Verifier<'_>, resumed: bool) -> Result<Vec<u8>, Attempt> {
        match verifier.finish() {
            Ok(bytes) => {
                self.remove_partial()?;
                Ok(bytes)
            }
            Err(mismatch) => Err(self.refuse(mismatch, resumed)?),
        }
    }

    /// Removes the bytes that came. If some are from an earlier download, those may be the wrong ones.
    fn refuse(&self, mismatch: Mismatch, resumed: bool) -> Result<Attempt, SourceError> {
        self.remove_partial()?;
        Ok(if resumed { Attempt::Stale(mismatch) } else { Attempt::Final(mismatch.into()) })
    }

    #[expect(clippy::disallowed_methods, reason = "a download that is complete or wrong is not continued")]
    fn remove_partial(&self) -> Result<(), SourceError> {
        fs::remove_file(&self.partial).map_err(|error| self.disk(error))
    }

    fn disk(&self, source: io::Error) -> SourceError {
        SourceError::Disk { path: self.partial.clone(), source }
    }

    fn check_interrupted(&self) -> Result<(), SourceError> {
        if self.host.interrupted() { Err(SourceError::Interrupted) } else { Ok(()) }
    }

    fn report(&self, bytes: u64) {
        let unit = "bytes".to_owned();
        self.host.progress(&Progress { done: self.done + bytes, total: self.total, unit, ..Progress::default() });
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make the files that are fetched")]
mod tests;
