//! The studies that come with the program.

use std::{fs, path::Path};

use pipe_stages::StageName;

use super::{TINY, accepted};
use crate::pipeline::{
    expand::{Downloads, expand},
    read,
    spec::Pipeline,
};

/// Returns the studies with their names.
fn studies() -> Vec<(String, Pipeline)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../studies");
    let paths = fs::read_dir(folder).expect("the studies lie beside the sources");
    let mut studies: Vec<_> = paths
        .map(|entry| {
            let path = entry.expect("the folder can be listed").path();
            let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
            // A study with scripts is a folder.
            let path = if path.is_dir() { path.join("pipeline.ron") } else { path };
            (name, accepted(&fs::read_to_string(&path).expect("a study is text")))
        })
        .collect();
    studies.push(("default".to_owned(), accepted(include_str!("../../../../pipeline.ron"))));
    studies.push(("tiny".to_owned(), accepted(TINY)));
    assert!(studies.len() >= 8, "{}", studies.len());
    studies
}

#[test]
fn every_study_can_be_planned() {
    for (name, pipeline) in studies() {
        let plan = expand(&pipeline, &Downloads::default());
        let looks = [StageName::Evaluate, StageName::Command].map(StageName::as_str);
        assert!(plan.nodes.iter().any(|node| looks.contains(&node.stage.id().name)), "{name}");
        let reads_test = |node: &&crate::plan::Node| node.inputs.values().any(|edge| edge.path.starts_with("test."));
        for node in plan.nodes.iter().filter(reads_test) {
            assert!(looks.contains(&node.stage.id().name), "{name}: {}", node.name);
        }
    }
}

#[test]
fn a_pipeline_is_read_from_its_record() {
    for (name, pipeline) in studies() {
        let record = pipeline.record();
        let read = Pipeline::from_record(&record).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(String::from_utf8(read.record()), String::from_utf8(record), "{name}");
        for (stage, spec) in read.stages.iter() {
            let known = pipeline.stages.get(stage).expect("the names are the same");
            assert_eq!((spec.kind().name, spec.reads()), (known.kind().name, known.reads()), "{name}: {stage}");
        }
    }
}

#[test]
fn the_precision_is_in_the_record_unless_it_is_f32() {
    let record = |head: &str| {
        let text = format!(
            "Study(name: \"x\", {head} stages: [(\"raw\", Fetch(Embedded(name: \"shapes100\", train: 9, test: 9)))])"
        );
        let pipeline = read::read("x", &text, &[]).unwrap();
        let record = String::from_utf8(pipeline.record()).unwrap();
        let again = Pipeline::from_record(record.as_bytes()).unwrap();
        assert_eq!((again.precision, again.record()), (pipeline.precision, pipeline.record()));
        record
    };
    assert_eq!(record("precision: F32,"), record(""));
    assert!(!record("").contains("precision"));
    assert!(record("device: Cuda, precision: Bf16,").contains(r#""precision":"Bf16""#));
}

#[test]
fn an_invalid_record_is_refused_and_the_stage_is_named() {
    let check = |stages: &str, expected: &str| {
        let record = format!(r#"{{"format":1,"seed":"7","device":"Cpu","stages":{stages}}}"#);
        assert_eq!(Pipeline::from_record(record.as_bytes()).unwrap_err().to_string(), expected);
    };
    check(r#"{"a":{"Crop":{}}}"#, "stage `a`: unknown kind `Crop`");
    check(r#"{"a":{}}"#, "stage `a`: expected one kind with its fields");
    check(
        r#"{"a":{"Evaluate":{"of":"b","split":"Train"}}}"#,
        "stage `a`: unknown name `Train`, expected `Test` or `Validation`",
    );
    check(r#"{"a":{"Evaluate":{}}}"#, "stage `a`: missing field `of`");
    assert!(Pipeline::from_record(br#"{"format":2,"seed":"7","device":"Cpu","stages":{}}"#).is_err());
}
