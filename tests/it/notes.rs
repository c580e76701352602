//! Notes stand beside studies and change nothing in them.

use std::fs;

use insta::assert_snapshot;

use crate::sandbox::{Output, Sandbox, base, text};

fn note(sandbox: &Sandbox, text: &str) -> Output {
    sandbox.output(sandbox.command("note tiny").arg(text))
}

#[test]
fn notes_are_shown_with_their_study_and_change_nothing_in_it() {
    let sandbox = Sandbox::after_run();
    let report = sandbox.pipe("report").ok().out.trim().replace("SANDBOX/", "");
    let plain = fs::read_to_string(sandbox.path(&report)).unwrap();
    assert_snapshot!(sandbox.pipe("note tiny").shown(), @"exit 0");
    note(&sandbox, "relu & elu are <alike>").ok();
    assert_snapshot!(note(&sandbox, "not with another seed, though: see the second run of it").shown(), @"
      1  MOMENT  relu & elu are <alike>
      2  MOMENT  not with another seed, though: see the second run of it
    exit 0
    ");
    assert_snapshot!(sandbox.pipe("studies").shown(), @r#"
      tiny  SHORT  MOMENT     17 nodes  complete  best 1.00 %  test 2.00 %  "not with another seed, though: see the s.." (+1)
    exit 0
    "#);
    let shown = sandbox.pipe("show").shown();
    assert!(shown.contains("\n  note      MOMENT  relu & elu are <alike>\n  note "), "{shown}");
    assert_eq!(text(&sandbox.json("show --json")["notes"][0]["text"]), "relu & elu are <alike>");
    assert_eq!(sandbox.json("studies --json")[0]["notes"], sandbox.json("note tiny --json"));
    let noted = fs::read_to_string(sandbox.path(&report)).unwrap();
    assert!(noted.contains("relu &amp; elu are &lt;alike&gt;") && noted != plain, "the report is made again");
    // The hash is the same, and nothing runs.
    let again = sandbox.run("").ok();
    assert_eq!((again.hash(), again.nodes("executed").len()), (base().hash.clone(), 0));
    sandbox.pipe("verify").ok();
    assert_snapshot!(sandbox.pipe("note tiny --delete 3").shown(), @"
    ! error: `tiny` has no note 3
    !   hint: `pipe note 'tiny'` lists its notes
    exit 2
    ");
    sandbox.pipe("note tiny --delete 2").ok();
    sandbox.pipe("note tiny --delete 1").ok();
    assert_eq!(fs::read_to_string(sandbox.path(&report)).unwrap(), plain, "as if there had been none");
    assert_eq!(note(&sandbox, " ").code, Some(2));
}

#[test]
fn a_note_outlives_gc_and_its_study() {
    let sandbox = Sandbox::after_run();
    sandbox.pipe("note tiny kept").ok();
    sandbox.pipe("gc --grace 0s").ok();
    assert_eq!(text(&sandbox.json("note tiny --json")[0]["text"]), "kept");
    sandbox.edit("seed: 7", "seed: 8");
    sandbox.run("--stage search/propose/000").ok();
    sandbox.pipe("gc --keep-last 1 --grace 0s").ok();
    assert_eq!(sandbox.json("note tiny --json").as_array().unwrap().len(), 0, "another study");
    sandbox.edit("seed: 8", "seed: 7");
    assert_eq!(sandbox.run("").ok().hash(), base().hash);
    assert_eq!(text(&sandbox.json("note tiny --json")[0]["text"]), "kept", "the study has been made again");
}
