//! Finds the size and the digest of a file that is not known yet.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use super::{
    DiskError, Network,
    failure::{CHUNK, Passing, SourceError, partial},
    http::{self, HttpError},
    location::Location,
    patience::Patience,
    verify::{hex, page},
};
use crate::stage::{Host, Progress};

/// The size and the digest of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// The size in bytes.
    pub size: u64,
    /// The SHA-256 digest, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

impl Measured {
    /// Returns the fields as they are pasted into a pipeline file.
    pub fn fields(&self) -> String {
        format!("size: {}, sha256: \"{}\"", self.size, self.sha256)
    }
}

/// Where files that are not known yet are fetched from, and where to.
pub struct Sources<'a> {
    /// The folder of interrupted downloads. A fetch finds there what was measured.
    pub partial_dir: &'a Path,
    /// The way to the network.
    pub network: &'a Network,
    /// Is told of the progress.
    pub host: &'a dyn Host,
}

/// Downloads the file at `url` and returns its size and digest. What was downloaded is kept for the fetch.
///
/// # Errors
/// Says why there is no such file: a text that follows the URL, as in "`URL`: the server answers 404 Not Found".
pub fn measure(url: &str, sources: &Sources<'_>) -> Result<Measured, String> {
    let location: Location = url.parse().map_err(|error: super::LocationError| error.to_string())?;
    match location.path() {
        Some(path) => measure_file(&path, sources.host).map_err(|error| error.to_string()),
        None => Download { location: &location, sources }.run().map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            format!("{error}{}", cause.unwrap_or_default())
        }),
    }
}

/// Returns the size and the digest of the file at `path` of this disk.
///
/// # Errors
/// See [`DiskError`].
#[expect(clippy::disallowed_methods, reason = "a file of this disk is measured, to be fetched by its digest")]
pub fn measure_file(path: &Path, host: &dyn Host) -> Result<Measured, DiskError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => DiskError::Absent,
        _ => DiskError::Unreadable(vec![error.to_string()]),
    };
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(if metadata.is_dir() { DiskError::NotAFile } else { DiskError::Other });
    }
    let mut file = File::open(path).map_err(failed)?;
    let (mut hasher, mut size, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(Measured { size, sha256: hex(hasher) }),
            Ok(n) => {
                hasher.update(&chunk[..n]);
                size += n as u64;
                let (total, unit) = (metadata.len().max(size), "bytes".to_owned());
                host.progress(&Progress { done: size, total, unit, ..Progress::default() });
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

/// A download of a file of which nothing is known.
struct Download<'a> {
    location: &'a Location,
    sources: &'a Sources<'a>,
}

/// What came so far.
struct Came {
    file: File,
    hasher: Sha256,
    size: u64,
    beginning: Vec<u8>,
    /// What distinguishes the file from a later one at the same address.
    validator: Option<String>,
}

impl Came {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        let more = 512_usize.saturating_sub(self.beginning.len()).min(bytes.len());
        self.beginning.extend_from_slice(&bytes[..more]);
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "what came is kept for the fetch, which checks it by its digest")]
impl Download<'_> {
    fn run(&self) -> Result<Measured, SourceError> {
        let folder = self.sources.partial_dir;
        let place = partial(folder, &format!("new-{}", blake3::hash(self.location.to_string().as_bytes())));
        let disk = |source: io::Error| SourceError::Disk { path: place.clone(), source };
        fs::create_dir_all(folder).map_err(disk)?;
        // Whether an older part belongs to the same file is not known.
        let fresh = || -> Result<Came, SourceError> {
            let file = File::create(&place).map_err(disk)?;
            Ok(Came { file, hasher: Sha256::new(), size: 0, beginning: Vec::new(), validator: None })
        };
        let mut came = fresh()?;
        let mut patience = Patience::new(self.sources.network, self.sources.host);
        loop {
            if came.size > 0 && came.validator.is_none() {
                came = fresh()?;
            }
            match self.attempt(&mut came, &fresh) {
                Ok(()) => break,
                Err(Ok(passing)) => patience.after(passing, self.location)?,
                Err(Err(error)) => return Err(error),
            }
        }
        let Came { file, hasher, size, beginning, .. } = came;
        drop(file);
        let is_page = self.location.name().is_some_and(|name| name.ends_with(".html") || name.ends_with(".htm"));
        if let Some(beginning) = page(&beginning).filter(|_| !is_page) {
            fs::remove_file(&place).map_err(disk)?;
            let why =
                format!("the server answers with an HTML page that begins `{beginning}`, not with a file of data");
            return Err(SourceError::Absent(why));
        }
        let measured = Measured { size, sha256: hex(hasher) };
        fs::rename(&place, partial(folder, &measured.sha256)).map_err(disk)?;
        Ok(measured)
    }

    /// Makes one request for what is still missing.
    fn attempt(
        &self,
        came: &mut Came,
        fresh: &dyn Fn() -> Result<Came, SourceError>,
    ) -> Result<(), Result<Passing, SourceError>> {
        let passing = |why, came, busy| Err(Ok(Passing { why, came, busy }));
        let answer = match http::get(self.sources.network, self.location.url(), came.size, came.validator.as_deref()) {
            Ok(answer) => answer,
            Err(HttpError::Range) => {
                *came = fresh().map_err(Err)?;
                return passing("the server has no such part of it".to_owned(), false, None);
            }
            Err(HttpError::Passing(why)) => return passing(why, false, None),
            Err(HttpError::Busy(why, after)) => return passing(why, false, Some(after)),
            Err(HttpError::Final(why)) => return Err(Err(SourceError::Absent(why))),
        };
        if answer.from == 0 && came.size > 0 {
            *came = fresh().map_err(Err)?;
        }
        // An archive that the server calls compressed is meant as it is, as `curl` takes it.
        let name = self.location.name().unwrap_or_default().to_ascii_lowercase();
        let decode = answer.is_compressed && ![".gz", ".tgz", ".bgz"].iter().any(|ending| name.ends_with(ending));
        let total = answer.total.filter(|_| !decode);
        came.validator = answer.validator.filter(|_| !decode);
        let mut body: Box<dyn Read + Send> =
            if decode { Box::new(MultiGzDecoder::new(answer.body)) } else { answer.body };
        let (start, mut chunk) = (came.size, vec![0; CHUNK]);
        loop {
            if self.sources.host.interrupted() {
                return Err(Err(SourceError::Interrupted));
            }
            let broken = |size: u64, why: &str| format!("the answer ended after {size} bytes{why}");
            match body.read(&mut chunk) {
                Ok(0) if came.size < total.unwrap_or(0) => {
                    return passing(broken(came.size, ""), came.size > start, Some(None));
                }
                Ok(0) => return Ok(()),
                Ok(n) => {
                    let path = self.sources.partial_dir.to_owned();
                    came.take(&chunk[..n]).map_err(|source| Err(SourceError::Disk { path, source }))?;
                    let (done, unit) = (came.size, "bytes".to_owned());
                    let total = total.unwrap_or(0);
                    self.sources.host.progress(&Progress { done, total, unit, ..Progress::default() });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return passing(broken(came.size, &format!(": {error}")), came.size > start, Some(None));
                }
            }
        }
    }
}
