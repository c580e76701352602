//! `--set` and `PIPE_SET` override values in the file.

use insta::assert_snapshot;

use crate::sandbox::{Sandbox, base};

/// Returns the hash of the study up to the augmentation.
#[track_caller]
fn flip(sandbox: &Sandbox, args: &str, variable: Option<&str>) -> String {
    let mut command = sandbox.command(&format!("run --json --stage flip {args}"));
    command.envs(variable.map(|value| ("PIPE_SET", value)));
    sandbox.output(&mut command).events().ok().hash()
}

#[test]
fn an_override_gives_the_same_study_as_an_edit() {
    let sandbox = Sandbox::after_run();
    let set = flip(&sandbox, "--set flip.policy[0]=RandomFlip(0.25) --set seed=3", None);
    let variable = flip(&sandbox, "", Some("flip.policy[0]=RandomFlip(0.25); seed = 3"));
    let untouched = flip(&sandbox, "", None);
    sandbox.edit("RandomFlip(0.5)", "RandomFlip(0.25)");
    sandbox.edit("seed: 7", "seed: 3");
    let written = flip(&sandbox, "", None);
    assert_eq!((&set, &variable), (&written, &written));
    assert_ne!(untouched, written);
}

#[test]
fn the_command_line_overrides_the_environment_and_the_file() {
    let sandbox = Sandbox::after_run();
    let both = flip(&sandbox, "--set flip.policy[0]=RandomFlip(0.25)", Some("flip.policy[0]=RandomFlip(0.75)"));
    assert_eq!(both, flip(&sandbox, "--set flip.policy[0]=RandomFlip(0.25)", None));
    let variable = flip(&sandbox, "", Some("flip.policy[0]=RandomFlip(0.75)"));
    assert_ne!(both, variable);
    assert_ne!(variable, flip(&sandbox, "", None));
}

#[test]
fn an_override_with_the_same_value_changes_nothing() {
    let sandbox = Sandbox::after_run();
    let events = sandbox.run("--set search.lag=2 --set search.trial.keep=[Best] --set device=Cpu").ok();
    assert_eq!((events.hash(), events.nodes("executed").len()), (base().hash.clone(), 0));
    let renamed = sandbox.run("--set name=renamed").ok();
    assert_eq!((renamed.hash(), renamed.study()["name"].as_str()), (base().hash.clone(), Some("renamed")));
}

#[test]
fn a_wrong_override_is_shown_like_a_mistake_in_the_file() {
    let sandbox = Sandbox::after_run();
    assert_snapshot!(sandbox.pipe("run --set search.trails=5").shown(), @"
    ! error: unknown field `trails`
    !  --> --set:1:1
    !   |
    ! 1 | search.trails=5
    !   | ^^^^^^^^^^^^^ expected `constraints`, `first`, `fixed`, `imported`, `lag`, `limits`, `maximise`, `minimise`, `remember`, `repeats`, `sampler`, `space`, `stop`, `trial` or `trials`
    !   |
    !   = help: did you mean `trials`?
    !
    exit 2
    ");
    for (set, value) in
        [("search.trials=0", "0"), ("search.trial.learning_rate=NaN", "NaN"), ("serch.trials=4", "serch")]
    {
        let output = sandbox.pipe(&format!("run --set {set}"));
        assert_eq!(output.code, Some(2), "{}", output.err);
        assert!(output.err.contains("--> --set:1:") && output.err.contains(value), "{}", output.err);
    }
    let mut command = sandbox.command("run");
    let output = sandbox.output(command.env("PIPE_SET", "seed"));
    assert_eq!(output.code, Some(2));
    assert!(output.err.contains("--> PIPE_SET:1:1"), "{}", output.err);
}

#[test]
fn environment_variables_set_options() {
    let sandbox = Sandbox::after_run();
    let mut command = sandbox.command("run --json");
    command.env("PIPE_JOBS", "1").env("PIPE_THREADS", "1").env("PIPE_CHECKPOINT_EVERY", "0").env("PIPE_DEVICE", "cpu");
    command.env("PIPE_PRECISION", "f32");
    assert_eq!(sandbox.output(&mut command).events().ok().hash(), base().hash);
    let mut command = sandbox.command("run");
    assert_eq!(sandbox.output(command.env("PIPE_JOBS", "none")).code, Some(2));
}
