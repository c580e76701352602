//! Tables of parameters for the reference documentation, in Markdown.

use serde_json::Value;

use super::{Choices, Declaration, Declared, Domain, notation};
use crate::words::one_of;

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
        [format!("`{}`", declaration.name), brief(&declaration.expected) + star, default, declaration.doc]
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
        [format!("`{name}`"), choice.content.as_deref().map(brief).unwrap_or_default(), choice.doc]
    };
    let choices = T::choices();
    if choices.iter().all(|choice| choice.inside.is_none()) {
        return table(["name", ""], choices.into_iter().map(|choice| [format!("`{}`", choice.name), choice.doc]));
    }
    table(["name", "in the parentheses", ""], choices.into_iter().map(row))
}

/// Returns what a domain allows, in few words. Words are quoted, as they are written.
pub fn allowed(domain: &Domain) -> String {
    match domain {
        Domain::Word(words) => {
            let words: Vec<_> = words.iter().map(|word| notation(&(*word).into())).collect();
            one_of(words.iter().map(String::as_str))
        }
        domain => brief(&domain.expected()),
    }
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

/// Returns what is allowed in the few words that a column has room for: the words of a message, shortened.
fn brief(expected: &str) -> String {
    let shorter = [
        ("a whole number of ", "integer, "),
        ("a number of ", "number, "),
        ("a number ", "number "),
        ("a list of a string", "list of strings"),
        ("a list of ", "list of "),
    ];
    let text = shorter.iter().fold(expected.to_owned(), |text, (long, short)| text.replace(long, short));
    let text = if text == "true or false" { "`true` or `false`".to_owned() } else { text };
    // What has many fields, or many names with fields, is explained elsewhere on the page.
    let has_many_names = text.matches('(').count() > 3;
    let mut parts = text.split('(');
    let mut brief = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (inside, after) = part.split_once(')').unwrap_or((part, ""));
        let fields = inside.matches(", ").count() + 1;
        brief += &match (has_many_names, fields) {
            (true, _) => after.to_owned(),
            (false, 1 | 2) => format!("({inside}){after}"),
            (false, _) => format!("(..){after}"),
        };
    }
    brief
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_allowed_is_said_in_few_words() {
        for (long, short) in [
            ("a whole number of 1 to 8, or `None`", "integer, 1 to 8, or `None`"),
            ("a number at least 0 and below 1", "number at least 0 and below 1"),
            ("a list of a string", "list of strings"),
            ("true or false", "`true` or `false`"),
            ("`A`, `B(a, b: 1)` or `C(a, b, c)`", "`A`, `B(a, b: 1)` or `C(..)`"),
            ("`A(..)`, `B(..)`, `C(..)` or `D(a: 1)`", "`A`, `B`, `C` or `D`"),
        ] {
            assert_eq!(brief(long), short);
        }
        assert_eq!(allowed(&Domain::Word(&["relu", "Adam"])), "`\"relu\"` or `Adam`");
    }

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
