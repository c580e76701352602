//! `ForEach`: one written stage for several.

use super::{Override, Rendering, accepted, read};
use crate::{
    pipeline::{
        expand::{Downloads, expand},
        spec::Pipeline,
    },
    study::{Outcome, Study, StudyNode},
};

const TRAIN: &str = "Train(data: \"data\", model: HyperCnn(base_filters: 4), epochs: 2)";

/// Returns a pipeline with data and `stages`.
fn with(stages: &str) -> String {
    format!(
        "Study(name: \"s\", stages: [\n    (\"raw\", Fetch(Embedded(name: \"shapes100\", train: 200, test: 50))),\n    \
         (\"data\", Decode(from: \"raw\", format: Cifar100)),\n    {stages},\n])\n"
    )
}

/// Checks that `each` means the same as the stages `plain`.
#[track_caller]
fn check_same(each: &str, plain: &str) {
    let [each, plain] = [each, plain].map(|stages| accepted(&with(stages)));
    assert_eq!(String::from_utf8(each.record()), String::from_utf8(plain.record()));
    let nodes = |pipeline: &Pipeline| {
        let plan = expand(pipeline, &Downloads::default());
        plan.nodes
            .into_iter()
            .map(|node| (node.name, node.part_of, node.params, node.seed, node.inputs))
            .collect::<Vec<_>>()
    };
    assert_eq!(nodes(&each), nodes(&plain));
}

/// Reads a pipeline with `stages` that must be refused. Returns of each mistake what it is, the text above its carets, and the rest.
#[track_caller]
fn mistakes(stages: &str, overrides: &[&str]) -> Vec<[String; 3]> {
    let overrides: Vec<_> =
        overrides.iter().map(|text| Override { origin: "--set", text: (*text).to_owned() }).collect();
    let refused = read("pipeline.ron", &with(stages), &overrides).expect_err("it is wrong");
    assert!(refused.render(Rendering::Plain).starts_with("error: "));
    let shown = |mistake: crate::pipeline::mistake::Mistake| {
        let span = mistake.span.expect("it has a place");
        let more: Vec<_> = mistake.expected.into_iter().chain(mistake.help).collect();
        [mistake.message, refused.sources[span.source].text[span.start..span.end].to_owned(), more.join("; ")]
    };
    refused.mistakes.into_iter().map(shown).collect()
}

#[track_caller]
fn check(stages: &str, expected: &[[&str; 3]]) {
    assert_eq!(mistakes(stages, &[]), expected, "{stages}");
}

/// Checks that `t/{k}` with this in its `ForEach` is refused for one mistake.
#[track_caller]
fn check_inside(each: &str, expected: [&str; 3]) {
    check(&format!("(\"t/{{k}}\", ForEach({each}))"), &[expected]);
}

#[test]
fn a_for_each_is_the_stages_written_out() {
    let epochs = |epochs: &str| TRAIN.replace("epochs: 2", &format!("epochs: {epochs}"));
    check_same(
        &format!("(\"t-{{n}}\", ForEach(n: [1, 2], {}))", epochs("\"{n}\"")),
        &format!("(\"t-1\", {}), (\"t-2\", {})", epochs("1"), epochs("2")),
    );
    let augment = |p: &str| format!("Augment(data: \"data\", policy: [RandomFlip({p})])");
    let each = format!(
        "/* a: */ (\"a-{{p}}-{{how}}\", ForEach({} /* k: 1, */, p: [1, 0,], // how: [2]\n how : [\"x\", true],))",
        augment("\"{p}\"")
    );
    let plain = [("1", "x"), ("1", "true"), ("0", "x"), ("0", "true")];
    check_same(&each, &plain.map(|(p, how)| format!("(\"a-{p}-{how}\", {})", augment(p))).join(", "));
}

#[test]
fn a_study_has_one_hash_with_a_for_each_and_written_out() {
    let hash = |stages: &str| {
        let plan = expand(&accepted(&with(stages)), &Downloads::default());
        let node = |node: &crate::plan::Node| {
            let outcome = Outcome::Tree(pipe_store::Digest::of(node.name.as_bytes()));
            let (part_of, stage) = (node.part_of.clone(), node.stage.id().name.to_owned());
            (node.name.clone(), StudyNode { action: None, outcome, part_of, stage })
        };
        let nodes = plan.nodes.iter().map(node).collect();
        Study::new(pipe_store::Digest::of(&plan.pipeline), Vec::new(), nodes).hash()
    };
    let each = hash(&format!("(\"t-{{k}}\", ForEach(k: [0, 1], {TRAIN}))"));
    assert_eq!(each, hash(&format!("(\"t-1\", {TRAIN}), (\"t-0\", {TRAIN})")));
    assert_ne!(each, hash(&format!("(\"t-1\", {TRAIN}), (\"t-2\", {TRAIN})")));
}

#[test]
fn copies_read_from_one_another_and_are_named_one_by_one_or_all_together() {
    let text = with(&format!(
        "(\"flip/{{p}}\", ForEach(p: [0.5, 1.0], Augment(data: \"data\", policy: [RandomFlip(\"{{p}}\")]))), \
         (\"t/{{p}}-{{n}}\", ForEach(p: [0.5, 1], n: [3], {})), \
         (\"s/{{p}}\", ForEach(p: [0.5, 1], Search(trials: 2, sampler: Random, space: {{\"a{{p}}\": uniform(0, 1)}}, trial: {})))",
        TRAIN.replace("epochs: 2", "augment: \"flip/{p}\", epochs: \"{n}\""),
        TRAIN.replace("epochs: 2", "augment: \"flip/{p}\", epochs: 1, label_smoothing: hp(\"a{p}\")")
    ));
    let pipeline = accepted(&text);
    assert_eq!(Pipeline::from_record(&pipeline.record()).unwrap().record(), pipeline.record());
    let plan = expand(&pipeline, &Downloads::default());
    let found = |text: &str| -> Vec<&str> {
        plan.find(text).unwrap().into_iter().map(|index| plan.nodes[index].name.as_str()).collect()
    };
    assert_eq!(found("flip/0.5"), ["flip/0.5"]);
    assert_eq!(found("flip"), ["flip/0.5", "flip/1"]);
    assert_eq!(found("t"), ["t/0.5-3", "t/1-3"]);
    assert_eq!(found("s/1/train/0"), ["s/1/train/000"]);
    assert!(found("s/1").len() == 7 && found("s").len() == 14, "{:?}", found("s"));
    let of = |name: &str| plan.nodes.iter().find(|node| node.name == name).unwrap();
    assert_eq!(plan.nodes[of("t/1-3").inputs["policy"].node].name, "flip/1");
    assert_eq!((&of("t/1-3").params["epochs"], &of("s/1/train/001").part_of), (&3.into(), &"s/1".to_owned()));
    for (unknown, meant) in [("flips", "flip"), ("flip/2", "flip/1"), ("s/1/trian/1", "s/1/train/001")] {
        let crate::names::NameError::Unknown { candidates, .. } = plan.find(unknown).unwrap_err() else { panic!() };
        assert_eq!(candidates, [meant], "{unknown}");
    }
    let stages = &pipeline.stages;
    assert_eq!(stages.split("flip/0.5/a/b"), Some(("flip/0.5", "a/b")));
    assert_eq!(
        [stages.split("data/a"), stages.split("flip/a"), stages.split("data")],
        [Some(("data", "a")), None, None]
    );
}

#[test]
fn a_for_each_without_one_stage_is_refused() {
    const FORM: &str = "`ForEach(k: [0, 1], Kind(..))`";
    let none = [
        "a `ForEach` without a stage",
        "ForEach",
        &format!("{FORM}; write the stage after the values, without a name"),
    ];
    check_inside("k: [0, 1]", none);
    let without = ["a `ForEach` without values", "ForEach", FORM];
    check("(\"t\", ForEach())", &[none, without]);
    check("(\"t\", ForEach)", &[none, without]);
    check_inside(TRAIN, without);
    let second = ["a second stage in a `ForEach`", "Train", &format!("{FORM}; write a `ForEach` for each stage")];
    check_inside(&format!("{TRAIN}, k: [0], {TRAIN}"), second);
    let inner = "give one `ForEach` several variables: it makes a stage for each combination";
    check_inside(&format!("k: [0], ForEach(j: [0], {TRAIN})"), ["a `ForEach` in a `ForEach`", "ForEach", inner]);
}

#[test]
fn values_that_cannot_be_are_refused() {
    let inside = |values: &str| format!("k: {values}, {TRAIN}");
    let list = "a list of values, such as `[0, 1]`";
    check_inside(&inside("5"), ["found a number", "5", list]);
    check_inside(&inside("A(0)"), ["found `A`", "A", list]);
    let empty = "a value, such as `[0, 1]`; a `ForEach` makes one stage for each value";
    check_inside(&inside("[]"), ["an empty list", "[]", empty]);
    let kinds = "a number, a string or a boolean";
    check_inside(&inside("[0, [1]]"), ["found a list", "[", kinds]);
    check_inside(&inside("[0, None]"), ["found None", "None", kinds]);
    let quoted = format!("{kinds}; write it as a string: `\"Adam\"`");
    check_inside(&inside("[Adam]"), ["found `Adam`", "Adam", &quoted]);
    for (values, text, at) in [("[0, 1, 0]", "0", "0"), ("[1, \"1\"]", "1", "\"1\""), ("[2, 2.0]", "2", "2.0")] {
        check_inside(&inside(values), [&format!("the value `{text}` twice"), at, "remove one of the two"]);
    }
    let part = "letters (a to z, A to Z), digits, `-`, `_` and `.`, and no `.` in front";
    for text in ["", "a/b", "..", "ä", "a b", "{k}"] {
        let found = format!("`{text}` cannot be part of the name of a stage");
        check_inside(&inside(&format!("[\"{text}\"]")), [&found, &format!("\"{text}\""), part]);
    }
}

#[test]
fn variables_that_cannot_be_are_refused() {
    let help = "several stages would have one name: call them `t/{k}-{j}`";
    check_inside(&format!("k: [0], j: [1], {TRAIN}"), ["the name `t/{k}` does not mention `{j}`", "j", help]);
    let twice = ["`k` is named twice", "k", "remove one of the two, or rename it"];
    check_inside(&format!("k: [0], k: [1], {TRAIN}"), twice);
    for name in "out state report epochs horizon seed threads params tmp flags assignments".split(' ') {
        let (found, help) = (
            format!("`{name}` cannot be a variable"),
            format!("`{{{name}}}` already has a meaning in a `Command`: take another name"),
        );
        check(&format!("(\"t/{{{name}}}\", ForEach({name}: [0], {TRAIN}))"), &[[&found, name, &help]]);
    }
    let unknown = ["`{j}` is not a variable of this `ForEach`", "\"t/{k}/{j}\"", "did you mean `k`?"];
    check(&format!("(\"t/{{k}}/{{j}}\", ForEach(k: [0], {TRAIN}))"), &[unknown]);
    let space = "Search(trials: 1, space: {\"{k}\": uniform(0, 1), \"0\": uniform(0, 1)}, trial: ";
    let twice = ["`0` is named twice", "\"0\"", "remove one of the two, or rename it"];
    let found = mistakes(&format!("(\"t/{{k}}\", ForEach(k: [0], {space}{TRAIN})))"), &[]);
    assert!(found.iter().any(|found| found[0] == twice[0] && found[2] == twice[2]), "{found:?}");
}

#[test]
fn names_that_cannot_be_are_refused() {
    let plain = "1 to 100 letters (a to z, A to Z), digits, `-` and `_`";
    let help =
        "only the stages of a `ForEach` have a `/` or a variable: `(\"fold/{k}\", ForEach(k: [0, 1], Kind(..)))`";
    for name in ["t/0", "t-{k}"] {
        let found = format!("`{name}` is not a valid name");
        check(&format!("(\"{name}\", {TRAIN})"), &[[&found, &format!("\"{name}\""), &format!("{plain}; {help}")]]);
    }
    check(&format!("(\"t.0\", {TRAIN})"), &[["`t.0` is not a valid name", "\"t.0\"", plain]]);
    let copied =
        "1 to 100 letters (a to z, A to Z), digits, `-`, `_`, `.` and `/`, and something on each side of a `/`";
    for name in ["/{k}", "{k}/", "a//{k}", "a b/{k}", "../{k}", ".{k}"] {
        let found = format!("`{}` is not a valid name", name.replace("{k}", "7"));
        check(&format!("(\"{name}\", ForEach(k: [7, 8], {TRAIN}))"), &[[&found, &format!("\"{name}\""), copied]]);
    }
    let twice = ["two stages are named `t/111`", "\"t/{a}{b}\"", "rename one of them"];
    check(&format!("(\"t/{{a}}{{b}}\", ForEach(a: [1, 11], b: [1, 11], {TRAIN}))"), &[twice]);
    let inside = "`t/..` are the nodes of `t`: rename one of the two";
    let nested = ["the name `t/0` begins with that of the stage `t`", "\"t/{k}\"", inside];
    check(&format!("(\"t\", {TRAIN}), (\"t/{{k}}\", ForEach(k: [0, 1], {TRAIN}))"), &[nested]);
}

#[test]
fn a_study_has_at_most_a_thousand_stages() {
    let each = |n: usize| {
        let values = (0..n).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
        format!("(\"t/{{k}}\", ForEach(k: [{values}], {TRAIN}))")
    };
    assert_eq!(accepted(&with(&each(998))).stages.iter().count(), 1000);
    let many = "at most 1000 stages in all";
    check(&each(999), &[["`t/{k}` makes more stages than a study may have", "ForEach", many]]);
    let matrix: String = ["a", "b", "c", "d"]
        .map(|name| format!("{name}: [{}], ", (0..100).map(|i| format!("{i},")).collect::<String>()))
        .concat();
    check(
        &format!("(\"t/{{a}}-{{b}}-{{c}}-{{d}}\", ForEach({matrix}{TRAIN}))"),
        &[["`t/{a}-{b}-{c}-{d}` makes more stages than a study may have", "ForEach", many]],
    );
    let two = format!("{}, {}", each(500), each(500).replace("t/", "u/"));
    check(&two, &[["`u/{k}` makes more stages than a study may have", "ForEach", many]]);
    let long = TRAIN.replace("2)", &format!("{}2)", " ".repeat(100_000)));
    let found = mistakes(&each(900).replace(TRAIN, &long), &[]);
    assert_eq!(found[0][0], "the 900 copies of this stage are too much text");
}

#[test]
fn a_mistake_in_all_copies_is_shown_once_in_its_place() {
    let found = mistakes(
        &format!(
            "(\"t/{{k}}\", ForEach(k: [0, 1, 2], {}))",
            TRAIN.replace("\"data\"", "\"prepare/{k}\"").replace("epochs", "epoch")
        ),
        &[],
    );
    let found: Vec<_> = found.iter().map(|[what, at, _]| (what.as_str(), at.as_str())).collect();
    assert_eq!(found, [("there is no stage `prepare/0`", "\"prepare/{k}\""), ("unknown field `epoch`", "epoch")]);
    // Mistakes of two stages with the same words are two.
    let wrong = TRAIN.replace("\"data\"", "\"dat\"");
    assert_eq!(mistakes(&format!("(\"a\", {wrong}), (\"b\", {wrong})"), &[]).len(), 2);
    let known = "`data`, `raw`, `t/a` or `t/b`";
    check(
        "(\"t/{k}\", ForEach(k: [\"a\", \"b\"], Retrain(of: \"{k}\", epochs: 2)))",
        &[["there is no stage `a`", "\"{k}\"", known]],
    );
    // A value is one alone, and text inside of a text.
    let number = ["`of`: found a number", "\"{k}\"", "the name of a stage, as a string"];
    check("(\"t/{k}\", ForEach(k: [0, 1], Retrain(of: \"{k}\", epochs: 2)))", &[number]);
}

#[test]
fn an_override_sets_what_is_written() {
    let stages = format!("(\"t/{{k}}\", ForEach(k: [0.5, 1], {TRAIN}))");
    let set = |overrides: &[&str]| {
        let overrides: Vec<_> =
            overrides.iter().map(|text| Override { origin: "--set", text: (*text).to_owned() }).collect();
        let pipeline = read("pipeline.ron", &with(&stages), &overrides)
            .unwrap_or_else(|refused| panic!("{}", refused.render(Rendering::Plain)));
        let trains = pipeline.stages.iter().skip(2).map(|(name, stage)| format!("{name} {}", stage.fields()["epochs"]));
        trains.collect::<Vec<_>>()
    };
    assert_eq!(set(&[]), ["t/0.5 2", "t/1 2"]);
    assert_eq!(set(&["t/{k}.epochs=3"]), ["t/0.5 3", "t/1 3"]);
    assert_eq!(set(&["t/{k}.ForEach.Train.epochs = \"{k}\"", "t/{k}.k=[4, 5]"]), ["t/4 4", "t/5 5"]);
    for (over, name, help) in [
        ("t/0.5.epochs=3", "t/0.5", "t/{k}.epochs=3"),
        (" t/1.epochs = 3", "t/1", "t/{k}.epochs = 3"),
        ("t/1=Same", "t/1", "t/{k}=Same"),
    ] {
        let help = format!("`--set '{help}'` sets it in all stages of that `ForEach`");
        assert_eq!(mistakes(&stages, &[over]), [[&format!("`{name}` is written as `t/{{k}}`"), name, &help]], "{over}");
    }
    let found = mistakes(&stages, &["t/{k}.epochs=0", "t/2.epochs=1", "t/{k}.k[5]=1"]);
    let found: Vec<_> = found.iter().map(|[what, at, _]| (what.as_str(), at.as_str())).collect();
    assert_eq!(
        found,
        [("`epochs`: found `0`", "0"), ("there is no `t/2`", "t/2"), ("there is no `t/{k}.k[5]`", "t/{k}.k[5]")]
    );
}

#[test]
fn a_syntax_error_in_a_for_each_is_shown_where_it_is() {
    let at = |each: &str| {
        let found = mistakes(&format!("(\"t/{{k}}\", ForEach({each}, {TRAIN}))"), &[]);
        let [mistake] = found.as_slice() else { panic!("{found:?}") };
        mistake[1].clone()
    };
    assert_eq!([at("kä [0]"), at("kä: [0"), at("kä: "), at("kä: [0]]")], ["[", ")", ",", "]"]);
}

#[test]
fn the_stages_may_be_a_map() {
    let text = format!(
        "Study(name: \"s\", stages: {{\"raw\": Fetch(Embedded(name: \"shapes100\", train: 200, test: 50)), \
         \"data\": Decode(from: \"raw\", format: Cifar100), \"t/{{k}}\": ForEach(k: [0, 1], {TRAIN})}})"
    );
    let list = with(&format!("(\"t/{{k}}\", ForEach(k: [0, 1], {TRAIN}))"));
    assert_eq!(accepted(&text).record(), accepted(&list).record());
}
