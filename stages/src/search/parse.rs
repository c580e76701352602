//! Reads a space from JSON and finds everything that is wrong with it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    kind::{Kind, Numeric, Shape, comparable},
    space::{Expr, Space, SpaceProblem},
};

/// name -> how it is written
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

/// Largest number of integers that `randint` may choose from: each is an option of its own to the model.
const RANDINT_MAX: i64 = 1 << 20;

/// Logarithms beyond these leave the numbers that f64 holds in full precision.
const LOG_RANGE: std::ops::RangeInclusive<f64> = -700.0..=700.0;

/// Normal deviates are never farther from their mean (Box and Muller from 53 bits: sqrt(2 * 53 * ln 2) = 8.57).
const FARTHEST_DEVIATE: f64 = 9.0;

/// Returns the space with these keys, and all its problems.
pub(super) fn space(keys: &Map<String, Value>) -> Space {
    let mut parser = Parser::default();
    let keys = keys.iter().map(|(key, value)| (key.clone(), parser.expr(value, key, Some(key)))).collect();
    if parser.labels.is_empty() && parser.problems.is_empty() {
        let hint = "give at least one key an expression, such as uniform(0.1, 0.7)".to_owned();
        parser.problem("", "the space has nothing to search", Some(hint));
    }
    Space { keys, problems: parser.problems }
}

#[derive(Default)]
struct Parser {
    problems: Vec<SpaceProblem>,
    /// label -> path of its expression
    labels: BTreeMap<String, String>,
}

impl Parser {
    fn problem(&mut self, path: &str, message: impl Into<String>, hint: Option<String>) {
        self.problems.push(SpaceProblem { path: path.to_owned(), message: message.into(), hint });
    }

    /// Returns the expression at `path`, whose label is `key` unless it is given another. A wrong one stays as it is.
    fn expr(&mut self, value: &Value, path: &str, key: Option<&str>) -> Expr {
        match value {
            Value::Object(items) => match call(items) {
                Some(("label", arguments)) => self.label(value, arguments, path),
                Some((name, arguments)) => self.labelled(value, name, arguments, path, key),
                None => {
                    self.suspect(items, path);
                    let item = |(key, item): (&String, &Value)| {
                        (key.clone(), self.expr(item, &format!("{path}.{key}"), Some(key)))
                    };
                    let items: BTreeMap<_, _> = items.iter().map(item).collect();
                    let plain = items.values().all(|expr| matches!(expr, Expr::Constant(_)));
                    if plain { Expr::Constant(value.clone()) } else { Expr::Object(items) }
                }
            },
            Value::Array(items) => {
                let item = |(i, item)| self.expr(item, &format!("{path}[{i}]"), None);
                let items: Vec<_> = items.iter().enumerate().map(item).collect();
                let plain = items.iter().all(|expr| matches!(expr, Expr::Constant(_)));
                if plain { Expr::Constant(value.clone()) } else { Expr::Array(items) }
            }
            constant => Expr::Constant(constant.clone()),
        }
    }

    fn label(&mut self, value: &Value, arguments: &Value, path: &str) -> Expr {
        let usage = Some("write label(\"name\", expression)".to_owned());
        let Some([Value::String(name), inner]) = arguments.as_array().map(Vec::as_slice) else {
            self.problem(path, "`label` takes a name and an expression", usage);
            return Expr::Constant(value.clone());
        };
        match inner.as_object().and_then(call) {
            Some((kind, arguments)) if kind != "label" => {
                self.labelled(value, kind, arguments, &format!("{path}.label[1]"), Some(name))
            }
            _ => {
                self.problem(path, format!("label `{name}` names something that is no expression"), usage);
                Expr::Constant(value.clone())
            }
        }
    }

    fn labelled(&mut self, value: &Value, name: &str, arguments: &Value, path: &str, label: Option<&str>) -> Expr {
        match label {
            None => {
                let message = format!("`{name}` has no label: it stands under no key");
                self.problem(path, message, Some(format!("write label(\"name\", {name}(..))")));
            }
            Some(label) => {
                if let Some(other) = self.labels.insert(label.to_owned(), path.to_owned()) {
                    let hint = format!("the other is at `{other}`: name one with label(\"another\", {name}(..))");
                    self.problem(path, format!("label `{label}` is used twice"), Some(hint));
                }
            }
        }
        let inside = format!("{path}.{name}");
        let kind = match name {
            "choice" | "Choice" => self.choice(name, arguments, &inside),
            "IntRange" | "FloatRange" => self.range(name, arguments, &inside),
            "pchoice" => self.pchoice(arguments, &inside),
            "randint" => self.randint(arguments, &inside),
            _ => self.numeric(name, arguments, &inside),
        };
        // Without a label of its own it is refused anyway; its path keeps it apart.
        let label = label.unwrap_or(path).to_owned();
        kind.map_or_else(|| Expr::Constant(value.clone()), |kind| Expr::Labelled { label, kind })
    }

    fn choice(&mut self, name: &str, arguments: &Value, path: &str) -> Option<Kind> {
        let Some(options) = arguments.as_array() else {
            self.problem(path, format!("`{name}` takes a list of options"), usage(name));
            return None;
        };
        let option = |(i, option)| self.expr(option, &format!("{path}[{i}]"), None);
        let options: Vec<_> = options.iter().enumerate().map(option).collect();
        self.distinct(&options, path)?;
        let number = |option: &Expr| match option {
            Expr::Constant(value) => value.as_f64(),
            _ => None,
        };
        let numbers: Option<Vec<f64>> = options.iter().map(number).collect();
        let is_sorted = |numbers: Vec<f64>| numbers.is_sorted() || numbers.iter().rev().is_sorted();
        let ordered = name == "Choice" && numbers.is_some_and(is_sorted);
        Some(Kind::Choice { options, probabilities: None, ordered })
    }

    fn pchoice(&mut self, arguments: &Value, path: &str) -> Option<Kind> {
        let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
            Some([p, option]) => Some((p.as_f64().filter(|p| (0.0..=1.0).contains(p))?, option.clone())),
            _ => None,
        };
        let Some(pairs) = arguments.as_array().and_then(|pairs| pairs.iter().map(pair).collect::<Option<Vec<_>>>())
        else {
            self.problem(path, "`pchoice` takes pairs of a probability (0 to 1) and an option", usage("pchoice"));
            return None;
        };
        let option = |(i, (_, option)): (usize, &(f64, Value))| self.expr(option, &format!("{path}[{i}][1]"), None);
        let options: Vec<_> = pairs.iter().enumerate().map(option).collect();
        let probabilities: Vec<f64> = pairs.iter().map(|(p, _)| p + 0.0).collect();
        let sum: f64 = probabilities.iter().sum();
        if !pairs.is_empty() && (sum - 1.0).abs() > 1e-6 {
            self.problem(path, format!("the probabilities sum to {sum}"), Some("they must sum to 1".to_owned()));
        }
        self.distinct(&options, path)?;
        Some(Kind::Choice { options, probabilities: Some(probabilities), ordered: false })
    }

    /// Finds options that a trial's record could not tell apart.
    fn distinct(&mut self, options: &[Expr], path: &str) -> Option<()> {
        if options.is_empty() {
            self.problem(path, "the choice has no options", usage("choice"));
            return None;
        }
        let mut seen = BTreeMap::new();
        for (i, option) in options.iter().enumerate() {
            let Expr::Constant(value) = option else { continue };
            if let Some(first) = seen.insert(comparable(value).to_string(), i) {
                let hint = format!("it is option {first} as well: to make one likelier, use pchoice");
                self.problem(&format!("{path}[{i}]"), format!("the option {value} is there twice"), Some(hint));
            }
        }
        Some(())
    }

    fn randint(&mut self, arguments: &Value, path: &str) -> Option<Kind> {
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

    fn numeric(&mut self, name: &str, arguments: &Value, path: &str) -> Option<Kind> {
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
            self.problem(&format!("{path}[{i}]"), message, usage(name));
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

    /// Reads a range that is kept to.
    fn range(&mut self, name: &str, arguments: &Value, path: &str) -> Option<Kind> {
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
        if lo >= hi {
            self.problem(path, format!("the lower bound {lo} is not below the upper bound {hi}"), usage(name));
            return None;
        }
        if is_int && [Some(lo), Some(hi), q].into_iter().flatten().any(|x| whole(x).is_none()) {
            self.problem(path, format!("`IntRange` takes integers, found {arguments}"), usage(name));
        }
        if q.is_some_and(|q| q <= 0.0 || q > hi - lo) {
            self.problem(path, "the step is not above 0 and within the range", usage(name));
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
        // Each value has the mass of its step: half a step on either side.
        let last = q.map_or(hi, |q| lo + ((hi - lo) / q + 1e-9).floor() * q);
        let half = q.map_or(0.0, |q| 0.5 * q);
        let (below, above) = (lo - half, last + half);
        let (below, above) = if log { (libm::log(below), libm::log(above)) } else { (below, above) };
        let shape = Shape::Uniform { lo: below, hi: above };
        Some(Kind::Numeric(Numeric { shape, log, q, whole: is_int, range: Some((lo, last)) }))
    }

    /// Finds an object that was probably meant as an expression.
    fn suspect(&mut self, items: &Map<String, Value>, path: &str) {
        let mut only = items.iter().filter(|(_, value)| items.len() == 1 && value.is_array());
        let near = |name: &str| {
            KINDS.into_iter().min_by_key(|(kind, _)| distance(name, kind)).filter(|(kind, _)| distance(name, kind) <= 2)
        };
        if let Some((name, (kind, _))) = only.next().and_then(|(name, _)| Some((name, near(name)?))) {
            let hint = Some(format!("did you mean `{kind}`?"));
            self.problem(&format!("{path}.{name}"), format!("there is no expression `{name}`"), hint);
        }
    }
}

/// Returns the expression's name and arguments, if an object is one.
fn call(items: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, arguments) = items.iter().next().filter(|_| items.len() == 1)?;
    KINDS.iter().any(|(kind, _)| kind == name).then_some((name, arguments))
}

fn usage(name: &str) -> Option<String> {
    KINDS.iter().find(|(kind, _)| *kind == name).map(|(_, usage)| format!("write {usage}"))
}

/// Returns `x` as an integer, if it is one that f64 holds exactly.
fn whole(x: f64) -> Option<i64> {
    (x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0).then_some(x as i64)
}

/// Returns how many letters to insert, remove or replace to turn `a` into `b` (Levenshtein, one row at a time).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.chars().count()]
}
