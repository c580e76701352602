//! Helpers for the tests of this package: small studies, and a place that counts, fails or lies.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path as FilePath,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory,
    path::Path,
};
use pipe_engine::study::{self, Outcome, Study, StudyNode};
use pipe_store::{ActionKey, ActionResult, Digest, FailureRecord, RefKind, Store};
use serde_json::json;
use tempfile::TempDir;

use crate::{Place, PushOptions, Remote, closure::Closure, layout};

/// A place in memory that counts its requests, and can do worse.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    pub(crate) inner: InMemory,
    /// The number of requests so far.
    pub(crate) requests: AtomicUsize,
    /// From this request on all fail, as if the process had died.
    pub(crate) dies_at: Option<usize>,
    /// Creates a file only if there is none is what it cannot do: it writes always.
    pub(crate) overwrites: bool,
    /// The byte with this number of what is read at this path is another one.
    pub(crate) flips: Option<(String, usize)>,
    /// The first so many requests to create a file are answered as if there was one.
    pub(crate) conflicts: AtomicUsize,
}

impl Watched {
    fn ask(&self) -> Result<()> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        match self.dies_at {
            Some(dies_at) if number >= dies_at => {
                Err(object_store::Error::Generic { store: "Watched", source: "it is dead".into() })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

#[async_trait]
impl ObjectStore for Watched {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut opts: PutOptions) -> Result<PutResult> {
        self.ask()?;
        // Others have their turn, as between the requests of several processes.
        tokio::task::yield_now().await;
        if opts.mode == PutMode::Create {
            let left = self.conflicts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            if left.is_ok() {
                return Err(object_store::Error::AlreadyExists { path: location.to_string(), source: "409".into() });
            }
            if self.overwrites {
                opts.mode = PutMode::Overwrite;
            }
        }
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.ask()?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.ask()?;
        tokio::task::yield_now().await;
        let found = self.inner.get_opts(location, options).await?;
        match &self.flips {
            Some((path, at)) if path == location.as_ref() => {
                let (meta, range, attributes, extensions) =
                    (found.meta.clone(), found.range.clone(), found.attributes.clone(), found.extensions.clone());
                let mut bytes = found.bytes().await?.to_vec();
                bytes[*at] ^= 0x40;
                let payload = GetResultPayload::Stream(futures_util::stream::iter([Ok(bytes.into())]).boxed());
                Ok(GetResult { payload, meta, range, attributes, extensions })
            }
            _ => Ok(found),
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.ask() {
            Ok(()) => self.inner.delete_stream(locations),
            Err(error) => futures_util::stream::iter([Err(error)]).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.ask() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures_util::stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.ask()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.ask()?;
        self.inner.copy_opts(from, to, options).await
    }
}

/// Returns the same files with nothing counted yet.
pub(crate) fn copy(from: &Watched) -> Watched {
    let to = Watched::default();
    block(async {
        let all: Vec<_> = from.inner.list(None).try_collect().await.unwrap();
        for meta in all {
            let bytes = from.inner.get(&meta.location).await.unwrap().bytes().await.unwrap();
            to.inner.put(&meta.location, bytes.into()).await.unwrap();
        }
    });
    to
}

/// Returns all files.
pub(crate) fn files(of: &Watched) -> BTreeMap<String, Vec<u8>> {
    block(async {
        let all: Vec<_> = of.inner.list(None).try_collect().await.unwrap();
        let mut files = BTreeMap::new();
        for meta in all {
            let bytes = of.inner.get(&meta.location).await.unwrap().bytes().await.unwrap();
            files.insert(meta.location.to_string(), bytes.to_vec());
        }
        files
    })
}

pub(crate) fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Returns a remote called `lab` in this place.
pub(crate) fn remote(place: &Arc<Watched>) -> Remote {
    let store: Arc<dyn ObjectStore> = place.clone();
    let place_name = Place::Folder(FilePath::new("/memory").to_owned());
    Remote::on("lab", place_name, store, !place.overwrites)
}

/// Returns a new store. Dropping the folder removes it.
pub(crate) fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    (folder, store)
}

pub(crate) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(crate) fn options(now: u64) -> PushOptions {
    PushOptions { now, ..PushOptions::default() }
}

/// Stores a study called `name`: data, `trials` trainings with weights and logs, and one that fails. Returns its hash.
pub(crate) fn study(store: &Store, name: &str, trials: usize) -> Digest {
    let mut nodes = BTreeMap::new();
    let mut add = |name: &str, stage: &str, result: Option<&[(&str, Vec<u8>)]>| {
        let key = ActionKey(store.put(format!("action of {name}").as_bytes()).unwrap());
        let (result, outcome) = match result {
            Some(files) => {
                let files = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.clone())).collect();
                let (tree, _) = store.put_tree(&files).unwrap();
                (ActionResult::Tree(tree), Outcome::Tree(tree))
            }
            None => {
                let failure = FailureRecord { message: "too small".to_owned(), hint: Some("grow".to_owned()) };
                (ActionResult::Failure(failure), Outcome::Failure("too small".to_owned()))
            }
        };
        store.commit(&key, &result, &json!({ "host": "here", "seconds": 1.5 })).unwrap();
        store.save_log(&key, format!("log of {name}\n").as_bytes()).unwrap();
        let node = StudyNode { action: Some(key.0), outcome, part_of: name.to_owned(), stage: stage.to_owned() };
        nodes.insert(name.to_owned(), node);
    };
    add("data", "decode", Some(&[("train.safetensors", noise(1, 300_000)), ("classes.json", b"[]".to_vec())]));
    for trial in 0..trials {
        let score = format!("{{\"score\":{trial}}}").into_bytes();
        let name = format!("train/{trial}");
        let history = "epoch,loss\n".repeat(1000).into_bytes();
        let weights = noise(trial + 2, 20_000);
        add(&name, "train", Some(&[("best.safetensors", weights), ("history.csv", history), ("score.json", score)]));
    }
    add("small", "train", None);
    let pipeline = store.put(b"{\"pipeline\":1}").unwrap();
    let hash = store.put(&Study::new(pipeline, Vec::new(), nodes).record()).unwrap();
    store.ref_append(RefKind::Studies, name, &hash, at(7)).unwrap();
    hash
}

pub(crate) fn noise(seed: usize, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed as u64).fill(&mut bytes);
    bytes
}

/// Checks that everything that a remote names is there and sound: each result, each closure, and each study.
pub(crate) fn check_clean(place: &Watched) {
    let files = files(place);
    let object = |digest: &Digest| {
        for encoding in pipe_store::Encoding::ALL {
            if let Some(bytes) = files.get(&layout::object(digest, encoding)) {
                let bytes = match encoding {
                    pipe_store::Encoding::Raw => bytes.clone(),
                    pipe_store::Encoding::Zstd => zstd::decode_all(&bytes[..]).unwrap(),
                };
                assert_eq!(Digest::of(&bytes), *digest, "an object is damaged");
                return Some(bytes);
            }
        }
        None
    };
    let check_result = |key: &ActionKey, tree: &Digest| {
        assert!(object(&key.0).is_some(), "an action is missing");
        let tree = pipe_store::Tree::from_bytes(&object(tree).expect("a tree is there")).unwrap();
        assert!(tree.files.values().all(|file| object(&file.digest).is_some()), "a file is missing");
    };
    for (path, bytes) in &files {
        if let Some(digits) = path.strip_prefix("actions/") {
            let key = ActionKey(digits.strip_suffix(".json").unwrap().replace('/', "").parse().unwrap());
            match ActionResult::from_record(&key, bytes).unwrap() {
                ActionResult::Tree(tree) => check_result(&key, &tree),
                ActionResult::Failure(_) => assert!(object(&key.0).is_some(), "an action is missing"),
            }
        }
        if let Some(name) = path.strip_prefix("closures/") {
            let hash = name.strip_suffix(".zst").unwrap().parse().unwrap();
            let closure = Closure::from_bytes(&hash, bytes).unwrap();
            assert!(closure.objects.keys().all(|digest| object(digest).is_some()), "a closure lacks an object");
            for (key, tree) in &closure.results {
                check_result(key, tree);
                assert!(files.contains_key(&layout::action(key)), "a result is missing");
            }
            let named = study::manifest(&object(&hash).unwrap()).unwrap();
            assert!(closure.results.len() <= named.results.len());
        }
        if path.starts_with("studies/") {
            let (_, _, hash) = layout::parse_study(path).unwrap();
            assert!(files.contains_key(&layout::closure(&hash)), "a study has no closure");
        }
    }
    let known: BTreeSet<_> = ["format", "objects", "actions", "closures", "signatures", "studies", "latest"].into();
    assert!(files.keys().all(|path| known.contains(path.split('/').next().unwrap())));
}
