//! Every byte of a small store is changed, one at a time. The change is found, and what was changed is never returned. A store that was
//! written by the first version, or by this one, stays readable.

#![expect(clippy::disallowed_methods, reason = "the tests make and damage stores")]
#![expect(clippy::print_stdout, reason = "the figures of docs/reliability.md are printed with `--nocapture`")]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use common::copy;
use pipe_store::{ActionKey, ActionResult, Digest, Manifest, ObjectSource, RefKind, Store};
use rayon::prelude::*;
use serde_json::json;

const STUDIES: RefKind = RefKind::Studies;

fn no_manifest(_: &[u8]) -> Result<Manifest, String> {
    Err("these tests have no studies".to_owned())
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn outputs() -> BTreeMap<String, Vec<u8>> {
    let mut noise = vec![0; 700];
    fastrand::Rng::with_seed(1).fill(&mut noise);
    [("a.txt", b"text\n".to_vec()), ("noise", noise), ("packed", b"again and ".repeat(500))]
        .map(|(path, bytes)| (path.to_owned(), bytes))
        .into()
}

/// Makes a store with a file of every kind.
fn make(root: &Path) -> Store {
    let store = Store::open(root).unwrap();
    let key = ActionKey(store.put(b"{\"stage\":\"an action\"}\n").unwrap());
    let run = store.open_run("r1", "another", at(7)).unwrap();
    run.append(&key).unwrap();
    let (tree, _) = store.put_tree(&outputs()).unwrap();
    store.commit(&key, &ActionResult::Tree(tree), &json!({ "format": 1, "seconds": 2.5 })).unwrap();
    for (text, seconds) in [("one study", 1), ("another study", 2)] {
        let study = store.put(text.as_bytes()).unwrap();
        store.ref_append(STUDIES, "study", &study, at(seconds)).unwrap();
    }
    store.save_checkpoint(&Digest::of(b"t"), 3, &[("state".to_owned(), b"state".to_vec())].into(), 1).unwrap();
    store
}

/// Returns the files of a store that are not empty, and without the reserve, whose bytes do not matter.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            files.extend(self::files(&entry));
        } else if fs::metadata(&entry).unwrap().len() > 0 && !entry.ends_with("reserve") {
            files.push(entry);
        }
    }
    files
}

/// Everything that can be read from the store of [`make`], as text. What is refused is an error.
fn read_all(root: &Path) -> Vec<Result<String, String>> {
    let store = match Store::open(root) {
        Ok(store) => store,
        Err(error) => return vec![Err(error.to_string())],
    };
    let key = ActionKey(Digest::of(b"{\"stage\":\"an action\"}\n"));
    let shown = |value: Result<String, pipe_store::StoreError>| value.map_err(|error| error.to_string());
    let mut all = vec![
        shown(store.result(&key).map(|result| format!("{result:?}"))),
        shown(store.provenance(&key).map(|provenance| format!("{provenance:?}"))),
        shown(store.ref_log(STUDIES, "study").map(|log| format!("{log:?}"))),
        shown(store.runs().map(|runs| format!("{runs:?}"))),
    ];
    let tree = pipe_store::Tree::of(&outputs()).unwrap();
    let digests = tree.files.values().map(|entry| entry.digest).chain([Digest::of(&tree.to_bytes()), key.0]);
    let studies = ["one study", "another study"].map(|text| Digest::of(text.as_bytes()));
    for digest in digests.chain(studies) {
        all.push(shown(store.read(&digest).map(|bytes| format!("{:?}", Digest::of(&bytes)))));
    }
    all
}

fn is_clean(root: &Path) -> bool {
    Store::open_damaged(root).unwrap().verify(&no_manifest, &mut |_, _| ()).unwrap().is_clean()
}

#[test]
fn every_changed_byte_is_found_and_never_served() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    make(&root);
    let right = read_all(&root);
    assert!(right.iter().all(Result::is_ok) && is_clean(&root), "{right:?}");
    let files = files(&root);
    let counts: Vec<(usize, usize)> = files
        .par_iter()
        .map(|file| {
            // Each file has a store of its own, so that several can be damaged at the same time.
            let folder = tempfile::tempdir().unwrap();
            let own = folder.path().join("store");
            copy(&root, &own);
            let path = own.join(file.strip_prefix(&root).unwrap());
            let whole = fs::read(&path).unwrap();
            let (mut changed, mut harmless) = (0, 0);
            for at in 0..whole.len() {
                for flip in [1 << (at % 8), 0xff] {
                    let mut bytes = whole.clone();
                    bytes[at] ^= flip;
                    replace(&path, &bytes);
                    changed += 1;
                    let served = read_all(&own);
                    let wrong = served.iter().zip(&right).any(|(served, right)| served.is_ok() && served != right);
                    assert!(!wrong, "{} byte {at} ^ {flip}: {served:?}", file.display());
                    if is_clean(&own) {
                        // A few bits of the header of a compressed object do not affect its bytes.
                        assert!(file.extension().is_some_and(|end| end == "zst"), "{} byte {at}", file.display());
                        assert_eq!(served, right);
                        harmless += 1;
                    }
                }
            }
            (changed, harmless)
        })
        .collect();
    let total = counts.iter().fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    println!("{} changes in {} files, {} found, {} without effect", total.0, files.len(), total.0 - total.1, total.1);
    assert!(total.1 < 10);
}

fn replace(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The text files of a store, as a version wrote them.
const FIRST: &[(&str, &str)] =
    &[("format", "1\n"), ("objects/17/762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f", "a")];

#[test]
fn the_store_of_format_1_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let object = Digest::of(b"a").to_string();
    let tree = format!("{{\"files\":{{\"a.txt\":{{\"digest\":\"{object}\",\"size\":1}}}},\"format\":1}}\n");
    let tree_name = Digest::of(tree.as_bytes()).to_string();
    let unchecked = format!("{{\"action\":\"{object}\",\"format\":1,\"tree\":\"{tree_name}\"}}");
    let check = Digest::of(unchecked.as_bytes());
    let record = format!("{{\"action\":\"{object}\",\"check\":\"{check}\",\"format\":1,\"tree\":\"{tree_name}\"}}\n");
    let own = |text: &str| text.to_owned();
    let shard = |folder: &str, name: &str, end: &str| format!("{folder}/{}/{}{end}", &name[..2], &name[2..]);
    let mut files: Vec<(String, String)> = FIRST.iter().map(|(path, text)| (own(path), own(text))).collect();
    files.push((shard("objects", &tree_name, ""), tree));
    files.push((shard("actions", &object, ".json"), record));
    files.push((shard("provenance", &object, ".json"), own("{\"format\":1,\"seconds\":2.5}\n")));
    let line = |at: u32| format!("{{\"at\":{at},\"digest\":\"{object}\",\"format\":1}}\n");
    files.push((own("refs/studies/old"), line(9) + &line(5)));
    files.push((own("refs/runs/r1"), format!("{{\"format\":1,\"started\":7,\"study\":\"old\"}}\n{object}\n")));
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let store = Store::open(&root).unwrap();
    let key = ActionKey(Digest::of(b"a"));
    assert!(matches!(store.result(&key).unwrap(), Some(ActionResult::Tree(tree)) if tree.to_string() == tree_name));
    assert_eq!(store.provenance(&key).unwrap(), Some(json!({ "format": 1, "seconds": 2.5 })));
    assert_eq!(store.ref_log(STUDIES, "old").unwrap().iter().map(|entry| entry.at).collect::<Vec<_>>(), [9, 5]);
    assert_eq!(store.runs().unwrap()[0].keys, [key]);
    assert!(is_clean(&root));
    // It goes on as a store of this format.
    store.open_run("r1", "old", at(8)).unwrap().append(&ActionKey(store.put(b"b").unwrap())).unwrap();
    let c = store.put(b"c").unwrap();
    store.ref_append(STUDIES, "new", &c, at(1)).unwrap();
    assert_eq!(store.ref_latest(STUDIES, "new").unwrap().unwrap().seq, 1);
    assert_eq!(store.runs().unwrap()[0].keys.len(), 2);
    assert!(is_clean(&root) && fs::read_to_string(root.join("format")).unwrap().contains("\"format\":2"));
}

/// The digest of the files of the store of [`make`]. If it moves, stores of the version before must stay readable: keep a store of it
/// in this file, and let `format` say which it is.
const WRITTEN: &str = "fc3e5272b753a08f4959eadf0f007f81d3ed502e1ebfef1b08b982890225b4ce";

#[test]
fn what_is_written_does_not_change() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    make(&root);
    let mut all: Vec<_> = files(&root);
    all.sort();
    let text: String = all
        .iter()
        .map(|path| {
            format!("{} {}\n", path.strip_prefix(&root).unwrap().display(), Digest::of(&fs::read(path).unwrap()))
        })
        .collect();
    assert_eq!(Digest::of(text.as_bytes()).to_string(), WRITTEN, "{text}");
}
