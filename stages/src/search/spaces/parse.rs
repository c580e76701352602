//! Reads a space from JSON, and finds all its problems.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    expression::{Expression, Kind, comparable},
    numeric::{Numeric, Shape},
};
use crate::problem::{Path, Problem};

/// Each name, and how its expression is written.
const KINDS: [(&str, &str); 16] = [
    ("choice", "choice([a, b, ..])"),
    ("pchoice", "pchoice([(0.3, a), (0.7, b)])"),
    ("randint", "randint(n) or randint(lo, hi)"),
    ("uniform", "uniform(lo, hi)"),
    ("quniform", "quniform(lo, hi, q)"),
    ("uniformint", "uniformint(lo, hi)"),
    ("loguniform", "loguniform(lo, hi)"),
    ("qloguniform", "qloguniform(lo, hi, q)"),
    ("normal", "normal(mu, sigma)"),
    ("qnormal", "qnormal(mu, sigma, q)"),
    ("lognormal", "lognormal(mu, sigma)"),
    ("qlognormal", "qlognormal(mu, sigma, q)"),
    ("IntRange", "IntRange(lo, hi), or IntRange(lo: 16, hi: 512, step: 16) or IntRange(lo: 1, hi: 100, log: true)"),
    (
        "FloatRange",
        "FloatRange(lo, hi), or FloatRange(lo: 0, hi: 0.5, step: 0.1) or FloatRange(lo: 0.001, hi: 1, log: true)",
    ),
    ("Choice", "Choice([a, b, ..])"),
    ("label", "label(\"name\", expression)"),
];

/// The most integers that `randint` may choose from. Models treat each as an option of its own.
const RANDINT_MAX: i64 = 1 << 20;

/// Beyond these logarithms, numbers lose precision in an f64.
const LOG_RANGE: std::ops::RangeInclusive<f64> = -700.0..=700.0;

/// Normal deviates are never farther from their mean than this many standard deviations. Box and Muller's method with 53 bits
/// gives at most sqrt(2 * 53 * ln 2) = 8.57.
const FARTHEST_DEVIATE: f64 = 9.0;

/// A space that was read, and its problems.
pub(crate) struct Parsed {
    pub(crate) keys: BTreeMap<String, Expression>,
    /// All problems, in the order of the JSON.
    pub(crate) problems: Vec<Problem>,
}

/// Reads a space with these keys.
pub(crate) fn space(keys: &Map<String, Value>) -> Parsed {
    let mut parser = Parser::default();
    let expression =
        |(key, value): (&String, &Value)| (key.clone(), parser.expression(value, &Path::here().name(key), Some(key)));
    let keys = keys.iter().map(expression).collect();
    Parsed { keys, problems: parser.problems }
}

#[derive(Default)]
struct Parser {
    problems: Vec<Problem>,
    /// The path of each label's expression.
    labels: BTreeMap<String, Path>,
}

impl Parser {
    fn problem(&mut self, path: &Path, found: impl Into<String>, help: Option<String>) {
        self.problems.push(Problem { help, ..Problem::new(path.clone(), found) });
    }

    /// Reads the expression at `path`. Its label is `key` unless it has another. A wrong expression becomes a constant.
    fn expression(&mut self, value: &Value, path: &Path, key: Option<&str>) -> Expression {
        match value {
            Value::Object(items) => match call(items) {
                Some(("label", arguments)) => self.label(value, arguments, path),
                Some((name, arguments)) => self.labelled(value, name, arguments, path, key),
                None => {
                    self.suspect(items, path);
                    let item = |(key, item): (&String, &Value)| {
                        (key.clone(), self.expression(item, &path.name(key), Some(key)))
                    };
                    let items: BTreeMap<_, _> = items.iter().map(item).collect();
                    let plain = items.values().all(|expr| matches!(expr, Expression::Constant(_)));
                    if plain { Expression::Constant(value.clone()) } else { Expression::Object(items) }
                }
            },
            Value::Array(items) => {
                let item = |(i, item)| self.expression(item, &path.index(i), None);
                let items: Vec<_> = items.iter().enumerate().map(item).collect();
                let plain = items.iter().all(|expr| matches!(expr, Expression::Constant(_)));
                if plain { Expression::Constant(value.clone()) } else { Expression::Array(items) }
            }
            constant => Expression::Constant(constant.clone()),
        }
    }

    fn label(&mut self, value: &Value, arguments: &Value, path: &Path) -> Expression {
        let usage = Some("write label(\"name\", expression)".to_owned());
        let Some([Value::String(name), inner]) = arguments.as_array().map(Vec::as_slice) else {
            self.problem(path, "`label` takes a name and an expression", usage);
            return Expression::Constant(value.clone());
        };
        match inner.as_object().and_then(call) {
            Some((kind, arguments)) if kind != "label" => {
                self.labelled(value, kind, arguments, &path.name("label").index(1), Some(name))
            }
            _ => {
                self.problem(path, format!("label `{name}` names something that is not an expression"), usage);
                Expression::Constant(value.clone())
            }
        }
    }

    fn labelled(
        &mut self,
        value: &Value,
        name: &str,
        arguments: &Value,
        path: &Path,
        label: Option<&str>,
    ) -> Expression {
        match label {
            None => {
                let message = format!("`{name}` has no label: it is not the value of a key");
                self.problem(path, message, Some(format!("write label(\"name\", {name}(..))")));
            }
            Some(label) => {
                if let Some(other) = self.labels.insert(label.to_owned(), path.clone()) {
                    let hint = format!("the other is at `{other}`: name one with label(\"another\", {name}(..))");
                    self.problem(path, format!("label `{label}` is used twice"), Some(hint));
                }
            }
        }
        let inside = path.name(name);
        let kind = match name {
            "choice" | "Choice" => self.choice(name, arguments, &inside),
            "IntRange" | "FloatRange" => self.range(name, arguments, &inside),
            "pchoice" => self.pchoice(arguments, &inside),
            "randint" => self.randint(arguments, &inside),
            _ => self.numeric(name, arguments, &inside),
        };
        // An expression without a label is a problem, but needs a unique label so that reading can go on.
        let label = label.map_or_else(|| path.to_string(), str::to_owned);
        kind.map_or_else(|| Expression::Constant(value.clone()), |kind| Expression::Labelled { label, kind })
    }

    fn choice(&mut self, name: &str, arguments: &Value, path: &Path) -> Option<Kind> {
        let Some(options) = arguments.as_array() else {
            self.problem(path, format!("`{name}` takes a list of options"), usage(name));
            return None;
        };
        let option = |(i, option)| self.expression(option, &path.index(i), None);
        let options: Vec<_> = options.iter().enumerate().map(option).collect();
        self.distinct(&options, path)?;
        let number = |option: &Expression| match option {
            Expression::Constant(value) => value.as_f64(),
            _ => None,
        };
        let numbers: Option<Vec<f64>> = options.iter().map(number).collect();
        let is_sorted = |numbers: Vec<f64>| numbers.is_sorted() || numbers.iter().rev().is_sorted();
        let ordered = name == "Choice" && numbers.is_some_and(is_sorted);
        Some(Kind::Choice { options, probabilities: None, ordered })
    }

    fn pchoice(&mut self, arguments: &Value, path: &Path) -> Option<Kind> {
        let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
            Some([p, option]) => Some((p.as_f64().filter(|p| (0.0..=1.0).contains(p))?, option.clone())),
            _ => None,
        };
        let Some(pairs) = arguments.as_array().and_then(|pairs| pairs.iter().map(pair).collect::<Option<Vec<_>>>())
        else {
            self.problem(path, "`pchoice` takes pairs of a probability (0 to 1) and an option", usage("pchoice"));
            return None;
        };
        let option = |(i, (_, option)): (usize, &(f64, Value))| self.expression(option, &path.index(i).index(1), None);
        let options: Vec<_> = pairs.iter().enumerate().map(option).collect();
        let probabilities: Vec<f64> = pairs.iter().map(|(p, _)| p + 0.0).collect();
        let sum: f64 = probabilities.iter().sum();
        if !pairs.is_empty() && (sum - 1.0).abs() > 1e-6 {
            self.problem(path, format!("the probabilities sum to {sum}"), Some("they must sum to 1".to_owned()));
        }
        for (i, _) in probabilities.iter().enumerate().filter(|(_, p)| **p == 0.0) {
            let hint = "remove it, or give it a probability above 0".to_owned();
            self.problem(&path.index(i), format!("option {i} has the probability 0 and is never proposed"), Some(hint));
        }
        self.distinct(&options, path)?;
        Some(Kind::Choice { options, probabilities: Some(probabilities), ordered: false })
    }

    /// Adds a problem for each option that equals another, because trials record the value of the chosen option. Adds a problem
    /// and returns `None` if there are no options.
    fn distinct(&mut self, options: &[Expression], path: &Path) -> Option<()> {
        if options.is_empty() {
            self.problem(path, "the choice has no options", usage("choice"));
            return None;
        }
        let mut seen = BTreeMap::new();
        for (i, option) in options.iter().enumerate() {
            let Expression::Constant(value) = option else { continue };
            if let Some(first) = seen.insert(comparable(value).to_string(), i) {
                let hint = format!("it equals option {first}: to make an option likelier, use pchoice");
                self.problem(&path.index(i), format!("the option {value} is given twice"), Some(hint));
            }
        }
        Some(())
    }

    fn randint(&mut self, arguments: &Value, path: &Path) -> Option<Kind> {
        let whole = |value: &Value| value.as_i64().or_else(|| whole(value.as_f64()?));
        let (lo, hi) = match (arguments, arguments.as_array().map(Vec::as_slice)) {
            (_, Some([lo, hi])) => (whole(lo), whole(hi)),
            (_, Some([n])) | (n, None) => (Some(0), whole(n)),
            _ => (None, None),
        };
        let (Some(lo), Some(hi)) = (lo, hi) else {
            self.problem(path, format!("`randint` takes one or two integers, found {arguments}"), usage("randint"));
            return None;
        };
        let n = hi.checked_sub(lo);
        if n.is_none_or(|n| !(1..=RANDINT_MAX).contains(&n)) {
            let message = format!("there are no integers, or more than {RANDINT_MAX}, from {lo} to below {hi}");
            let hint = "the upper bound is not included; for wide ranges use uniformint".to_owned();
            self.problem(path, message, Some(hint));
            return None;
        }
        Some(Kind::Randint { lo, hi })
    }

    fn numeric(&mut self, name: &str, arguments: &Value, path: &Path) -> Option<Kind> {
        let whole_valued = name == "uniformint";
        let quantised = name.starts_with('q');
        let log = name.contains("log");
        let n = if quantised { 3 } else { 2 };
        let Some(values) = arguments.as_array().filter(|values| values.len() == n) else {
            self.problem(path, format!("`{name}` takes {n} numbers, found {arguments}"), usage(name));
            return None;
        };
        let before = self.problems.len();
        for (i, value) in values.iter().enumerate().filter(|(_, value)| value.as_f64().is_none()) {
            let message = format!("expected a finite number, found {value}");
            self.problem(&path.index(i), message, usage(name));
        }
        let numbers: Vec<f64> = values.iter().filter_map(Value::as_f64).map(|x| x + 0.0).collect();
        if numbers.len() < n {
            return None;
        }
        let (a, b) = (numbers[0], numbers[1]);
        let (shape, least, greatest) = if name.ends_with("normal") {
            if b <= 0.0 {
                self.problem(path, format!("the deviation {b} is not above 0"), usage(name));
            }
            let reach = FARTHEST_DEVIATE * b;
            (Shape::Normal { mu: a, sigma: b }, a - reach, a + reach)
        } else {
            if a >= b {
                self.problem(path, format!("the lower bound {a} is not below the upper bound {b}"), usage(name));
            }
            (Shape::Uniform { lo: a, hi: b }, a, b)
        };
        if whole_valued && numbers.iter().any(|x| whole(*x).is_none()) {
            self.problem(path, format!("`uniformint` takes integers, found {arguments}"), usage(name));
        }
        if log && !(LOG_RANGE.contains(&least) && LOG_RANGE.contains(&greatest)) {
            let hint = "its arguments are logarithms: loguniform(-2.3, 0) is from 0.1 to 1".to_owned();
            self.problem(path, format!("`{name}` reaches beyond exp(-700) or exp(700)"), Some(hint));
        }
        if !(greatest - least).is_finite() {
            self.problem(path, "the range is too wide for 64-bit numbers", usage(name));
        }
        let q = if whole_valued { Some(1.0) } else { numbers.get(2).copied() };
        if let Some(q) = q.filter(|q| *q <= 0.0) {
            self.problem(path, format!("the step {q} is not above 0"), usage(name));
        }
        let largest = if log { libm::exp(greatest) } else { greatest.abs().max(least.abs()) };
        if q.is_some_and(|q| q > 0.0 && !(largest / q).is_finite()) {
            self.problem(path, "the step is too small for the range", usage(name));
        }
        let sound = self.problems.len() == before;
        sound.then_some(Kind::Numeric(Numeric { shape, log, q, whole: whole_valued, range: None }))
    }

    /// Reads `IntRange` or `FloatRange`.
    fn range(&mut self, name: &str, arguments: &Value, path: &Path) -> Option<Kind> {
        let field = |i: usize, field: &str| match arguments {
            Value::Array(items) => items.get(i),
            arguments => arguments.get(field),
        };
        let fits = match arguments {
            Value::Array(items) => (2..=3).contains(&items.len()),
            Value::Object(items) => items.keys().all(|key| ["lo", "hi", "step", "log"].contains(&key.as_str())),
            _ => false,
        };
        let number = |value: Option<&Value>| value.and_then(Value::as_f64);
        let (lo, hi, step) = (number(field(0, "lo")), number(field(1, "hi")), field(2, "step"));
        let log = arguments.get("log").map_or(Some(false), Value::as_bool);
        let (Some(lo), Some(hi), Some(log), true) = (lo, hi, log, fits && step.is_none_or(Value::is_number)) else {
            self.problem(path, format!("`{name}` takes a lower and an upper bound, found {arguments}"), usage(name));
            return None;
        };
        let before = self.problems.len();
        let is_int = name == "IntRange";
        let q = step.and_then(Value::as_f64).or(is_int.then_some(1.0));
        if lo > hi {
            self.problem(path, format!("the lower bound {lo} is above the upper bound {hi}"), usage(name));
            return None;
        }
        if is_int && [Some(lo), Some(hi), q].into_iter().flatten().any(|x| whole(x).is_none()) {
            self.problem(path, format!("`IntRange` takes integers, found {arguments}"), usage(name));
        }
        if q.is_some_and(|q| q <= 0.0) {
            self.problem(path, "the step must be above 0", usage(name));
        }
        if log && step.is_some_and(|step| !is_int || step.as_f64() != Some(1.0)) {
            self.problem(path, "a logarithmic range has no step", usage(name));
        }
        if log && lo < if is_int { 1.0 } else { f64::MIN_POSITIVE } {
            self.problem(path, format!("the lower bound {lo} has no logarithm"), usage(name));
        }
        if self.problems.len() > before {
            return None;
        }
        if lo == hi || q.is_some_and(|q| q > hi - lo) {
            let only = if is_int { Value::from(lo as i64) } else { Value::from(lo) };
            return Some(Kind::Choice {
                options: vec![Expression::Constant(only)],
                probabilities: None,
                ordered: false,
            });
        }
        // Each value has the probability mass of half a step on either side.
        let last = q.map_or(hi, |q| lo + ((hi - lo) / q + 1e-9).floor() * q);
        let half = q.map_or(0.0, |q| 0.5 * q);
        let (below, above) = (lo - half, last + half);
        let (below, above) = if log { (libm::log(below), libm::log(above)) } else { (below, above) };
        let shape = Shape::Uniform { lo: below, hi: above };
        Some(Kind::Numeric(Numeric { shape, log, q, whole: is_int, range: Some((lo, last)) }))
    }

    /// Adds a problem for an object that was probably meant to be an expression.
    fn suspect(&mut self, items: &Map<String, Value>, path: &Path) {
        let mut only = items.iter().filter(|(_, value)| items.len() == 1 && value.is_array());
        let Some((name, _)) = only.next() else { return };
        let near = KINDS.into_iter().map(|(kind, _)| (strsim::levenshtein(name, kind), kind)).min_by_key(|near| near.0);
        if let Some((_, kind)) = near.filter(|(distance, _)| *distance <= 2) {
            let hint = Some(format!("did you mean `{kind}`?"));
            self.problem(&path.name(name), format!("there is no expression `{name}`"), hint);
        }
    }
}

/// Returns the kind of an expression over numbers, given its name and arguments. `None` if it is no such expression, or has problems.
pub(crate) fn kind_of(name: &str, arguments: &Value) -> Option<Kind> {
    let mut parser = Parser::default();
    let path = Path::here();
    let kind = match name {
        "choice" | "Choice" | "pchoice" | "label" => None,
        "IntRange" | "FloatRange" => parser.range(name, arguments, &path),
        "randint" => parser.randint(arguments, &path),
        _ => parser.numeric(name, arguments, &path),
    };
    kind.filter(|_| parser.problems.is_empty())
}

/// Returns the name and the arguments of an object that is an expression.
pub(crate) fn call(items: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, arguments) = items.iter().next().filter(|_| items.len() == 1)?;
    KINDS.iter().any(|(kind, _)| kind == name).then_some((name, arguments))
}

fn usage(name: &str) -> Option<String> {
    KINDS.iter().find(|(kind, _)| *kind == name).map(|(_, usage)| format!("write {usage}"))
}

/// Returns `x` as an integer, if an f64 holds it exactly.
fn whole(x: f64) -> Option<i64> {
    (x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0).then_some(x as i64)
}
