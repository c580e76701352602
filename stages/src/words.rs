//! Helpers for messages: lists of names, guesses at misspelt ones, and text that is safe on a terminal.

use std::borrow::Cow;

/// Returns the name in `known` that `found` is most likely a misspelling of, if one is close enough.
pub fn closest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&found, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().min(found.len()) / 4)
        .min()
        .map(|(_, name)| name)
}

/// Returns `names` as text: "`a`, `b` or `c`".
pub fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "nothing".to_owned(),
        [name] => name.clone(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}

/// Returns text as it may be written to a terminal: control characters other than a line feed and a tab, and characters that
/// reorder a line, are escaped. A class name or the name of a file can contain anything.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// Returns whether a terminal would act on a character, or show others in another order because of it.
pub fn is_unsafe(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_recognised_and_another_word_is_not() {
        let known = ["trials", "lag", "sampler"];
        assert_eq!(closest("trails", known), Some("trials"));
        assert_eq!(closest("Trials", known), Some("trials"));
        assert_eq!(closest("epochs", known), None);
    }

    #[test]
    fn what_a_terminal_would_act_on_is_escaped() {
        for plain in ["", "cat", "a\tb\nc", "é ∞ 猫", "\u{a0}%"] {
            assert!(matches!(printable(plain), Cow::Borrowed(text) if text == plain), "{plain:?}");
        }
        assert_eq!(printable("a\u{1b}[2Jb\r\0\u{7f}"), "a\\u{1b}[2Jb\\r\\u{0}\\u{7f}");
        assert_eq!(printable("\u{9b}2J \u{202e}tac\u{2066}"), "\\u{9b}2J \\u{202e}tac\\u{2066}");
    }
}
