//! Trees: manifests of a node's output files.

use std::{collections::BTreeMap, io};

use serde::{Deserialize, Serialize};

use crate::{
    Digest, FoundFile, KnownFile, Store,
    error::{RECORD_FORMAT, Result, StoreError},
};

/// Output files by path. A tree is stored as an object, its canonical JSON, and is named by that object's digest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// The files by their paths, which are relative and separated by `/`.
    pub files: BTreeMap<String, TreeEntry>,
}

/// One file of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeEntry {
    /// The object with the file's bytes.
    pub digest: Digest,
    /// Whether the file is a program. Few files are, and of the others nothing is written, as before there were any.
    #[serde(default, skip_serializing_if = "is_false")]
    pub executable: bool,
    /// The length of the file in bytes. A compressed object takes less on the disk.
    pub size: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "`serde` calls it")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A tree as it is written. The fields are sorted.
#[derive(Serialize)]
struct Manifest<'a> {
    files: &'a BTreeMap<String, TreeEntry>,
    format: u32,
}

/// A tree as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    files: BTreeMap<String, TreeEntry>,
    format: u32,
}

impl TreeEntry {
    /// Returns the entry of a file that is not a program.
    pub fn of(digest: Digest, size: u64) -> Self {
        Self { digest, executable: false, size }
    }
}

impl Tree {
    /// Returns the tree of `files`. Their bytes need not be stored.
    ///
    /// # Errors
    /// If [`check_path`] refuses a path.
    pub fn of(files: &BTreeMap<String, Vec<u8>>) -> Result<Self> {
        let entry = |(path, bytes): (&String, &Vec<u8>)| {
            check_path(path)?;
            Ok((path.clone(), TreeEntry::of(Digest::of(bytes), bytes.len() as u64)))
        };
        Ok(Self { files: files.iter().map(entry).collect::<Result<_>>()? })
    }

    /// Returns the canonical bytes: a line of JSON with sorted keys, and a line feed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let manifest = Manifest { files: &self.files, format: RECORD_FORMAT };
        let mut bytes = serde_json::to_vec(&manifest).expect("a manifest is plain data with string keys");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a tree from its canonical bytes.
    ///
    /// # Errors
    /// Says why these are not the bytes of a tree.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Read = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if manifest.format != RECORD_FORMAT {
            return Err(format!("format {} is not {RECORD_FORMAT}", manifest.format));
        }
        let tree = Self { files: manifest.files };
        if let Some(error) = tree.files.keys().find_map(|path| check_path(path).err()) {
            return Err(error.to_string());
        }
        // Compared as it is written: a tree of many files is not held twice.
        let mut rest = Rest(bytes);
        let manifest = Manifest { files: &tree.files, format: RECORD_FORMAT };
        let is_canonical = serde_json::to_writer(&mut rest, &manifest).is_ok() && rest.0 == b"\n";
        if is_canonical { Ok(tree) } else { Err("it is not in canonical form".to_owned()) }
    }
}

/// The bytes that are still to be written. Writing any others is an error.
struct Rest<'a>(&'a [u8]);

impl io::Write for Rest<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.strip_prefix(bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Checks the path of an output file.
///
/// # Errors
/// [`StoreError::Path`] if the path could leave the folder that it is exported to, or if some systems cannot write it.
pub fn check_path(path: &str) -> Result<()> {
    let reason = if path.is_empty() {
        "it is empty"
    } else if path.starts_with('/') {
        "it is absolute"
    } else if path.contains(|c: char| c.is_control() || c == '\\' || c == ':') {
        "it contains a control character, `\\` or `:`"
    } else if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        "a part of it is empty, `.` or `..`"
    } else if path.split('/').any(|part| part.len() > 255) {
        "a part of it is longer than 255 bytes"
    } else {
        return Ok(());
    };
    Err(StoreError::Path { path: path.to_owned(), reason })
}

impl Store {
    /// Stores files, and then their tree. Returns the tree's name and the tree.
    ///
    /// # Errors
    /// [`StoreError::Path`] if [`check_path`] refuses a path. Also if an object cannot be written.
    pub fn put_tree(&self, files: &BTreeMap<String, Vec<u8>>) -> Result<(Digest, Tree)> {
        let tree = Tree::of(files)?;
        let manifest = tree.to_bytes();
        let names = self.put_all(files.values().chain([&manifest]).map(Vec::as_slice))?;
        Ok((*names.last().expect("the tree itself is stored, too"), tree))
    }

    /// Stores the tree of `files`, of `known` and of `found`. The bytes of the last two are copied from the files that have them, a few
    /// at a time. `watch` is called with the number of their bytes that are stored, and says whether to go on.
    ///
    /// # Errors
    /// As for [`put_tree`](Self::put_tree), [`put_known`](Self::put_known) and [`put_found`](Self::put_found).
    ///
    /// # Panics
    /// If a path is in more than one of them.
    pub fn put_tree_with(
        &self,
        files: &BTreeMap<String, Vec<u8>>,
        known: &BTreeMap<String, KnownFile>,
        found: &BTreeMap<String, FoundFile>,
        watch: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(Digest, Tree)> {
        if known.is_empty() && found.is_empty() {
            return self.put_tree(files);
        }
        known.keys().chain(found.keys()).try_for_each(|path| check_path(path))?;
        let mut tree = Tree::of(files)?;
        let mut add = |path: &String, entry| {
            assert!(tree.files.insert(path.clone(), entry).is_none(), "`{path}` is stored twice");
        };
        known.iter().for_each(|(path, file)| add(path, TreeEntry::of(file.digest, file.size)));
        self.put_known(known.values(), watch)?;
        let before: u64 = known.values().map(|file| file.size).sum();
        let digests = self.put_found(found.values(), &mut |done| watch(before + done))?;
        for ((path, file), digest) in found.iter().zip(digests) {
            add(path, TreeEntry { digest, executable: file.executable, size: file.size });
        }
        let manifest = tree.to_bytes();
        let names = self.put_all(files.values().chain([&manifest]).map(Vec::as_slice))?;
        Ok((*names.last().expect("the tree itself is stored, too"), tree))
    }

    /// Returns the tree of this name.
    ///
    /// # Errors
    /// [`StoreError::NotATree`] if the object is not a tree. Otherwise as for [`read_record`](Self::read_record).
    pub fn tree(&self, name: &Digest) -> Result<Tree> {
        let bytes = self.read_record(name)?;
        Tree::from_bytes(&bytes).map_err(|reason| StoreError::NotATree { name: *name, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ObjectSource,
        testing::{files, store},
    };

    #[test]
    fn the_bytes_and_the_name_of_a_tree_do_not_change() {
        let (_folder, store) = store();
        let (name, tree) = store.put_tree(&files(&[("b.txt", "two"), ("a/x.txt", "")])).unwrap();
        let expected = concat!(
            r#"{"files":{"a/x.txt":{"digest":"af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262","size":0},"#,
            r#""b.txt":{"digest":"dc770fff53f50835f8cc957e01c0d5731d3c2ed544c375493a28c09be5e09763","size":3}},"format":1}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(tree.to_bytes()).unwrap(), expected);
        assert_eq!(name, Digest::of(expected.as_bytes()));
        assert_eq!(store.tree(&name).unwrap(), tree);
        assert_eq!(&*store.read(&tree.files["b.txt"].digest).unwrap(), b"two");
    }

    #[test]
    fn a_tree_says_which_of_its_files_are_programs() {
        let (folder, store) = store();
        let file = |name: &str, executable| {
            let path = folder.path().join(name);
            std::fs::write(&path, name).unwrap();
            (name.to_owned(), FoundFile { path, size: name.len() as u64, executable })
        };
        let found = [file("run.sh", true), file("x.txt", false)].into();
        let (name, tree) = store.put_tree_with(&BTreeMap::new(), &BTreeMap::new(), &found, &mut |_| true).unwrap();
        let [program, text] = ["run.sh", "x.txt"].map(|text| Digest::of(text.as_bytes()));
        let expected = format!(
            "{{\"files\":{{\"run.sh\":{{\"digest\":\"{program}\",\"executable\":true,\"size\":6}},\
             \"x.txt\":{{\"digest\":\"{text}\",\"size\":5}}}},\"format\":1}}\n"
        );
        assert_eq!(String::from_utf8(tree.to_bytes()).unwrap(), expected);
        assert_eq!(name, Digest::of(expected.as_bytes()));
        assert_eq!(store.tree(&name).unwrap(), tree);
        let explicit = expected.replace(",\"size\":5", ",\"executable\":false,\"size\":5");
        let error = Tree::from_bytes(explicit.as_bytes()).unwrap_err();
        assert_eq!(error, "it is not in canonical form");
    }

    #[test]
    fn an_empty_tree_is_a_tree() {
        let (_folder, store) = store();
        let (name, _) = store.put_tree(&BTreeMap::new()).unwrap();
        assert_eq!(store.tree(&name).unwrap(), Tree::default());
    }

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        let (_folder, store) = store();
        for path in ["", "/etc/passwd", "..", "a/../b", "a//b", "a/", "./a", "a\\b", "c:x", "a\n", &"x".repeat(256)] {
            assert!(matches!(store.put_tree(&files(&[(path, "")])), Err(StoreError::Path { .. })), "{path}");
        }
        for path in ["a", "a/b.png", "sheets/conv 1.png", "..a", "ä.txt"] {
            check_path(path).unwrap();
        }
    }

    #[test]
    fn an_object_that_is_not_a_tree_is_refused() {
        let (_folder, store) = store();
        for bytes in
            ["", "{}", "{\"files\":{},\"format\":2}\n", "{\"files\":{},\"format\":1}", "{\"format\":1,\"files\":{}}\n"]
        {
            let name = store.put(bytes.as_bytes()).unwrap();
            assert!(matches!(store.tree(&name), Err(StoreError::NotATree { .. })), "{bytes}");
        }
        assert!(matches!(store.tree(&Digest::of(b"absent")), Err(StoreError::Missing(_))));
    }
}
