//! Mistakes in overrides are shown in the override's own text.

use super::check_set;

#[test]
fn a_value_of_an_override() {
    check_set(
        &["search.trials=many", "best.epochs = -1"],
        r#"
error: `trials`: found `many`
 --> --set:1:15
  |
1 | search.trials=many
  |               ^^^^ expected a whole number of 1 to 100000

error: `epochs`: found `-1`
 --> --set:1:15
  |
1 | best.epochs = -1
  |               ^^ expected a whole number of 1 to 100000, or `BestEpoch`
"#,
    );
}

#[test]
fn a_path_that_leads_nowhere() {
    check_set(
        &["serch.trials=1", "search.trial.epoch=1", "flip.policy[3]=1", "seeds=1"],
        r#"
error: there is no `serch`
 --> --set:1:1
  |
1 | serch.trials=1
  | ^^^^^ expected `name`, `seed`, `device`, `precision`, `commands`, `raw`, `data`, `flip`, `search`, `best`, `test` or `filters`
  |
  = help: did you mean `search`?

error: unknown field `epoch`
 --> --set:1:1
  |
1 | search.trial.epoch=1
  | ^^^^^^^^^^^^^^^^^^ expected <fields of Train>
  |
  = help: did you mean `epochs`?

error: there is no `flip.policy[3]`
 --> --set:1:1
  |
1 | flip.policy[3]=1
  | ^^^^^^^^^^^^^^ expected an index below 1

error: there is no `seeds`
 --> --set:1:1
  |
1 | seeds=1
  | ^^^^^ expected `name`, `seed`, `device`, `precision`, `commands`, `raw`, `data`, `flip`, `search`, `best`, `test` or `filters`
  |
  = help: did you mean `seed`?
"#,
    );
}

#[test]
fn no_path() {
    check_set(
        &["seed", "=1", "a..b=1"],
        r#"
error: no `=`
 --> --set:1:1
  |
1 | seed
  | ^^^^ expected `path=value`
  |
  = help: for example `--set search.trials=20`

error: no path
 --> --set:1:1
  |
1 | =1
  | ^ expected a path such as `search.trials`

error: `a..b` has an empty step
 --> --set:1:1
  |
1 | a..b=1
  | ^^^^ expected a path such as `search.trials`
"#,
    );
}

#[test]
fn no_value() {
    check_set(
        &["seed=(1", "seed="],
        r#"
error: expected comma
 --> --set:1:7
  |
1 | seed=(1
  |       ^

error: no value
 --> --set:1:6
  |
1 | seed=
  |      ^ expected a value after `=`
"#,
    );
}

#[test]
fn a_value_out_of_range_and_an_unknown_reference() {
    check_set(
        &["search.lag=0", "test.of=bst"],
        r#"
error: `lag`: found `0`
 --> --set:1:12
  |
1 | search.lag=0
  |            ^ expected a whole number of 1 to 1000

error: there is no stage `bst`
 --> --set:1:9
  |
1 | test.of=bst
  |         ^^^ expected `best`
  |
  = help: did you mean `best`?
"#,
    );
}
