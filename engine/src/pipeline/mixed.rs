//! Finds the fields with names in `ForEach(k: [0, 1], Kind(..))`, which RON does not have: its parentheses hold either fields with
//! names or values without.

use std::{borrow::Cow, ops::Range};

use super::parts::{is_identifier, is_identifier_start, is_string_literal, trim_start};

/// The name whose parentheses may hold both.
pub(super) const NAME: &str = "ForEach";

/// A text without the names of these fields.
pub(super) struct Blanked<'s> {
    /// The text, with spaces instead of each such name and its colon. Everything keeps its place.
    pub(super) text: Cow<'s, str>,
    /// The places of the names, in order.
    pub(super) names: Vec<Range<usize>>,
}

/// Returns `text` without the names of the fields in each `ForEach(..)`, so that it is RON if the rest is.
pub(super) fn blanked(text: &str) -> Blanked<'_> {
    if !text.contains(NAME) {
        return Blanked { text: text.into(), names: Vec::new() };
    }
    let mut names = Vec::new();
    let mut blank = text.as_bytes().to_vec();
    // For each open bracket: whether it is that of a `ForEach`, and whether a field can begin here.
    let mut open: Vec<(bool, bool)> = Vec::new();
    let mut is_each = false;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let token = &rest[..token(rest)];
        let is_space = trim_start(token).is_empty();
        let (in_each, begins) = open.last().copied().unwrap_or_default();
        match token {
            _ if is_space => {}
            "(" | "[" | "{" => open.push((token == "(" && is_each, true)),
            ")" | "]" | "}" => drop(open.pop()),
            name if in_each && begins && name.starts_with(is_identifier_start) => {
                let after = trim_start(&rest[token.len()..]);
                if after.starts_with(':') {
                    let colon = text.len() - after.len();
                    blank[at..at + token.len()].fill(b' ');
                    blank[colon] = b' ';
                    names.push(at..at + token.len());
                }
            }
            _ => {}
        }
        if !is_space {
            is_each = token == NAME;
            if !matches!(token, "(" | "[" | "{")
                && let Some((_, begins)) = open.last_mut()
            {
                *begins = token == ",";
            }
        }
        at += token.len();
    }
    let text = String::from_utf8(blank).expect("whole characters are replaced by spaces");
    Blanked { text: text.into(), names }
}

/// Returns the length of the token that the text begins with: white space, a comment, a string, a name, or one character.
fn token(text: &str) -> usize {
    let first = text.chars().next().expect("the text is not empty");
    let whole = |length: usize| (length..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    if first.is_whitespace() || text.starts_with("//") || text.starts_with("/*") {
        return text.len() - trim_start(text).len();
    }
    if matches!(first, '"' | '\'') || is_string_literal(text) {
        let start = text.find(['"', '\'']).expect("a string has a quotation mark");
        let before = &text[..start];
        if before.contains('r') {
            let end = format!("\"{}", "#".repeat(before.matches('#').count()));
            return text[start + 1..].find(&end).map_or(text.len(), |at| start + 1 + at + end.len());
        }
        let mut escaped = false;
        let is_end = |(_, c): &(usize, char)| {
            let ends = !escaped && text[start..].starts_with(*c) && matches!(c, '"' | '\'');
            escaped = !escaped && *c == '\\';
            ends
        };
        return text[start + 1..].char_indices().find(is_end).map_or(text.len(), |(at, _)| start + at + 2);
    }
    if is_identifier_start(first) {
        return text.find(|c: char| !is_identifier(c)).unwrap_or(text.len());
    }
    whole(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str, names: &[&str]) {
        let found = blanked(text);
        assert_eq!((&*found.text, text.len()), (expected, found.text.len()));
        assert_eq!(found.names.iter().map(|name| &text[name.clone()]).collect::<Vec<_>>(), names);
    }

    #[test]
    fn only_the_names_of_fields_in_a_for_each_are_removed() {
        check("(a: 1)", "(a: 1)", &[]);
        check("[(\"a\", ForEach(k: [0], Kind(k: 1)), b: 2)]", "[(\"a\", ForEach(   [0], Kind(k: 1)), b: 2)]", &["k"]);
        check("ForEach(Kind(a: 1), é /* : */ : [k],)", "ForEach(Kind(a: 1),    /* : */   [k],)", &["é"]);
        check("ForEach ( /* a: */ k : ForEach(j: 1))", "ForEach ( /* a: */     ForEach(   1))", &["k", "j"]);
        check("NotForEach(k: 1)", "NotForEach(k: 1)", &[]);
    }

    #[test]
    fn what_stands_in_strings_and_comments_is_left() {
        for quiet in [
            r#""ForEach(k: 1)""#,
            r##"r#"ForEach(" k: 1"#"##,
            r#""\"ForEach(k: 1)""#,
            "/* ForEach(k: /* */ 1) */",
            "// ForEach(k: 1)\n",
        ] {
            check(quiet, quiet, &[]);
            let (inside, expected) =
                (format!("ForEach({quiet}, k: '\"', j: 1)"), format!("ForEach({quiet},    '\"',    1)"));
            check(&inside, &expected, &["k", "j"]);
        }
        // What is not RON does not matter, but ends.
        for broken in
            ["ForEach(k: \"", "ForEach(k: '", "ForEach(k: r#\"", "ForEach))), k: 1", "ForEach(/*", "ForEach(k"]
        {
            assert_eq!(blanked(broken).text.len(), broken.len());
        }
    }
}
