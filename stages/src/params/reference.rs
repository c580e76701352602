//! Tables of parameters for the reference documentation, in Markdown.

use serde_json::Value;

use super::{Choices, Declaration, Declared, notation};

/// Returns a table with a header.
pub fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&header.map(str::to_owned)).replace("|  |", "| |");
    text += &format!("|{}\n", "---|".repeat(N));
    rows.into_iter().for_each(|row| text += &line(&row).replace("|  |", "| |"));
    text
}

/// Returns a table of the fields, with a note if some of them take labels.
pub fn fields<T: Declared>() -> String {
    let declarations = T::declarations();
    let takes_labels = declarations.iter().any(|declaration| declaration.takes_a_label);
    let row = |declaration: Declaration| {
        let star = if declaration.takes_a_label { " \\*" } else { "" };
        let default = declaration.default.as_ref().map(default).unwrap_or_default();
        [format!("`{}`", declaration.name), declaration.allowed + star, default, declaration.doc]
    };
    let mut text = table(["field", "allowed values", "default", ""], declarations.into_iter().map(row));
    if takes_labels {
        text += LABELS;
    }
    text
}

const LABELS: &str = "\n\\* In the trial of a search, `hp(\"label\")` is allowed too.\n";

/// Returns a table of the names.
pub fn choices<T: Choices>() -> String {
    let row = |choice: super::Choice| {
        let name = match choice.inside {
            // The content has the fields.
            Some(_) if choice.n_fields > 2 => format!("{}(..)", choice.name),
            Some(inside) => format!("{}({inside})", choice.name),
            None => choice.name.to_owned(),
        };
        let star = if choice.takes_a_label { " \\*" } else { "" };
        [format!("`{name}`"), choice.content.unwrap_or_default() + star, choice.doc]
    };
    let choices = T::choices();
    let takes_labels = choices.iter().any(|choice| choice.takes_a_label);
    if choices.iter().all(|choice| choice.inside.is_none()) {
        return table(["name", ""], choices.into_iter().map(|choice| [format!("`{}`", choice.name), choice.doc]));
    }
    let text = table(["name", "content", ""], choices.into_iter().map(row));
    if takes_labels { text + LABELS } else { text }
}

/// Returns a default as a pipeline writes it.
pub fn default(value: &Value) -> String {
    format!("`{}`", written(value))
}

fn written(value: &Value) -> String {
    let Value::Object(fields) = value else { return notation(value) };
    match fields.iter().next() {
        None => "{}".to_owned(),
        // A share is written as its number.
        Some((name, content)) if fields.len() == 1 && name == "fraction" => notation(content),
        Some((name, Value::Object(content))) if fields.len() == 1 && content.is_empty() => name.clone(),
        Some((name, content)) if fields.len() == 1 => format!("{name}({})", written(content)),
        _ => notation(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_are_written_as_in_a_pipeline() {
        for (value, expected) in [
            (json!({ "Stratified": { "fraction": 0.1 } }), "`Stratified(0.1)`"),
            (json!({ "Tpe": {} }), "`Tpe`"),
            (json!({}), "`{}`"),
            (json!(["Best"]), "`[Best]`"),
            (json!(null), "`None`"),
        ] {
            assert_eq!(default(&value), expected);
        }
    }
}
