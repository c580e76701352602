//! In which leaves two JSON values differ.

use std::fmt;

use serde_json::Value;

/// One difference. A side that has nothing at `path` is `None`.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Leaf {
    /// `policy[0].RandomFlip`
    pub path: String,
    pub old: Option<Value>,
    pub new: Option<Value>,
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| value.as_ref().map_or_else(|| "default".to_owned(), Value::to_string);
        write!(f, "{} {} -> {}", self.path, text(&self.old), text(&self.new))
    }
}

/// Returns the leaves in which `old` and `new` differ, in order of their paths.
pub fn differences(old: &Value, new: &Value) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    compare(String::new(), Some(old), Some(new), &mut leaves);
    leaves
}

fn compare(path: String, old: Option<&Value>, new: Option<&Value>, leaves: &mut Vec<Leaf>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let mut keys: Vec<_> = a.keys().chain(b.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(path, a.get(key), b.get(key), leaves);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for index in 0..a.len().max(b.len()) {
                compare(format!("{path}[{index}]"), a.get(index), b.get(index), leaves);
            }
        }
        (old, new) => leaves.push(Leaf { path, old: old.cloned(), new: new.cloned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_differs_is_listed_with_its_path() {
        let old = json!({ "a": 1, "policy": [{ "RandomFlip": 0.5 }], "gone": {"x": 1} });
        let new = json!({ "a": 1, "policy": [{ "RandomFlip": 0.25 }, "Cutout"] });
        let texts: Vec<_> = differences(&old, &new).iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [r#"gone {"x":1} -> default"#, "policy[0].RandomFlip 0.5 -> 0.25", r#"policy[1] default -> "Cutout""#]
        );
    }
}
