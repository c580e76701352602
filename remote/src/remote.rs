//! A remote that is open.

use std::{
    collections::BTreeSet,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use object_store::ObjectStore;
use pipe_store::Store;
use tokio::runtime::{Builder, Runtime};

use crate::{
    bucket::Bucket,
    connect::{self, Patience},
    error::{RemoteError, Result},
    gc::{self, GcDone, GcOptions},
    meter::{AT_ONCE, Progress},
    place::Place,
    probe::{self, Probe},
    pull::{self, Pulled},
    push::{self, PushOptions, Pushed},
    reach,
    remotes::Record,
    staged,
    studies::{self, RemoteStudy},
};

/// A remote that is open. Its functions wait until they are done.
pub struct Remote {
    pub(crate) runtime: Runtime,
    pub(crate) bucket: Bucket,
    place: Place,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("name", &self.bucket.name).field("place", &self.place).finish_non_exhaustive()
    }
}

impl Remote {
    /// Opens the remote called `name`. Asks nothing of the server yet.
    ///
    /// # Errors
    /// If its URL or the credentials for it cannot be used, or if its folder does not exist.
    pub fn open(name: &str, record: &Record) -> Result<Self> {
        let place = Place::parse(&record.url)?;
        let store = connect::open(name, &place, Patience::Transfer)?;
        let mut remote = Self::on(name, place, store, record.conditional);
        remote.bucket.trusted.clone_from(&record.trusted);
        Ok(remote)
    }

    /// Opens the remote called `name` for someone who would rather go on without it than wait.
    pub(crate) fn open_to_ask(name: &str, record: &Record) -> Result<Self> {
        let place = Place::parse(&record.url)?;
        let store = connect::open(name, &place, Patience::Ask)?;
        let mut remote = Self::on(name, place, store, record.conditional);
        remote.bucket.trusted.clone_from(&record.trusted);
        Ok(remote)
    }

    /// Makes the folder of a remote, if it is a folder that does not exist.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn prepare(name: &str, record: &Record) -> Result<()> {
        let Place::Folder(path) = Place::parse(&record.url)? else { return Ok(()) };
        let failed = |error: std::io::Error| RemoteError::Failed {
            remote: name.to_owned(),
            doing: format!("make the folder `{}`", path.display()),
            reason: error.to_string(),
        };
        std::fs::create_dir_all(&path).map_err(failed)
    }

    /// Opens a remote in any place that `object_store` knows.
    pub(crate) fn on(name: &str, place: Place, store: Arc<dyn ObjectStore>, conditional: bool) -> Self {
        let lists = !place.is_read_only();
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(2 * AT_ONCE).build();
        // It needs a few file descriptors, without which nothing else could be done either.
        let runtime = runtime.expect("the system gives a poller to a new runtime");
        let bucket = Bucket { store, name: name.to_owned(), conditional, lists, trusted: BTreeSet::new() };
        Self { runtime, bucket, place }
    }

    /// Returns where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Finds out what the server can do, by doing it, and makes the place a remote if it is none yet.
    ///
    /// # Errors
    /// If it cannot be read, or holds something else.
    pub fn probe(&mut self) -> Result<Probe> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let unique = format!("{} {}", now.as_nanos(), std::process::id());
        self.runtime.block_on(probe::probe(&mut self.bucket, &unique))
    }

    /// Sends a study of `store`, which `text` names as everywhere. Without `text`, the study that was run last. `watch` is called at
    /// once and then ten times a second.
    ///
    /// # Errors
    /// [`RemoteError::Conflicts`] if the remote has other results for the same actions: then the study has no name there. Also if it
    /// cannot be written to, or if the store lacks a part of the study.
    pub fn push(
        &self,
        store: &Store,
        text: Option<&str>,
        options: &PushOptions,
        watch: &mut dyn FnMut(Progress),
    ) -> Result<Pushed> {
        let (name, hash) = reach::found(store, text)?;
        self.runtime.block_on(push::push(&self.bucket, store, (&name, &hash), options, watch))
    }

    /// Fetches the study that `text` names: a name, `name~n` for the n-th before its latest, or a hash or its beginning.
    ///
    /// # Errors
    /// [`RemoteError::NoStudy`] if there is none, [`RemoteError::Damaged`] if something that was sent is not what it should be, and
    /// [`RemoteError::Conflicts`] if other results stand in `store`. Then the study is not recorded.
    pub fn pull(&self, store: &Store, text: &str, now: SystemTime, watch: &mut dyn FnMut(Progress)) -> Result<Pulled> {
        self.runtime.block_on(pull::pull(&self.bucket, store, text, now, watch))
    }

    /// Cleans up the remote: forgets studies, marks what nothing needs, and removes what was marked long enough ago.
    ///
    /// # Errors
    /// If it cannot be listed, read or written, or if it is not known what is needed. Then nothing of it is removed.
    pub fn collect(&self, options: GcOptions) -> Result<GcDone> {
        let mut done = self.runtime.block_on(gc::collect(&self.bucket, options))?;
        if let Place::Folder(path) = &self.place {
            let before =
                SystemTime::UNIX_EPOCH + Duration::from_secs(options.now.saturating_sub(options.grace.as_secs()));
            let staged = staged::remove(path, before, options.dry).map_err(|error| RemoteError::Failed {
                remote: self.bucket.name.clone(),
                doing: "remove what killed pushes have left".to_owned(),
                reason: error.to_string(),
            })?;
            done.removed += staged.files;
            done.removed_bytes += staged.bytes;
        }
        Ok(done)
    }

    /// Returns the studies of the remote, sorted by name and time.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub fn studies(&self) -> Result<Vec<RemoteStudy>> {
        self.runtime.block_on(studies::list(&self.bucket))
    }
}
