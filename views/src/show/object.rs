//! An object of the store: its kind and its contents.

use std::collections::BTreeMap;

use pipe_engine::{action::Action, pipeline::stages, study::Study};
use pipe_stages::{StageName, tensors::header_length};
use pipe_store::{Digest, ObjectSource, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::facts_text;
use crate::{
    ViewError, notation,
    text::{Align, bytes, columns, counted},
};

/// An object, described by its bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ObjectView {
    pub digest: Digest,
    pub size: u64,
    #[serde(flatten)]
    pub kind: ObjectKind,
}

/// The kind of an object, judged only by its bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ObjectKind {
    Study {
        study: Study,
    },
    /// path -> digest and size
    Tree {
        files: BTreeMap<String, (Digest, u64)>,
    },
    Action {
        action: Action,
    },
    Json {
        value: Value,
    },
    Safetensors {
        tensors: BTreeMap<String, TensorView>,
    },
    Png {
        width: u32,
        height: u32,
    },
    Gzip,
    Text {
        lines: usize,
    },
    Bytes,
}

/// A tensor of a safetensors file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TensorView {
    pub dtype: String,
    pub shape: Vec<u64>,
}

/// Returns the description of the object `digest`.
///
/// # Errors
/// If it is missing or damaged.
pub fn object(store: &Store, digest: &Digest) -> Result<ObjectView, ViewError> {
    let content = store.read(digest)?;
    Ok(ObjectView { digest: *digest, size: content.len() as u64, kind: kind(store, digest, &content) })
}

/// The most bytes that are parsed as a record. The records of the largest studies have some megabytes, and a parsed one takes ten
/// times that.
const RECORD: usize = 256 << 20;

fn kind(store: &Store, digest: &Digest, content: &[u8]) -> ObjectKind {
    if content.starts_with(b"\x89PNG\r\n\x1a\n")
        && let Some((width, height)) = png_size(content)
    {
        return ObjectKind::Png { width, height };
    }
    if content.starts_with(&[0x1f, 0x8b]) {
        return ObjectKind::Gzip;
    }
    if let Some(tensors) = tensors(content) {
        return ObjectKind::Safetensors { tensors };
    }
    if content.len() > RECORD {
        return text_or_bytes(content);
    }
    if let Ok(study) = serde_json::from_slice(content) {
        return ObjectKind::Study { study };
    }
    if let Ok(action) = serde_json::from_slice(content) {
        return ObjectKind::Action { action };
    }
    if let Ok(tree) = store.tree(digest) {
        let files = tree.files.into_iter().map(|(path, entry)| (path, (entry.digest, entry.size)));
        return ObjectKind::Tree { files: files.collect() };
    }
    if let Ok(value) = serde_json::from_slice(content) {
        return ObjectKind::Json { value };
    }
    text_or_bytes(content)
}

fn text_or_bytes(content: &[u8]) -> ObjectKind {
    match std::str::from_utf8(content) {
        Ok(text) if !text.contains('\0') => ObjectKind::Text { lines: text.lines().count() },
        _ => ObjectKind::Bytes,
    }
}

/// Returns a PNG's width and height in pixels.
pub(crate) fn png_size(png: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(png.get(at..at + 4)?.try_into().ok()?));
    Some((number(16)?, number(20)?))
}

fn tensors(content: &[u8]) -> Option<BTreeMap<String, TensorView>> {
    let length = header_length(content).ok()?;
    let mut header: BTreeMap<String, Value> = serde_json::from_slice(content.get(8..8 + length)?).ok()?;
    header.remove("__metadata__");
    let tensor = |(name, value)| Some((name, TensorView::deserialize(value).ok()?));
    header.into_iter().map(tensor).collect()
}

impl ObjectView {
    /// Returns the view as text.
    pub fn render(&self) -> String {
        let mut facts = vec![("object", self.digest.to_string()), ("size", bytes(self.size))];
        let (kind, more) = self.kind.describe();
        facts.push(("kind", kind));
        let more = if more.is_empty() { more } else { format!("\n{more}") };
        format!("{}{more}", facts_text(&facts))
    }
}

impl ObjectKind {
    /// Returns the kind on one line, and the contents on further lines.
    fn describe(&self) -> (String, String) {
        match self {
            Self::Study { study } => (format!("a study of {}", counted(study.nodes.len(), "node")), String::new()),
            Self::Tree { files } => {
                let row = |(path, (digest, size)): (&String, &(Digest, u64))| {
                    vec![path.clone(), digest.short(), bytes(*size)]
                };
                let rows: Vec<_> = files.iter().map(row).collect();
                let align = |at| if at == 2 { Align::Right } else { Align::Left };
                (
                    format!("a tree of {}", counted(files.len(), "file")),
                    columns(&["path", "digest", "size"], &rows, &align),
                )
            }
            Self::Action { action } => {
                let record = serde_json::to_value(action).expect("an action is plain data");
                // A stage that this build does not know has no noun.
                let work = StageName::find(&action.stage).map_or(action.stage.as_str(), |stage| stages::noun(stage, 1));
                let article = if work.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
                (format!("the action of {article} {work}"), notation::pretty(&record) + "\n")
            }
            Self::Json { value } => ("a JSON record".to_owned(), notation::pretty(value) + "\n"),
            Self::Safetensors { tensors } => {
                let row = |(name, tensor): (&String, &TensorView)| {
                    vec![name.clone(), tensor.dtype.clone(), format!("{:?}", tensor.shape)]
                };
                let rows: Vec<_> = tensors.iter().map(row).collect();
                (
                    format!("safetensors with {}", counted(rows.len(), "tensor")),
                    columns(&["tensor", "type", "shape"], &rows, &|_| Align::Left),
                )
            }
            Self::Png { width, height } => (format!("a PNG picture, {width} x {height} pixels"), String::new()),
            Self::Gzip => ("gzip-compressed bytes".to_owned(), String::new()),
            Self::Text { lines } => (format!("text of {}", counted(*lines, "line")), String::new()),
            Self::Bytes => ("bytes".to_owned(), String::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Builder, TestStore, png, safetensors};

    fn check(store: &TestStore, digest: &Digest, expected: &str) {
        let text = object(store, digest).unwrap().render();
        assert!(text.contains(&format!("\nkind    {expected}\n")), "{text}");
    }

    #[test]
    fn the_kind_of_an_object_is_found() {
        let (store, study) = Builder::whole(4).done();
        let node = &study.nodes["data"];
        check(&store, &study.hash(), "a study of 19 nodes");
        check(&store, &study.pipeline, "a JSON record");
        check(&store, &node.tree().unwrap(), "a tree of 6 files");
        check(&store, &node.action.unwrap(), "the action of a decoding");
        check(&store, &study.nodes["flip"].action.unwrap(), "the action of an augmentation");
        for (bytes, expected) in [
            (safetensors("x"), "safetensors with 1 tensor"),
            (png(34, 17, 1), "a PNG picture, 34 x 17 pixels"),
            (vec![0x1f, 0x8b, 8], "gzip-compressed bytes"),
            (b"a,b\n1,2\n".to_vec(), "text of 2 lines"),
            (vec![0, 159], "bytes"),
            (b"{\"a\":1}\n".to_vec(), "a JSON record"),
        ] {
            check(&store, &store.put(&bytes).unwrap(), expected);
        }
    }

    #[test]
    fn a_damaged_header_is_not_safetensors() {
        assert_eq!(tensors(&[255; 20]), None);
        assert_eq!(tensors(&[2, 0, 0, 0, 0, 0, 0, 0, b'{', b'}']), Some(BTreeMap::new()));
        assert_eq!(tensors(b""), None);
    }
}
