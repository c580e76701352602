//! Patterns for the names of pictures: `{label}_*.jpg`.

use serde_json::Value;

use crate::{
    params::{Domain, Read},
    problem::{Path, Problem},
};

/// The most wildcards in a part of a pattern.
const WILDCARDS: usize = 16;

/// A pattern for the last parts of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    written: String,
    /// The pieces of each part, of which there are as many as the pattern has slashes, and one.
    parts: Vec<Vec<Piece>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// This text.
    Text(String),
    /// `*`: anything but a slash.
    Any,
    /// `{label}` or `{group}`: at least one character, and as many as possible.
    Named(&'static str),
}

impl Pattern {
    /// The name of the class.
    pub const LABEL: &str = "label";
    /// The name of the group.
    pub const GROUP: &str = "group";

    /// Returns the pattern that is written so.
    ///
    /// # Errors
    /// If a name in braces is unknown or occurs twice, or there are too many wildcards. The message continues "the pattern ".
    pub fn parse(written: &str) -> Result<Self, String> {
        let mut named = Vec::new();
        let mut parts = Vec::new();
        for part in written.split('/') {
            let mut pieces = Vec::new();
            let mut rest = part;
            while !rest.is_empty() {
                if let Some(after) = rest.strip_prefix('*') {
                    pieces.push(Piece::Any);
                    rest = after;
                } else if rest.starts_with('{') {
                    let name =
                        [Self::LABEL, Self::GROUP].into_iter().find(|name| rest[1..].starts_with(&format!("{name}}}")));
                    let Some(name) = name.filter(|name| !named.contains(name)) else {
                        return Err(match name {
                            Some(name) => format!("has `{{{name}}}` twice"),
                            None => format!("has `{rest}`, expected `{{label}}` or `{{group}}`"),
                        });
                    };
                    named.push(name);
                    pieces.push(Piece::Named(name));
                    rest = &rest[name.len() + 2..];
                } else {
                    let end = rest.find(['*', '{']).unwrap_or(rest.len());
                    pieces.push(Piece::Text(crate::containers::nfc(&rest[..end])));
                    rest = &rest[end..];
                }
            }
            if pieces.is_empty() {
                return Err("has an empty part".to_owned());
            }
            if pieces.iter().filter(|piece| !matches!(piece, Piece::Text(_))).count() > WILDCARDS {
                return Err(format!("has more than {WILDCARDS} wildcards"));
            }
            parts.push(pieces);
        }
        Ok(Self { written: written.to_owned(), parts })
    }

    /// Returns whether the pattern has `{name}`.
    pub fn has(&self, name: &str) -> bool {
        self.parts.iter().flatten().any(|piece| matches!(piece, Piece::Named(known) if *known == name))
    }

    /// Returns what `{label}` and `{group}` stand for in `path`, or `None` if the pattern does not fit.
    pub(super) fn find<'p>(&self, path: &'p str) -> Option<Found<'p>> {
        let mut found = Found::default();
        let mut parts = path.rsplit('/');
        for pieces in self.parts.iter().rev() {
            let part = parts.next()?;
            let mut fit = Fit { width: part.len() + 1, failed: vec![false; (pieces.len() + 1) * (part.len() + 1)] };
            fit.whole(pieces, part, &mut found).then_some(())?;
        }
        Some(found)
    }
}

/// What the names of a pattern stand for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found<'p> {
    pub(super) label: Option<&'p str>,
    pub(super) group: Option<&'p str>,
}

/// Fits pieces to a text. What did not fit once is not tried again, so the time is bounded by pieces x length^2.
struct Fit {
    width: usize,
    /// By the number of pieces and of bytes that are left.
    failed: Vec<bool>,
}

impl Fit {
    /// Returns whether `pieces` fit the whole of `text`.
    fn whole<'p>(&mut self, pieces: &[Piece], text: &'p str, found: &mut Found<'p>) -> bool {
        let Some((piece, rest)) = pieces.split_first() else { return text.is_empty() };
        let state = pieces.len() * self.width + text.len();
        if self.failed[state] {
            return false;
        }
        let fits = match piece {
            Piece::Text(literal) => {
                text.strip_prefix(literal.as_str()).is_some_and(|text| self.whole(rest, text, found))
            }
            Piece::Any | Piece::Named(_) => {
                let least = usize::from(matches!(piece, Piece::Named(_)));
                let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
                let end = ends.rev().filter(|end| *end >= least).find(|end| self.whole(rest, &text[*end..], found));
                match (piece, end) {
                    (Piece::Named(Pattern::LABEL), Some(end)) => found.label = Some(&text[..end]),
                    (Piece::Named(_), Some(end)) => found.group = Some(&text[..end]),
                    _ => {}
                }
                end.is_some()
            }
        };
        self.failed[state] = !fits;
        fits
    }
}

impl serde::Serialize for Pattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(serializer)
    }
}

impl Read for Pattern {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let written = String::read(value, domain, at, problems)?;
        match Self::parse(&written) {
            Ok(pattern) => Some(pattern),
            Err(why) => {
                let problem = Problem::new(at, format!("the pattern `{written}` {why}"));
                problems.push(problem.expected("text with `*`, `{label}` and `{group}`"));
                None
            }
        }
    }

    fn expected(_: &Domain) -> String {
        "a pattern such as \"{label}_*.jpg\"".to_owned()
    }

    fn brief(_: &Domain) -> String {
        "pattern".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'p>(pattern: &str, path: &'p str) -> Option<(Option<&'p str>, Option<&'p str>)> {
        Pattern::parse(pattern).unwrap().find(path).map(|found| (found.label, found.group))
    }

    #[test]
    fn a_label_is_as_long_as_can_be() {
        for (pattern, path, expected) in [
            ("{label}_*.jpg", "images/american_bulldog_10.jpg", Some((Some("american_bulldog"), None))),
            ("{label}.*.jpg", "cat.1.jpg", Some((Some("cat"), None))),
            ("{group}-*_{label}.png", "p1-7-x_cat.png", Some((Some("cat"), Some("p1-7")))),
            ("{label}/*/*", "a/cat/x/1.jpg", Some((Some("cat"), None))),
            ("*", "a/1.jpg", Some((None, None))),
            ("{label}_*.jpg", "_1.jpg", None),
            ("{label}_*.jpg", "a/1.jpg", None),
            ("{label}/*/*", "cat/1.jpg", None),
            ("{label}_*.jpg", "\u{e4}\u{e4}_1.jpg", Some((Some("\u{e4}\u{e4}"), None))),
        ] {
            assert_eq!(find(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_name_that_fits_nowhere_is_refused_in_little_time() {
        let pattern = "*a".repeat(16) + "b";
        assert_eq!(find(&pattern, &"a".repeat(255)), None);
    }

    #[test]
    fn wrong_patterns_are_refused() {
        for (pattern, expected) in [
            ("{labl}_*", "has `{labl}_*`, expected `{label}` or `{group}`"),
            ("{label}{label}", "has `{label}` twice"),
            ("a//b", "has an empty part"),
            ("", "has an empty part"),
            (&"*".repeat(17), "has more than 16 wildcards"),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap_err(), expected);
        }
    }
}
