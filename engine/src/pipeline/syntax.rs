//! Reads RON text.
//!
//! The crate `ron` returns the parts of each container as slices of the text. The position of a slice is the place of its value, so
//! every mistake that is found later, in a name or in a number, can be shown in its place.

use std::{collections::BTreeSet, ops::Range};

use ron::value::RawValue;
use serde::de::DeserializeSeed;
use serde_json::Number;

use super::{
    mistake::Mistake,
    mixed::{self, Blanked},
    parts::{Key, RawFields, RawItems, is_identifier, is_identifier_start, is_string_literal, trim, trim_start},
    source::{Source, Span},
    term::{Field, Term, TermKind},
};

/// Returns the text of `sources[index]` as a tree.
///
/// # Errors
/// If the text is not RON, names a key twice, or holds a number that is not finite. Returns the first syntax error, or else all
/// other mistakes.
pub(super) fn parse(sources: &[Source], index: usize) -> Result<Term, Vec<Mistake>> {
    let Blanked { text, names } = mixed::blanked(&sources[index].text);
    let mut parser = Parser { written: &sources[index].text, text: &text, names: &names, index, mistakes: Vec::new() };
    // The whole text is read once before its parts, so that a syntax error is shown where it is and not at its container.
    if let Err(error) = check(&text) {
        let whole = Span { source: index, start: 0, end: 0 };
        return Err(vec![match error.code {
            ron::Error::Eof if trim(&text).is_empty() => Mistake::at(whole, "there is nothing but comments and space"),
            _ => parser.syntax_error(&error.code, error.span.start, 0),
        }]);
    }
    match parser.term(&text) {
        Ok(term) if parser.mistakes.is_empty() => Ok(term),
        Ok(_) => Err(parser.mistakes),
        Err(mistake) => Err(parser.mistakes.into_iter().chain([mistake]).collect()),
    }
}

/// Checks that `text` is RON. `ron` does not slice a text that ends in a line comment: a line feed ends the comment.
fn check(text: &str) -> ron::error::SpannedResult<()> {
    let whole = |text: &str| ron::Options::default().from_str::<&RawValue>(text).map(|_| ());
    match whole(text) {
        Err(error) if error.code == ron::Error::UnclosedLineComment => whole(&format!("{text}\n")),
        checked => checked,
    }
}

struct Parser<'s> {
    /// The text as it is written.
    written: &'s str,
    /// The text without the names of the fields of each `ForEach`, in the same places.
    text: &'s str,
    /// The places of these names.
    names: &'s [Range<usize>],
    index: usize,
    mistakes: Vec<Mistake>,
}

impl<'s> Parser<'s> {
    fn span(&self, part: &str) -> Span {
        let start = part.as_ptr() as usize - self.text.as_ptr() as usize;
        Span { source: self.index, start, end: start + part.len() }
    }

    fn syntax_error(&self, code: &ron::Error, at: ron::error::Position, base: usize) -> Mistake {
        let part = Source { name: String::new(), text: self.text[base..].to_owned() };
        let mut offset = base + part.offset(at.line, at.col);
        if self.names.iter().any(|name| name.contains(&offset)) {
            // The space in place of a name is not what is wrong.
            offset = self.text.len() - self.text[offset..].trim_start().len();
        }
        let end = offset + self.text[offset..].chars().next().map_or(0, char::len_utf8);
        Mistake::at(Span { source: self.index, start: offset, end }, lower(&code.to_string()))
    }

    fn term(&mut self, raw: &'s str) -> Result<Term, Mistake> {
        let text = trim(raw);
        let span = self.span(text);
        let kind = match text.chars().next() {
            None => return Err(Mistake::at(span, "no value").expected("a value")),
            Some('[') => TermKind::List(self.items(text)?),
            Some('{') => TermKind::Fields { name: None, fields: self.fields(text)? },
            Some('(') => self.parenthesised(None, text)?,
            Some(c) if is_identifier_start(c) && !is_string_literal(text) => self.named(text)?,
            Some(_) => self.scalar(text)?,
        };
        Ok(Term { span, kind })
    }

    fn named(&mut self, text: &'s str) -> Result<TermKind, Mistake> {
        let end = text.find(|c: char| !is_identifier(c)).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let rest = trim(rest);
        if !rest.is_empty() {
            return match self.parenthesised(Some(name), rest)? {
                TermKind::Tuple { name: Some(name), mut items } if name == "Some" && items.len() == 1 => {
                    Ok(items.remove(0).kind)
                }
                kind => Ok(kind),
            };
        }
        Ok(match name {
            "true" => TermKind::Bool(true),
            "false" => TermKind::Bool(false),
            "None" => TermKind::Null,
            "inf" | "NaN" => {
                self.mistakes.push(Mistake::at(self.span(text), format!("`{name}`")).expected("a finite number"));
                TermKind::Null
            }
            name => TermKind::Unit(name.to_owned()),
        })
    }

    fn parenthesised(&mut self, name: Option<&str>, text: &'s str) -> Result<TermKind, Mistake> {
        if name == Some(mixed::NAME) {
            return self.mixed(mixed::NAME, text);
        }
        let name = name.map(str::to_owned);
        let inner = trim_start(text.strip_prefix('(').unwrap_or(text));
        let end = inner.find(|c: char| !is_identifier(c)).unwrap_or(inner.len());
        let has_fields = end > 0 && trim_start(&inner[end..]).starts_with(':');
        Ok(if has_fields {
            TermKind::Fields { name, fields: self.fields(text)? }
        } else if inner.starts_with(')') {
            TermKind::Fields { name, fields: Vec::new() }
        } else {
            TermKind::Tuple { name, items: self.items(text)? }
        })
    }

    fn mixed(&mut self, name: &str, text: &'s str) -> Result<TermKind, Mistake> {
        let is_empty = trim_start(text.strip_prefix('(').unwrap_or(text)).starts_with(')');
        let values = if is_empty { Vec::new() } else { self.items(text)? };
        let (mut fields, mut items) = (Vec::new(), Vec::new());
        let mut end = self.span(text).start;
        for value in values {
            let named = self.names.iter().rfind(|name| (end..value.span.start).contains(&name.start));
            end = value.span.end;
            match named {
                Some(name) => {
                    let key_span = Span { source: self.index, start: name.start, end: name.end };
                    let key = self.written[name.clone()].to_owned();
                    if fields.iter().any(|field: &Field| field.key == key) {
                        self.mistakes.push(Mistake::named_twice(key_span, &key));
                    }
                    fields.push(Field { key, key_span, value });
                }
                None => items.push(value),
            }
        }
        Ok(TermKind::Mixed { name: name.to_owned(), fields, items })
    }

    fn items(&mut self, text: &'s str) -> Result<Vec<Term>, Mistake> {
        let raw = self.read(text, RawItems)?;
        raw.into_iter().map(|raw| self.term(raw.get_ron())).collect()
    }

    fn fields(&mut self, text: &'s str) -> Result<Vec<Field>, Mistake> {
        let mut fields: Vec<Field> = Vec::new();
        let mut known = BTreeSet::new();
        for (key, value) in self.read(text, RawFields { named: text.starts_with('(') })? {
            let (key, key_span) = match key {
                Key::Identifier(key) => {
                    let end = self.span(value.get_ron()).start;
                    let start = self.text[..end].rfind(&key).unwrap_or(end);
                    let span = Span { source: self.index, start, end: start + key.len() };
                    (key, span)
                }
                Key::Raw(raw) => {
                    let term = self.term(raw.get_ron())?;
                    match term.kind {
                        TermKind::String(key) | TermKind::Unit(key) => (key, term.span),
                        _ => return Err(Mistake::at(term.span, term.describe()).expected("a string as the key")),
                    }
                }
            };
            if !known.insert(key.clone()) {
                self.mistakes.push(Mistake::named_twice(key_span, &key));
            }
            let value = self.term(value.get_ron())?;
            fields.push(Field { key, key_span, value });
        }
        Ok(fields)
    }

    fn scalar(&mut self, text: &str) -> Result<TermKind, Mistake> {
        let span = self.span(text);
        let value: ron::Value =
            ron::from_str(text).map_err(|error| self.syntax_error(&error.code, error.span.start, span.start))?;
        Ok(match value {
            ron::Value::Bool(value) => TermKind::Bool(value),
            ron::Value::Char(value) => TermKind::String(value.to_string()),
            ron::Value::String(value) => TermKind::String(value),
            ron::Value::Number(number) => match finite(number) {
                Some(number) => TermKind::Number(number),
                None => {
                    self.mistakes.push(Mistake::at(span, format!("`{text}`")).expected("a finite number"));
                    TermKind::Null
                }
            },
            _ => return Err(Mistake::at(span, "this kind of value is not supported")),
        })
    }

    fn read<S: DeserializeSeed<'s>>(&self, text: &'s str, seed: S) -> Result<S::Value, Mistake> {
        let base = self.span(text).start;
        let mut deserializer = ron::Deserializer::from_str(text)
            .map_err(|error| self.syntax_error(&error.code, error.span.start, base))?;
        let value = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
        value.map_err(|error| {
            let error = deserializer.span_error(error);
            self.syntax_error(&error.code, error.span.start, base)
        })
    }
}

fn finite(number: ron::value::Number) -> Option<Number> {
    let float = number.into_f64();
    if !float.is_finite() {
        return None;
    }
    match number {
        ron::value::Number::F32(_) | ron::value::Number::F64(_) => Number::from_f64(float),
        ron::value::Number::U64(n) => Some(n.into()),
        ron::value::Number::I64(n) => Some(n.into()),
        ron::value::Number::U32(n) => Some(n.into()),
        ron::value::Number::I32(n) => Some(n.into()),
        ron::value::Number::U16(n) => Some(n.into()),
        ron::value::Number::I16(n) => Some(n.into()),
        ron::value::Number::U8(n) => Some(n.into()),
        ron::value::Number::I8(n) => Some(n.into()),
        _ => Number::from_f64(float),
    }
}

fn lower(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Term, Vec<Mistake>> {
        parse(&[Source { name: "test.ron".into(), text: text.into() }], 0)
    }

    fn check_json(text: &str, json: &str) {
        assert_eq!(read(text).unwrap().to_json().to_string(), json);
    }

    #[test]
    fn ron_text_is_read_as_json() {
        check_json("Study(name: \"a\", seed: 7)", r#"{"Study":{"name":"a","seed":7}}"#);
        check_json("[Flip(0.5), Same, Some(1), None, (1, 2), ()]", r#"[{"Flip":0.5},"Same",1,null,[1,2],{}]"#);
        check_json("{\"a b\": uniform(-1, 2.5)}", r#"{"a b":{"uniform":[-1,2.5]}}"#);
        check_json("(\"raw\", Fetch(Embedded(train: 1_000)))", r#"["raw",{"Fetch":{"Embedded":{"train":1000}}}]"#);
        check_json("[r#\"a\"b\"#, 'c', true, +3, 0x10, -0.0]", r#"["a\"b","c",true,3,16,-0.0]"#);
    }

    #[test]
    fn comments_and_white_space_do_not_matter() {
        let plain = "(a: [1, 2], b: choice([\"x\", None]))";
        let spaced = "// head\n( /* a /* nested */ */ a : [ 1 , // one\n 2 , ] ,\n b: choice ( [ \"x\" , None /* n */ ] ) , )\n// end\n";
        assert_eq!(read(plain).unwrap().to_json(), read(spaced).unwrap().to_json());
    }

    #[test]
    fn the_last_line_may_be_a_comment_without_a_line_feed() {
        for value in
            ["1", "-0.5", "\"a\"", "'c'", "Same", "None", "[1]", "{\"a\": 1}", "(a: 1)", "Some(1)", "Flip(0.5)"]
        {
            let json = read(value).unwrap().to_json();
            for end in ["// end", " // end", "\n//", "\r\n// é", "/* end */", " /* end */ // end", "//\r"] {
                let text = format!("{value}{end}");
                assert_eq!(
                    read(&text).unwrap_or_else(|error| panic!("{text:?}: {error:?}")).to_json(),
                    json,
                    "{text:?}"
                );
            }
        }
    }

    #[test]
    fn every_value_has_its_place() {
        let text = "(a: [1, Flip(  0.5 )],\n b: /* c */ \"é\")";
        let term = read(text).unwrap();
        let TermKind::Fields { fields, .. } = &term.kind else { panic!("fields") };
        let of = |span: Span| &text[span.start..span.end];
        assert_eq!(of(fields[0].key_span), "a");
        let TermKind::List(items) = &fields[0].value.kind else { panic!("list") };
        assert_eq!(of(items[1].span), "Flip(  0.5 )");
        assert_eq!(of(fields[1].value.span), "\"é\"");
    }

    #[test]
    fn repeated_keys_and_numbers_that_are_not_finite_are_reported_together() {
        let mistakes = read("{\"a\": 1, \"a\": NaN, \"b\": inf}").unwrap_err();
        let messages: Vec<_> = mistakes.iter().map(|p| p.message.as_str()).collect();
        assert_eq!(messages, ["`a` is named twice", "`NaN`", "`inf`"]);
    }

    #[test]
    fn a_syntax_error_is_shown_where_it_is() {
        let mistakes = read("(a: 1,\n b: ]\n)").unwrap_err();
        let second_line = 7..12;
        assert!(mistakes[0].span.is_some_and(|span| second_line.contains(&span.start)), "{mistakes:?}");
        assert!(read("(a: 1").is_err() && read("").is_err() && read("1 2").is_err());
    }
}
