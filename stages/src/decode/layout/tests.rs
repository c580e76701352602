//! Tests of the layouts on whole containers of tiny pictures. Each picture has one pixel, whose red value is its name here.

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use pipe_store::{Digest, MemoryObjects};

use crate::{
    containers::testing::{archive, entry, gzip, link, tar, zip},
    decode::Decode,
    images::dataset::Dataset,
    records::{self, Inventory, Labels, ListedFile, Listing, Record, Statistics, Verdict, Version},
    stage::{ComputeDevice, Context, Inputs, Outputs, QuietHost, Stage, StageError},
};

/// Returns a picture of one pixel.
fn dot(red: u8) -> Vec<u8> {
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(&[red, 0, 9], 1, 1, ExtendedColorType::Rgb8).unwrap();
    png
}

fn run_slots(params: &str, slots: &[(&str, Vec<u8>)], objects: &[Vec<u8>]) -> Result<Outputs, StageError> {
    let decode: Decode = serde_json::from_str(params).unwrap();
    let mut store = MemoryObjects::default();
    for object in objects {
        store.put(object.clone());
    }
    let slots = slots.iter().map(|(slot, bytes)| ((*slot).to_owned(), store.put(bytes.clone()))).collect();
    decode.run(&Inputs::new(&slots, &store), &Context { seed: 0, device: ComputeDevice::CPU, host: &QuietHost })
}

fn run(params: &str, bytes: Vec<u8>) -> Result<Outputs, StageError> {
    run_slots(params, &[("archive", bytes)], &[])
}

/// Returns the parameters of a layout for pictures of one pixel, without a validation split.
fn params(format: &str) -> String {
    format!(r#"{{"format":{format},"validation":null}}"#)
}

const FOLDERS: &str = r#"{"Folders":{"size":[1,1]}}"#;
const ONE_ROOT: &str = r#"{"Folders":{"size":[1,1],"test":{"Share":0.25}}}"#;

fn record<R: Record>(outputs: &Outputs) -> R {
    records::read(&outputs.files()[R::FILE]).unwrap()
}

/// Returns the images of each split in words: class and red value.
fn images(outputs: &Outputs) -> Vec<(String, Vec<String>)> {
    let labels: Labels = record(outputs);
    let splits = outputs.files().iter().filter_map(|(path, bytes)| Some((path.strip_suffix(".safetensors")?, bytes)));
    let words = |bytes: &Vec<u8>| {
        let split = Dataset::read(bytes.clone().into()).unwrap();
        let class = |image: usize| &labels.heads[0].classes[split.labels("class").unwrap()[image] as usize];
        (0..split.len()).map(|image| format!("{} {}", class(image), split.image(image)[0])).collect()
    };
    splits.map(|(name, bytes)| (name.to_owned(), words(bytes))).collect()
}

fn check(outputs: &Outputs, expected: &[(&str, &[&str])]) {
    let expected: Vec<(String, Vec<String>)> = expected
        .iter()
        .map(|(name, images)| ((*name).to_owned(), images.iter().map(|image| (*image).to_owned()).collect()))
        .collect();
    assert_eq!(images(outputs), expected);
}

/// Checks that each entry has one verdict, and returns those that are not of pictures in a split.
fn left_out(outputs: &Outputs) -> Vec<(String, String)> {
    let inventory: Inventory = record(outputs);
    assert_eq!(inventory.list.len(), inventory.entries);
    assert_eq!(inventory.verdicts.values().sum::<usize>(), inventory.entries);
    let labels: Labels = record(outputs);
    for entry in inventory.list.iter().filter(|entry| entry.split.is_some()) {
        let split =
            Dataset::read(outputs.files()[&format!("{}.safetensors", entry.split.as_ref().unwrap())].clone().into());
        let label = split.unwrap().labels("class").unwrap()[entry.image.unwrap()];
        assert_eq!(Some(&labels.heads[0].classes[label as usize]), entry.class.as_ref(), "{}", entry.path);
    }
    let left = inventory.list.iter().filter(|entry| entry.split.is_none());
    left.map(|entry| {
        let why = entry.why.as_deref().unwrap_or_default();
        (entry.path.clone(), format!("{:?} {why}", entry.verdict).trim_end().to_owned())
    })
    .collect()
}

fn refused(params: &str, files: &[(&str, &[u8])], expected: &str) {
    let error = run(params, archive(files)).unwrap_err().to_string();
    assert_eq!(error, expected);
}

fn pairs<'a>(files: &'a [(&'a str, Vec<u8>)]) -> Vec<(&'a str, &'a [u8])> {
    files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect()
}

#[test]
fn classes_and_files_are_sorted_whatever_their_order_in_the_archive() {
    let files = [
        ("fruits/LICENSE", b"text".to_vec()),
        ("fruits/Test/Pear 2/x.png", dot(4)),
        ("fruits/Training/Pear 2/a.PNG", dot(3)),
        ("fruits/Training/Apple 10/b", dot(2)),
        ("fruits/Training/Apple 10/a.jfif", dot(1)),
        ("fruits/elsewhere/x.jpg", dot(9)),
    ];
    let outputs = run(&params(FOLDERS), archive(&pairs(&files))).unwrap();
    check(&outputs, &[("test", &["Pear 2 4"]), ("train", &["Apple 10 1", "Apple 10 2", "Pear 2 3"])]);
    assert_eq!(
        left_out(&outputs),
        [
            ("fruits/LICENSE".to_owned(), "NotAPicture a text".to_owned()),
            ("fruits/elsewhere/x.jpg".to_owned(), "Picture in none of the folders `Training`, `Test`".to_owned()),
        ]
    );
}

#[test]
fn every_container_gives_the_same_images() {
    let files = [
        ("r/train/a/1.png", dot(1)),
        ("r/train/b/2.png", dot(2)),
        ("r/test/a/3.png", dot(3)),
        ("r/test/b/4.png", dot(4)),
    ];
    let params = params(r#"{"Folders":{"size":[1,1],"train":"train","test":"test"}}"#);
    let expected: &[(&str, &[&str])] = &[("test", &["a 3", "b 4"]), ("train", &["a 1", "b 2"])];
    let listing = Listing {
        format: Version,
        files: files
            .iter()
            .map(|(path, bytes)| ListedFile {
                path: (*path).to_owned(),
                digest: Digest::of(bytes),
                size: bytes.len() as u64,
                executable: false,
            })
            .collect(),
        ..Listing::default()
    };
    let listing = serde_json::to_vec(&listing).unwrap();
    let objects: Vec<Vec<u8>> = files.iter().map(|(_, bytes)| bytes.clone()).collect();
    for (slot, bytes) in [
        ("archive", archive(&pairs(&files))),
        ("archive", zip(&pairs(&files), ::zip::CompressionMethod::Deflated)),
        ("listing.json", listing),
    ] {
        let outputs = run_slots(&params, &[(slot, bytes)], &objects).unwrap();
        check(&outputs, expected);
        assert_eq!(left_out(&outputs), []);
    }
}

#[test]
fn folders_are_found_in_other_cases_and_one_level_deeper() {
    for (train, test) in [("TRAINING", "test"), ("Training/Training", "Test/Test"), ("training/x", "test/x")] {
        let names =
            [format!("r/{train}/a/1"), format!("r/{train}/b/2"), format!("r/{test}/a/3"), format!("r/{test}/b/4")];
        let files: Vec<(&str, Vec<u8>)> = names.iter().map(String::as_str).zip([1, 2, 3, 4].map(dot)).collect();
        let outputs = run(&params(FOLDERS), archive(&pairs(&files))).unwrap();
        check(&outputs, &[("test", &["a 3", "b 4"]), ("train", &["a 1", "b 2"])]);
    }
}

#[test]
fn a_folder_that_is_called_like_its_split_is_no_class() {
    let files = [("a/Training/training/cat/1", dot(1)), ("a/Test/Test/cat/2", dot(2))];
    let outputs = run(&params(FOLDERS), archive(&pairs(&files))).unwrap();
    check(&outputs, &[("test", &["cat 2"]), ("train", &["cat 1"])]);
}

#[test]
fn folders_that_do_not_fit_are_refused_with_those_that_exist() {
    let dot = dot(1);
    let error = run(&params(FOLDERS), archive(&[("r/tren/a/1.png", &dot), ("r/tast/a/1.png", &dot)])).unwrap_err();
    let StageError::Failed { message, hint } = error else { panic!("{error}") };
    assert_eq!(message, "there is no picture in `Training/<class>/`");
    assert!(hint.unwrap().ends_with("the folders with pictures are `a`, `r`, `tast`, `tren`"));
    refused(
        &params(FOLDERS),
        &[("r/Training/a/1.jpg", &dot), ("r/Test/b/1.jpg", &dot)],
        "entry `r/Test/b/1.jpg` has the class `b`, which the training images do not have",
    );
    refused(
        &params(FOLDERS),
        &[("q/Training/a/1.jpg", &dot), ("r/Training/a/1.jpg", &dot), ("r/Test/a/1.jpg", &dot)],
        "entries `q/Training/a/1.jpg` and `r/Test/a/1.jpg` are in two datasets: expected one of each folder of `Training`, `Test`",
    );
    refused(
        &params(FOLDERS),
        &[("r/Training/1.jpg", &dot), ("r/Test/a/1.jpg", &dot)],
        "entry `r/Training/1.jpg` is not at `Training/<class>/<picture>`",
    );
}

#[test]
fn hidden_and_system_folders_are_never_a_class() {
    let files = [
        ("r/Training/.ipynb_checkpoints/a.png", dot(9)),
        ("r/Training/@eaDir/x.png", dot(9)),
        ("r/Training/a/.hidden.png", dot(9)),
        ("r/Training/a/1.png", dot(1)),
        ("r/Training/a/Thumbs.db", b"x".to_vec()),
        ("r/Test/a/2.png", dot(2)),
        ("r/.git/Training/x/1.png", dot(9)),
        ("__MACOSX/r/Training/a/._1.png", b"x".to_vec()),
    ];
    let outputs = run(&params(FOLDERS), archive(&pairs(&files))).unwrap();
    check(&outputs, &[("test", &["a 2"]), ("train", &["a 1"])]);
    let inventory: Inventory = record(&outputs);
    assert_eq!(inventory.verdicts, [(Verdict::Picture, 2), (Verdict::Junk, 6)].into());
}

#[test]
fn an_empty_class_and_one_without_pictures_are_told() {
    let bytes = [
        entry(b"r/Training/a/1.png", tar::EntryType::Regular, &dot(1)),
        entry(b"r/Training/b/", tar::EntryType::Directory, b""),
        entry(b"r/Training/c/x.webm", tar::EntryType::Regular, b"\x1aE\xdf\xa3"),
        entry(b"r/Test/a/1.png", tar::EntryType::Regular, &dot(2)),
    ];
    let outputs = run(&params(FOLDERS), bytes.concat()).unwrap();
    let inventory: Inventory = record(&outputs);
    assert_eq!(inventory.empty, ["r/Training/b", "r/Training/c"]);
    assert_eq!(record::<Labels>(&outputs).heads[0].classes, ["a"]);
}

#[test]
fn links_to_pictures_are_followed() {
    let bytes = [
        link("r/Training/a/1.png", tar::EntryType::Symlink, "../../images/1.png"),
        link("r/Training/b/2.png", tar::EntryType::Link, "r/images/2.png"),
        entry(b"r/images/1.png", tar::EntryType::Regular, &dot(1)),
        entry(b"r/images/2.png", tar::EntryType::Regular, &dot(2)),
        link("r/Test/a/3.png", tar::EntryType::Symlink, "../../Training/a/1.png"),
        link("r/Test/a/4.png", tar::EntryType::Symlink, "/etc/passwd"),
        link("r/Test/a/5.png", tar::EntryType::Symlink, "5.png"),
    ];
    let outputs = run(&params(FOLDERS), bytes.concat()).unwrap();
    check(&outputs, &[("test", &["a 1"]), ("train", &["a 1", "b 2"])]);
    let left = left_out(&outputs);
    assert_eq!(left[0], ("r/Test/a/4.png".to_owned(), "Link".to_owned()));
    assert_eq!(left[1], ("r/Test/a/5.png".to_owned(), "Link".to_owned()));
}

#[test]
fn one_root_is_divided_by_content() {
    let names: Vec<String> = (0..40).map(|i| format!("flowers/{}/{i:02}.png", ["rose", "tulip"][i % 2])).collect();
    let files: Vec<(&str, Vec<u8>)> = names.iter().map(String::as_str).zip((0..40).map(dot)).collect();
    let test_of = |files: &[(&str, Vec<u8>)]| {
        let outputs = run(&params(ONE_ROOT), archive(&pairs(files))).unwrap();
        let images = images(&outputs);
        assert_eq!(images.iter().map(|(_, images)| images.len()).sum::<usize>(), files.len());
        images[0].1.clone()
    };
    let test = test_of(&files);
    assert_eq!(test.iter().filter(|image| image.starts_with("rose")).count(), 5);
    assert_eq!(test.len(), 10);
    // Names do not matter, and one more picture moves none of the others here.
    let renamed: Vec<String> = names.iter().map(|name| name.replace("flowers/", "x/y/")).collect();
    let renamed: Vec<(&str, Vec<u8>)> = renamed.iter().map(String::as_str).zip((0..40).map(dot)).collect();
    assert_eq!(test_of(&renamed), test);
    let mut more = files.clone();
    more.push(("flowers/rose/new.png", dot(200)));
    let after = test_of(&more);
    assert!(test.iter().filter(|image| !after.contains(image)).count() <= 1, "{test:?} {after:?}");
    refused(
        &params(ONE_ROOT),
        &[("f/a/1.png", &dot(1)), ("f/b/1.png", &dot(2)), ("f/1.png", &dot(3))],
        "entry `f/1.png` is not at `<class>/<picture>`",
    );
}

#[test]
fn a_group_is_in_one_split() {
    let names: Vec<String> = (0..60).map(|i| format!("{}/p{}_{i}.png", ["a", "b"][i % 2], i / 6)).collect();
    let files: Vec<(&str, Vec<u8>)> = names.iter().map(String::as_str).zip((0..60).map(dot)).collect();
    let format = r#"{"Folders":{"size":[1,1],"test":{"Share":0.25},"group":"{group}_*"}}"#;
    let outputs = run(&params(format), archive(&pairs(&files))).unwrap();
    let inventory: Inventory = record(&outputs);
    let of = |group: &str| -> Vec<_> {
        inventory.list.iter().filter(|entry| &entry.path[2..4] == group).map(|entry| entry.split.clone()).collect()
    };
    for group in (0..10).map(|i| format!("p{i}")) {
        let splits = of(&group);
        assert!(splits.len() == 6 && splits.iter().all(|split| *split == splits[0]), "{group} {splits:?}");
    }
    assert!(!images(&outputs)[0].1.is_empty());
    let format = r#"{"Folders":{"size":[1,1],"group":"{group}_*"}}"#;
    let files = [("Training/a/p1_1.png", dot(1)), ("Test/a/p1_2.png", dot(2))];
    let error = run(&params(format), archive(&pairs(&files))).unwrap_err().to_string();
    assert_eq!(error, "the group `p1` is in two splits: `Test/a/p1_2.png` and `Training/a/p1_1.png`");
}

const TABLE: &str = r#"{"Labels":{"size":[1,1],"csv":"labels.csv","file":"image","label":"breed","split":"set"}}"#;

#[test]
fn a_table_names_the_classes() {
    let files = [
        (
            "d/labels.csv",
            b"\xef\xbb\xbfimage;breed;set\nimages/1.png;pug;train\n5;;train\n2;\"basset, big\";TRAIN\n3.png; pug;test\n".to_vec(),
        ),
        ("d/images/1.png", dot(1)),
        ("d/images/2.png", dot(2)),
        ("d/images/3.png", dot(3)),
        ("d/images/4.png", dot(4)),
        ("d/images/5.png", dot(5)),
    ];
    let outputs = run(&params(TABLE), archive(&pairs(&files))).unwrap();
    check(&outputs, &[("test", &["pug 3"]), ("train", &["basset, big 2", "pug 1"])]);
    let left: Vec<_> = left_out(&outputs).into_iter().map(|(_, why)| why).collect();
    assert_eq!(left, ["Picture not in the table", "Picture no label in the table", "NotAPicture a text"]);
    // The table may be a file of its own.
    let outputs = run_slots(
        &params(TABLE),
        &[("labels.csv", files[0].1.clone()), ("pictures", archive(&pairs(&files[1..])))],
        &[],
    );
    check(&outputs.unwrap(), &[("test", &["pug 3"]), ("train", &["basset, big 2", "pug 1"])]);
}

#[test]
fn tables_that_do_not_fit_are_refused_with_their_lines() {
    let check = |table: &str, expected: &str| {
        let files =
            [("labels.csv", table.as_bytes().to_vec()), ("x/1.png", dot(1)), ("y/1.png", dot(2)), ("2.png", dot(3))];
        let error = run(&params(TABLE), archive(&pairs(&files))).unwrap_err().to_string();
        assert_eq!(error, expected);
    };
    check("image,label,set\n", "the table `labels.csv` has no column `breed`");
    check("image,breed,set\n2,a,train\n", "the table `labels.csv` has no test pictures");
    check(
        "image,breed,set\n2,a,later\n",
        "the table `labels.csv`: line 2, column `set`: found `later`, expected `train`, `validation` or `test`",
    );
    check(
        "image,breed,set\n1.png,a,train\n3,a,test\n2,a,train\n2,b,train\n",
        "the table `labels.csv` does not fit the pictures in 3 lines:\n  \
         line 2: `1.png` may be `x/1.png` or `y/1.png`: write more of the path\n  \
         line 3: there is no picture `3`\n  \
         line 5: `2` is `b` here, and `a` before",
    );
    let error = run(&params(TABLE), archive(&[("a.csv", b"x"), ("2.png", &dot(1))])).unwrap_err().to_string();
    assert_eq!(error, "there is no table `labels.csv`");
}

#[test]
fn the_publishers_validation_pictures_are_used_on_request() {
    let files = [
        ("labels.csv", b"image,breed,set\n1,a,train\n2,a,val\n3,a,test\n".to_vec()),
        ("1.png", dot(1)),
        ("2.png", dot(2)),
        ("3.png", dot(3)),
    ];
    let error = run(&params(TABLE), archive(&pairs(&files))).unwrap_err().to_string();
    assert_eq!(error, "entry `2.png` is for validation, and `validation` is `None`");
    let official = format!(r#"{{"format":{TABLE},"validation":"Official"}}"#);
    let outputs = run(&official, archive(&pairs(&files))).unwrap();
    check(&outputs, &[("test", &["a 3"]), ("train", &["a 1"]), ("validation", &["a 2"])]);
    let files = [("train/a/1.png", dot(1)), ("valid/a/2.png", dot(2)), ("test/a/3.png", dot(3))];
    let folders = r#"{"Folders":{"size":[1,1],"train":"train","validation":"valid","test":"test"}}"#;
    let outputs = run(&format!(r#"{{"format":{folders},"validation":"Official"}}"#), archive(&pairs(&files))).unwrap();
    check(&outputs, &[("test", &["a 3"]), ("train", &["a 1"]), ("validation", &["a 2"])]);
}

#[test]
fn names_have_the_classes() {
    let names: Vec<String> =
        (0..20).map(|i| format!("images/{}_{i}.jpg", ["american_bulldog", "pug"][i % 2])).collect();
    let mut files: Vec<(&str, Vec<u8>)> = names.iter().map(String::as_str).zip((0..20).map(dot)).collect();
    files.push(("images/pug_1.mat", b"MATLAB".to_vec()));
    files.push(("annotations/pug_3.png", dot(99)));
    let format = r#"{"Names":{"size":[1,1],"pattern":"{label}_*.jpg","test":{"Share":0.2}}}"#;
    let outputs = run(&params(format), archive(&pairs(&files))).unwrap();
    assert_eq!(record::<Labels>(&outputs).heads[0].classes, ["american_bulldog", "pug"]);
    assert_eq!(images(&outputs).iter().map(|(_, images)| images.len()).collect::<Vec<_>>(), [4, 16]);
    assert_eq!(left_out(&outputs)[0].1, "Picture name does not fit the pattern");
}

#[test]
fn classes_are_left_out_or_renamed() {
    let files = [
        ("Training/katze/1.png", dot(1)),
        ("Training/dog/2.png", dot(2)),
        ("Test/cat/3.png", dot(3)),
        ("Test/dog/4.png", dot(4)),
    ];
    let run = |classes: &str| {
        run(&format!(r#"{{"format":{FOLDERS},"validation":null,"classes":{classes}}}"#), archive(&pairs(&files)))
    };
    check(
        &run(r#"{"Rename":{"katze":"cat"}}"#).unwrap(),
        &[("test", &["cat 3", "dog 4"]), ("train", &["cat 1", "dog 2"])],
    );
    check(&run(r#"{"Exclude":["katze","cat"]}"#).unwrap(), &[("test", &["dog 4"]), ("train", &["dog 2"])]);
    check(&run(r#"{"Only":["dog"]}"#).unwrap(), &[("test", &["dog 4"]), ("train", &["dog 2"])]);
    let error = run(r#"{"Only":["fox"]}"#).unwrap_err();
    let StageError::Failed { message, hint } = error else { panic!("{error}") };
    assert_eq!(message, "`classes` names `fox`, which is no class");
    assert_eq!(hint.unwrap(), "the classes are `cat`, `dog`, `katze`");
}

#[test]
fn all_broken_pictures_are_named_or_skipped() {
    let good = dot(1);
    let files = [
        ("Training/a/1.png", good.clone()),
        ("Training/a/2.png", good[..good.len() - 20].to_vec()),
        ("Training/a/3.jpg", Vec::new()),
        ("Training/a/4.jpg", b"<!DOCTYPE html>".to_vec()),
        ("Training/a/notes.txt", b"text".to_vec()),
        ("Test/a/5.png", dot(5)),
    ];
    let error = run(&params(FOLDERS), archive(&pairs(&files))).unwrap_err().to_string();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines[0], "3 of 5 pictures cannot be read:");
    assert!(lines[1].starts_with("  entry `Training/a/2.png` is "), "{error}");
    assert!(lines[2].starts_with("  entry `Training/a/3.jpg` is "), "{error}");
    assert_eq!(lines[3], "  entry `Training/a/4.jpg` is an HTML page, not a picture");
    let skip = format!(r#"{{"format":{FOLDERS},"validation":null,"broken":"Skip"}}"#);
    let outputs = run(&skip, archive(&pairs(&files))).unwrap();
    check(&outputs, &[("test", &["a 5"]), ("train", &["a 1"])]);
    let inventory: Inventory = record(&outputs);
    assert_eq!(inventory.verdicts, [(Verdict::Picture, 2), (Verdict::Unreadable, 3), (Verdict::NotAPicture, 1)].into());
    let none = run(&skip, archive(&pairs(&files[1..]))).unwrap_err().to_string();
    assert_eq!(none, "no training picture of the class `a` is left, and there is one in the test split");
}

#[test]
fn equal_pictures_of_two_splits_are_dropped_on_request() {
    let files = [
        ("Training/a/1.png", dot(1)),
        ("Training/a/2.png", dot(2)),
        ("Training/a/3.png", dot(3)),
        ("Test/a/4.png", dot(2)),
    ];
    let kept = run(&params(FOLDERS), archive(&pairs(&files))).unwrap();
    assert_eq!(record::<Statistics>(&kept).duplicates.across["test/train"], 1);
    let drop = format!(r#"{{"format":{FOLDERS},"validation":null,"duplicates":"Drop"}}"#);
    let outputs = run(&drop, archive(&pairs(&files))).unwrap();
    check(&outputs, &[("test", &["a 2"]), ("train", &["a 1", "a 3"])]);
    assert_eq!(record::<Statistics>(&outputs).duplicates.across["test/train"], 0);
    assert_eq!(
        left_out(&outputs),
        [("Training/a/2.png".to_owned(), "Picture equal to a picture of another split".to_owned())]
    );
}

#[test]
fn what_is_no_container_is_refused_in_words() {
    for (bytes, expected) in [
        (gzip(b"<!DOCTYPE html>"), "the file is an HTML page that begins `<!DOCTYPE html>`"),
        (b"7z\xbc\xaf\x27\x1c".to_vec(), "the file is a 7z archive"),
        (tar(&[]), "there is no picture in a folder"),
    ] {
        assert_eq!(run(&params(FOLDERS), bytes).unwrap_err().to_string(), expected);
    }
}
