//! Tests of pushes and pulls, against a place in memory that counts, fails or lies.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use pipe_engine::study;
use pipe_store::{ActionResult, Digest, RefKind, Store};
use serde_json::json;

use crate::{
    RemoteError, Without, layout,
    testing::{Watched, at, check_clean, copy, files, options, remote, store, study},
};

/// Returns a place with the study `s`, and its hash.
fn pushed(trials: usize) -> (Arc<Watched>, Digest) {
    let (_folder, store) = store();
    let hash = study(&store, "s", trials);
    let place = Arc::new(Watched::default());
    remote(&place).push(&store, Some("s"), &options(100), &mut |_| ()).unwrap();
    (place, hash)
}

/// Checks that a store has the study `hash` with all results.
fn check_pulled(store: &Store, hash: &Digest) {
    let found = study::find(store, Some("s")).unwrap();
    assert_eq!(found.hash, *hash);
    for node in found.study.nodes.values() {
        let result = store.result(&node.key().unwrap()).unwrap().expect("it has its result");
        assert_eq!(node.tree(), if let ActionResult::Tree(tree) = result { Some(tree) } else { None });
    }
    assert!(store.verify(&study::manifest, &mut |_, _| ()).unwrap().is_clean());
}

fn is_empty(store: &Store) -> bool {
    store.ref_names(RefKind::Studies).unwrap().is_empty()
}

#[test]
fn what_is_pushed_is_pulled() {
    let (place, hash) = pushed(3);
    check_clean(&place);
    let (_folder, store) = store();
    let pulled = remote(&place).pull(&store, "s", at(200), &mut |_| ()).unwrap();
    assert_eq!((pulled.name.as_str(), pulled.study, pulled.results, pulled.left_out), ("s", hash, 5, 0));
    check_pulled(&store, &hash);
    let key = study::find(&store, None).unwrap().study.nodes["train/1"].key().unwrap();
    assert_eq!(store.log(&key).unwrap().unwrap(), b"log of train/1\n");
    let provenance = store.provenance(&key).unwrap().unwrap();
    assert_eq!(provenance, json!({ "host": "here", "remote": "lab", "seconds": 1.5 }));
    let key = study::find(&store, None).unwrap().study.nodes["small"].key().unwrap();
    assert!(matches!(store.result(&key).unwrap(), Some(ActionResult::Failure(failure)) if failure.hint.is_some()));
    // Again, nothing is fetched.
    let pulled = remote(&place).pull(&store, &hash.to_string(), at(300), &mut |_| ()).unwrap();
    assert_eq!((pulled.fetched, pulled.bytes), (0, 0));
}

#[test]
fn a_second_push_takes_two_requests_and_changes_nothing() {
    let (_folder, store) = store();
    study(&store, "s", 3);
    let place = Arc::new(Watched::default());
    let remote = remote(&place);
    let first = remote.push(&store, None, &options(100), &mut |_| ()).unwrap();
    assert!(first.sent > 10 && first.bytes > 300_000 && first.known == 0, "{first:?}");
    let (before, requests) = (files(&place), place.count());
    let second = remote.push(&store, None, &options(200), &mut |_| ()).unwrap();
    assert_eq!(place.count() - requests, 2, "the closure and the studies of the name");
    assert_eq!((second.sent, second.bytes, second.known), (0, 0, first.sent));
    assert!(files(&place) == before);
}

#[test]
fn a_longer_study_sends_only_what_is_new() {
    let (_folder, store) = store();
    study(&store, "s", 3);
    let place = Arc::new(Watched::default());
    let remote = remote(&place);
    remote.push(&store, None, &options(100), &mut |_| ()).unwrap();
    let (longer, requests) = (study(&store, "s", 4), place.count());
    let plan = remote.push(&store, None, &crate::PushOptions { plan: true, ..options(5) }, &mut |_| ()).unwrap();
    let planned = place.count();
    assert!(planned - requests <= 4);
    // A clock that is behind does not make a study the earlier one.
    let second = remote.push(&store, None, &options(5), &mut |_| ()).unwrap();
    assert_eq!((plan.sent, plan.bytes), (second.sent, second.bytes));
    // The study, an action, a tree, weights, a score and a log.
    assert_eq!(second.sent, 6);
    assert!(place.count() - planned <= 6 + 1 + 5 + 3, "{}", place.count() - planned);
    check_clean(&place);
    let studies = remote.studies().unwrap();
    assert_eq!(studies.iter().map(|study| study.at).collect::<Vec<_>>(), [100, 101]);
    let (_other, elsewhere) = self::store();
    assert_eq!(remote.pull(&elsewhere, "s", at(1), &mut |_| ()).unwrap().study, longer);
    assert_eq!(remote.pull(&elsewhere, "s~1", at(1), &mut |_| ()).unwrap().study, studies[0].study);
    let error = remote.pull(&elsewhere, "t", at(1), &mut |_| ()).unwrap_err();
    assert!(matches!(&error, RemoteError::NoStudy { known, .. } if known == &["s"]), "{error}");
}

#[test]
fn a_push_that_dies_at_any_request_leaves_a_clean_remote_and_the_next_one_sends_the_rest() {
    let (_folder, store) = store();
    let hash = study(&store, "s", 2);
    let (whole, _) = pushed(2);
    let mut died = 0;
    for dies_at in 0..whole.count() {
        let place = Arc::new(Watched { dies_at: Some(dies_at), ..Watched::default() });
        assert!(remote(&place).push(&store, None, &options(100), &mut |_| ()).is_err(), "{dies_at}");
        died += 1;
        check_clean(&place);
        let after = Arc::new(copy(&place));
        remote(&after).push(&store, None, &options(100), &mut |_| ()).unwrap();
        check_clean(&after);
        assert!(files(&after) == files(&whole), "{dies_at}");
    }
    assert!(died > 30, "{died}");
    let (_other, elsewhere) = self::store();
    remote(&whole).pull(&elsewhere, "s", at(1), &mut |_| ()).unwrap();
    check_pulled(&elsewhere, &hash);
}

#[test]
fn a_pull_that_dies_at_any_request_goes_on_where_it_was() {
    let (whole, hash) = pushed(2);
    let whole_requests = {
        let place = Arc::new(copy(&whole));
        let (_folder, store) = store();
        remote(&place).pull(&store, "s", at(1), &mut |_| ()).unwrap();
        place.count()
    };
    for dies_at in 0..whole_requests {
        let (_folder, store) = store();
        let place = Arc::new(Watched { dies_at: Some(dies_at), ..copy(&whole) });
        assert!(remote(&place).pull(&store, "s", at(1), &mut |_| ()).is_err(), "{dies_at}");
        assert!(is_empty(&store));
        assert!(store.verify(&study::manifest, &mut |_, _| ()).unwrap().is_clean());
        remote(&whole).pull(&store, "s", at(1), &mut |_| ()).unwrap();
        check_pulled(&store, &hash);
    }
}

#[test]
fn a_flipped_byte_of_any_file_gets_no_name() {
    let (whole, hash) = pushed(1);
    let mut refused = 0;
    for (path, bytes) in files(&whole) {
        let number = bytes.len();
        for at_byte in [0, number / 3, number / 2, number - 1] {
            let place = Arc::new(Watched { flips: Some((path.clone(), at_byte)), ..copy(&whole) });
            let (_folder, store) = store();
            match remote(&place).pull(&store, "s", at(1), &mut |_| ()) {
                // Results are not read, because the study names them. A log is left there. A closure has a checksum, and what a
                // frame says of itself is no part of the bytes.
                Ok(_) => check_pulled(&store, &hash),
                Err(error) => {
                    refused += 1;
                    let expected = matches!(error, RemoteError::Damaged { .. } | RemoteError::Foreign { .. });
                    assert!(expected, "{path}: {error}");
                    assert!(is_empty(&store));
                    assert!(store.verify(&study::manifest, &mut |_, _| ()).unwrap().is_clean(), "{path}");
                }
            }
        }
    }
    assert!(refused > 30, "{refused}");
}

#[test]
fn thirty_two_pushers_at_once_give_one_result() {
    for overwrites in [false, true] {
        let place = Arc::new(Watched { overwrites, ..Watched::default() });
        let pushers: Vec<_> = (0..32)
            .map(|_| {
                let place = place.clone();
                std::thread::spawn(move || {
                    let (_folder, store) = store();
                    let hash = study(&store, "s", 2);
                    remote(&place).push(&store, None, &options(100), &mut |_| ()).unwrap();
                    hash
                })
            })
            .collect();
        let hashes: BTreeSet<_> = pushers.into_iter().map(|pusher| pusher.join().unwrap()).collect();
        assert_eq!(hashes.len(), 1);
        check_clean(&place);
        assert_eq!(remote(&place).studies().unwrap().len(), 1);
    }
}

#[test]
fn another_result_of_the_same_action_is_told_and_stays() {
    for overwrites in [false, true] {
        let (whole, _) = pushed(2);
        let place = Arc::new(Watched { overwrites, ..copy(&whole) });
        let before = files(&place);
        let (_folder, store) = store();
        study(&store, "s", 2);
        let mut found = study::find(&store, None).unwrap().study;
        let (other, _) = store.put_tree(&[("score.json".to_owned(), b"{}".to_vec())].into()).unwrap();
        let node = found.nodes.get_mut("train/1").unwrap();
        let key = node.key().unwrap();
        let theirs = node.tree().unwrap();
        node.outcome = pipe_engine::study::Outcome::Tree(other);
        let hash = store.put(&found.record()).unwrap();
        store.ref_append(RefKind::Studies, "s", &hash, at(9)).unwrap();
        let error = remote(&place).push(&store, None, &options(200), &mut |_| ()).unwrap_err();
        let RemoteError::Conflicts { found, .. } = &error else { panic!("{error}") };
        assert_eq!((found[0].key, found[0].node.as_str()), (key, "train/1"));
        assert_eq!((&found[0].ours, &found[0].theirs), (&format!("outputs {other}"), &format!("outputs {theirs}")));
        assert!(error.to_string().contains("DIFFER"), "{error}");
        let after = files(&place);
        assert!(before.iter().all(|(path, bytes)| after[path] == *bytes), "nothing was overwritten");
        assert_eq!(remote(&place).studies().unwrap().len(), 1, "the study has no name there");
        // The other way round: what stands here stays.
        store.replace(&key, &ActionResult::Tree(other), &json!({})).unwrap();
        let error = remote(&place).pull(&store, "s", at(300), &mut |_| ()).unwrap_err();
        assert!(matches!(&error, RemoteError::Conflicts { found, .. } if found.len() == 1), "{error}");
        assert_eq!(store.result(&key).unwrap(), Some(ActionResult::Tree(other)));
        assert_eq!(study::find(&store, None).unwrap().hash, hash);
    }
}

#[test]
fn a_poisoned_record_is_found_by_who_pushes_the_true_one() {
    let (place, _) = pushed(1);
    let (_folder, store) = store();
    study(&store, "s", 2);
    let key = study::find(&store, None).unwrap().study.nodes["train/1"].key().unwrap();
    let poison = ActionResult::Tree(Digest::of(b"poison")).record(&key);
    let bucket = remote(&place);
    crate::testing::block(async {
        let path = object_store::path::Path::from(layout::action(&key));
        object_store::ObjectStoreExt::put(&place.inner, &path, poison.into()).await.unwrap();
    });
    let error = bucket.push(&store, None, &options(200), &mut |_| ()).unwrap_err();
    assert!(matches!(&error, RemoteError::Conflicts { found, .. } if found[0].key == key), "{error}");
}

#[test]
fn what_was_left_out_is_said_and_its_results_do_not_count() {
    for (without, left_out) in [(Without::Weights, 2), (Without::Data, 1), (Without::Logs, 0)] {
        let (_folder, from) = store();
        let hash = study(&from, "s", 2);
        let place = Arc::new(Watched::default());
        let partly = crate::PushOptions { without: [without].into(), ..options(100) };
        let pushed = remote(&place).push(&from, None, &partly, &mut |_| ()).unwrap();
        assert_eq!(pushed.results, 4 - left_out);
        check_clean(&place);
        let (_other, to) = store();
        let pulled = remote(&place).pull(&to, "s", at(1), &mut |_| ()).unwrap();
        assert_eq!((pulled.left_out, pulled.without), (left_out, [without].into()));
        let found = study::find(&to, Some("s")).unwrap();
        assert_eq!(found.hash, hash);
        let lacking = found.study.nodes.values().filter(|node| to.result(&node.key().unwrap()).unwrap().is_none());
        assert_eq!(lacking.count() as u64, left_out);
        // Everything else can be read.
        assert!(
            found.study.nodes.values().filter_map(pipe_engine::study::StudyNode::tree).all(|t| to.tree(&t).is_ok())
        );
        // A push of the whole study sends the rest, and one without that asks for nothing more.
        let rest = remote(&place).push(&from, None, &options(200), &mut |_| ()).unwrap();
        assert!(rest.sent > 0 && rest.results == 4);
        check_clean(&place);
        assert_eq!(remote(&place).push(&from, None, &partly, &mut |_| ()).unwrap().sent, 0);
        remote(&place).pull(&to, "s", at(1), &mut |_| ()).unwrap();
        check_pulled(&to, &hash);
    }
}

#[test]
fn a_conflict_of_two_requests_is_no_result() {
    let place = Arc::new(Watched::default());
    place.conflicts.store(3, Ordering::SeqCst);
    let (_folder, store) = store();
    study(&store, "s", 1);
    // The first three are the format and two objects: an object is sent again by the next push.
    let bucket = crate::bucket::Bucket {
        store: place.clone(),
        name: "lab".into(),
        conditional: true,
        lists: true,
        trusted: BTreeSet::new(),
    };
    let created = crate::testing::block(bucket.create("actions/x", b"one")).unwrap();
    assert_eq!(created, crate::bucket::Created::New);
    assert_eq!(files(&place)["actions/x"], b"one");
    let stands = crate::testing::block(bucket.create("actions/x", b"two")).unwrap();
    assert_eq!(stands, crate::bucket::Created::Stands(b"one".to_vec()));
}

#[test]
fn a_damaged_object_of_the_store_is_not_pushed() {
    let (folder, store) = store();
    let hash = study(&store, "s", 1);
    let digits = hash.to_string();
    let path = folder.path().join("store/objects").join(&digits[..2]).join(&digits[2..]);
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() = b' ';
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let place = Arc::new(Watched::default());
    let store = Store::open(store.root()).unwrap();
    let error = remote(&place).push(&store, Some("s"), &options(1), &mut |_| ()).unwrap_err();
    assert!(matches!(&error, RemoteError::Study(_) | RemoteError::Store(_)), "{error}");
    assert!(!files(&place).contains_key(&layout::closure(&hash)));
}

#[test]
fn a_damaged_object_of_the_remote_is_mended_by_a_push_of_everything() {
    let (_folder, from) = store();
    let hash = study(&from, "s", 1);
    let place = Arc::new(Watched::default());
    remote(&place).push(&from, None, &options(100), &mut |_| ()).unwrap();
    let path = layout::object(&hash, pipe_store::Encoding::Raw);
    crate::testing::block(async {
        let path = object_store::path::Path::from(path);
        object_store::ObjectStoreExt::put(&place.inner, &path, b"{}".to_vec().into()).await.unwrap();
    });
    let (_other, to) = store();
    assert!(matches!(remote(&place).pull(&to, "s", at(1), &mut |_| ()), Err(RemoteError::Damaged { .. })));
    let again = crate::PushOptions { again: true, ..options(200) };
    remote(&place).push(&from, None, &again, &mut |_| ()).unwrap();
    remote(&place).pull(&to, "s", at(1), &mut |_| ()).unwrap();
    check_pulled(&to, &hash);
}

#[test]
fn a_server_without_conditional_writes_is_found_out() {
    for overwrites in [false, true] {
        let place = Arc::new(Watched { overwrites, ..Watched::default() });
        let probe = remote(&place).probe().unwrap();
        assert_eq!((probe.writes, probe.conditional), (true, Some(!overwrites)));
        assert_eq!(files(&place).keys().collect::<Vec<_>>(), ["format"]);
    }
}

#[test]
fn a_place_with_something_else_is_no_remote() {
    let place = Arc::new(Watched::default());
    crate::testing::block(async {
        let path = object_store::path::Path::from("format");
        object_store::ObjectStoreExt::put(&place.inner, &path, b"{\"format\":2}\n".to_vec().into()).await.unwrap();
    });
    let (_folder, store) = store();
    study(&store, "s", 1);
    for error in [
        remote(&place).probe().unwrap_err(),
        remote(&place).push(&store, None, &options(1), &mut |_| ()).unwrap_err(),
        remote(&place).pull(&store, "s", at(1), &mut |_| ()).unwrap_err(),
    ] {
        assert!(matches!(error, RemoteError::Foreign { .. }), "{error}");
    }
}

#[test]
fn only_what_someone_trusted_has_signed_is_pulled() {
    let folder = tempfile::tempdir().unwrap();
    let secret = |name: &str| Arc::new(crate::SecretKey::create(&folder.path().join(name)).unwrap());
    let (ours, other) = (secret("ours"), secret("other"));
    let (_folder, from) = store();
    let hash = study(&from, "s", 2);
    let place = Arc::new(Watched::default());
    let push = |sign: Option<&Arc<crate::SecretKey>>| {
        let options = crate::PushOptions { sign: sign.cloned(), ..options(100) };
        remote(&place).push(&from, None, &options, &mut |_| ()).unwrap();
    };
    let pull = |to: &Store| {
        let mut remote = remote(&place);
        remote.bucket.trusted = [ours.signer()].into();
        remote.pull(to, "s", at(1), &mut |_| ())
    };
    push(None);
    let (_other, to) = store();
    assert!(matches!(pull(&to), Err(RemoteError::Unsigned { study, .. }) if study == hash));
    push(Some(&other));
    assert!(matches!(pull(&to), Err(RemoteError::Unsigned { .. })));
    // A signature of another study does not count.
    let elsewhere = crate::testing::block(async {
        let path = object_store::path::Path::from(layout::signature_of_study(&hash, &ours.signer().0));
        let forged = ours.sign(b"pipe study 1\nanother\n");
        object_store::ObjectStoreExt::put(&place.inner, &path, forged.into()).await
    });
    elsewhere.unwrap();
    assert!(matches!(pull(&to), Err(RemoteError::Unsigned { .. })));
    assert!(is_empty(&to));
    push(Some(&ours));
    pull(&to).unwrap();
    check_pulled(&to, &hash);
    let key = study::find(&to, None).unwrap().study.nodes["train/0"].key().unwrap();
    let provenance = to.provenance(&key).unwrap().unwrap();
    assert_eq!(provenance["signed_by"], ours.signer().to_string());
    check_clean(&place);
    // A third push asks for the signature, too.
    let requests = place.count();
    push(Some(&ours));
    assert_eq!(place.count() - requests, 3);
}
