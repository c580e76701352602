//! Valid inputs, from a study that is run once.

use std::{collections::BTreeMap, fs, process::Command, sync::LazyLock};

use pipe_engine::study;
use pipe_store::{ObjectSource, Store};

/// A small study with every kind of stage.
pub(crate) const TINY: &str = include_str!("../../docs/tiny.ron");

/// What the study left in the store.
pub(crate) struct Ran {
    /// The files that the nodes wrote, by name. Each kind of file is there several times.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) study: Vec<u8>,
    pub(crate) pipeline: Vec<u8>,
    pub(crate) actions: Vec<Vec<u8>>,
    pub(crate) trees: Vec<Vec<u8>>,
}

pub(crate) static RAN: LazyLock<Ran> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pipeline.ron"), TINY).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipe"));
    let ran = command.arg("run").current_dir(folder.path()).env_clear().output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let store = Store::open(&folder.path().join(".pipe")).unwrap();
    let found = study::find(&store, None).unwrap().study;
    let mut files: BTreeMap<(String, Vec<u8>), ()> = BTreeMap::new();
    let (mut actions, mut trees) = (Vec::new(), Vec::new());
    let read = |digest| store.read(&digest).unwrap().to_vec();
    for node in found.nodes.values() {
        actions.extend(node.action.map(read));
        let tree = study::tree_of(&store, node).unwrap().unwrap();
        trees.push(tree.to_bytes());
        files.extend(tree.files.into_iter().map(|(path, entry)| ((path, read(entry.digest)), ())));
    }
    let (study, pipeline) = (found.record(), read(found.pipeline));
    Ran { files: files.into_keys().collect(), study, pipeline, actions, trees }
});

impl Ran {
    /// Returns the files whose path ends with `end`, the smallest first, at most four.
    pub(crate) fn named(&self, end: &str) -> Vec<Vec<u8>> {
        let mut found: Vec<_> =
            self.files.iter().filter(|(path, _)| path.ends_with(end)).map(|(_, bytes)| bytes.clone()).collect();
        found.sort_by_key(Vec::len);
        found.truncate(4);
        assert!(!found.is_empty(), "the study has no `{end}`");
        found
    }
}
