//! A search space as plain data: which labels there are, what each may be, and when it is active.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value, json};

use super::{Proposal, kind::Kind, parse};

/// A search space: for each key an expression, read from and written as JSON.
///
/// | expression | value |
/// |---|---|
/// | `{"choice":[a, b, ..]}` | one of the options, each as likely |
/// | `{"pchoice":[[p, a], [q, b], ..]}` | one of the options with these probabilities |
/// | `{"randint":n}`, `{"randint":[lo, hi]}` | an integer in `0..n` or `lo..hi`, modelled without order |
/// | `{"uniform":[lo, hi]}` | a number in `lo..hi` |
/// | `{"loguniform":[lo, hi]}` | `exp(uniform(lo, hi))`: the bounds are logarithms |
/// | `{"normal":[mu, sigma]}`, `{"lognormal":[mu, sigma]}` | a normal deviate, or `exp` of one |
/// | `{"quniform":[lo, hi, q]}`, and `q` before the others | `round(x / q) * q`, half to even, never clipped |
/// | `{"uniformint":[lo, hi]}` | `quniform(lo, hi, 1)` as an integer: both ends have half the mass of the others |
/// | `{"label":[name, expression]}` | the expression under a name of its own |
/// | any other object or array | the same with its expressions settled; a key is the label of the expression it holds |
/// | anything else | itself |
///
/// An object is an expression if its only key is a name of this table. Labels are unique in the whole space. The kinds are
/// those of Hyperopt (Bergstra, Yamins and Cox, "Making a science of model search", ICML 2013).
///
/// Reading takes any JSON object; [`validate`](Self::validate) says what is wrong with it. Writing is canonical: equal
/// spaces are equal JSON (bounds as floats, `randint` with both bounds, no label that repeats its key).
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    pub(super) keys: BTreeMap<String, Expr>,
    pub(super) problems: Vec<SpaceProblem>,
}

/// Something wrong with a space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceProblem {
    /// Where: `.key` and `[index]` steps through the space's JSON, such as `residual.choice[1].label[1].quniform`.
    pub path: String,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A part of a space.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    /// A value with no expression in it.
    Constant(Value),
    /// An expression of the table at [`Space`].
    Labelled {
        label: String,
        kind: Kind,
    },
    Object(BTreeMap<String, Expr>),
    Array(Vec<Expr>),
}

impl Space {
    /// Returns everything that is wrong with the space, in the order of its JSON. It can be searched if this is empty.
    pub fn validate(&self) -> Vec<SpaceProblem> {
        self.problems.clone()
    }

    /// Returns the top-level keys: those of a proposal's `values`.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Returns all labels.
    pub fn labels(&self) -> BTreeSet<&str> {
        let mut labels = BTreeSet::new();
        self.keys.values().for_each(|expr| expr.collect_labels(true, &mut labels));
        labels
    }

    /// Returns the labels under a top-level key.
    pub fn labels_of(&self, key: &str) -> BTreeSet<&str> {
        let mut labels = BTreeSet::new();
        if let Some(expr) = self.keys.get(key) {
            expr.collect_labels(true, &mut labels);
        }
        labels
    }

    /// Returns the labels that every proposal has: those that are not inside an option of a choice.
    pub fn unconditional_labels(&self) -> BTreeSet<&str> {
        let mut labels = BTreeSet::new();
        self.keys.values().for_each(|expr| expr.collect_labels(false, &mut labels));
        labels
    }

    /// Returns the proposal in which each active label has the coordinate that `choose` gives it. A choice is asked before
    /// the labels of its chosen option; those of other options are not asked.
    pub(super) fn settle(&self, choose: &mut dyn FnMut(&str, &Kind) -> f64) -> Proposal {
        let mut labels = BTreeMap::new();
        let settle = |(key, expr): (&String, &Expr)| (key.clone(), expr.settle(choose, &mut labels));
        let values: Map<_, _> = self.keys.iter().map(settle).collect();
        Proposal { values, labels }
    }
}

impl Expr {
    fn settle(&self, choose: &mut dyn FnMut(&str, &Kind) -> f64, labels: &mut BTreeMap<String, Value>) -> Value {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Object(items) => items.iter().map(|(key, expr)| (key.clone(), expr.settle(choose, labels))).collect(),
            Self::Array(items) => items.iter().map(|expr| expr.settle(choose, labels)).collect(),
            Self::Labelled { label, kind } => {
                let coordinate = choose(label, kind);
                let value = match kind {
                    Kind::Choice { options, .. } => options[coordinate as usize].settle(choose, labels),
                    Kind::Randint { lo, .. } => Value::from(lo + coordinate as i64),
                    Kind::Numeric(numeric) if numeric.whole => Value::from(coordinate as i64),
                    // An overflow of `exp` is not a number that JSON has.
                    Kind::Numeric(_) => Value::from(coordinate.clamp(f64::MIN, f64::MAX)),
                };
                labels.insert(label.clone(), value.clone());
                value
            }
        }
    }

    /// Adds the labels in this expression; without `conditional`, not those inside an option of a choice.
    fn collect_labels<'a>(&'a self, conditional: bool, labels: &mut BTreeSet<&'a str>) {
        match self {
            Self::Constant(_) => {}
            Self::Object(items) => items.values().for_each(|expr| expr.collect_labels(conditional, labels)),
            Self::Array(items) => items.iter().for_each(|expr| expr.collect_labels(conditional, labels)),
            Self::Labelled { label, kind } => {
                labels.insert(label);
                if let (true, Kind::Choice { options, .. }) = (conditional, kind) {
                    options.iter().for_each(|expr| expr.collect_labels(conditional, labels));
                }
            }
        }
    }

    /// Returns whether this was the chosen option of a choice, whose label has `value` among a trial's `labels`: labels are
    /// unique, so an option with labels was chosen if its labels are active; one without is known by its value.
    pub(super) fn was_chosen(&self, value: &Value, labels: &BTreeMap<String, Value>) -> bool {
        let mut own = BTreeSet::new();
        self.collect_labels(false, &mut own);
        match self {
            Self::Constant(constant) => constant == value,
            _ => own.iter().all(|label| labels.contains_key(*label)),
        }
    }

    /// Returns the expression as canonical JSON where `key` is the label that it has unless it is given another.
    pub(super) fn to_json(&self, key: Option<&str>) -> Value {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Object(items) => items.iter().map(|(key, expr)| (key.clone(), expr.to_json(Some(key)))).collect(),
            Self::Array(items) => items.iter().map(|expr| expr.to_json(None)).collect(),
            Self::Labelled { label, kind } if key == Some(label) => kind.to_json(),
            Self::Labelled { label, kind } => json!({ "label": [label, kind.to_json()] }),
        }
    }
}

impl<'de> Deserialize<'de> for Space {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Object(keys) => Ok(parse::space(&keys)),
            other => Err(de::Error::custom(format!("expected a search space, key -> expression, found {other}"))),
        }
    }
}

impl Serialize for Space {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.keys.iter().map(|(key, expr)| (key, expr.to_json(Some(key)))))
    }
}
