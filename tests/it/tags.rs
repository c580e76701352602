//! Tags name studies and keep them.

use insta::assert_snapshot;

use crate::sandbox::{Sandbox, base, text};

#[test]
fn a_tag_can_be_used_like_a_name() {
    let sandbox = Sandbox::after_run();
    assert_snapshot!(sandbox.pipe("tag").shown(), @"exit 0");
    assert_snapshot!(sandbox.pipe("tag tiny v1").shown(), @"
      v1  DIGEST  tiny
    exit 0
    ");
    assert_snapshot!(sandbox.pipe("tag tiny v1").shown(), @"
      v1  DIGEST  tiny
    exit 0
    ");
    sandbox.run("--set search.trials=2").ok();
    assert_eq!(text(&sandbox.json("show v1 --json")["study"]), base().hash);
    assert_eq!(sandbox.json("show v1 --json")["name"], "tiny");
    for command in [
        "trials v1",
        "report v1 --output r.html",
        "show flip --study v1",
        "cat flip/policy.json --study v1",
        "diff v1 tiny~1",
        "why flip --study v1",
    ] {
        sandbox.pipe(command).ok();
    }
    assert_eq!(sandbox.pipe("diff v1 tiny").code, Some(1));
    sandbox.pipe("tag tiny latest").ok();
    assert_snapshot!(sandbox.pipe("tag").shown(), @"
      latest  DIGEST  tiny
      v1      DIGEST  tiny
    exit 0
    ");
    assert_snapshot!(sandbox.pipe("studies").shown(), @"
      tiny  SHORT  MOMENT     17 nodes  complete  best 1.00 %  test 2.00 %  [v1]
      tiny  SHORT  MOMENT     13 nodes  complete  best 1.00 %  test 2.00 %  [latest]
    exit 0
    ");
    let rows = sandbox.json("tag --json");
    assert_eq!((&rows[1]["tag"], text(&rows[1]["study"])), (&"v1".into(), base().hash.clone()));
    assert_snapshot!(sandbox.pipe("show v2").shown(), @"
    ! error: there is no node `v2` in this study
    exit 2
    ");
}

#[test]
fn a_tag_moves_only_if_it_is_forced_to() {
    let sandbox = Sandbox::after_run();
    sandbox.pipe("tag tiny v1").ok();
    let other = sandbox.run("--stage raw").ok().hash();
    assert_snapshot!(sandbox.pipe("tag tiny v1").shown(), @"
    ! error: the tag `v1` names the study DIGEST
    !   hint: `--force` moves it
    exit 2
    ");
    assert_eq!(text(&sandbox.json("tag --json")[0]["study"]), base().hash);
    sandbox.pipe("tag tiny v1 --force").ok();
    assert_eq!(text(&sandbox.json("tag --json")[0]["study"]), other);
    assert_eq!(sandbox.json("tag --json").as_array().unwrap().len(), 1);
    assert_snapshot!(sandbox.pipe("tag --delete v2").shown(), @"
    ! error: there is no tag `v2`
    !   hint: did you mean `v1`?
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("tag --delete v1").shown(), @"exit 0");
    assert_eq!(sandbox.json("tag --json").as_array().unwrap().len(), 0);
}

#[test]
fn a_tag_and_a_study_cannot_have_the_same_name() {
    let sandbox = Sandbox::after_run();
    assert_snapshot!(sandbox.pipe("tag tiny tiny").shown(), @"
    ! error: `tiny` is the name of a study
    !   hint: a tag needs a name of its own
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("tag tiny a~1").shown(), @"
    ! error: `a~1` cannot be a tag: `~` refers to earlier studies
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("tag tiny ../x").shown(), @"
    ! error: `../x` cannot be a name: it starts with a dot
    exit 2
    ");
    sandbox.pipe("tag tiny other").ok();
    assert_snapshot!(sandbox.pipe("run --set name=other").shown(), @"
    ! error: the study cannot be called `other`: a tag has this name
    !   hint: rename the study, or remove the tag with `pipe tag --delete 'other'`
    exit 2
    ");
    assert_eq!(sandbox.pipe("tag tiny").code, Some(2), "a tag needs a name");
}

#[test]
fn gc_keeps_a_tagged_study() {
    let sandbox = Sandbox::after_run();
    sandbox.run("").ok();
    sandbox.pipe("tag tiny v1").ok();
    let before = sandbox.stored("objects");
    let reports = sandbox.stored("reports");
    sandbox.edit("seed: 7", "seed: 8");
    sandbox.run("--stage search/propose/000").ok();
    sandbox.pipe("gc --keep-last 1 --grace 0s").ok();
    assert_eq!(sandbox.stored("objects").intersection(&before).count(), before.len());
    assert_eq!(sandbox.stored("reports").intersection(&reports).count(), reports.len());
    assert_snapshot!(sandbox.pipe("studies").shown(), @"
      tiny  SHORT  MOMENT      1 nodes  complete
      -     SHORT  MOMENT     17 nodes  complete  best 1.00 %  test 2.00 %  [v1]
    exit 0
    ");
    sandbox.pipe("verify").ok();
    sandbox.edit("seed: 8", "seed: 7");
    assert_eq!(sandbox.run("").ok().nodes("executed").len(), 0);
    // Without its tag, nothing keeps it.
    sandbox.edit("seed: 7", "seed: 8");
    sandbox.run("--stage search/propose/000").ok();
    sandbox.pipe("tag --delete v1").ok();
    sandbox.pipe("gc --keep-last 1 --grace 0s").ok();
    assert!(sandbox.stored("objects").len() < before.len() / 2);
    assert_eq!(sandbox.pipe("show v1").code, Some(2));
}
