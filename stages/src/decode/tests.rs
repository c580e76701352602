//! Tests of whole runs on tiny archives.

use pipe_store::{Digest, MemoryObjects};

use super::*;
use crate::{
    images::dataset::Dataset,
    stage::{ComputeDevice, QuietHost},
};

fn run(params: &str, files: &[(&str, Vec<u8>)]) -> Result<Outputs, StageError> {
    let decode: Decode = serde_json::from_str(params).unwrap();
    let mut objects = MemoryObjects::default();
    let slots = files.iter().map(|(slot, bytes)| ((*slot).to_owned(), objects.put(bytes.clone()))).collect();
    decode.run(&Inputs::new(&slots, &objects), &Context { seed: 0, device: ComputeDevice::CPU, host: &QuietHost })
}

/// Twenty training images, of which 5 and 6 are equal, and four test images, one of which is in `train` too.
fn tiny() -> Vec<u8> {
    let train: Vec<[u8; 3]> =
        (0..20).map(|i| [i % 2, i % 2 + u8::from(i % 4 == 3), if i == 6 { 5 } else { i }]).collect();
    cifar::tests::tiny100(&train, &[[0, 0, 200], [1, 1, 201], [1, 2, 202], [0, 0, 7]])
}

fn split(outputs: &Outputs, name: &str) -> Dataset {
    Dataset::read(outputs.files()[&format!("{name}.safetensors")].clone().into()).unwrap()
}

fn statistics(outputs: &Outputs) -> Statistics {
    serde_json::from_slice(&outputs.files()["statistics.json"]).unwrap()
}

#[test]
fn the_splits_depend_on_the_validation() {
    for (validation, expected) in [
        ("null", vec![("test", 4), ("train", 20)]),
        (r#""OfficialTest""#, vec![("train", 20), ("validation", 4)]),
        (r#"{"Stratified":0.2}"#, vec![("test", 4), ("train", 16), ("validation", 4)]),
    ] {
        let params = format!(r#"{{"format":"Cifar100","validation":{validation}}}"#);
        let outputs = run(&params, &[("archive", tiny())]).unwrap();
        let found: Vec<_> = outputs.files().keys().filter_map(|path| path.strip_suffix(".safetensors")).collect();
        assert_eq!(found, expected.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        let decode: Decode = serde_json::from_str(&params).unwrap();
        let mut promised = decode.splits().to_vec();
        promised.sort_unstable();
        assert_eq!(found, promised);
        for (name, n) in expected {
            assert_eq!(split(&outputs, name).shape(), [n, 3, 32, 32], "{name}");
            assert_eq!(statistics(&outputs).splits[name].images, n, "{name}");
        }
    }
}

#[test]
fn images_keep_their_labels_and_no_image_is_in_two_splits() {
    let outputs =
        run(r#"{"format":"Cifar100","validation":{"Stratified":{"fraction":0.3,"seed":5}}}"#, &[("archive", tiny())]);
    let outputs = outputs.unwrap();
    let mut pixels = Vec::new();
    for name in ["train", "validation"] {
        let split = split(&outputs, name);
        for i in 0..split.len() {
            let pixel = split.image(i)[0];
            if pixel != 5 {
                assert_eq!(split.labels("coarse").unwrap()[i], i32::from(pixel % 2));
                assert_eq!(split.labels("fine").unwrap()[i], i32::from(pixel % 2 + u8::from(pixel % 4 == 3)));
            }
            pixels.push(pixel);
        }
    }
    pixels.sort_unstable();
    assert_eq!(pixels, [0, 1, 2, 3, 4, 5, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
}

#[test]
fn a_subset_is_taken_of_both_train_and_test() {
    let outputs = run(r#"{"format":"Cifar100","validation":null,"subset":0.5}"#, &[("archive", tiny())]).unwrap();
    let found = statistics(&outputs);
    assert_eq!(found.splits["train"].classes["fine"], [5, 3, 3]);
    assert_eq!(found.splits["test"].classes["fine"], [1, 1, 1]);
    assert_eq!(found.published_duplicates.within["train"], 1);
}

#[test]
fn statistics_count_duplicates_as_published_and_as_split() {
    let found = statistics(&run(r#"{"format":"Cifar100","validation":null}"#, &[("archive", tiny())]).unwrap());
    assert_eq!(found.duplicates, found.published_duplicates);
    assert_eq!((found.duplicates.within["train"], found.duplicates.across["test/train"]), (1, 1));
    assert_eq!(found.duplicates.conflicting["train"], 1);
    assert_eq!(found.pixels.mean, [(190.0 - 1.0) / 20.0; 3]);
}

#[test]
fn grey_images_of_idx_files_are_decoded() {
    let images = |n: u8| idx::tests::idx(&[u32::from(n), 2, 2], &(0..n * 4).collect::<Vec<u8>>());
    let labels = |n: u8| idx::tests::idx(&[u32::from(n)], &(0..n).map(|i| i % 2).collect::<Vec<u8>>());
    let files = [
        ("train-images", images(10)),
        ("train-labels", labels(10)),
        ("test-images", images(2)),
        ("test-labels", labels(2)),
    ];
    let outputs = run(r#"{"format":"Idx","classes":["even","odd"]}"#, &files).unwrap();
    let labels: Labels = serde_json::from_slice(&outputs.files()["labels.json"]).unwrap();
    assert_eq!(labels.heads[0].classes, ["even", "odd"]);
    assert_eq!(split(&outputs, "train").shape(), [8, 1, 2, 2]);
    let validation = split(&outputs, "validation");
    assert_eq!(validation.len(), 2);
    (0..2).for_each(|i| assert_eq!(validation.labels("class").unwrap()[i], i32::from(validation.image(i)[0] / 4 % 2)));
}

#[test]
fn a_stage_without_inputs_is_an_error() {
    let decode: Decode = serde_json::from_str(r#"{"format":"Cifar10"}"#).unwrap();
    let (slots, objects) = (BTreeMap::new(), MemoryObjects::default());
    let context = Context { seed: 0, device: ComputeDevice::CPU, host: &QuietHost };
    let error = decode.run(&Inputs::new(&slots, &objects), &context).unwrap_err();
    assert_eq!(error.to_string(), "no object is connected");
}

/// If this fails, the outputs have changed: the stage needs a new version.
#[test]
fn golden_outputs() {
    let outputs = run(r#"{"format":"Cifar100","validation":{"Stratified":0.2}}"#, &[("archive", tiny())]).unwrap();
    let found: Vec<String> =
        outputs.files().iter().map(|(path, bytes)| format!("{path} {}", Digest::of(bytes).short())).collect();
    assert_eq!(
        found,
        [
            "contact.png ce4a6faa58bc",
            "labels.json 3ac155df6bea",
            "statistics.json 7438379013ac",
            "test.safetensors cbfc4bb3d595",
            "train.safetensors 4a08941a3283",
            "validation.safetensors c526ec5f15dd",
        ]
    );
    let record = str::from_utf8(&outputs.files()["statistics.json"]).unwrap();
    assert_eq!(
        record,
        concat!(
            r#"{"duplicates":{"across":{"test/train":1,"test/validation":0,"train/validation":0},"#,
            r#""conflicting":{"test":0,"train":0,"validation":1},"within":{"test":0,"train":0,"#,
            r#""validation":1}},"format":1,"near_duplicates":{"images":{"test/train":0,"test/validation":0,"#,
            r#""validation/train":0},"pairs":[]},"pixels":{"deviation":[5.383713866839507,5.383713866839507,"#,
            r#"5.383713866839507],"mean":[8.875,8.875,8.875]},"#,
            r#""published_duplicates":{"across":{"test/train":1},"conflicting":{"test":0,"train":1},"#,
            r#""within":{"test":0,"train":1}},"splits":{"test":{"classes":{"coarse":[2,2],"fine":[2,1,1]},"#,
            r#""images":4},"train":{"classes":{"coarse":[8,8],"fine":[8,4,4]},"images":16},"#,
            r#""validation":{"classes":{"coarse":[2,2],"fine":[2,1,1]},"images":4}}}"#,
            "\n"
        )
    );
    let record = str::from_utf8(&outputs.files()["labels.json"]).unwrap();
    assert_eq!(
        record,
        concat!(
            r#"{"format":1,"heads":[{"classes":["ape","bear","fern"],"name":"fine"},{"classes":["animal","#,
            r#""plant"],"name":"coarse"}],"image":{"channels":3,"height":32,"width":32}}"#,
            "\n"
        )
    );
}

#[test]
fn a_validation_split_without_an_image_is_an_error() {
    let alone = cifar::tests::tiny100(&[[0, 0, 1], [1, 1, 2], [1, 2, 3]], &[[0, 0, 4]]);
    let run = |validation: &str| {
        let params = format!(r#"{{"format":"Cifar100","validation":{validation}}}"#);
        run(&params, &[("archive", alone.clone())])
    };
    let error = run(r#"{"Stratified":0.5}"#).unwrap_err();
    assert_eq!(error.to_string(), "the validation split is empty: it is 0.5 of 3 images in 3 classes");
    assert_eq!(split(&run("null").unwrap(), "train").len(), 3);
}
