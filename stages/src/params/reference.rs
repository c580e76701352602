//! Tables of parameters for the reference documentation, in Markdown.

use super::{Choices, Declared, notation};

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
    table(["name", "in parentheses", ""], T::choices().into_iter().map(row))
}
