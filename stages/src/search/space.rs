//! A search space as plain data: which labels there are, what each may be, and when it is active.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::{Proposal, kind::Kind, parse};
use crate::{
    params::{Domain, Read},
    problem::{Path, Problem},
};

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
/// | `{"IntRange":[lo, hi]}`, `{"IntRange":{"lo":1,"hi":9,"step":2}}` | `lo`, `lo + step`, .. up to `hi`, each as likely; with `"log":true` small ones are likelier |
/// | `{"FloatRange":[lo, hi]}`, `{"FloatRange":{"lo":0.1,"hi":10,"log":true}}` | a number in `lo..hi`; with a `step` as above |
/// | `{"Choice":[a, b, ..]}` | one of the options, each as likely; numbers that rise or fall are modelled in their order |
/// | `{"label":[name, expression]}` | the expression under a name of its own |
/// | any other object or array | the same with its expressions settled; a key is the label of the expression it holds |
/// | anything else | itself |
///
/// An object is an expression if its only key is a name of this table. Labels are unique in the whole space. The kinds with
/// small letters are those of Hyperopt (Bergstra, Yamins and Cox, "Making a science of model search", ICML 2013); the others
/// keep to their ranges, as in Keras Tuner.
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

    /// Returns a label whose values cannot be counted, if there is one.
    pub fn endless_label(&self) -> Option<&str> {
        self.axes().into_iter().find(|(_, kind)| kind.count().is_none()).map(|(label, _)| label)
    }

    /// Returns all labels with their kinds, each choice before the labels of its options.
    pub(super) fn axes(&self) -> Vec<(&str, &Kind)> {
        let mut axes = Vec::new();
        self.keys.values().for_each(|expr| expr.collect_axes(&mut axes));
        axes
    }

    /// Returns the proposal in which each active label has the coordinate that `choose` gives it. A choice is asked before
    /// the labels of its chosen option; those of other options are not asked.
    pub(super) fn settle(&self, choose: &mut dyn FnMut(&str, &Kind) -> f64) -> Proposal {
        self.settle_in_order(&[], choose)
    }

    /// Asks for the labels that [`settle`](Self::settle) would ask for, and makes nothing of the answers.
    pub(super) fn walk(&self, choose: &mut dyn FnMut(&str, &Kind) -> f64) {
        self.keys.values().for_each(|expr| expr.walk(choose));
    }

    /// Returns what [`settle`](Self::settle) does, the keys in `first` asked before the others.
    pub(super) fn settle_in_order(&self, first: &[String], choose: &mut dyn FnMut(&str, &Kind) -> f64) -> Proposal {
        let mut labels = BTreeMap::new();
        let others = self.keys.keys().filter(|key| !first.contains(key));
        let order = first.iter().filter(|key| self.keys.contains_key(*key)).chain(others);
        let values: Map<_, _> = order.map(|key| (key.clone(), self.keys[key].settle(choose, &mut labels))).collect();
        Proposal { values, labels }
    }

    /// Returns the space in which these labels have one value each, and are axes no more.
    ///
    /// # Errors
    /// If a label or its value is none of the space's: what is wrong, each `path` a label.
    pub fn with_fixed(&self, fixed: &BTreeMap<String, Value>) -> Result<Self, Vec<SpaceProblem>> {
        let mut problems = Vec::new();
        let mut values = BTreeMap::new();
        let axes: BTreeMap<&str, &Kind> = self.axes().into_iter().collect();
        for (label, value) in fixed {
            match axes.get(label.as_str()).map(|kind| kind.constant(value)) {
                Some(Ok(value)) => {
                    values.insert(label.as_str(), value);
                }
                Some(Err(allowed)) => problems.push(SpaceProblem {
                    path: label.clone(),
                    message: format!("label `{label}` cannot be {value}"),
                    hint: Some(allowed),
                }),
                None => problems.push(SpaceProblem {
                    path: label.clone(),
                    message: format!("the space has no label `{label}`"),
                    hint: Some(format!("its labels are {}", axes.keys().copied().collect::<Vec<_>>().join(", "))),
                }),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let keys = self.keys.iter().map(|(key, expr)| (key.clone(), expr.with_fixed(&values))).collect();
        let space = Self { keys, problems: Vec::new() };
        // Read again, since what is a constant now may equal another option, or be all there is.
        let json = serde_json::to_value(&space).expect("a space is plain data");
        let space = parse::space(json.as_object().expect("a space is an object"));
        if space.problems.is_empty() { Ok(space) } else { Err(space.problems) }
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

    fn walk(&self, choose: &mut dyn FnMut(&str, &Kind) -> f64) {
        match self {
            Self::Constant(_) => {}
            Self::Object(items) => items.values().for_each(|expr| expr.walk(choose)),
            Self::Array(items) => items.iter().for_each(|expr| expr.walk(choose)),
            Self::Labelled { label, kind } => {
                let coordinate = choose(label, kind);
                if let Kind::Choice { options, .. } = kind {
                    options[coordinate as usize].walk(choose);
                }
            }
        }
    }

    fn with_fixed(&self, values: &BTreeMap<&str, Value>) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(value.clone()),
            Self::Object(items) => {
                Self::Object(items.iter().map(|(key, expr)| (key.clone(), expr.with_fixed(values))).collect())
            }
            Self::Array(items) => Self::Array(items.iter().map(|expr| expr.with_fixed(values)).collect()),
            Self::Labelled { label, kind } => match (values.get(label.as_str()), kind) {
                (Some(value), _) => Self::Constant(value.clone()),
                (None, Kind::Choice { options, probabilities, ordered }) => {
                    let options = options.iter().map(|option| option.with_fixed(values)).collect();
                    let kind = Kind::Choice { options, probabilities: probabilities.clone(), ordered: *ordered };
                    Self::Labelled { label: label.clone(), kind }
                }
                (None, kind) => Self::Labelled { label: label.clone(), kind: kind.clone() },
            },
        }
    }

    fn collect_axes<'a>(&'a self, axes: &mut Vec<(&'a str, &'a Kind)>) {
        match self {
            Self::Constant(_) => {}
            Self::Object(items) => items.values().for_each(|expr| expr.collect_axes(axes)),
            Self::Array(items) => items.iter().for_each(|expr| expr.collect_axes(axes)),
            Self::Labelled { label, kind } => {
                axes.push((label, kind));
                if let Kind::Choice { options, .. } = kind {
                    options.iter().for_each(|expr| expr.collect_axes(axes));
                }
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
        if let Self::Constant(constant) = self {
            return constant == value;
        }
        let mut own = BTreeSet::new();
        self.collect_labels(false, &mut own);
        own.iter().all(|label| labels.contains_key(*label))
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

impl Read for Space {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        match value {
            Value::Object(keys) => Some(parse::space(keys)),
            value => {
                problems.push(Problem::found(at, value).expected(Self::expected(domain)));
                None
            }
        }
    }

    fn expected(_: &Domain) -> String {
        "a search space: `{\"key\": expression, ..}`".to_owned()
    }
}

impl<'de> Deserialize<'de> for Space {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::params::deserialize(deserializer)
    }
}

impl Serialize for Space {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.keys.iter().map(|(key, expr)| (key, expr.to_json(Some(key)))))
    }
}
