//! The output files of a node. A file is read when it is asked for.

use pipe_engine::study::{StudyNode, tree_of};
use pipe_stages::{
    params::Float,
    records::{self, Record, TrainingHistory},
};
use pipe_store::{Bytes, Digest, ObjectSource, Store, Tree};
use serde_json::Value;

use super::ViewError;

/// The output files of one node.
pub(crate) struct Outputs<'a> {
    store: &'a Store,
    node: String,
    pub(crate) tree: Tree,
}

impl<'a> Outputs<'a> {
    /// Returns the outputs of a node, or None if it has none.
    pub(crate) fn of(store: &'a Store, name: &str, node: &StudyNode) -> Result<Option<Self>, ViewError> {
        Ok(tree_of(store, node)?.map(|tree| Self { store, node: name.to_owned(), tree }))
    }

    /// Returns the digest of an output file.
    pub(crate) fn digest(&self, path: &str) -> Option<Digest> {
        self.tree.files.get(path).map(|entry| entry.digest)
    }

    /// Returns an output file's bytes.
    pub(crate) fn bytes(&self, path: &str) -> Result<Option<Bytes>, ViewError> {
        Ok(self.digest(path).map(|digest| self.store.read(&digest)).transpose()?)
    }

    /// Returns a record among the output files, or None if the file does not exist.
    pub(crate) fn record<R: Record>(&self) -> Result<Option<R>, ViewError> {
        let Some(bytes) = self.bytes(R::FILE)? else { return Ok(None) };
        records::read(&bytes).map(Some).map_err(|error| self.not_a_record(R::FILE, &error))
    }

    /// Returns the history of a training, read from history.csv.
    pub(crate) fn history(&self) -> Result<Option<TrainingHistory>, ViewError> {
        let path = TrainingHistory::FILE;
        let Some(bytes) = self.bytes(path)? else { return Ok(None) };
        TrainingHistory::read(&bytes).map(Some).map_err(|error| self.not_a_record(path, &error))
    }

    /// Returns the paths and digests of the pictures among the files.
    pub(crate) fn pictures(&self) -> impl Iterator<Item = (&str, Digest)> {
        self.tree.files.iter().filter(|(path, _)| is_picture(path)).map(|(path, entry)| (path.as_str(), entry.digest))
    }

    pub(crate) fn not_a_record(&self, path: &str, reason: &impl ToString) -> ViewError {
        let digest = self.digest(path).expect("only files that exist are parsed");
        ViewError::Record { node: self.node.clone(), path: path.to_owned(), digest, reason: reason.to_string() }
    }
}

/// Returns whether an output file is a picture, judged by its name.
pub(crate) fn is_picture(path: &str) -> bool {
    path.ends_with(".png")
}

/// Returns a value of a record if it is a number, or a string that means NaN or infinity.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(_) => value.as_f64(),
        Value::String(text) if text == "NaN" || text.ends_with("Infinity") => {
            serde_json::from_value::<Float>(value.clone()).ok().map(|float| float.0)
        }
        _ => None,
    }
}

/// Returns every number of a record with its path (`best.valid.loss`), except `format`.
pub(crate) fn numbers(record: &Value) -> Vec<(String, f64)> {
    fn walk(value: &Value, path: &str, found: &mut Vec<(String, f64)>) {
        let child = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match value {
            Value::Object(items) => items.iter().for_each(|(key, item)| walk(item, &child(key), found)),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(i, item)| walk(item, &format!("{path}[{i}]"), found))
            }
            other => found.extend(number(other).filter(|_| path != "format").map(|x| (path.to_owned(), x))),
        }
    }
    let mut found = Vec::new();
    walk(record, "", &mut found);
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_numbers_of_a_record_are_found_by_path() {
        let record = json!({ "format": 1, "fine": { "loss": "NaN", "interval": [0.25, 0.5] }, "name": "x" });
        let found: Vec<_> = numbers(&record).into_iter().map(|(path, x)| format!("{path}={x}")).collect();
        assert_eq!(found, ["fine.interval[0]=0.25", "fine.interval[1]=0.5", "fine.loss=NaN"]);
    }
}
