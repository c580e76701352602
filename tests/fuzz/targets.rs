//! The targets: one test for each kind of input.

use std::sync::LazyLock;

use fastrand::Rng;
use pipe_engine::{
    action::Action,
    import,
    pipeline::{
        expand::{Downloads, expand},
        mistake::{Refused, Rendering},
        read,
        set::{self, Override},
        spec::Pipeline,
        stages::search::SearchSpec,
    },
    study::Study,
};
use pipe_stages::{
    decode::{self, Decode},
    images::{
        Policy,
        dataset::{self, Dataset, ImageShape, Labels},
    },
    instantiate,
    network::{Architecture, Predictor, Weights, training::Histograms},
    params,
    pictures::Reading,
    problem::Path,
    records::{
        self, Best, Evaluation, HistoryLink, ImportedTrials, ParametersLink, Proposal, Record, Score, SplitRecord,
        Statistics, TrainingHistory, TrialRecord,
    },
    search::{self, Space},
    stage::{ComputeDevice, Context, Inputs, QuietHost, Stage},
    tensors::TensorsReader,
};
use pipe_store::{MemoryObjects, Tree};

use crate::{
    MIB, Target, alone,
    containers::{gzip, mend_png, mend_tar, tar_entry},
    sources::{RAN, TINY},
};

fn as_it_is(_: &mut Rng, bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

/// What a record or another text may take: a parsed one is ten to thirty times as large as its text, and may be parsed twice.
fn of_text(length: usize) -> usize {
    MIB + 100 * length
}

/// Checks that a refusal says something.
fn says(message: impl ToString) -> bool {
    assert!(!message.to_string().trim().is_empty(), "refused without a message");
    false
}

const RON: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "'",
    "\\",
    "#",
    "r#\"",
    "//",
    "/*",
    "*/",
    "-",
    ".",
    "e9",
    "0x",
    "_",
    "é",
    "\u{feff}",
    "\u{b7}",
    "\t",
    "\r\n",
    "\0",
    "None",
    "Some(",
    "NaN",
    "inf",
    "hp(\"lr\")",
    "Test",
    "99999999999999999999",
    "b'x'",
    "[[[[[[[[",
    "((((((((",
    "label(\"a\", ",
    "choice([",
    "pchoice([(0.5, ",
    "randint(",
    "uniform(",
    "quniform(",
    "loguniform(",
    "normal(",
    "IntRange(lo: ",
    "FloatRange(",
    "step: ",
    "log: true",
    "Layers([",
    "Conv(filters: ",
    "Dense(",
    "Repeat(",
    "Add(",
    "Tpe(startup: ",
    "GaussianProcess(",
    "Sobol",
    "Grid",
    "Random",
    "trials: ",
    "lag: ",
    "Hyperband(",
    "Cosine(",
    "Stratified(",
    "subset: ",
    "epochs: ",
    "Folders(size: (",
    "Url(url: \"file:///",
    "size: ",
    "constraints: ",
    "\u{1F600}",
    "imported: ",
];

/// Reads and expands a pipeline. If it is refused, every mistake must lie inside its source and be shown.
fn pipeline_is_read(text: &str, overrides: &[Override]) -> bool {
    match read::read("pipeline.ron", text, overrides) {
        Ok(pipeline) => {
            let record = pipeline.record();
            let again = Pipeline::from_record(&record).expect("a record is read");
            assert_eq!(String::from_utf8_lossy(&again.record()), String::from_utf8_lossy(&record));
            drop(expand(&pipeline, &Downloads::default()));
            true
        }
        Err(refused) => is_explained(&refused),
    }
}

/// What a pipeline and its plan may take: about 36 KB for each of up to 100,000 trials.
fn of_plan(length: usize) -> usize {
    4096 * MIB + 1000 * length
}

fn is_explained(refused: &Refused) -> bool {
    assert!(!refused.mistakes.is_empty(), "refused without a mistake");
    for mistake in &refused.mistakes {
        let span = mistake.span.expect("every mistake has a place");
        let source = &refused.sources[span.source].text;
        assert!(source.get(span.start..span.end).is_some(), "{mistake:?} is outside of its source");
        assert!(!mistake.message.is_empty());
    }
    assert!(refused.render(Rendering::Plain).starts_with("error: "));
    false
}

#[test]
fn pipeline_file() {
    let _alone = alone();
    let studies = [
        TINY,
        include_str!("../../pipeline.ron"),
        include_str!("../families.ron"),
        include_str!("../../studies/cifar100.ron"),
        include_str!("../../studies/fashion_mnist_cnn.ron"),
        include_str!("../../studies/fruits360.ron"),
    ];
    let read = |bytes: &[u8]| str::from_utf8(bytes).is_ok_and(|text| pipeline_is_read(text, &[]));
    // A text has valid UTF-8: other files are refused before.
    let pack = |_: &mut Rng, bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned().into_bytes();
    Target {
        name: "pipeline_file",
        rounds: 800,
        seeds: studies.map(|text| text.as_bytes().to_vec()).into(),
        words: RON,
        pack: &pack,
        memory: of_plan,
        read: &read,
    }
    .run();
}

#[test]
fn overrides() {
    let _alone = alone();
    let read = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let overrides = set::from_variable(&text);
        let one = [Override { origin: "--set", text: text.clone().into_owned() }];
        pipeline_is_read(TINY, &one);
        pipeline_is_read(TINY, &overrides)
    };
    let seeds = [
        "seed=3",
        "search.trials=20; search.lag = 1",
        "flip.policy[0]=RandomFlip(0.25)",
        "search.Search.trial.Train.epochs=2\nname=other-one",
        "data.validation=Stratified((fraction: 0.2, seed: 3))",
        "search.space=({\"activation\": choice([\"relu\", \"elu\"])})",
        "search.trial.model.HyperCnn.fc_units=(16, 12)",
    ];
    Target {
        name: "overrides",
        rounds: 300,
        seeds: seeds.map(|text| text.as_bytes().to_vec()).into(),
        words: RON,
        pack: &as_it_is,
        memory: of_plan,
        read: &read,
    }
    .run();
}

const JSON: &[&str] = &[
    "null",
    "true",
    "{}",
    "[]",
    "{\"",
    "\":",
    ",\"",
    "\"format\":1",
    "\"format\":2",
    "\"NaN\"",
    "\"inf\"",
    "-0.0",
    "1e400",
    "\\u0000",
    "\\ud800",
    "[[[[[[[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":",
    "é",
    "\u{0}",
    "18446744073709551615",
    "\n",
    " ",
];

/// Reads a record and checks that it comes back as it was written.
fn record_is_read<R: Record>(bytes: &[u8]) -> bool {
    match records::read::<R>(bytes) {
        Ok(record) => {
            let written = params::record(&record);
            let again = records::read::<R>(&written).expect("what is written is read");
            assert_eq!(String::from_utf8_lossy(&params::record(&again)), String::from_utf8_lossy(&written));
            true
        }
        Err(error) => says(error),
    }
}

/// Fuzzes the records of one type.
fn record<R: Record>() {
    let imported = br#"{"format":1,"source":"a","trials":[{"labels":{"a":1,"b":null},"loss":0.5}]}"#.to_vec();
    let seeds = if R::FILE == ImportedTrials::FILE { vec![imported] } else { RAN.named(R::FILE) };
    Target {
        name: R::FILE,
        rounds: 2000,
        seeds,
        words: JSON,
        pack: &as_it_is,
        memory: of_text,
        read: &record_is_read::<R>,
    }
    .run();
}

#[test]
fn each_record() {
    let _alone = alone();
    record::<Best>();
    record::<Evaluation>();
    record::<HistoryLink>();
    record::<ImportedTrials>();
    record::<Labels>();
    record::<ParametersLink>();
    record::<Proposal>();
    record::<Score>();
    record::<SplitRecord>();
    record::<Statistics>();
    record::<TrialRecord>();
    record::<Architecture>();
    record::<Policy>();
    record::<pipe_stages::visualize_filters::FiltersRecord>();
    record::<pipe_stages::records::ExamplesRecord>();
}

#[test]
fn actions() {
    let _alone = alone();
    let read = |bytes: &[u8]| match serde_json::from_slice::<Action>(bytes) {
        Ok(action) => {
            let again: Action = serde_json::from_slice(&action.record()).expect("what is written is read");
            assert_eq!(again.record(), action.record());
            match instantiate(&action.stage, action.version, &action.params) {
                Ok(stage) => drop((stage.id(), stage.trajectory())),
                Err(why) => return says(why),
            }
            let _ = (action.key(), action.seed());
            true
        }
        Err(error) => says(error),
    };
    Target {
        name: "actions",
        rounds: 20000,
        seeds: RAN.actions.clone(),
        words: JSON,
        pack: &as_it_is,
        memory: of_text,
        read: &read,
    }
    .run();
}

#[test]
fn studies() {
    let _alone = alone();
    let read = |bytes: &[u8]| match serde_json::from_slice::<Study>(bytes) {
        Ok(study) => {
            let again: Study = serde_json::from_slice(&study.record()).expect("what is written is read");
            assert_eq!(again.hash(), study.hash());
            for search in study.searches() {
                study.trials(search).for_each(drop);
                let _ = study.selection(search);
            }
            for name in ["search", "train/1", "0", "search/train/000", ""] {
                if let Err(error) = study.resolve(name) {
                    says(error);
                }
            }
            true
        }
        Err(error) => says(error),
    };
    Target {
        name: "studies",
        rounds: 5000,
        seeds: vec![RAN.study.clone()],
        words: JSON,
        pack: &as_it_is,
        memory: of_text,
        read: &read,
    }
    .run();
    let read = |bytes: &[u8]| match Pipeline::from_record(bytes) {
        Ok(pipeline) => {
            let record = pipeline.record();
            assert_eq!(Pipeline::from_record(&record).expect("what is written is read").record(), record);
            true
        }
        Err(error) => says(error),
    };
    Target {
        name: "pipeline_records",
        rounds: 5000,
        seeds: vec![RAN.pipeline.clone()],
        words: JSON,
        pack: &as_it_is,
        memory: of_text,
        read: &read,
    }
    .run();
}

#[test]
fn trees() {
    let _alone = alone();
    let read = |bytes: &[u8]| match Tree::from_bytes(bytes) {
        Ok(tree) => {
            assert_eq!(
                Tree::from_bytes(&tree.to_bytes()).expect("what is written is read").to_bytes(),
                tree.to_bytes()
            );
            true
        }
        Err(error) => says(error),
    };
    Target {
        name: "trees",
        rounds: 20000,
        seeds: RAN.trees.clone(),
        words: &["\"../a\"", "\"/a\"", "\"a//b\"", "\"\"", "\\u0000", "{\"", "18446744073709551615", "null"],
        pack: &as_it_is,
        memory: of_text,
        read: &read,
    }
    .run();
}

/// Decodes files and reads the splits.
fn is_decoded(params: &str, files: Vec<(&str, Vec<u8>)>) -> bool {
    let decode: Decode = serde_json::from_str(params).unwrap();
    let mut objects = MemoryObjects::default();
    let slots = files.into_iter().map(|(slot, bytes)| (slot.to_owned(), objects.put(bytes))).collect();
    let inputs = Inputs::new(&slots, &objects);
    let context = Context { seed: 0, device: ComputeDevice::CPU, host: &QuietHost };
    if let Err(error) = decode.memory(&inputs) {
        says(error);
    }
    match decode.run(&inputs, &context) {
        Ok(outputs) => {
            for (path, bytes) in outputs.into_files() {
                if path.ends_with(".safetensors") {
                    Dataset::read(bytes.into()).expect("what is written is read");
                }
            }
            true
        }
        Err(error) => says(error),
    }
}

/// Packs a tar archive, now and then without mending it or with damage of the gzip file itself.
fn tar_gz(random: &mut Rng, mut tar: Vec<u8>) -> Vec<u8> {
    if random.usize(..8) > 0 {
        mend_tar(&mut tar);
    }
    let mut bytes = gzip(&tar);
    if random.usize(..16) == 1 {
        let at = random.usize(..bytes.len());
        bytes[at] ^= 1 << random.u8(..8);
    }
    bytes
}

const TAR: &[&str] = &[
    "../",
    "/",
    "\0",
    "L",
    "K",
    "x",
    "g",
    "S",
    "1",
    "2",
    "5",
    "ustar",
    "30 path=../../x\n",
    "20 size=99999999999\n",
    "28 GNU.sparse.realsize=99999\n",
    "77777777777",
    "-0000000001",
    "._",
    "__MACOSX",
    ".png",
    "train",
    "data_batch_1.bin",
];

/// What an archive of `length` bytes may take: what is read, what is chosen of it and what is written, and that small files may
/// state a size up to which memory is reserved.
fn of_archive(length: usize) -> usize {
    4 * MIB + 16 * length
}

#[test]
fn cifar_archives() {
    let _alone = alone();
    let record = |labels: &[u8], pixel: u8| [labels, &[pixel; 3072]].concat();
    let records = |labels: &[&[u8]]| labels.iter().zip(7..).flat_map(|(l, pixel)| record(l, pixel)).collect::<Vec<_>>();
    let mut cifar100 = Vec::new();
    cifar100.extend(tar_entry("cifar-100-binary/coarse_label_names.txt", b"animal\nplant\n"));
    cifar100.extend(tar_entry("cifar-100-binary/fine_label_names.txt", b"ape\nbear\nfern\n"));
    cifar100.extend(tar_entry("cifar-100-binary/train.bin", &records(&[&[0, 0], &[0, 1], &[1, 2], &[0, 1]])));
    cifar100.extend(tar_entry("cifar-100-binary/test.bin", &records(&[&[1, 2]])));
    cifar100.extend([0; 1024]);
    let mut cifar10 = tar_entry("batches.meta.txt", b"cat\ndog\n");
    for name in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"] {
        cifar10.extend(tar_entry(&format!("x/{name}.bin"), &records(&[&[0], &[1]])));
    }
    cifar10.extend([0; 1024]);
    let read = |bytes: &[u8]| {
        let as_100 =
            is_decoded(r#"{"format":"Cifar100","validation":{"Stratified":0.3}}"#, vec![("archive", bytes.into())]);
        as_100 | is_decoded(r#"{"format":"Cifar10","validation":null}"#, vec![("archive", bytes.into())])
    };
    Target {
        name: "cifar_archives",
        rounds: 1500,
        seeds: vec![cifar100, cifar10],
        words: TAR,
        pack: &tar_gz,
        memory: of_archive,
        read: &read,
    }
    .run();
}

const JPEGS: [&[u8]; 3] = [
    include_bytes!("../../stages/src/decode/fixtures/colour.jpg"),
    include_bytes!("../../stages/src/decode/fixtures/gray.jpg"),
    include_bytes!("../../stages/src/decode/fixtures/progressive.jpg"),
];

const OTHER_PICTURES: [&[u8]; 5] = [
    include_bytes!("../../stages/src/pictures/fixtures/small.gif"),
    include_bytes!("../../stages/src/pictures/fixtures/small.webp"),
    include_bytes!("../../stages/src/pictures/fixtures/small.bmp"),
    include_bytes!("../../stages/src/pictures/fixtures/small.tiff"),
    include_bytes!("../../stages/src/pictures/fixtures/small.ppm"),
];

#[test]
fn picture_archives() {
    let _alone = alone();
    let mut archive = Vec::new();
    for path in ["f/Training/a b/1.jpg", "f/Training/c/2.jpeg", "f/Test/a b/3.jpg", "f/Test/c/4.JPG", "f/LICENSE"] {
        archive.extend(tar_entry(path, JPEGS[1]));
    }
    archive.extend([0; 1024]);
    let read = |bytes: &[u8]| {
        is_decoded(r#"{"format":{"Folders":{"size":[9,7]}},"validation":null}"#, vec![("archive", bytes.into())])
    };
    Target {
        name: "picture_archives",
        rounds: 1500,
        seeds: vec![archive],
        words: TAR,
        pack: &tar_gz,
        // Up to three pictures, each of the size that its header states.
        memory: |length| of_archive(length) + 3 * PICTURE,
        read: &read,
    }
    .run();
}

/// The most that one picture may take, whatever its header states: 24 bytes for each of 67 million pixels.
const PICTURE: usize = 24 * (1 << 26) + 8 * MIB;

#[test]
fn pictures() {
    let _alone = alone();
    let sheets = RAN.named(".png").into_iter().filter(|png| png.len() < 20_000);
    let others = OTHER_PICTURES.into_iter().map(<[u8]>::to_vec);
    let seeds: Vec<Vec<u8>> = JPEGS.into_iter().map(<[u8]>::to_vec).chain(others).chain(sheets).collect();
    let shape = ImageShape { channels: 3, height: 8, width: 5 };
    let reading = Reading::of_size(8, 5);
    let read = |bytes: &[u8]| match decode::picture(bytes, &reading, shape.channels) {
        Ok(pixels) => {
            assert_eq!(pixels.len(), shape.bytes());
            true
        }
        Err(error) => says(error),
    };
    let pack = |random: &mut Rng, mut bytes: Vec<u8>| {
        if random.usize(..8) > 0 && bytes.starts_with(b"\x89PNG") {
            mend_png(&mut bytes);
        }
        bytes
    };
    Target {
        name: "pictures",
        rounds: 6000,
        seeds,
        words: &[
            "\u{0}",
            "IHDR",
            "IDAT",
            "IEND",
            "PLTE",
            "tRNS",
            "iCCP",
            "zTXt",
            "acTL",
            "fdAT",
            "Exif\0\0",
            "ICC_PROFILE\0",
        ],
        pack: &pack,
        memory: |length| PICTURE + 4 * length,
        read: &read,
    }
    .run();
}

#[test]
fn idx_files() {
    let _alone = alone();
    // One input holds the four files, each with its length before it.
    let file = |sizes: &[u32], bytes: &[u8]| {
        let magic = 0x0800 | sizes.len() as u32;
        let head: Vec<u8> = [magic].iter().chain(sizes).flat_map(|word| word.to_be_bytes()).collect();
        [&head, bytes].concat()
    };
    let pixels: Vec<u8> = (0..40).collect();
    let files = [file(&[10, 2, 2], &pixels), file(&[10], &[0, 1, 0, 1, 0, 1, 0, 1, 0, 1])];
    let files = files.into_iter().chain([file(&[2, 2, 2], &pixels[..8]), file(&[2], &[1, 0])]);
    let seed: Vec<u8> = files.flat_map(|file| [&(file.len() as u16).to_le_bytes()[..], &file].concat()).collect();
    let read = |mut bytes: &[u8]| {
        let mut files = Vec::new();
        for slot in ["train-images", "train-labels", "test-images", "test-labels"] {
            let length =
                bytes.split_off(..2).map_or(0, |length| usize::from(u16::from_le_bytes([length[0], length[1]])));
            let file = bytes.split_off(..length.min(bytes.len())).unwrap_or_default();
            files.push((slot, gzip(file)));
        }
        is_decoded(r#"{"format":"Idx"}"#, files)
    };
    Target {
        name: "idx_files",
        rounds: 10000,
        seeds: vec![seed],
        words: &[],
        pack: &as_it_is,
        memory: of_archive,
        read: &read,
    }
    .run();
}

const SAFETENSORS: &[&str] = &[
    "\"F32\"",
    "\"U8\"",
    "\"I32\"",
    "\"F16\"",
    "\"F4\"",
    "[0,",
    "18446744073709551615",
    "\"data_offsets\":[0,0]",
    "\"shape\":[]",
    "\"shape\":[4611686018427387904,4]",
    "\"__metadata__\":{\"a\":\"b\"},",
    "images",
    "[[[[[[[[[[[[[[[[",
];

/// What a safetensors file may take: its tensors as numbers, and its header in parsed form.
fn of_tensors(length: usize) -> usize {
    MIB + 100 * length
}

#[test]
fn tensors() {
    let _alone = alone();
    let shape = ImageShape { channels: 3, height: 2, width: 2 };
    let split = dataset::write(shape, (0..36).collect(), &[("fine", &[0, 1, 2]), ("coarse", &[0, 0, 1])]);
    let seeds = [vec![split], RAN.named("/weights.safetensors"), RAN.named("histograms.safetensors")].concat();
    let read = |bytes: &[u8]| {
        let reader = match TensorsReader::new(bytes.to_vec().into()) {
            Ok(reader) => reader,
            Err(error) => return says(error),
        };
        for name in reader.names() {
            let _ = (reader.u8(name), reader.i32(name), reader.f32(name), reader.shape(name));
        }
        if let Ok(split) = Dataset::read(bytes.to_vec().into()) {
            (0..split.len().min(100)).for_each(|at| assert_eq!(split.image(at).len(), split.image_shape().bytes()));
            assert!(split.image_shape().bytes() > 0);
            split.heads().for_each(|head| assert_eq!(split.labels(head).unwrap().len(), split.len()));
        }
        if let Ok(histograms) = Histograms::read(bytes.to_vec().into()) {
            let written = histograms.write();
            assert_eq!(Histograms::read(written.clone().into()).expect("what is written is read").write(), written);
            histograms.epochs().for_each(|(_, arrays)| arrays.for_each(drop));
        }
        true
    };
    Target {
        name: "tensors",
        rounds: 10000,
        seeds,
        words: SAFETENSORS,
        pack: &as_it_is,
        memory: of_tensors,
        read: &read,
    }
    .run();
}

#[test]
fn predict() {
    let _alone = alone();
    // One input is an architecture, a line feed, and weights.
    let architecture = RAN.named("architecture.json").remove(0);
    let of_it: Architecture = records::read(&architecture).unwrap();
    let weights = RAN.files.iter().filter(|(path, _)| path.ends_with("/weights.safetensors"));
    let weights =
        weights.map(|(_, bytes)| bytes.clone()).find(|bytes| Weights::read(&of_it, bytes.clone().into()).is_ok());
    let weights = weights.unwrap_or_else(|| Weights::initial(&of_it, 3).write());
    let read = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        let architecture: Architecture = match records::read(&bytes[..end]) {
            Ok(architecture) => architecture,
            Err(error) => return says(error),
        };
        let _ = (architecture.memory(64), architecture.parameter_shapes());
        let size: usize = architecture.input.iter().product();
        match Predictor::load(architecture, bytes[end..].to_vec().into(), ComputeDevice::CPU) {
            Ok(predictor) if size < 100_000 => {
                for (head, values) in predictor.probabilities(&vec![0.25; 2 * size], 2) {
                    assert!(!head.is_empty() && !values.is_empty());
                }
                true
            }
            Ok(_) => true,
            Err(error) => says(error),
        }
    };
    Target {
        name: "predict",
        rounds: 3000,
        seeds: vec![[architecture, weights].concat()],
        words: &[
            JSON,
            SAFETENSORS,
            &["\"kind\":\"add\"", "\"kind\":\"flatten\"", "\"stride\":", "\"shape\":[", "\"input\""],
        ]
        .concat(),
        pack: &as_it_is,
        memory: |length| 256 * MIB + 100 * length,
        read: &read,
    }
    .run();
}

#[test]
fn histories() {
    let _alone = alone();
    let read = |bytes: &[u8]| match TrainingHistory::read(bytes) {
        Ok(history) => {
            let again = TrainingHistory::read(&history.write()).expect("what is written is read");
            assert_eq!(again.write(), history.write());
            for metric in history.metrics.iter().take(100) {
                assert_eq!(history.curve(metric).unwrap().len(), history.rows.len());
            }
            let _ = (history.heads(), history.equal_until(&again));
            true
        }
        Err(error) => says(error),
    };
    Target {
        name: "histories",
        rounds: 10000,
        seeds: RAN.named("history.csv"),
        words: &[
            "epoch",
            "weights",
            "NaN",
            "inf",
            "-0",
            "\"",
            "\"\"",
            "\r",
            "\n",
            ",",
            ",,,,",
            "1e999",
            "4294967296",
            "\0",
        ],
        pack: &as_it_is,
        memory: of_text,
        read: &read,
    }
    .run();
}

static SPACE: LazyLock<Space> = LazyLock::new(|| {
    let read = read::read("pipeline.ron", TINY, &[]).unwrap();
    let searches: Vec<(&str, &SearchSpec)> = read.stages.of_type().collect();
    searches[0].1.space()
});

#[test]
fn imported_trials() {
    let _alone = alone();
    let seeds = [
        r#"{"source":"somewhere","trials":[{"status":"ok","hyperopt_vals":{"activation":1.0,"lr_rate_mult":1.2},"space":{"activation":"elu"},"loss":-0.4785},{"hyperopt_vals":{"activation":0},"status":"fail","loss":"x"}]}"#,
        r#"[{"labels":{"activation":"relu","lr_rate_mult":0.9},"loss":0.5,"status":"completed"},{"labels":{"activation":"elu","lr_rate_mult":1.5},"loss":null}]"#,
        r#"{"format":1,"trials":[{"labels":{"activation":"relu","lr_rate_mult":1.0},"loss":0.25}]}"#,
    ];
    let read = |bytes: &[u8]| match import::read(&String::from_utf8_lossy(bytes), &SPACE) {
        Ok(found) => {
            found.misfits.iter().for_each(|(_, why)| assert!(!why.is_empty()));
            let record = params::record(&found.record);
            assert_eq!(records::read::<ImportedTrials>(&record).expect("what is written is read"), found.record);
            true
        }
        Err(error) => says(error),
    };
    Target {
        name: "imported_trials",
        rounds: 20000,
        seeds: seeds.map(|text| text.as_bytes().to_vec()).into(),
        words: JSON,
        pack: &as_it_is,
        memory: of_text,
        read: &read,
    }
    .run();
}

#[test]
fn spaces() {
    let _alone = alone();
    let seeds = [
        r#"{"optimizer":{"choice":["Adam","Nadam"]},"a":{"choice":[null,{"label":["b",{"choice":[3,4]}]}]},"c":{"uniform":[0,0.35]}}"#,
        r#"{"x":{"pchoice":[[0.3,1],[0.7,{"quniform":[0.501,4.499,1]}]]},"y":{"loguniform":[-1,1]},"z":{"randint":[2,9]},"w":{"IntRange":{"lo":16,"hi":512,"step":16}}}"#,
        r#"{"n":{"qlognormal":[0,1,2]},"f":{"FloatRange":{"lo":0.001,"hi":1,"log":true}},"u":{"uniformint":[1,5]},"q":{"qloguniform":[0,3,1]}}"#,
    ];
    let read = |bytes: &[u8]| match serde_json::from_slice::<Space>(bytes) {
        Ok(space) => {
            let written = params::record(&space);
            let again: Space = serde_json::from_slice(&written).expect("what is written is read");
            assert_eq!(params::record(&again), written);
            let _ = (search::count(&space, &[], 1000), space.endless_label(), space.unconditional_labels());
            search::reaches(&serde_json::from_slice(bytes).unwrap(), &Path::here(), "x");
            true
        }
        Err(error) => says(error),
    };
    Target {
        name: "spaces",
        rounds: 20000,
        seeds: seeds.map(|text| text.as_bytes().to_vec()).into(),
        words: &[
            JSON,
            &["{\"choice\":[", "{\"label\":[\"a\",", "{\"uniform\":[", "\"log\":true", "\"step\":", "{\"normal\":["],
        ]
        .concat(),
        pack: &as_it_is,
        memory: of_text,
        read: &read,
    }
    .run();
}
