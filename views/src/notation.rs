//! Writes JSON values in the notation of `pipeline.ron`.
//!
//! JSON does not tell names from strings, or structs from maps (see `pipe_stages::params`), so they are guessed from their
//! spelling. The text is for people: it may not parse back to the same value.

use serde_json::{Map, Value};

/// The most characters on a line that holds a whole value.
const WIDTH: usize = 100;

/// Returns the value on one line.
pub(crate) fn line(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::String(text) if is_variant(text) => text.clone(),
        Value::Array(items) => format!("[{}]", lines(items)),
        Value::Object(items) => match tagged(items) {
            Some((name, Value::Array(arguments))) if is_function(name) && name != "choice" && name != "pchoice" => {
                format!("{name}({})", lines(arguments))
            }
            Some((name, Value::Object(fields))) if tagged(fields).is_none() => format!("{name}({})", inside(fields)),
            Some((name, content)) => format!("{name}({})", line(content)),
            None if items.keys().all(|key| is_word(key)) => format!("({})", inside(items)),
            None => format!("{{ {} }}", inside(items)),
        },
        other => other.to_string(),
    }
}

/// Returns the value on one line if it fits, otherwise on several. There is no final line feed.
pub(crate) fn pretty(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text
}

fn write(value: &Value, indent: usize, text: &mut String) {
    let short = line(value);
    let column = text.len() - text.rfind('\n').map_or(0, |at| at + 1);
    if column + short.chars().count() <= WIDTH {
        text.push_str(&short);
        return;
    }
    match value {
        Value::Array(items) => block(text, indent, ["[", "]"], items.iter().map(|item| (None, item))),
        Value::Object(items) => match tagged(items) {
            Some((name, Value::Object(fields))) if tagged(fields).is_none() => {
                let open = format!("{name}(");
                block(text, indent, [&open, ")"], fields.iter().map(|(key, item)| (Some(key.as_str()), item)));
            }
            Some((name, content)) => {
                text.push_str(name);
                text.push('(');
                write(content, indent, text);
                text.push(')');
            }
            None => block(text, indent, ["(", ")"], items.iter().map(|(key, item)| (Some(key.as_str()), item))),
        },
        _ => text.push_str(&short),
    }
}

fn block<'a>(
    text: &mut String,
    indent: usize,
    [open, close]: [&str; 2],
    items: impl Iterator<Item = (Option<&'a str>, &'a Value)>,
) {
    text.push_str(open);
    for (key, item) in items {
        text.push('\n');
        text.push_str(&"  ".repeat(indent + 1));
        if let Some(key) = key {
            text.push_str(&name(key));
            text.push_str(": ");
        }
        write(item, indent + 1, text);
        text.push(',');
    }
    text.push('\n');
    text.push_str(&"  ".repeat(indent));
    text.push_str(close);
}

fn lines(items: &[Value]) -> String {
    items.iter().map(line).collect::<Vec<_>>().join(", ")
}

fn inside(fields: &Map<String, Value>) -> String {
    fields.iter().map(|(key, value)| format!("{}: {}", name(key), line(value))).collect::<Vec<_>>().join(", ")
}

fn name(key: &str) -> String {
    if is_word(key) { key.to_owned() } else { Value::from(key).to_string() }
}

/// Returns the name and the content if the object stands for `Name(..)`, `hp("label")` or `uniform(..)`.
fn tagged(items: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, content) = items.iter().next().filter(|_| items.len() == 1)?;
    (is_variant(name) || is_function(name)).then_some((name, content))
}

/// Returns whether a name is a distribution of a search space, or a reference to a proposal's value.
fn is_function(name: &str) -> bool {
    let kinds = ["hp", "label", "choice", "pchoice", "randint", "uniformint"];
    kinds.contains(&name) || name.ends_with("uniform") || name.ends_with("normal")
}

fn is_variant(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase()) && is_word(text)
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(value: Value, expected: &str) {
        assert_eq!(line(&value), expected);
    }

    #[test]
    fn values_are_written_as_in_a_pipeline_file() {
        check(json!({ "RandomFlip": 0.5 }), "RandomFlip(0.5)");
        check(
            json!({ "Augment": { "data": "data", "policy": [{ "RandomFlip": 0.5 }] } }),
            r#"Augment(data: "data", policy: [RandomFlip(0.5)])"#,
        );
        check(json!({ "lr": { "loguniform": [-0.5, 0.5] } }), "(lr: loguniform(-0.5, 0.5))");
        check(json!({ "choice": ["relu", null, { "choice": [3, 4] }] }), r#"choice(["relu", None, choice([3, 4])])"#);
        check(json!({ "batch": { "hp": "batch size" } }), r#"(batch: hp("batch size"))"#);
        check(json!({ "two words": "Cpu" }), r#"{ "two words": Cpu }"#);
    }

    #[test]
    fn long_values_are_broken_at_nested_values() {
        let long = "x".repeat(90);
        let expected = format!("Train(\n  a: \"{long}\",\n  b: [1, 2],\n)");
        assert_eq!(pretty(&json!({ "Train": { "b": [1, 2], "a": long } })), expected);
        assert_eq!(pretty(&json!([1, 2])), "[1, 2]");
    }
}
