//! Mistakes of form: text that is not RON, and names that occur twice.

use super::check;

#[test]
fn a_syntax_error() {
    check(
        &[("lag: 2,", "lag: 2")],
        r#"
error: expected comma
 --> pipeline.ron:6:27
  |
6 |         trials: 4, lag: 2 sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
  |                           ^
"#,
    );
}

#[test]
fn an_unclosed_bracket() {
    check(
        &[("RandomFlip(0.5)]", "RandomFlip(0.5)")],
        r#"
error: expected comma
 --> pipeline.ron:4:60
  |
4 |     ("flip", Augment(data: "data", policy: [RandomFlip(0.5))),
  |                                                            ^
"#,
    );
}

#[test]
fn a_repeated_key_of_a_map() {
    check(
        &[(r#"choice(["relu", "elu"]),"#, r#"choice(["relu", "elu"]), "activation": 1,"#)],
        r#"
error: `activation` is named twice
 --> pipeline.ron:7:56
  |
7 |         space: {"activation": choice(["relu", "elu"]), "activation": 1, "l2_weight_reg_mult": loguniform(-1, 1)},
  |                                                        ^^^^^^^^^^^^
  |
  = help: remove one of the two, or rename it
"#,
    );
}

#[test]
fn a_repeated_field() {
    check(
        &[("epochs: 3", "epochs: 3, epochs: 4")],
        r#"
error: `epochs` is named twice
  --> pipeline.ron:10:47
   |
10 |     ("best", Retrain(of: "search", epochs: 3, epochs: 4)),
   |                                               ^^^^^^
   |
   = help: remove one of the two, or rename it
"#,
    );
}

#[test]
fn numbers_that_are_not_finite() {
    check(
        &[("epochs: 3", "epochs: NaN"), ("0.5", "inf"), ("-1, 1", "-1e999, 1")],
        r#"
error: `inf`
 --> pipeline.ron:4:56
  |
4 |     ("flip", Augment(data: "data", policy: [RandomFlip(inf)])),
  |                                                        ^^^ expected a finite number

error: `-1e999`
 --> pipeline.ron:7:89
  |
7 |         space: {"activation": choice(["relu", "elu"]), "l2_weight_reg_mult": loguniform(-1e999, 1)},
  |                                                                                         ^^^^^^ expected a finite number

error: `NaN`
  --> pipeline.ron:10:44
   |
10 |     ("best", Retrain(of: "search", epochs: NaN)),
   |                                            ^^^ expected a finite number
"#,
    );
}

#[test]
fn two_stages_with_one_name() {
    check(
        &[(r#"("test""#, r#"("best""#)],
        r#"
error: two stages are named `best`
  --> pipeline.ron:11:6
   |
11 |     ("best", Evaluate(of: "best", split: Test)),
   |      ^^^^^^
   |
   = help: rename one of them
"#,
    );
}

#[test]
fn a_stage_without_a_name() {
    check(
        &[(
            r#"("raw", Fetch(Embedded(name: "shapes100", train: 200, test: 50)))"#,
            r#"Fetch(Embedded(name: "shapes100", train: 200, test: 50))"#,
        )],
        r#"
error: found `Fetch`
 --> pipeline.ron:2:5
  |
2 |     Fetch(Embedded(name: "shapes100", train: 200, test: 50)),
  |     ^^^^^ expected `("name", Kind(..))`

error: there is no stage `raw`
 --> pipeline.ron:3:27
  |
3 |     ("data", Decode(from: "raw", format: Cifar100)),
  |                           ^^^^^ expected `best`, `data`, `filters`, `flip`, `search` or `test`
"#,
    );
}

#[test]
fn an_invalid_name() {
    check(
        &[(r#""tiny""#, r#""ti ny""#)],
        r#"
error: `ti ny` is not a valid name
 --> pipeline.ron:1:13
  |
1 | Study(name: "ti ny", stages: [
  |             ^^^^^^^ expected 1 to 100 letters (a to z, A to Z), digits, `-` and `_`
"#,
    );
}

#[test]
fn a_root_that_is_not_a_study() {
    check(
        &[("Study(", "Stdy(")],
        r#"
error: unknown name `Stdy`
 --> pipeline.ron:1:1
  |
1 | Stdy(name: "tiny", stages: [
  | ^^^^ expected `Study`
  |
  = help: did you mean `Study`?
"#,
    );
}
