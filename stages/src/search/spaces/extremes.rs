//! The outermost values that an expression can propose, each with its place in the JSON that it was read from.

use serde_json::Value;

use super::parse::call;
use crate::problem::Path;

/// A value that an expression can propose, or one end of a range of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Extreme {
    /// The place in the JSON of the expression, after the path that it was asked for.
    pub at: Path,
    /// The value there.
    pub value: Value,
    /// What it is in the expression.
    pub end: End,
}

/// What a value means in an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is proposed as it is: a constant, or an end of `IntRange` or `FloatRange`.
    Value,
    /// A bound of a distribution that can be reached.
    Bound,
    /// A bound of a distribution that all values are below.
    OpenBound,
}

/// Returns the outermost values of the expression `json` at `path`, in its order. Distributions without bounds of their own, and
/// constant lists and objects, have none.
pub fn extremes(json: &Value, path: &Path) -> Vec<Extreme> {
    let mut extremes = Vec::new();
    collect(json, path.clone(), &mut extremes);
    extremes
}

fn collect(json: &Value, at: Path, extremes: &mut Vec<Extreme>) {
    let Some((kind, content)) = json.as_object().and_then(call) else {
        if !json.is_array() && !json.is_object() {
            extremes.push(Extreme { at, value: json.clone(), end: End::Value });
        }
        return;
    };
    let inside = at.name(kind);
    let items = content.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut add = |at: Path, value: &Value, is| extremes.push(Extreme { at, value: value.clone(), end: is });
    match (kind, items) {
        ("choice" | "Choice", options) => {
            options.iter().enumerate().for_each(|(i, option)| collect(option, inside.index(i), extremes));
        }
        ("pchoice", pairs) => {
            for (i, option) in pairs.iter().enumerate().filter_map(|(i, pair)| Some((i, pair.get(1)?))) {
                collect(option, inside.index(i).index(1), extremes);
            }
        }
        ("label", [_, expression]) => collect(expression, inside.index(1), extremes),
        ("IntRange" | "FloatRange", _) => {
            for (i, name) in ["lo", "hi"].into_iter().enumerate() {
                match content.get(name) {
                    Some(value) => add(inside.name(name), value, End::Value),
                    None => add(inside.index(i), items.get(i).unwrap_or(&Value::Null), End::Value),
                }
            }
        }
        ("uniform", [lo, hi, ..]) => {
            add(inside.index(0), lo, End::Bound);
            add(inside.index(1), hi, End::OpenBound);
        }
        ("quniform", [lo, hi, ..]) => {
            add(inside.index(0), lo, End::Bound);
            add(inside.index(1), hi, End::Bound);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_end_has_its_place() {
        let check = |json: Value, expected: &[(&str, Value, End)]| {
            let found = extremes(&json, &Path::here().name("k"));
            let found: Vec<_> = found.iter().map(|one| (one.at.to_string(), one.value.clone(), one.end)).collect();
            let expected: Vec<_> =
                expected.iter().map(|(at, value, end)| (at.to_string(), value.clone(), *end)).collect();
            assert_eq!(found, expected);
        };
        check(json!(3), &[("k", json!(3), End::Value)]);
        check(json!([3]), &[]);
        check(json!({ "normal": [0, 1] }), &[]);
        check(
            json!({ "choice": [1, { "quniform": [2, 8, 2] }] }),
            &[
                ("k.choice[0]", json!(1), End::Value),
                ("k.choice[1].quniform[0]", json!(2), End::Bound),
                ("k.choice[1].quniform[1]", json!(8), End::Bound),
            ],
        );
        check(
            json!({ "label": ["name", { "uniform": [0, 1] }] }),
            &[("k.label[1].uniform[0]", json!(0), End::Bound), ("k.label[1].uniform[1]", json!(1), End::OpenBound)],
        );
        check(
            json!({ "pchoice": [[0.5, "a"], [0.5, { "IntRange": { "lo": 1, "hi": 4 } }]] }),
            &[
                ("k.pchoice[0][1]", json!("a"), End::Value),
                ("k.pchoice[1][1].IntRange.lo", json!(1), End::Value),
                ("k.pchoice[1][1].IntRange.hi", json!(4), End::Value),
            ],
        );
        check(
            json!({ "FloatRange": [0.5, 2] }),
            &[("k.FloatRange[0]", json!(0.5), End::Value), ("k.FloatRange[1]", json!(2), End::Value)],
        );
    }
}
