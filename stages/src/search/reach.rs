//! What the expressions of a space can propose, each with its place in the JSON that it was read from.

use serde_json::Value;

use super::{
    samplers::draws::quantile,
    spaces::{Expression, Kind, Shape, call, kind_of},
};
use crate::problem::Path;

/// What one constant or one expression over numbers can propose.
#[derive(Debug, Clone, PartialEq)]
pub struct Reach {
    /// The place of the expression's arguments, or of the constant, after the path that it was asked for.
    pub at: Path,
    /// The name of the expression: `uniform`. `None` for a constant.
    pub name: Option<String>,
    /// The labels that can have its values: its own, and those of the choices around it.
    pub labels: Vec<String>,
    /// The outermost values that are written. A distribution without bounds of its own has none.
    pub ends: Vec<End>,
    /// Draws that are spread evenly over the prior, in rising order. Empty for a constant.
    pub draws: Vec<Value>,
}

/// An outermost value of an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// The place where it is written.
    pub at: Path,
    /// The number that is written there: a value, a bound, or the logarithm of one.
    pub written: Value,
    /// The value that is proposed, or that proposals come close to.
    pub value: Value,
    /// The proposal that is nearest to it, if it is not proposed itself.
    pub nearest: Option<Value>,
}

/// The number of [`Reach::draws`].
const DRAWS: u32 = 199;

/// Returns what the expression `json` at `path` can propose, in its order. `key` is the key of the space that it is the value of.
/// Constant lists and objects, and expressions with problems, are left out.
pub fn reaches(json: &Value, path: &Path, key: &str) -> Vec<Reach> {
    let mut reaches = Vec::new();
    collect(json, path.clone(), Some(key), &[], &mut reaches);
    reaches
}

fn collect(json: &Value, at: Path, key: Option<&str>, around: &[String], reaches: &mut Vec<Reach>) {
    let Some((name, content)) = json.as_object().and_then(call) else {
        if !json.is_array() && !json.is_object() {
            let end = End { at: at.clone(), written: json.clone(), value: json.clone(), nearest: None };
            reaches.push(Reach { at, name: None, labels: around.to_vec(), ends: vec![end], draws: Vec::new() });
        }
        return;
    };
    let inside = at.name(name);
    let items = content.as_array().map(Vec::as_slice).unwrap_or_default();
    if let ("label", [label, expression]) = (name, items) {
        return collect(expression, inside.index(1), label.as_str(), around, reaches);
    }
    let labels: Vec<String> = around.iter().cloned().chain(key.map(str::to_owned)).collect();
    match name {
        "choice" | "Choice" => {
            items.iter().enumerate().for_each(|(i, option)| collect(option, inside.index(i), None, &labels, reaches));
        }
        "pchoice" => {
            for (i, option) in items.iter().enumerate().filter_map(|(i, pair)| Some((i, pair.get(1)?))) {
                collect(option, inside.index(i).index(1), None, &labels, reaches);
            }
        }
        _ => {
            let Some(kind) = kind_of(name, content) else { return };
            let is_constant = matches!(kind, Kind::Choice { .. });
            let draw = |i: u32| value(&kind, quantile(&kind, f64::from(i) / f64::from(DRAWS + 1)));
            let draws = (1..=DRAWS).filter(|_| !is_constant).map(draw).collect();
            let ends = ends(&kind, content, &inside);
            reaches.push(Reach { at: inside, name: Some(name.to_owned()), labels, ends, draws });
        }
    }
}

/// Returns the value that a proposal has for a coordinate of a kind over numbers.
fn value(kind: &Kind, coordinate: f64) -> Value {
    match kind {
        Kind::Randint { lo, .. } => Value::from(lo + coordinate as i64),
        Kind::Numeric(numeric) if numeric.whole => Value::from(coordinate as i64),
        Kind::Numeric(_) | Kind::Choice { .. } => Value::from(coordinate.clamp(f64::MIN, f64::MAX)),
    }
}

/// Returns the outermost values of a kind over numbers, which was read from `content` at `inside`.
fn ends(kind: &Kind, content: &Value, inside: &Path) -> Vec<End> {
    let written = |i: usize, name: &str| match content {
        Value::Array(items) => Some((inside.index(i), items.get(i)?.clone())),
        Value::Object(fields) => Some((inside.name(name), fields.get(name)?.clone())),
        // `randint(n)` begins at 0, which is not written.
        n => (i == 1).then(|| (inside.clone(), n.clone())),
    };
    let (lo, hi) = match (content, written(0, "lo"), written(1, "hi")) {
        (Value::Array(items), Some(only), _) if items.len() == 1 => (None, Some(only)),
        (_, lo, hi) => (lo, hi),
    };
    let end = |written: Option<(Path, Value)>, value: Value, nearest: Option<Value>| {
        written.map(|(at, written)| End { at, written, value, nearest })
    };
    match kind {
        // A range of one value.
        Kind::Choice { options, .. } => match options.as_slice() {
            [Expression::Constant(value)] => end(lo, value.clone(), None).into_iter().collect(),
            _ => Vec::new(),
        },
        Kind::Randint { lo: least, hi: above } => {
            [end(lo, Value::from(*least), None), end(hi, Value::from(above - 1), None)].into_iter().flatten().collect()
        }
        Kind::Numeric(numeric) => {
            let Shape::Uniform { lo: below, hi: above } = numeric.shape else { return Vec::new() };
            let (least, most) = match (numeric.steps(), numeric.range) {
                (Some((first, n)), _) => (numeric.step(first), numeric.step(first + (n - 1) as f64)),
                (None, Some(range)) => range,
                (None, None) => (numeric.value(below), numeric.value(above)),
            };
            // Hyperopt's kinds hardly ever draw their bounds.
            let near = |z: f64| numeric.range.is_none().then(|| value(kind, numeric.value(z)));
            [end(lo, value(kind, least), near(below.next_up())), end(hi, value(kind, most), near(above.next_down()))]
                .into_iter()
                .flatten()
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Checks the ends of an expression: their places, what is written there, and the values.
    #[track_caller]
    fn check(json: Value, expected: &[(&str, Value, Value)]) {
        let found: Vec<_> = reaches(&json, &Path::here().name("k"), "k").into_iter().flat_map(|one| one.ends).collect();
        let found: Vec<_> = found.into_iter().map(|end| (end.at.to_string(), end.written, end.value)).collect();
        let expected: Vec<_> =
            expected.iter().map(|(at, written, value)| (at.to_string(), written.clone(), value.clone())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_end_has_its_place_and_its_value() {
        let same = |at: &'static str, value: Value| (at, value.clone(), value);
        check(json!(3), &[same("k", json!(3))]);
        check(json!([3]), &[]);
        check(json!({ "normal": [0, 1] }), &[]);
        check(
            json!({ "choice": [1, { "label": ["n", { "quniform": [2, 8, 2] }] }] }),
            &[
                same("k.choice[0]", json!(1)),
                ("k.choice[1].label[1].quniform[0]", json!(2), json!(2.0)),
                ("k.choice[1].label[1].quniform[1]", json!(8), json!(8.0)),
            ],
        );
        check(
            json!({ "pchoice": [[0.5, "a"], [0.5, { "label": ["n", { "IntRange": { "lo": 1, "hi": 4, "step": 2 } }] }]] }),
            &[
                same("k.pchoice[0][1]", json!("a")),
                same("k.pchoice[1][1].label[1].IntRange.lo", json!(1)),
                ("k.pchoice[1][1].label[1].IntRange.hi", json!(4), json!(3)),
            ],
        );
        check(
            json!({ "FloatRange": [0.5, 2] }),
            &[same("k.FloatRange[0]", json!(0.5)), ("k.FloatRange[1]", json!(2), json!(2.0))],
        );
        check(json!({ "randint": 5 }), &[("k.randint", json!(5), json!(4))]);
        check(json!({ "randint": [5] }), &[("k.randint[0]", json!(5), json!(4))]);
        check(json!({ "randint": [-3, 3] }), &[same("k.randint[0]", json!(-3)), ("k.randint[1]", json!(3), json!(2))]);
        // 10 is never drawn: half of its step is outside.
        check(
            json!({ "quniform": [1, 10, 3] }),
            &[("k.quniform[0]", json!(1), json!(0.0)), ("k.quniform[1]", json!(10), json!(9.0))],
        );
        check(json!({ "IntRange": [16, 16] }), &[same("k.IntRange[0]", json!(16))]);
        check(
            json!({ "loguniform": [0, 1] }),
            &[("k.loguniform[0]", json!(0), json!(1.0)), ("k.loguniform[1]", json!(1), json!(libm::exp(1.0)))],
        );
    }

    #[test]
    fn draws_are_spread_over_the_prior_and_have_the_labels_around_them() {
        let json = json!({ "choice": [0, { "label": ["n", { "uniform": [0, 2] }] }] });
        let found = reaches(&json, &Path::here(), "k");
        assert_eq!((found[0].labels.as_slice(), found[0].draws.len()), (&["k".to_owned()][..], 0));
        let one = &found[1];
        assert_eq!(
            (one.labels.as_slice(), one.name.as_deref()),
            (&["k".to_owned(), "n".to_owned()][..], Some("uniform"))
        );
        assert_eq!((&one.draws[0], &one.draws[99], one.draws.len()), (&json!(0.01), &json!(1.0), 199));
        let whole = reaches(&json!({ "uniformint": [1, 3] }), &Path::here(), "k");
        assert!(whole[0].draws.iter().all(Value::is_i64));
    }
}
