//! `ForEach`: one written stage for several, which differ in the values of variables.
//!
//! ```text
//! ("fold/{k}", ForEach(k: [0, 1], Kind(seed: "{k}")))  ->  ("fold/0", Kind(seed: 0)), ("fold/1", Kind(seed: 1))
//! ```

use std::collections::BTreeSet;

use serde_json::Number;

use super::{
    mistake::Mistake,
    mixed::NAME,
    source::Span,
    term::{Field, Term, TermKind},
    walk::name_of,
};

/// The most stages of a study. Trials are not stages.
pub(super) const STAGES: usize = 1000;

/// The most bytes of text that the copies of one stage may have together. The time and the memory that reading takes are bounded by it.
const COPIED: usize = 16 << 20;

/// What a program is given under these names, so they cannot be variables.
const TAKEN: [&str; 11] =
    ["assignments", "epochs", "flags", "horizon", "out", "params", "report", "seed", "state", "threads", "tmp"];

/// The stages that one `ForEach` became.
pub(super) struct Copies {
    /// The place of the whole stage, with its name.
    item: Span,
    /// The place of the name.
    pub(super) name: Span,
    /// The texts of all values.
    values: BTreeSet<String>,
}

/// Replaces each `ForEach` among the stages of a study by its stages. Complains about those that cannot be, and leaves them out.
pub(super) fn expand(root: &mut Term, mistakes: &mut Vec<Mistake>) -> Vec<Copies> {
    let mut all = Vec::new();
    let TermKind::Fields { fields, .. } = &mut root.kind else { return all };
    let Some(stages) = fields.iter_mut().find(|field| field.key == "stages") else { return all };
    match &mut stages.value.kind {
        TermKind::List(items) if items.iter().any(|item| as_written(item).is_some()) => {
            let mut room = STAGES.saturating_sub(items.iter().filter(|item| as_written(item).is_none()).count());
            let mut expanded = Vec::new();
            for item in std::mem::take(items) {
                let Some(written) = as_written(&item) else {
                    expanded.push(item);
                    continue;
                };
                let made = written.expand(&mut room, mistakes, &mut all);
                expanded.extend(made.into_iter().map(|(name, stage)| {
                    let name = Term { span: written.name_span, kind: TermKind::String(name) };
                    Term { span: item.span, kind: TermKind::Tuple { name: None, items: vec![name, stage] } }
                }));
            }
            *items = expanded;
        }
        TermKind::Fields { fields, .. } if fields.iter().any(|field| as_field(field).is_some()) => {
            let mut room = STAGES.saturating_sub(fields.iter().filter(|field| as_field(field).is_none()).count());
            let mut expanded = Vec::new();
            for field in std::mem::take(fields) {
                let Some(written) = as_field(&field) else {
                    expanded.push(field);
                    continue;
                };
                let made = written.expand(&mut room, mistakes, &mut all);
                expanded.extend(made.into_iter().map(|(key, value)| Field { key, key_span: field.key_span, value }));
            }
            *fields = expanded;
        }
        _ => {}
    }
    all
}

/// Returns the written name of the `ForEach` that `text` names a copy of, with the name of that copy: `("fold/{k}", "fold/0")` for
/// `fold/0` and for `fold/0.epochs`.
pub(super) fn copy_at(root: &Term, text: &str) -> Option<(String, String)> {
    let stages = &root.field("stages")?.value;
    let written: Vec<Written<'_>> = match &stages.kind {
        TermKind::List(items) => items.iter().filter_map(as_written).collect(),
        TermKind::Fields { fields, .. } => fields.iter().filter_map(as_field).collect(),
        _ => Vec::new(),
    };
    written.into_iter().find_map(|written| {
        let variables = written.variables(&mut Vec::new());
        let named = |copy: &Vec<&Given>| fill_text(written.name, &bind(&variables, copy));
        let is_meant = |name: &String| {
            text.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let names = product(&variables, STAGES)?.iter().map(named).filter(is_meant).max_by_key(String::len);
        names.map(|name| (written.name.to_owned(), name))
    })
}

/// Removes the mistakes that a copy of a stage shares with one before it. They may differ in the values of the variables.
pub(super) fn once(mistakes: &mut Vec<Mistake>, copies: &[Copies]) {
    let mut known: Vec<(Span, String)> = Vec::new();
    mistakes.retain(|mistake| {
        let Some(at) = mistake.span else { return true };
        let inside = |copies: &&Copies| {
            copies.item.source == at.source && copies.item.start <= at.start && at.end <= copies.item.end
        };
        let of_override = |copies: &&Copies| copies.item.source != at.source;
        let values: BTreeSet<&str> = match copies.iter().find(inside) {
            Some(copies) => copies.values.iter().map(String::as_str).collect(),
            // The value of an override may be in all copies.
            None => copies.iter().filter(of_override).flat_map(|copies| &copies.values).map(String::as_str).collect(),
        };
        if values.is_empty() {
            return true;
        }
        let is_word = |c: char| c.is_alphanumeric() || c == '.';
        let words = mistake.message.split_inclusive(|c| !is_word(c)).map(|word| {
            let value = word.trim_end_matches(|c| !is_word(c)).trim_start_matches('.');
            if values.contains(value) { word.replacen(value, "", 1) } else { word.to_owned() }
        });
        let mistake = (at, words.collect::<String>());
        let is_new = !known.contains(&mistake);
        if is_new {
            known.push(mistake);
        }
        is_new
    });
}

/// A `ForEach` as it is written.
struct Written<'t> {
    name: &'t str,
    name_span: Span,
    /// The place of the stage with its name.
    item: Span,
    each: &'t Term,
    fields: &'t [Field],
    stages: &'t [Term],
}

/// The value of a variable.
struct Given {
    /// The value inside a longer text.
    text: String,
    value: TermKind,
}

fn as_written(item: &Term) -> Option<Written<'_>> {
    let TermKind::Tuple { name: None, items } = &item.kind else { return None };
    let [Term { span, kind: TermKind::String(name) }, each] = items.as_slice() else { return None };
    written(name, *span, item.span, each)
}

fn as_field(field: &Field) -> Option<Written<'_>> {
    let item = Span { start: field.key_span.start, ..field.value.span };
    written(&field.key, field.key_span, item, &field.value)
}

fn written<'t>(name: &'t str, name_span: Span, item: Span, each: &'t Term) -> Option<Written<'t>> {
    let (fields, stages): (&[Field], &[Term]) = match &each.kind {
        TermKind::Mixed { fields, items, .. } => (fields, items),
        TermKind::Unit(name) if name == NAME => (&[], &[]),
        _ => return None,
    };
    Some(Written { name, name_span, item, each, fields, stages })
}

impl Written<'_> {
    /// Returns its stages with their names, if there is room for them. Otherwise complains.
    fn expand(&self, room: &mut usize, mistakes: &mut Vec<Mistake>, all: &mut Vec<Copies>) -> Vec<(String, Term)> {
        let before = mistakes.len();
        let stage = self.stage(mistakes);
        let variables = self.variables(mistakes);
        if !self.fields.is_empty() {
            self.check_name(mistakes);
        }
        let Some(stage) = stage.filter(|_| mistakes.len() == before) else { return Vec::new() };
        let at = name_of(self.each);
        let Some(copies) = product(&variables, *room) else {
            let found = format!("`{}` makes more stages than a study may have", self.name);
            mistakes.push(Mistake::at(at, found).expected(format!("at most {STAGES} stages in all")));
            return Vec::new();
        };
        if copies.len().saturating_mul(stage.span.end - stage.span.start) > COPIED {
            let found = format!("the {} copies of this stage are too much text", copies.len());
            let mistake = Mistake::at(at, found).expected(format!("at most {} MiB", COPIED >> 20));
            mistakes.push(mistake.help("write a shorter stage, or give fewer values"));
            return Vec::new();
        }
        *room -= copies.len();
        let values = variables.iter().flat_map(|(_, values)| values).map(|given| given.text.clone()).collect();
        all.push(Copies { item: self.item, name: self.name_span, values });
        let mut made = Vec::new();
        for copy in &copies {
            let values = bind(&variables, copy);
            made.push((fill_text(self.name, &values), fill(stage, &values, mistakes)));
        }
        made
    }

    /// Returns the stage that is copied. If there is none, or several, complains.
    fn stage(&self, mistakes: &mut Vec<Mistake>) -> Option<&Term> {
        const EXPECTED: &str = "`ForEach(k: [0, 1], Kind(..))`";
        match self.stages {
            [stage] if stage.name() == Some(NAME) => {
                let mistake = Mistake::at(name_of(stage), "a `ForEach` in a `ForEach`");
                mistakes
                    .push(mistake.help("give one `ForEach` several variables: it makes a stage for each combination"));
                None
            }
            [stage] => Some(stage),
            [] => {
                let mistake = Mistake::at(name_of(self.each), "a `ForEach` without a stage").expected(EXPECTED);
                mistakes.push(mistake.help("write the stage after the values, without a name"));
                None
            }
            [_, second, ..] => {
                let mistake = Mistake::at(name_of(second), "a second stage in a `ForEach`").expected(EXPECTED);
                mistakes.push(mistake.help("write a `ForEach` for each stage"));
                None
            }
        }
    }

    /// Returns the variables with their values, and complains about those that cannot be.
    fn variables(&self, mistakes: &mut Vec<Mistake>) -> Vec<(&str, Vec<Given>)> {
        if self.fields.is_empty() {
            let mistake = Mistake::at(name_of(self.each), "a `ForEach` without values");
            mistakes.push(mistake.expected("`ForEach(k: [0, 1], Kind(..))`"));
        }
        let mut variables = Vec::new();
        for Field { key, key_span, value } in self.fields {
            if TAKEN.contains(&key.as_str()) {
                let mistake = Mistake::at(*key_span, format!("`{key}` cannot be a variable"));
                mistakes
                    .push(mistake.help(format!("`{{{key}}}` already has a meaning in a `Command`: take another name")));
            } else if !self.name.contains(&format!("{{{key}}}")) {
                let mistake = Mistake::at(*key_span, format!("the name `{}` does not mention `{{{key}}}`", self.name));
                let example = format!("{}-{{{key}}}", self.name);
                mistakes.push(mistake.help(format!("several stages would have one name: call them `{example}`")));
            }
            variables.push((key.as_str(), values(value, mistakes)));
        }
        variables
    }

    /// Complains about what the name has in braces and is not a variable.
    fn check_name(&self, mistakes: &mut Vec<Mistake>) {
        let known = |name: &str| self.fields.iter().any(|field| field.key == name);
        let braced = self.name.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
        for name in braced.filter(|name| !known(name)) {
            let mistake = Mistake::at(self.name_span, format!("`{{{name}}}` is not a variable of this `ForEach`"));
            let known: Vec<_> = self.fields.iter().map(|field| field.key.as_str()).collect();
            mistakes.push(mistake.did_you_mean(name, known));
        }
    }
}

/// Returns the values of a variable, and complains about those that cannot be.
fn values(list: &Term, mistakes: &mut Vec<Mistake>) -> Vec<Given> {
    let TermKind::List(items) = &list.kind else {
        let mistake = Mistake::at(name_of(list), format!("found {}", list.described()));
        mistakes.push(mistake.expected("a list of values, such as `[0, 1]`"));
        return Vec::new();
    };
    if items.is_empty() {
        let mistake = Mistake::at(list.span, "an empty list").expected("a value, such as `[0, 1]`");
        mistakes.push(mistake.help("a `ForEach` makes one stage for each value"));
    }
    let mut values: Vec<Given> = Vec::new();
    for item in items {
        let text = match &item.kind {
            TermKind::Bool(value) => value.to_string(),
            TermKind::Number(number) => plainly(number),
            TermKind::String(text) => text.clone(),
            _ => {
                let mistake = Mistake::at(name_of(item), format!("found {}", item.described()));
                let mistake = mistake.expected("a number, a string or a boolean");
                mistakes.push(match item.name() {
                    Some(name) => mistake.help(format!("write it as a string: `\"{name}\"`")),
                    None => mistake,
                });
                continue;
            }
        };
        if !is_part(&text) {
            let mistake = Mistake::at(item.span, format!("`{text}` cannot be part of the name of a stage"));
            mistakes.push(mistake.expected("letters (a to z, A to Z), digits, `-`, `_` and `.`, and no `.` in front"));
        } else if values.iter().any(|given| given.text == text) {
            mistakes.push(Mistake::at(item.span, format!("the value `{text}` twice")).help("remove one of the two"));
        } else {
            values.push(Given { text, value: item.kind.clone() });
        }
    }
    values
}

/// Returns whether a text can be part of a name between slashes.
pub(super) fn is_part(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && !text.starts_with('.') && text.chars().all(is_plain)
}

/// Returns a number as it is written in a longer text: a whole one without a fraction.
fn plainly(number: &Number) -> String {
    const EXACT: f64 = (1_u64 << 53) as f64;
    match number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT) {
        Some(whole) => format!("{}", whole as i64),
        None => number.to_string(),
    }
}

/// Returns each combination of the variables' values, unless there are more than `most`. The last variable changes fastest.
fn product<'v>(variables: &'v [(&str, Vec<Given>)], most: usize) -> Option<Vec<Vec<&'v Given>>> {
    let count = variables.iter().try_fold(1_usize, |count, (_, values)| count.checked_mul(values.len()));
    if count.is_none_or(|count| count > most) {
        return None;
    }
    let mut copies: Vec<Vec<&Given>> = vec![Vec::new()];
    for (_, values) in variables {
        let with = |copy: &Vec<&'v Given>| {
            let copy = copy.clone();
            values.iter().map(move |value| copy.iter().copied().chain([value]).collect())
        };
        copies = copies.iter().flat_map(with).collect();
    }
    Some(copies)
}

/// The values of the variables in one copy, by name.
type Values<'v> = [(&'v str, &'v Given)];

fn bind<'v>(variables: &'v [(&str, Vec<Given>)], copy: &[&'v Given]) -> Vec<(&'v str, &'v Given)> {
    variables.iter().map(|(name, _)| *name).zip(copy.iter().copied()).collect()
}

/// Returns a copy of the value with the variables replaced by their values. Complains about keys that become equal.
fn fill(term: &Term, values: &Values<'_>, mistakes: &mut Vec<Mistake>) -> Term {
    let fill_all = |items: &[Term], mistakes: &mut Vec<Mistake>| -> Vec<Term> {
        items.iter().map(|item| fill(item, values, mistakes)).collect()
    };
    let kind = match &term.kind {
        TermKind::String(text) => match values.iter().find(|(name, _)| is_alone(text, name)) {
            Some((_, given)) => given.value.clone(),
            None => TermKind::String(fill_text(text, values)),
        },
        TermKind::List(items) => TermKind::List(fill_all(items, mistakes)),
        TermKind::Tuple { name, items } => TermKind::Tuple { name: name.clone(), items: fill_all(items, mistakes) },
        TermKind::Fields { name, fields } => {
            TermKind::Fields { name: name.clone(), fields: fill_fields(fields, values, mistakes) }
        }
        TermKind::Mixed { name, fields, items } => TermKind::Mixed {
            name: name.clone(),
            fields: fill_fields(fields, values, mistakes),
            items: fill_all(items, mistakes),
        },
        kind @ (TermKind::Null | TermKind::Bool(_) | TermKind::Number(_) | TermKind::Unit(_)) => kind.clone(),
    };
    Term { span: term.span, kind }
}

fn fill_fields(fields: &[Field], values: &Values<'_>, mistakes: &mut Vec<Mistake>) -> Vec<Field> {
    let mut known = BTreeSet::new();
    let mut filled = Vec::new();
    for field in fields {
        let key = fill_text(&field.key, values);
        if !known.insert(key.clone()) {
            mistakes.push(Mistake::named_twice(field.key_span, &key));
        }
        filled.push(Field { key, key_span: field.key_span, value: fill(&field.value, values, mistakes) });
    }
    filled
}

/// Returns whether the text is `{name}`.
fn is_alone(text: &str, name: &str) -> bool {
    text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) == Some(name)
}

/// Returns the text with each `{name}` replaced. `{{` and `}}` stand for braces, and stay.
fn fill_text(text: &str, values: &Values<'_>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        let found = values
            .iter()
            .find_map(|(name, given)| Some((given, rest.strip_prefix('{')?.strip_prefix(name)?.strip_prefix('}')?)));
        rest = match found {
            Some((given, after)) => {
                filled.push_str(&given.text);
                after
            }
            None => {
                let (brace, after) = rest.split_at(if rest.starts_with("{{") { 2 } else { 1 });
                filled.push_str(brace);
                after
            }
        };
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_in_a_text_is_replaced_and_other_braces_stay() {
        let given = |text: &str| Given { text: text.to_owned(), value: TermKind::Null };
        let (k, data) = (given("0"), given("a.b"));
        let values = [("k", &k), ("data", &data)];
        for (text, expected) in [
            ("fold/{k}-{data}", "fold/0-a.b"),
            ("{k}{k}", "00"),
            ("{in.k} {out} { k } {kk} {k", "{in.k} {out} { k } {kk} {k"),
            ("{{k}} {{{k}}} é{k}é", "{{k}} {{0}} é0é"),
            ("", ""),
        ] {
            assert_eq!(fill_text(text, &values), expected, "{text}");
        }
    }

    #[test]
    fn a_number_is_written_plainly() {
        let written = |number: f64| plainly(&Number::from_f64(number).unwrap());
        assert_eq!([written(1.0), written(-2.0), written(0.5), written(1e-5)], ["1", "-2", "0.5", "0.00001"]);
        assert_eq!(plainly(&u64::MAX.into()), u64::MAX.to_string());
    }
}
