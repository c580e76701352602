//! The files in `studies/` can be planned and run.

use std::fs;

use crate::sandbox::Sandbox;

#[test]
fn every_study_in_the_folder_can_be_planned() {
    let mut studies: Vec<_> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/studies"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        // A folder is a study with scripts, whose environment may be missing here.
        .filter(|path| path.is_file())
        .collect();
    studies.sort();
    let mut planned = String::new();
    for study in studies {
        let sandbox = Sandbox::with(&fs::read_to_string(&study).unwrap());
        let output = sandbox.pipe("run --plan").would_run();
        let name = study.file_stem().unwrap().to_str().unwrap();
        planned += &format!("{name}: {}\n", output.out.lines().last().unwrap());
    }
    let expected = "cifar100: 0 reused, 2 will run, 153 may run
cifar100_best: 0 reused, 1 will run, 5 may run
cifar100_half: 0 reused, 2 will run, 18 may run
fashion_mnist: 0 reused, 2 will run, 17 may run
fashion_mnist_cnn: 0 reused, 2 will run, 77 may run
fashion_mnist_mlp: 0 reused, 2 will run, 115 may run
fruits360: 0 reused, 2 will run, 124 may run
";
    assert_eq!(planned, expected);
}

/// The command is in a comment of `studies/cifar100.ron`.
#[test]
fn the_short_form_of_the_cifar100_study_can_be_planned() {
    let text = include_str!("../../studies/cifar100.ron");
    let options = text.lines().find_map(|line| line.strip_prefix("// A short form: ")).unwrap();
    let output = Sandbox::with(text).pipe(&format!("run --plan {options}")).would_run();
    assert_eq!(output.out.lines().last(), Some("0 reused, 2 will run, 11 may run"));
}
