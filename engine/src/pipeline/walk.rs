//! Walks from a term to a value inside it, along a path such as `search.trial.epochs` or `flip.policy[0].RandomFlip`.

use pipe_stages::problem::{Path, Step};

use super::{
    source::Span,
    term::{Field, Term, TermKind},
};

/// Reads a path.
///
/// # Errors
/// If the text is not a path: what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Path, String> {
    let mut steps = Vec::new();
    for part in text.split('.') {
        let (name, mut indices) = part.split_at(part.find('[').unwrap_or(part.len()));
        if text.is_empty() {
            return Err("no path".to_owned());
        }
        if name.is_empty() {
            return Err(format!("`{text}` has an empty step"));
        }
        steps.push(Step::Name(name.to_owned()));
        while let Some(rest) = indices.strip_prefix('[') {
            let (index, rest) = rest.split_once(']').ok_or_else(|| format!("`{text}` lacks a `]`"))?;
            steps.push(Step::Index(index.parse().map_err(|_| format!("`{index}` is not an index"))?));
            indices = rest;
        }
        if !indices.is_empty() {
            return Err(format!("`{indices}` follows a `]`"));
        }
    }
    Ok(steps.into_iter().collect())
}

/// Returns the value at the end of `steps`, or the last value on the way that the text has. A mistake is shown there.
pub(super) fn locate<'n>(term: &'n Term, steps: &[Step]) -> &'n Term {
    let mut current = term;
    for step in steps {
        match next(current, step) {
            Some(term) => current = term,
            None => return current,
        }
    }
    current
}

/// Returns the place of the name that a value begins with. Without a name: the opening bracket, or the whole value.
pub(super) fn name_of(term: &Term) -> Span {
    match (term.name(), &term.kind) {
        (Some(name), _) => Span { end: term.span.start + name.len(), ..term.span },
        (None, TermKind::Fields { .. } | TermKind::Tuple { .. } | TermKind::List(_)) => {
            Span { end: term.span.end.min(term.span.start + 1), ..term.span }
        }
        _ => term.span,
    }
}

/// Returns the value one step further. A variant's name leads to its content.
fn next<'n>(term: &'n Term, step: &Step) -> Option<&'n Term> {
    match (step, &term.kind) {
        (Step::Name(name), TermKind::Fields { name: variant, fields }) => {
            let field = fields.iter().find(|field| field.key == *name).map(|field| &field.value);
            field.or_else(|| (variant.as_ref() == Some(name)).then_some(term))
        }
        (Step::Name(name), TermKind::Tuple { name: Some(variant), items }) if variant == name => {
            Some(if let [item] = items.as_slice() { item } else { term })
        }
        (Step::Name(name), TermKind::Unit(unit)) if unit == name => Some(term),
        // `(x)` is x.
        (step, TermKind::Tuple { name: None, items }) if items.len() == 1 => next(&items[0], step),
        (Step::Index(index), TermKind::List(items) | TermKind::Tuple { items, .. }) => items.get(*index),
        _ => None,
    }
}

/// Returns the value at the end of `steps`, to be overwritten. Names of variants may be left out. If the last step is a
/// field that the text lacks, the field is added, with `key` as the place of its name.
///
/// # Errors
/// If a step leads nowhere: the step's index, and what is allowed there.
pub(super) fn place<'n>(term: &'n mut Term, steps: &[Step], key: Span) -> Result<&'n mut Term, (usize, String)> {
    place_at(term, steps, key, 0)
}

/// What a step leads to.
enum Way {
    Field(usize),
    Item(usize),
    /// The content of a variant, and the number of steps that takes: 0 if the variant's name was left out.
    Into(usize),
    Add,
}

fn way(term: &Term, steps: &[Step], at: usize) -> Result<Way, String> {
    let is_last = at + 1 == steps.len();
    match (&steps[at], &term.kind) {
        (Step::Name(name), TermKind::Fields { name: variant, fields }) => {
            match fields.iter().position(|field| field.key == *name) {
                Some(index) => Ok(Way::Field(index)),
                None if variant.as_ref() == Some(name) && !is_last => Ok(Way::Into(1)),
                None if is_last => Ok(Way::Add),
                None => Err(pipe_stages::words::one_of(fields.iter().map(|field| field.key.as_str()))),
            }
        }
        (Step::Name(name), TermKind::Tuple { name: variant, items }) if items.len() == 1 => {
            Ok(Way::Into(usize::from(variant.as_ref() == Some(name))))
        }
        (Step::Name(name), TermKind::Mixed { name: variant, fields, items }) => {
            match fields.iter().position(|field| field.key == *name) {
                Some(index) => Ok(Way::Field(index)),
                None if items.len() == 1 => Ok(Way::Into(usize::from(variant == name && !is_last))),
                None => Err(pipe_stages::words::one_of(fields.iter().map(|field| field.key.as_str()))),
            }
        }
        (Step::Index(index), TermKind::List(items) | TermKind::Tuple { items, .. }) if *index < items.len() => {
            Ok(Way::Item(*index))
        }
        (Step::Index(_), TermKind::List(items) | TermKind::Tuple { items, .. }) => {
            Err(format!("an index below {}", items.len()))
        }
        _ => Err(format!("no further step: {} is here", term.describe())),
    }
}

fn place_at<'n>(term: &'n mut Term, steps: &[Step], key: Span, at: usize) -> Result<&'n mut Term, (usize, String)> {
    if at == steps.len() {
        return Ok(term);
    }
    let way = way(term, steps, at).map_err(|known| (at, known))?;
    let span = term.span;
    if let (Way::Into(taken), TermKind::Fields { .. }) = (&way, &term.kind) {
        return place_at(term, steps, key, at + taken);
    }
    match (way, &mut term.kind) {
        (Way::Field(index), TermKind::Fields { fields, .. } | TermKind::Mixed { fields, .. }) => {
            place_at(&mut fields[index].value, steps, key, at + 1)
        }
        (Way::Item(index), TermKind::List(items) | TermKind::Tuple { items, .. }) => {
            place_at(&mut items[index], steps, key, at + 1)
        }
        (Way::Into(taken), TermKind::Tuple { items, .. } | TermKind::Mixed { items, .. }) => {
            place_at(&mut items[0], steps, key, at + taken)
        }
        (Way::Add, TermKind::Fields { fields, .. }) => {
            let Step::Name(name) = &steps[at] else { unreachable!("only a name is added") };
            fields.push(Field { key: name.clone(), key_span: key, value: Term { span, kind: TermKind::Null } });
            Ok(&mut fields.last_mut().expect("a field was just added").value)
        }
        _ => unreachable!("`way` looked at the same term"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_names_and_indices() {
        let name = |name: &str| Step::Name(name.to_owned());
        assert_eq!(
            parse("a.b[1][2].c").unwrap().steps(),
            [name("a"), name("b"), Step::Index(1), Step::Index(2), name("c")]
        );
        for text in ["", "a..b", "a[", "a[x]", "a[1]b"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
