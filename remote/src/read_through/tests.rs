//! Tests of results and files that a run takes from a remote.

use std::{sync::Arc, time::SystemTime};

use object_store::{ObjectStoreExt, path::Path};
use pipe_engine::study;
use pipe_store::RefKind;

use super::*;
use crate::{
    fetch::fetch_with,
    testing::{Watched, at, block, check_clean, copy, files, noise, options, remote, store, study},
};

/// Returns the large file of the node `data` of [`study`].
fn large() -> Digest {
    Digest::of(&noise(1, 300_000))
}

/// Returns the promise of that file.
fn promise() -> PromisedFile {
    PromisedFile { digest: large(), size: 300_000, path: "train.safetensors".to_owned(), remote: "lab".to_owned() }
}

/// Returns whether the large file is here, and whether it is promised.
fn state(store: &Store) -> (bool, bool) {
    (store.contains(&large()).unwrap(), store.promised(&large()).unwrap().is_some())
}

/// Removes the large file from a place.
fn lose(place: &Watched) {
    block(place.inner.delete(&Path::from(layout::object(&large(), pipe_store::Encoding::Raw)))).unwrap();
}

/// Returns a place with a study, and the keys of its results.
fn place() -> (Arc<Watched>, Vec<ActionKey>) {
    let (_folder, from) = store();
    study(&from, "s", 2);
    let place = Arc::new(Watched::default());
    remote(&place).push(&from, None, &options(100), &mut |_| ()).unwrap();
    let found = study::find(&from, None).unwrap().study;
    (place, found.nodes.values().filter_map(|node| node.tree().and(node.key())).collect())
}

/// Returns a store in which the records of the actions of [`study`] are.
fn with_actions(keys: &[ActionKey]) -> (tempfile::TempDir, Store) {
    let (folder, store) = store();
    for name in ["data", "train/0", "train/1", "small"] {
        store.put(format!("action of {name}").as_bytes()).unwrap();
    }
    assert!(keys.iter().all(|key| store.contains(&key.0).unwrap()));
    (folder, store)
}

#[test]
fn results_come_with_everything_that_they_name() {
    let (place, keys) = place();
    let (_folder, to) = with_actions(&keys);
    let through = ReadThrough::on(Some(remote(&place)), None);
    through.fetch(&to, &keys);
    assert_eq!(through.came().results, 3);
    assert!(keys.iter().all(|key| to.result(key).unwrap().is_some()));
    assert_eq!(to.provenance(&keys[0]).unwrap().unwrap(), json!({ "remote": "lab" }));
    let unknown = ActionKey(to.put(b"action of another").unwrap());
    through.fetch(&to, &[unknown]);
    assert_eq!(to.result(&unknown).unwrap(), None);
}

#[test]
fn a_remote_that_dies_is_asked_no_more() {
    let (whole, keys) = place();
    for dies_at in [0, 1, 4] {
        let place = Arc::new(Watched { dies_at: Some(dies_at), ..copy(&whole) });
        let (_folder, to) = with_actions(&keys);
        let through = ReadThrough::on(Some(remote(&place)), None);
        through.fetch(&to, &keys);
        let asked = place.count();
        through.fetch(&to, &keys);
        assert_eq!(place.count(), asked);
        assert!(to.verify(&study::manifest, &mut |_, _| ()).unwrap().is_clean());
    }
}

#[test]
fn a_flipped_byte_is_a_miss() {
    let (whole, keys) = place();
    for (path, bytes) in files(&whole).into_iter().filter(|(path, _)| path.starts_with("objects/")) {
        let place = Arc::new(Watched { flips: Some((path, bytes.len() / 2)), ..copy(&whole) });
        let (_folder, to) = with_actions(&keys);
        let through = ReadThrough::on(Some(remote(&place)), None);
        through.fetch(&to, &keys);
        assert!(through.came().results >= 1);
        assert!(to.verify(&study::manifest, &mut |_, _| ()).unwrap().is_clean());
    }
}

#[test]
fn what_a_run_makes_is_sent_whole_and_another_result_is_told() {
    let (_folder, from) = store();
    study(&from, "s", 2);
    let found = study::find(&from, None).unwrap().study;
    let place = Arc::new(Watched::default());
    let through = ReadThrough::on(Some(remote(&place)), Some(Writer::start(remote(&place), from.clone())));
    for node in found.nodes.values() {
        if let (Some(key), Some(tree)) = (node.key(), node.tree()) {
            through.executed(&key, &tree);
        }
    }
    assert!(through.finish().is_empty());
    check_clean(&place);
    assert_eq!(files(&place).keys().filter(|path| path.starts_with("actions/")).count(), 3);
    let through = ReadThrough::on(Some(remote(&place)), Some(Writer::start(remote(&place), from.clone())));
    let (key, other) = (found.nodes["data"].key().unwrap(), found.nodes["train/0"].tree().unwrap());
    through.executed(&key, &other);
    assert_eq!(through.finish().len(), 1);
}

#[test]
fn large_files_come_when_they_are_needed() {
    let (place, keys) = place();
    let (_folder, to) = with_actions(&keys);
    let through = ReadThrough::on(Some(remote(&place)), None);
    let before = place.count();
    through.fetch(&to, &keys);
    // The format; the record and the tree of three results; two small files of each training, one of which may be guessed to be stored
    // in the other way, and the weights, which are small here; and the classes of the data.
    let asked = place.count() - before;
    assert!((14..=16).contains(&asked), "{asked}");
    assert_eq!(state(&to), (false, true));
    let came = through.came();
    assert_eq!((came.results, came.files, came.left, came.left_bytes), (3, 0, 1, 300_000));
    assert!(keys.iter().all(|key| to.result(key).unwrap().is_some()));
    let asked = place.count();
    through.fetch_files(&to, &[promise()]);
    assert_eq!((place.count(), state(&to)), (asked + 1, (true, false)));
    let came = through.came();
    assert_eq!((came.files, came.bytes, came.left), (1, 300_000, 0));
    let report = to.verify(&study::manifest, &mut |_, _| ()).unwrap();
    assert!(report.is_clean() && report.promised.is_empty());
}

#[test]
fn views_find_what_they_read_and_the_rest_stays() {
    let sizes = [("score.json", 1), ("score.json", 1 << 20), ("a/b.png", 1 << 20), ("best.safetensors", 64 << 10)];
    assert!(sizes.iter().all(|(path, size)| comes_at_once(path, *size, 5)));
    let sizes = [("best.safetensors", (64 << 10) + 1), ("images.tar", 1 << 20), ("table.csv", (16 << 20) + 1)];
    assert!(!sizes.iter().any(|(path, size)| comes_at_once(path, *size, 5)));
    assert!(comes_at_once("listing.json", 1 << 20, 5000) && !comes_at_once("cat/1.png", 1000, 5000));
}

#[test]
fn a_promise_that_is_broken_goes_and_the_result_with_it() {
    let (whole, keys) = place();
    let gone = Arc::new(copy(&whole));
    lose(&gone);
    let path = layout::object(&large(), pipe_store::Encoding::Raw);
    let flipped = Arc::new(Watched { flips: Some((path, 1000)), ..copy(&whole) });
    for place in [gone, flipped] {
        let (_folder, to) = with_actions(&keys);
        let through = ReadThrough::on(Some(remote(&place)), None);
        through.fetch(&to, &keys);
        assert_eq!(state(&to), (false, true));
        through.fetch_files(&to, &[promise()]);
        assert_eq!(state(&to), (false, false));
        assert_eq!((through.came().files, through.came().left), (0, 0));
        assert_eq!(keys.iter().filter(|key| to.result(key).unwrap().is_some()).count(), 2);
    }
}

#[test]
fn a_remote_that_dies_or_is_forgotten_is_asked_for_files_once() {
    let (whole, keys) = place();
    let (_folder, to) = with_actions(&keys);
    ReadThrough::on(Some(remote(&whole)), None).fetch(&to, &keys);
    let dead = Arc::new(Watched { dies_at: Some(0), ..copy(&whole) });
    let through = ReadThrough::on(Some(remote(&dead)), None);
    through.fetch_files(&to, &[promise()]);
    through.fetch_files(&to, &[promise()]);
    through.fetch(&to, &keys);
    assert_eq!((dead.count(), state(&to)), (1, (false, true)));
    // Nothing is known of a remote `lab` in this store.
    let through = ReadThrough::of_promises();
    through.fetch_files(&to, &[promise()]);
    assert_eq!((state(&to), through.came().files, through.came().remote), ((false, true), 0, None));
}

/// Returns a store with the study of [`place`], of which the large file is promised, and the hash of the study.
fn promised_study(place: &Arc<Watched>, keys: &[ActionKey]) -> (tempfile::TempDir, Store, Digest) {
    let (_other, from) = store();
    study(&from, "s", 2);
    let found = study::find(&from, None).unwrap();
    let (folder, to) = with_actions(keys);
    ReadThrough::on(Some(remote(place)), None).fetch(&to, keys);
    let failed = &found.study.nodes["small"];
    let result = from.record(&failed.key().unwrap()).unwrap().unwrap();
    to.commit(&failed.key().unwrap(), &result, &json!({})).unwrap();
    to.put(b"{\"pipeline\":1}").unwrap();
    let hash = to.put(&found.study.record()).unwrap();
    to.ref_append(RefKind::Studies, "s", &hash, at(9)).unwrap();
    (folder, to, hash)
}

#[test]
fn a_study_is_fetched_as_a_whole() {
    let (place, keys) = place();
    let (_folder, to, hash) = promised_study(&place, &keys);
    let (mut asked, open) = (place.count(), |_: &str| Ok(remote(&place)));
    let planned = fetch_with(&to, None, true, &open, &mut |_| ()).unwrap();
    assert_eq!((planned.files, planned.bytes, place.count(), state(&to)), (1, 300_000, asked, (false, true)));
    let fetched = fetch_with(&to, Some("s"), false, &open, &mut |_| ()).unwrap();
    asked += 1;
    assert_eq!((&fetched, place.count(), state(&to)), (&planned, asked, (true, false)));
    assert_eq!((fetched.study, fetched.remotes), (hash, ["lab".to_owned()].into()));
    let nothing = fetch_with(&to, None, false, &open, &mut |_| ()).unwrap();
    assert_eq!((nothing.files, nothing.remotes.len(), place.count()), (0, 0, asked));
    // What is not to be had is said, and is no longer promised.
    let (_folder, to, _) = promised_study(&place, &keys);
    lose(&place);
    let fetched = fetch_with(&to, None, false, &open, &mut |_| ()).unwrap();
    assert_eq!((fetched.files, fetched.lost.len(), state(&to)), (0, 1, (false, false)));
    assert!(fetched.lost[0].contains("lacks `objects/"), "{:?}", fetched.lost);
}

#[test]
fn a_study_is_pushed_to_the_remote_that_has_its_files_and_to_no_other() {
    let (place, keys) = place();
    let (_folder, to, hash) = promised_study(&place, &keys);
    // The study is there already, and then it is not, but its files are.
    let pushed = remote(&place).push(&to, None, &options(200), &mut |_| ()).unwrap();
    assert_eq!(pushed.sent, 0);
    block(place.inner.delete(&Path::from(layout::closure(&hash)))).unwrap();
    block(place.inner.delete(&Path::from(layout::latest("s")))).unwrap();
    let listed = files(&place).into_keys().filter(|path| path.starts_with("studies/")).collect::<Vec<_>>();
    listed.iter().for_each(|path| block(place.inner.delete(&Path::from(path.as_str()))).unwrap());
    let pushed = remote(&place).push(&to, None, &options(300), &mut |_| ()).unwrap();
    assert!(pushed.sent <= 4, "the logs are not known there: {pushed:?}");
    check_clean(&place);
    assert_eq!(state(&to), (false, true));
    let (_elsewhere, other) = store();
    remote(&place).pull(&other, "s", SystemTime::now(), &mut |_| ()).unwrap();
    assert_eq!(state(&other), (true, false), "the closure has the file that was not here");
    // Another remote.
    to.promise([&large()], "cloud").unwrap();
    let error = remote(&Arc::new(Watched::default())).push(&to, None, &options(300), &mut |_| ()).unwrap_err();
    assert_eq!(error.to_string(), "1 file of the study `s` is at the remote `cloud` and not here");
    // A pull brings everything.
    remote(&place).pull(&to, "s", SystemTime::now(), &mut |_| ()).unwrap();
    assert_eq!(state(&to), (true, false));
}
