//! The studies that come with the program.

use std::{fs, path::Path};

use super::accepted;
use crate::pipeline::expand::{Sources, expand};

#[test]
fn every_study_is_accepted_and_planned() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../studies");
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).expect("the studies lie beside the sources") {
        let path = entry.expect("the folder can be listed").path();
        let plan = expand(&accepted(&fs::read_to_string(&path).expect("a study is text")), &Sources::default());
        let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        assert!(plan.nodes.iter().any(|node| node.stage.id().name == "evaluate"), "{name}");
        names.push(name);
    }
    names.sort();
    assert!(names.len() >= 6, "{names:?}");
}
