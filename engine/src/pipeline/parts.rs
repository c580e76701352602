//! Splits RON text into the parts of a container, as slices of the text.

use std::fmt;

use ron::value::RawValue;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The values of `[a, b]` or `(a, b)`.
pub(super) struct RawItems;

impl<'de> DeserializeSeed<'de> for RawItems {
    type Value = Vec<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RawItems {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
}

/// The name of a field.
pub(super) enum Key<'de> {
    /// `a` of `(a: 1)`.
    Identifier(String),
    /// `"a"` of `{"a": 1}`.
    Raw(&'de RawValue),
}

struct Identifier;

impl<'de> DeserializeSeed<'de> for Identifier {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Identifier {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<String, E> {
        Ok(name.to_owned())
    }
}

/// The fields of `(a: 1)` or `{"a": 1}`.
pub(super) struct RawFields {
    /// Whether the names are identifiers, as in `(a: 1)`.
    pub(super) named: bool,
}

impl<'de> DeserializeSeed<'de> for RawFields {
    type Value = Vec<(Key<'de>, &'de RawValue)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RawFields {
    type Value = Vec<(Key<'de>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("named fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        loop {
            let key = if self.named {
                map.next_key_seed(Identifier)?.map(Key::Identifier)
            } else {
                map.next_key()?.map(Key::Raw)
            };
            let Some(key) = key else { return Ok(fields) };
            fields.push((key, map.next_value()?));
        }
    }
}

pub(super) fn is_identifier_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

pub(super) fn is_identifier(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns whether the text begins with a raw or a byte string rather than with a name.
pub(super) fn is_string_literal(text: &str) -> bool {
    let rest = text.strip_prefix('b').unwrap_or(text);
    let rest = rest.strip_prefix('r').map_or(rest, |rest| rest.trim_start_matches('#'));
    rest.len() < text.len() && (rest.starts_with('"') || rest.starts_with('\''))
}

/// Returns `text` without the white space and comments before its value, and without the white space after it.
pub(super) fn trim(text: &str) -> &str {
    trim_start(text).trim_end()
}

/// Returns `text` without the white space and comments at its start.
pub(super) fn trim_start(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        if text.starts_with("//") {
            text = text.find('\n').map_or("", |end| &text[end..]);
        } else if text.starts_with("/*") {
            text = skip_block_comment(text);
        } else {
            return text;
        }
    }
}

/// Returns what follows the block comment that `text` begins with. Block comments nest.
fn skip_block_comment(text: &str) -> &str {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return &text[at..];
            }
        } else {
            at += 1;
        }
    }
    ""
}
