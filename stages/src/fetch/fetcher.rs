//! Downloads files from mirrors and URLs, and takes those of this disk. Beside `folder`, no other part of a stage uses the network or
//! the file system.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

use super::{
    Expected, FetchAction, FetchSources, Mirror, Network,
    failure::{CHUNK, Passing, SourceError, partial},
    folder::forget_file,
    http::{self, HttpError},
    location::Location,
    patience::Patience,
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
    /// The way to the network.
    pub network: Network,
}

/// The most bytes that are read of a file that is longer than expected, to tell what it is, if the server does not say how long it is.
const LONGER: u64 = 64 << 20;

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
                partial: partial(&self.partial_dir, digest),
                network: &self.network,
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
             publisher's (`pipe digest URL` prints those of the file there), or remove it from the mirror; nothing was stored"
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

/// Why one request did not end with the file.
enum Attempt {
    /// Another attempt may succeed.
    Passing(Passing),
    /// The bytes of an earlier download do not fit those that came. They have been removed.
    Stale(Mismatch),
    /// The bytes do not fit, and the server compressed them for the answer, which it was not asked to.
    Compressed(Mismatch),
    Final(SourceError),
}

impl From<SourceError> for Attempt {
    fn from(error: SourceError) -> Self {
        Self::Final(error)
    }
}

/// What is known about a source after some attempts.
#[derive(Default)]
struct Known {
    /// Whether the answers are decompressed.
    decode: bool,
    /// The length of a whole file that ended early, and of which the server did not say how long it is.
    ended_at: Option<u64>,
}

/// The transfer of one file.
struct Transfer<'a> {
    file: &'a Expected,
    /// The file with the bytes that came so far.
    partial: PathBuf,
    network: &'a Network,
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
            None => self.download(location),
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
                Ok(n) => verifier.update(&chunk[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
            self.report(verifier.len());
        }
    }

    fn download(&self, location: &Location) -> Result<Vec<u8>, SourceError> {
        let (mut patience, mut was_stale) = (Patience::new(self.network, self.host), false);
        let mut known = Known::default();
        loop {
            match self.attempt(location, &mut known) {
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
                Err(Attempt::Compressed(mismatch)) if known.decode => return Err(mismatch.into()),
                Err(Attempt::Compressed(_)) => {
                    tracing::warn!("`{location}`: the server sends it compressed, unasked; it is asked again");
                    known.decode = true;
                }
                Err(Attempt::Passing(passing)) => patience.after(passing, location)?,
            }
        }
    }

    /// Makes one request for the bytes that are still missing.
    fn attempt(&self, location: &Location, known: &mut Known) -> Result<Vec<u8>, Attempt> {
        let (mut partial, mut verifier) = self.open_partial()?;
        if verifier.len() == self.file.size {
            return self.finish(verifier, true, false);
        }
        if known.decode {
            partial.set_len(0).map_err(|error| self.disk(error))?;
            verifier = Verifier::new(self.file);
        }
        let resumed = verifier.len();
        self.check_interrupted()?;
        let expected = self.file.size;
        let stale = || {
            self.remove_partial()?;
            let why = "the server has no such part of it".to_owned();
            Ok::<_, SourceError>(Attempt::Stale(Mismatch::Stale { found: resumed, why }))
        };
        let passing = |why, came, busy| Attempt::Passing(Passing { why, came, busy });
        let answer = match http::get(self.network, location.url(), resumed, None) {
            Ok(answer) => answer,
            Err(HttpError::Range) if resumed > 0 => return Err(stale()?),
            Err(HttpError::Range) => {
                return Err(SourceError::Unreachable("the server answers with only a part of it".to_owned()).into());
            }
            Err(HttpError::Passing(why)) => return Err(passing(why, false, None)),
            Err(HttpError::Busy(why, after)) => return Err(passing(why, false, Some(after))),
            Err(HttpError::Final(why)) => return Err(SourceError::Absent(why).into()),
        };
        let total = answer.total.filter(|_| !known.decode);
        if answer.from > 0 && total.is_some_and(|total| total != expected) {
            return Err(stale()?);
        }
        if answer.from == 0 && resumed > 0 {
            partial.set_len(0).map_err(|error| self.disk(error))?;
            verifier = Verifier::new(self.file);
        }
        let start = verifier.len();
        let is_compressed = answer.is_compressed;
        // The end of a compressed stream is in the stream.
        let is_framed = answer.is_framed || known.decode;
        let mut body: Box<dyn Read + Send> =
            if known.decode { Box::new(MultiGzDecoder::new(answer.body)) } else { answer.body };
        let mut chunk = vec![0; CHUNK];
        loop {
            self.check_interrupted()?;
            let len = verifier.len();
            let broken =
                |why: &str| format!("the answer ended after {len} of {} bytes{why}", total.unwrap_or(expected));
            let n = match body.read(&mut chunk) {
                Ok(0) if len < total.unwrap_or(0) => return Err(passing(broken(""), len > start, Some(None))),
                Ok(0) if len < expected && total.is_none() && !is_framed && known.ended_at != Some(len) => {
                    // The connection may have broken. If it ends there again, that is all.
                    known.ended_at = Some(len);
                    return Err(passing(broken(""), len > start, None));
                }
                Ok(0) => return self.finish(verifier, start > 0, is_compressed),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(passing(broken(&format!(": {error}")), len > start, Some(None)));
                }
            };
            verifier.update(&chunk[..n]);
            if verifier.is_too_long() && (total.is_none() && verifier.len() > expected.saturating_add(LONGER)) {
                return Err(self.refuse(Mismatch::TooLong { expected }, start > 0, is_compressed)?);
            }
            if !verifier.is_too_long() {
                partial.write_all(&chunk[..n]).map_err(|error| self.disk(error))?;
            }
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
                    verifier.update(&chunk[..n]);
                    if verifier.is_too_long() {
                        partial.set_len(0).map_err(|error| self.disk(error))?;
                        return Ok((partial, Verifier::new(self.file)));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.disk(error)),
            }
        }
    }

    fn finish(&self, verifier: Verifier<'_>, resumed: bool, is_compressed: bool) -> Result<Vec<u8>, Attempt> {
        match verifier.finish() {
            Ok(bytes) => {
                self.remove_partial()?;
                Ok(bytes)
            }
            Err(mismatch) => Err(self.refuse(mismatch, resumed, is_compressed)?),
        }
    }

    /// Removes the bytes that came. If some are from an earlier download, those may be the wrong ones.
    fn refuse(&self, mismatch: Mismatch, resumed: bool, is_compressed: bool) -> Result<Attempt, SourceError> {
        self.remove_partial()?;
        Ok(match (resumed, is_compressed) {
            (true, _) => Attempt::Stale(mismatch),
            (_, true) => Attempt::Compressed(mismatch),
            (..) => Attempt::Final(mismatch.into()),
        })
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
        let bytes = bytes.min(self.file.size);
        self.host.progress(&Progress { done: self.done + bytes, total: self.total, unit, ..Progress::default() });
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make the files that are fetched")]
mod tests;
