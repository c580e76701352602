//! Panics of other threads. They are of the whole process, so this is a process without other tests.

use std::thread;

use pipe_stages::panics::{caught, noted, watch};

#[test]
fn a_panic_of_another_thread_is_caught_or_noted() {
    assert_eq!(caught(|| 1), Ok(1));
    let lost = |message: &'static str| move || thread::spawn(move || panic!("{message}")).join().is_err();
    assert_eq!(caught(lost("Missing symbol")), Err("Missing symbol".to_owned()));
    // The first one counts: later ones come from it.
    let both = || thread::spawn(|| panic!("first")).join().expect("the second");
    assert_eq!(caught(both), Err("first".to_owned()));

    lost("before")();
    assert_eq!(noted(), None, "nobody watches");
    watch();
    caught(lost("caught")).unwrap_err();
    assert_eq!(noted(), None);
    lost("noted")();
    lost("later")();
    assert_eq!(noted(), Some("noted".to_owned()));
}
