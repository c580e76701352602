//! Parameters as a table for a page of documentation.

use serde_json::Value;

use super::{Choices, Declared};

/// Returns a value as a pipeline writes it: `Best("valid.loss")`, `[Last]`, `None`.
pub fn notation(value: &Value) -> String {
    let list = |items: &[Value]| items.iter().map(notation).collect::<Vec<_>>().join(", ");
    match value {
        Value::Null => "None".to_owned(),
        Value::Number(number) => match number.as_f64() {
            Some(x) if number.is_f64() => x.to_string(),
            _ => number.to_string(),
        },
        Value::String(name) if name.starts_with(char::is_uppercase) => name.clone(),
        Value::Array(items) => format!("[{}]", list(items)),
        Value::Object(fields) => match fields.iter().next() {
            Some((name, content)) if fields.len() == 1 => format!("{name}({})", notation(content)),
            _ => {
                let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {}", notation(value))).collect();
                format!("({})", fields.join(", "))
            }
        },
        value => value.to_string(),
    }
}

/// Returns a table of rows under the header.
pub fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&header.map(str::to_owned)).replace("|  |", "| |");
    text += &format!("|{}\n", "---|".repeat(N));
    rows.into_iter().for_each(|row| text += &line(&row).replace("|  |", "| |"));
    text
}

/// Returns a table of the fields, with a note on labels if some take them.
pub fn fields<T: Declared>() -> String {
    let declarations = T::declarations();
    let takes_labels = declarations.iter().any(|declaration| declaration.takes_a_label);
    let row = |declaration: super::Declaration| {
        let star = if declaration.takes_a_label { " \\*" } else { "" };
        let default = declaration.default.map(|default| format!("`{}`", notation(&default))).unwrap_or_default();
        [format!("`{}`", declaration.name), declaration.expected + star, default, declaration.doc]
    };
    let mut text = table(["field", "what it may be", "default", ""], declarations.into_iter().map(row));
    if takes_labels {
        text += "\n\\* In the trial of a search it may also be `hp(\"label\")`.\n";
    }
    text
}

/// Returns a table of the names.
pub fn choices<T: Choices>() -> String {
    let row = |choice: super::Choice| {
        let name = choice.inside.map_or_else(|| choice.name.to_owned(), |inside| format!("{}({inside})", choice.name));
        [format!("`{name}`"), choice.content.unwrap_or_default(), choice.doc]
    };
    table(["name", "what stands in its parentheses", ""], T::choices().into_iter().map(row))
}
