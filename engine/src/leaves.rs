//! Compares two JSON values leaf by leaf.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;
use serde_json::{Map, Value};

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The path of the value: `flip.policy[0].RandomFlip`.
    pub path: String,
    /// The old value. `None` if nothing is written at the path, because a field has its default or a list has no such item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// The new value. `None` as for `old`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = if self.path.ends_with(']') { "absent" } else { "default" };
        let text = |value: &Option<Value>| value.as_ref().map_or_else(|| none.to_owned(), Value::to_string);
        if self.path.is_empty() {
            // All of it is another variant.
            let name = |value: &Option<Value>| match value.as_ref().and_then(Value::as_object) {
                Some(fields) if fields.len() == 1 => fields.keys().map(|name| format!("{name}(..)")).collect(),
                _ => text(value),
            };
            return write!(f, "{} -> {}", name(&self.old), name(&self.new));
        }
        write!(f, "{} {} -> {}", self.path, text(&self.old), text(&self.new))
    }
}

/// Adds the differences between `old` and `new` to `found`, sorted by path. All paths begin with `path`. A value that only
/// one side has is one leaf, however large.
pub fn changes(path: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<Change>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) if comparable(old, new) => {
            let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                changes(&path, old.get(key), new.get(key), found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            // Inserting or removing an item does not change the items after it.
            let (before, behind) = if old.len() == new.len() { (0, 0) } else { in_common(old, new) };
            let (old, new) = (&old[before..old.len() - behind], &new[before..new.len() - behind]);
            for i in 0..old.len().max(new.len()) {
                changes(&format!("{path}[{}]", before + i), old.get(i), new.get(i), found);
            }
        }
        (old, new) => found.push(Change { path: path.to_owned(), old: old.cloned(), new: new.cloned() }),
    }
}

/// Returns the number of items that two lists share at their start, and the number of the others that they share at their end.
fn in_common(old: &[Value], new: &[Value]) -> (usize, usize) {
    let count = |pairs: &mut dyn Iterator<Item = (&Value, &Value)>| pairs.take_while(|(old, new)| old == new).count();
    let before = count(&mut old.iter().zip(new));
    (before, count(&mut old[before..].iter().rev().zip(new[before..].iter().rev())))
}

/// Returns whether two objects can be compared field by field. Two different variants, `RandomFlip(0.5)` and
/// `RandomCrop(4)`, cannot.
fn comparable(old: &Map<String, Value>, new: &Map<String, Value>) -> bool {
    old.len() != 1 || new.len() != 1 || old.keys().eq(new.keys())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(old: Value, new: Value, expected: &[&str]) {
        let mut found = Vec::new();
        changes("x", Some(&old), Some(&new), &mut found);
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_difference_has_its_path() {
        check(json!({ "a": 1, "b": [1, 2] }), json!({ "a": 1, "b": [1, 3] }), &["x.b[1] 2 -> 3"]);
        check(json!({ "a": 1 }), json!({ "a": 1, "b": { "c": 2 } }), &["x.b default -> {\"c\":2}"]);
        check(json!([{ "RandomFlip": 0.5 }]), json!([{ "RandomFlip": 0.25 }]), &["x[0].RandomFlip 0.5 -> 0.25"]);
        check(json!([{ "Flip": 0.5 }]), json!([{ "Crop": 4 }]), &["x[0] {\"Flip\":0.5} -> {\"Crop\":4}"]);
        check(json!([1]), json!([1, 2]), &["x[1] absent -> 2"]);
        check(json!([1, 2, 3, 2]), json!([1, 3, 2]), &["x[1] 2 -> absent"]);
        check(json!([1, 1]), json!([1, 1, 1]), &["x[2] absent -> 1"]);
        check(json!([1, 2, 3]), json!([4, 2, 5, 3]), &["x[0] 1 -> 4", "x[2] absent -> 5"]);
        check(json!("a"), json!({ "a": 1 }), &["x \"a\" -> {\"a\":1}"]);
        let [old, new] = ["Folder", "Files"].map(|name| Some(json!({ name: { "listing": [1, 2] } })));
        assert_eq!(Change { path: String::new(), old, new }.to_string(), "Folder(..) -> Files(..)");
    }
}
