//! Paths to values inside a pipeline: `search.trial.epochs`, `flip.policy[0].RandomFlip`.

pub(super) use pipe_stages::problem::Step;

use super::{
    node::{Field, Kind, Node},
    source::Span,
};

/// Returns the steps of a path.
///
/// # Errors
/// If the text is no path: what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Vec<Step>, String> {
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
            steps.push(Step::Index(index.parse().map_err(|_| format!("`{index}` is no index"))?));
            indices = rest;
        }
        if !indices.is_empty() {
            return Err(format!("`{indices}` follows a `]`"));
        }
    }
    Ok(steps)
}

/// Returns the value at the end of `steps`, or the last one before it that the text has: where a problem is shown.
pub(super) fn locate<'n>(node: &'n Node, steps: &[Step]) -> &'n Node {
    let mut current = node;
    for step in steps {
        match next(current, step) {
            Some(node) => current = node,
            None => return current,
        }
    }
    current
}

/// Returns the place of the name that a value begins with, rather than that of the whole value.
pub(super) fn name_of(node: &Node) -> Span {
    match (node.name(), &node.kind) {
        (Some(name), _) => Span { end: node.span.start + name.len(), ..node.span },
        (None, Kind::Fields { .. } | Kind::Tuple { .. } | Kind::List(_)) => {
            Span { end: node.span.end.min(node.span.start + 1), ..node.span }
        }
        _ => node.span,
    }
}

/// Returns the value one step further. The name of a variant leads to its content.
fn next<'n>(node: &'n Node, step: &Step) -> Option<&'n Node> {
    match (step, &node.kind) {
        (Step::Name(name), Kind::Fields { name: variant, fields }) => {
            let field = fields.iter().find(|field| field.key == *name).map(|field| &field.value);
            field.or_else(|| (variant.as_ref() == Some(name)).then_some(node))
        }
        (Step::Name(name), Kind::Tuple { name: Some(variant), items }) if variant == name => {
            Some(if let [item] = items.as_slice() { item } else { node })
        }
        (Step::Name(name), Kind::Unit(unit)) if unit == name => Some(node),
        // `(x)` is x.
        (step, Kind::Tuple { name: None, items }) if items.len() == 1 => next(&items[0], step),
        (Step::Index(index), Kind::List(items) | Kind::Tuple { items, .. }) => items.get(*index),
        _ => None,
    }
}

/// Returns the value at the end of `steps`, to be written to. Names of variants may be left out. A field that is not there
/// is added, with `key` as the place of its name.
///
/// # Errors
/// If a step leads nowhere: its index, and what is allowed there.
pub(super) fn place<'n>(node: &'n mut Node, steps: &[Step], key: Span) -> Result<&'n mut Node, (usize, String)> {
    place_at(node, steps, key, 0)
}

/// What a step leads to.
enum Way {
    Field(usize),
    Item(usize),
    /// The content of a variant, and how many steps that takes: none if the variant's name was left out.
    Into(usize),
    Add,
}

fn way(node: &Node, steps: &[Step], at: usize) -> Result<Way, String> {
    let is_last = at + 1 == steps.len();
    match (&steps[at], &node.kind) {
        (Step::Name(name), Kind::Fields { name: variant, fields }) => {
            match fields.iter().position(|field| field.key == *name) {
                Some(index) => Ok(Way::Field(index)),
                None if variant.as_ref() == Some(name) && !is_last => Ok(Way::Into(1)),
                None if is_last => Ok(Way::Add),
                None => Err(pipe_stages::words::one_of(fields.iter().map(|field| field.key.as_str()))),
            }
        }
        (Step::Name(name), Kind::Tuple { name: variant, items }) if items.len() == 1 => {
            Ok(Way::Into(usize::from(variant.as_ref() == Some(name))))
        }
        (Step::Index(index), Kind::List(items) | Kind::Tuple { items, .. }) if *index < items.len() => {
            Ok(Way::Item(*index))
        }
        (Step::Index(_), Kind::List(items) | Kind::Tuple { items, .. }) => {
            Err(format!("an index below {}", items.len()))
        }
        _ => Err(format!("nothing further: {} is here", node.describe())),
    }
}

fn place_at<'n>(node: &'n mut Node, steps: &[Step], key: Span, at: usize) -> Result<&'n mut Node, (usize, String)> {
    if at == steps.len() {
        return Ok(node);
    }
    let way = way(node, steps, at).map_err(|known| (at, known))?;
    let span = node.span;
    if let (Way::Into(taken), Kind::Fields { .. }) = (&way, &node.kind) {
        return place_at(node, steps, key, at + taken);
    }
    match (way, &mut node.kind) {
        (Way::Field(index), Kind::Fields { fields, .. }) => place_at(&mut fields[index].value, steps, key, at + 1),
        (Way::Item(index), Kind::List(items) | Kind::Tuple { items, .. }) => {
            place_at(&mut items[index], steps, key, at + 1)
        }
        (Way::Into(taken), Kind::Tuple { items, .. }) => place_at(&mut items[0], steps, key, at + taken),
        (Way::Add, Kind::Fields { fields, .. }) => {
            let Step::Name(name) = &steps[at] else { unreachable!("only a name is added") };
            fields.push(Field { key: name.clone(), key_span: key, value: Node { span, kind: Kind::Null } });
            Ok(&mut fields.last_mut().expect("a field was just added").value)
        }
        _ => unreachable!("`way` looked at the same node"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_names_and_indices() {
        let name = |name: &str| Step::Name(name.to_owned());
        assert_eq!(parse("a.b[1][2].c").unwrap(), [name("a"), name("b"), Step::Index(1), Step::Index(2), name("c")]);
        for text in ["", "a..b", "a[", "a[x]", "a[1]b"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
