//! Commands: what is refused, and what the plan of a study with commands is.

use std::{fs, path::Path, time::SystemTime};

use pipe_stages::{
    DeviceKind,
    fetch::{Look, Surroundings},
};
use pipe_store::Digest;

use super::{accepted, refused};
use crate::{
    pipeline::{
        expand::{Downloads, expand},
        mistake::Rendering,
        read::read,
        spec::Pipeline,
    },
    plan::Plan,
};

/// A study of programs: data, a search, the best trial again, a test.
const DIGITS: &str = r#"Study(name: "digits", stages: [
    ("split", Command(run: ["py", "split.py", "{out}"], files: ["split.py"], outputs: ["train.npz", "test.npz", "plots/"], held_out: ["test.npz"])),
    ("search", Search(
        trials: 3, sampler: Random, maximise: Best("acc"), space: {"lr": uniform(0, 1), "n": IntRange(lo: 1, hi: 9)},
        trial: Command(
            run: ["py", "train.py", "{in.train}", "{flags}", "{epochs}", "{report}", "{out}", "{state}"],
            files: ["train.py"], inputs: {"train": "split/train.npz"}, outputs: ["model.npz"], reports: Lines, epochs: 4,
        ),
    )),
    ("best", Retrain(of: "search", epochs: 8)),
    ("test", Command(final: true, run: ["py", "{in.model}", "{in.test}"], inputs: {"model": "best/model.npz", "test": "split/test.npz"}, metrics: ["m.json"])),
])
"#;

fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(DIGITS.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "`{old}` is not in the text");
        text.replacen(old, new, 1)
    })
}

/// Checks that [`DIGITS`] with `edits` is refused: `message`, the text under the carets, and the rest of what is said.
#[track_caller]
fn check(edits: &[(&str, &str)], message: &str, marked: &str, said: &str) {
    let text = edited(edits);
    let found = read("pipeline.ron", &text, &[]).expect_err("it is wrong");
    let [mistake] = found.mistakes.as_slice() else { panic!("{}", found.render(Rendering::Plain)) };
    let span = mistake.span.expect("it has a place");
    let expected = mistake.expected.as_ref().map(|expected| format!("expected {expected}"));
    let help = mistake.help.as_ref().map(|help| format!("help: {help}"));
    let rest = [expected, help].into_iter().flatten().collect::<Vec<_>>().join("; ");
    assert_eq!((mistake.message.as_str(), &text[span.start..span.end], rest.as_str()), (message, marked, said));
}

#[test]
fn a_mistake_in_a_command_has_its_carets() {
    refused(
        &edited(&[("{in.train}", "{in.trian}")]),
        &[],
        r#"
error: there is no input `trian`
 --> pipeline.ron:6:37
  |
6 |             run: ["py", "train.py", "{in.trian}", "{flags}", "{epochs}", "{report}", "{out}", "{state}"],
  |                                     ^^^^^^^^^^^^ expected `train`
  |
  = help: did you mean `train`?
"#,
    );
}

#[test]
fn words_and_what_they_need_fit_together() {
    check(
        &[("\"{out}\"]", "\"{outt}\"]")],
        "`run[2]`: unknown placeholder `{outt}`",
        "\"{outt}\"",
        "expected `{out}`, `{state}`, `{report}`, `{epochs}`, `{horizon}`, `{seed}`, `{threads}`, `{params}`, `{tmp}`, \
         `{flags}`, `{assignments}`, `{in.SLOT}` or `{hp.LABEL}`; help: did you mean `out`?",
    );
    check(
        &[("\"{out}\"]", "\"{in.x}\"]")],
        "there is no input `x`",
        "\"{in.x}\"",
        "help: declare it: `inputs: {\"x\": \"STAGE/FILE\"}`",
    );
    check(
        &[("\"{out}\"]", "\"{epochs}\"]")],
        "the number of epochs is not given",
        "\"{epochs}\"",
        "help: add `epochs: 10` to the command",
    );
    check(
        &[("\"{epochs}\", ", ""), ("Retrain(of: \"search\", epochs: 8)", "Retrain(of: \"search\")")],
        "no word of `run` or `env` is `{epochs}`",
        "4",
        "help: pass the number to the program, as in `\"--epochs\", \"{epochs}\"`",
    );
    check(
        &[("\"{report}\", ", "")],
        "no word of `run` or `env` is `{report}`",
        "Lines",
        "help: pass the path to the program, as in `\"--report\", \"{report}\"`",
    );
    check(
        &[("\"{out}\"]", "\"{report}\"]")],
        "nothing reads the file `{report}`",
        "\"{report}\"",
        "help: add `reports: Lines` to the command",
    );
    check(
        &[("\"{out}\"]", "\"{flags}\"]")],
        "the proposed values outside a search",
        "\"{flags}\"",
        "help: only the trial of a `Search` has proposed values",
    );
    check(&[("\"{out}\"]", "hp(\"x\")]")], "the label `x` outside a search", "hp(\"x\")", "expected a value");
    check(
        &[("run: [\"py\", \"split.py\", \"{out}\"]", "run: []")],
        "`run` has no words",
        "[]",
        "expected a program and its arguments",
    );
}

#[test]
fn every_label_of_a_space_reaches_the_program() {
    check(
        &[("\"{flags}\"", "\"{hp.lr}\"")],
        "label `n` is not used",
        "\"n\"",
        "help: pass it to the program: `\"{flags}\"` for all, or `\"{hp.n}\"`; or remove it",
    );
    check(
        &[("\"{flags}\"", "\"{flags}\", \"{hp.lrr}\"")],
        "the space has no label `lrr`",
        "\"{hp.lrr}\"",
        "expected `lr` or `n`; help: did you mean `lr`?",
    );
}

#[test]
fn the_objective_of_a_search_is_something_that_is_reported() {
    check(
        &[("reports: Lines, ", ""), ("\"{report}\", ", "")],
        "nothing reports `acc`",
        "Best(\"acc\")",
        "help: give the trial `reports: Lines` or `metrics: [\"metrics.json\"]`",
    );
    check(
        &[("reports: Lines", r#"reports: Stdout(r"(?<epoch>\d+) (?<accuracy>\S+)")"#), ("\"{report}\", ", "")],
        "the pattern has no group `acc`",
        "Best(\"acc\")",
        "expected `accuracy`",
    );
    check(
        &[("maximise: Best(\"acc\"), ", "")],
        "missing field `maximise`",
        "Search",
        "expected `maximise: Best(\"name of a metric\")`; help: or `minimise: ..`; the metric is one that the command reports",
    );
}

#[test]
fn inputs_name_what_other_stages_write() {
    check(
        &[("\"split/train.npz\"", "\"split/trian.npz\"")],
        "`split` has no output `trian.npz`",
        "\"split/trian.npz\"",
        "expected `train.npz`, `test.npz` or `plots/`; help: did you mean `train.npz`?",
    );
    check(
        &[("\"split/train.npz\"", "\"splat/train.npz\"")],
        "there is no stage `splat`",
        "\"splat/train.npz\"",
        "expected a file of `split`, `search`, `best` or `test`",
    );
    check(
        &[("\"split/train.npz\"", "\"split\"")],
        "`split` is a stage",
        "\"split\"",
        "expected a file of it, `\"split/FILE\"`, or `\"split/\"` for all",
    );
    check(
        &[("\"best/model.npz\"", "\"best/model.pt\"")],
        "`best` has no output `model.pt`",
        "\"best/model.pt\"",
        "expected `model.npz` or `history.csv`; help: did you mean `model.npz`?",
    );
    check(
        &[("{\"train\": \"split", "{\"tr ain\": \"split"), ("{in.train}", "x")],
        "`tr ain` cannot be the name of an input",
        "\"split/train.npz\"",
        "expected letters (a to z, A to Z), digits, `-` and `_`",
    );
    let cycle = edited(&[(
        "[\"py\", \"split.py\", \"{out}\"], ",
        "[\"py\", \"{out}\"], inputs: {\"m\": \"best/model.npz\"}, ",
    )]);
    let found = read("pipeline.ron", &cycle, &[]).expect_err("it is wrong").render(Rendering::Plain);
    assert!(found.contains("a cycle: `best` -> `search` -> `split` -> `best`"), "{found}");
}

#[test]
fn what_is_held_out_is_for_a_final_command_alone() {
    check(
        &[("\"split/train.npz\"", "\"split/test.npz\"")],
        "`test.npz` of `split` is held out",
        "\"split/test.npz\"",
        "help: only a command with `final: true` may read it",
    );
    check(
        &[("\"split/train.npz\"", "\"split/\"")],
        "`` of `split` is held out",
        "\"split/\"",
        "help: only a command with `final: true` may read it",
    );
    check(
        &[("trial: Command(", "trial: Command(final: true, ")],
        "a trial that may read what is held out",
        "true",
        "help: remove `final`: a search may not see what its result is tested on",
    );
    check(
        &[("\n])", "\n    (\"after\", Command(run: [\"x\"], inputs: {\"m\": \"test/m.json\"})),\n])")],
        "`test` is final",
        "\"test/m.json\"",
        "help: only a `final` command may read from one: what was seen of held-out data must not flow back",
    );
    check(
        &[("held_out: [\"test.npz\"]", "held_out: [\"tset.npz\"]")],
        "`tset.npz` is not in `outputs`",
        "\"tset.npz\"",
        "help: did you mean `test.npz`?",
    );
    let data = r#"("raw", Fetch(Embedded(name: "shapes100", train: 200, test: 50))), ("data", Decode(from: "raw", format: Cifar100)),"#;
    let with = |file: &str, end: &str| {
        format!(r#"{data} ("look", Command(run: ["x"], inputs: {{"d": "data/{file}"}}{end})),"#)
    };
    for (file, end) in [("test.safetensors", ", final: true"), ("validation.safetensors", "")] {
        accepted(&edited(&[("stages: [", &format!("stages: [{}", with(file, end)))]));
    }
    check(
        &[("stages: [", &format!("stages: [{}", with("test.safetensors", "")))],
        "the test split is named by a command that is not `final`",
        "\"data/test.safetensors\"",
        "help: leave it out, or write `final: true`: trials are chosen on validation, and the test split is read at the end",
    );
}

#[test]
fn what_belongs_to_networks_of_pipe_is_refused_for_a_program() {
    check(
        &[("epochs: 8", "epochs: 8, keep: [Best]")],
        "`keep` of a program of your own",
        "[Best]",
        "help: remove it: it belongs to the networks that `pipe` trains",
    );
    check(
        &[("epochs: 8", "epochs: 8, inputs: {\"valid\": \"split/train.npz\"}")],
        "the command of the search has no input `valid`",
        "\"split/train.npz\"",
        "expected `train`",
    );
    check(
        &[("\n])", "\n    (\"look\", Evaluate(of: \"best\")),\n])")],
        "`best` is trained by a program of your own",
        "\"best\"",
        "help: a command can read what it wrote: `Command(final: true, ..)` to test it",
    );
}

#[test]
fn outputs_have_paths_of_their_own() {
    let outputs = |list: &str, message: &str, marked: &str, said: &str| {
        check(
            &[("outputs: [\"train.npz\", \"test.npz\", \"plots/\"]", &format!("outputs: [{list}]"))],
            message,
            marked,
            said,
        );
    };
    let path = "expected a path below `{out}`, such as `model.pt` or `plots/`";
    outputs(
        "\"train.npz\", \"test.npz\", \"/x\"",
        "`/x` cannot be the path of an output file: it is absolute",
        "\"/x\"",
        path,
    );
    outputs(
        "\"train.npz\", \"test.npz\", \"score.json\"",
        "`score.json` is what `pipe` calls a file of its own",
        "\"score.json\"",
        "help: call the output otherwise",
    );
    outputs(
        "\"train.npz\", \"test.npz\", \"test.npz\"",
        "`test.npz` is named twice",
        "\"test.npz\"",
        "help: remove one of the two",
    );
}

/// Returns the pipeline with what its files are in `base`, or what is said if they cannot be used.
fn looked_up(text: &str, base: &Path) -> Result<Pipeline, String> {
    let mut pipeline = accepted(text);
    let look = Look { skip: &[], notes: &base.join("notes"), now: SystemTime::now(), tell: &|_| {} };
    let looked = pipeline.look_up(&Surroundings { base, look, measure: None });
    looked.map(|()| pipeline).map_err(|refused| refused.render(Rendering::Plain))
}

fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["split.py", "train.py", "conf.yaml"] {
        fs::write(folder.path().join(file), file).unwrap();
    }
    folder
}

#[test]
fn a_word_that_is_a_file_of_the_project_is_declared() {
    let folder = project();
    let text = edited(&[("\"{flags}\"", "\"{flags}\", \"--config=conf.yaml\"")]);
    let expected = r#"
error: `conf.yaml` is a file here and is not in `files`
 --> pipeline.ron:6:62
  |
6 |             run: ["py", "train.py", "{in.train}", "{flags}", "--config=conf.yaml", "{epochs}", "{report}", "{out}", "{state}"],
  |                                                              ^^^^^^^^^^^^^^^^^^^^
  |
  = help: add it: `files: ["train.py", "conf.yaml"]`
"#;
    assert_eq!(looked_up(&text, folder.path()).unwrap_err().trim(), expected.trim());
    let check = |files: &str, expected: &str| {
        let text = edited(&[("files: [\"split.py\"]", &format!("files: [\"split.py\", {files}]"))]);
        let found = looked_up(&text, folder.path()).unwrap_err();
        assert!(found.contains(expected), "{found}");
    };
    check("\"missing.py\"", "`missing.py` is not there");
    check("\"../x.py\"", "`../x.py` leaves the folder of the pipeline file");
    check("\"/etc/passwd\"", "`/etc/passwd` leaves the folder of the pipeline file");
    fs::create_dir(folder.path().join("src")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("src/link")).unwrap();
    check("\"src\"", "`src` has a link that leads elsewhere: `src/link`");
}

fn plan(text: &str, base: &Path) -> Plan {
    expand(&looked_up(text, base).unwrap(), &Downloads::default())
}

/// Returns the keys of the nodes whose inputs are not those of others.
fn keys(plan: &Plan) -> Vec<String> {
    let trees = vec![None; plan.nodes.len()];
    let nodes = plan.nodes.iter().enumerate().filter(|(_, node)| node.inputs.is_empty());
    nodes.map(|(index, node)| format!("{} {}", node.name, plan.action(index, &trees).unwrap().key().0)).collect()
}

#[test]
fn a_study_of_programs_has_a_node_for_each_and_one_for_its_files() {
    let folder = project();
    let plan = plan(DIGITS, folder.path());
    assert_eq!(plan.device, DeviceKind::Cpu);
    let names: Vec<_> = plan.nodes.iter().map(|node| node.name.as_str()).collect();
    let of_trial =
        |i| [format!("search/propose/{i:03}"), format!("search/command/{i:03}"), format!("search/history/{i:03}")];
    let expected = ["split/files", "split", "search/files"].map(str::to_owned).into_iter();
    let expected = expected.chain((0..3).flat_map(of_trial));
    let expected = expected.chain(["search/select", "best/files", "best", "test"].map(str::to_owned));
    assert_eq!(names, expected.collect::<Vec<_>>());
    let params = |name: &str| plan.nodes.iter().find(|node| node.name == name).unwrap().params.clone();
    assert_eq!(params("search/command/000")["epochs"], 4);
    assert_eq!(params("best")["epochs"], 8);
}

#[test]
fn the_content_of_files_is_part_of_a_key_and_how_a_program_is_run_is_not() {
    let folder = project();
    let before = plan(DIGITS, folder.path());
    let how = edited(&[(
        "held_out: [\"test.npz\"]",
        "held_out: [\"test.npz\"], resources: (threads: 2, memory: \"4GiB\"), retries: 3, time_limit: \"2h\", pass_env: [\"TOKEN\"]",
    )]);
    let after = plan(&how, folder.path());
    assert_eq!(keys(&before), keys(&after));
    assert_eq!(before.pipeline, after.pipeline);
    let commands = edited(&[("stages: [", "commands: (resources: (threads: 2), retries: 1), stages: [")]);
    let after = plan(&commands, folder.path());
    assert_eq!(before.pipeline, after.pipeline);
    let split = after.nodes.iter().find(|node| node.name == "split").unwrap();
    assert_eq!(split.how.as_ref().map(|how| (how.threads, how.retries)), Some((2, 1)));
    fs::write(folder.path().join("split.py"), "other").unwrap();
    let after = plan(DIGITS, folder.path());
    let same: Vec<_> = keys(&before).into_iter().filter(|key| keys(&after).contains(key)).collect();
    assert!(
        same.iter().all(|key| !key.starts_with("split/files")) && same.len() == keys(&before).len() - 1,
        "{same:?}"
    );
}

#[test]
fn the_environment_is_part_of_the_key() {
    let folder = project();
    let text = edited(&[(
        "stages: [",
        "commands: (environment: [File(\"conf.yaml\"), Says([\"echo\", \"1.2\"])], env: {\"A\": \"1\"}), stages: [",
    )]);
    let plan = plan(&text, folder.path());
    let split = plan.nodes.iter().find(|node| node.name == "split").unwrap();
    let digest = Digest::of(b"conf.yaml").to_string();
    let environment =
        serde_json::json!([{ "what": "file conf.yaml", "is": digest }, { "what": "says echo 1.2", "is": "1.2" }]);
    assert_eq!((&split.params["environment"], &split.params["env"]), (&environment, &serde_json::json!({ "A": "1" })));
    let text = text.replace("[\"echo\", \"1.2\"]", "[\"no-such-program\"]");
    let found = looked_up(&text, folder.path()).unwrap_err();
    assert!(found.contains("`no-such-program` cannot be run"), "{found}");
}
