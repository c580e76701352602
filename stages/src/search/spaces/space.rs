//! A search space: its labels, the values that each may have, and when it is active.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{
    expression::{Expression, Kind},
    numeric::{Numeric, Shape},
    parse::{self, Parsed},
};
use crate::{
    params::{Domain, Read},
    problem::{Path, Problem},
    records::{Proposal, Version},
};

/// A search space: an expression for each key. It is read from and written as JSON.
///
/// | expression | value |
/// |---|---|
/// | `{"choice":[a, b, ..]}` | one of the options, all equally likely |
/// | `{"pchoice":[[p, a], [q, b], ..]}` | one of the options with these probabilities |
/// | `{"randint":n}`, `{"randint":[lo, hi]}` | an integer in `0..n` or `lo..hi`, modelled without order; at most 1,048,576 of them |
/// | `{"uniform":[lo, hi]}` | a number in `lo..hi` |
/// | `{"loguniform":[lo, hi]}` | `exp(uniform(lo, hi))`: the bounds are logarithms |
/// | `{"normal":[mu, sigma]}`, `{"lognormal":[mu, sigma]}` | a normal deviate, or `exp` of one |
/// | `{"quniform":[lo, hi, q]}`, and `q` before the others | `round(x / q) * q`, half to even, not clipped to the bounds |
/// | `{"uniformint":[lo, hi]}` | `quniform(lo, hi, 1)` as an integer: both ends have half the mass of the others |
/// | `{"IntRange":[lo, hi]}`, `{"IntRange":{"lo":1,"hi":9,"step":2}}` | `lo`, `lo + step`, .. up to `hi`, all equally likely; with `"log":true` small ones are likelier |
/// | `{"FloatRange":[lo, hi]}`, `{"FloatRange":{"lo":0.1,"hi":10,"log":true}}` | a number in `lo..hi`; with a `step` as above |
/// | `{"Choice":[a, b, ..]}` | one of the options, all equally likely; ascending or descending numbers are modelled in order |
/// | `{"label":[name, expression]}` | the expression, with `name` as its label |
/// | any other object or array | the same, with its expressions replaced by their values; the key of an expression is its label |
/// | anything else | itself |
///
/// An object is an expression if its only key is a name in this table. Labels must be unique in the whole space. Kinds with a
/// lower-case name follow Hyperopt (Bergstra, Yamins and Cox, "Making a science of model search", ICML 2013). The others never
/// leave their ranges, as in Keras Tuner.
///
/// Any JSON object can be read, and [`validate`](Self::validate) returns its problems. Writing is canonical: equal spaces have
/// equal JSON. Bounds are written as floating-point numbers, `randint` with both bounds, and a label that equals its key is
/// left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Space {
    pub(crate) keys: BTreeMap<String, Expression>,
    problems: Vec<Problem>,
}

impl Space {
    /// Returns the problems of the space, in the order of its JSON. Paths start at the space. A space with problems cannot be
    /// searched.
    pub fn validate(&self) -> &[Problem] {
        &self.problems
    }

    /// Returns the problem that the space has no label. It has one point then, as if all its labels were fixed.
    pub fn nothing_to_search(&self) -> Option<Problem> {
        let help = "give at least one key an expression, such as uniform(0.1, 0.7)";
        self.labels().is_empty().then(|| Problem::new(Path::here(), "the space has nothing to search").help(help))
    }

    /// Returns the top-level keys, which a proposal's `values` have too.
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

    /// Returns the labels that every proposal has: those outside the options of choices.
    pub fn unconditional_labels(&self) -> BTreeSet<&str> {
        let mut labels = BTreeSet::new();
        self.keys.values().for_each(|expr| expr.collect_labels(false, &mut labels));
        labels
    }

    /// Returns whether each numeric label is on a logarithmic scale. Choices have no scale.
    pub fn scales(&self) -> BTreeMap<&str, bool> {
        let scale = |(label, kind)| match kind {
            &Kind::Numeric(numeric) => Some((label, numeric.log)),
            Kind::Choice { .. } => None,
            Kind::Randint { .. } => Some((label, false)),
        };
        self.axes().into_iter().filter_map(scale).collect()
    }

    /// Returns the labels whose values are whole numbers, although they are proposed as floating-point numbers: those of
    /// `quniform(8, 32, 8)`.
    pub fn whole_labels(&self) -> BTreeSet<&str> {
        let is_whole = |kind: &Kind| match kind {
            Kind::Numeric(Numeric { q: Some(q), whole: false, range, .. }) => {
                q.fract() == 0.0 && range.is_none_or(|(lo, _)| lo.fract() == 0.0)
            }
            _ => false,
        };
        self.axes().into_iter().filter(|(_, kind)| is_whole(kind)).map(|(label, _)| label).collect()
    }

    /// Returns what to tell the user about logarithmic distributions whose arguments are probably meant as values, and not as the
    /// logarithms that they are.
    pub fn mistaken_logarithms(&self) -> Vec<String> {
        let short = |x: f64| if x < 0.01 { format!("{x:e}") } else { x.to_string() };
        let said = |(label, kind): (&str, &Kind)| {
            let Kind::Numeric(Numeric { log: true, range: None, q, shape: Shape::Uniform { lo, hi }, .. }) = kind
            else {
                return None;
            };
            // Nobody means exp(0.00001) to exp(0.01).
            if *lo <= 0.0 || *hi > 1.0 || hi / lo < 10.0 {
                return None;
            }
            let name = if q.is_some() { "qloguniform" } else { "loguniform" };
            let (from, to) = (libm::exp(*lo), libm::exp(*hi));
            let (lo, hi) = (short(*lo), short(*hi));
            Some(format!(
                "`{label}`: `{name}({lo}, {hi})` draws from {from:.5} to {to:.5}, because its arguments are logarithms: for {lo} to \
                 {hi} write `FloatRange(lo: {lo}, hi: {hi}, log: true)`"
            ))
        };
        self.axes().into_iter().filter_map(said).collect()
    }

    /// Returns a label with infinitely many values, if there is one.
    pub fn endless_label(&self) -> Option<&str> {
        self.axes().into_iter().find(|(_, kind)| kind.count().is_none()).map(|(label, _)| label)
    }

    /// Returns all labels with their kinds, each choice before the labels of its options.
    pub(crate) fn axes(&self) -> Vec<(&str, &Kind)> {
        let mut axes = Vec::new();
        self.keys.values().for_each(|expr| expr.collect_axes(&mut axes));
        axes
    }

    /// Returns the expressions of the keys, in the order of the keys.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.keys.values()
    }

    /// Returns a proposal. Calls `choose` for the coordinate of each active label: for a choice first, then for the labels of
    /// its chosen option. The labels of its other options are not active.
    pub(crate) fn settle(&self, choose: &mut dyn FnMut(&str, &Kind) -> f64) -> Proposal {
        self.settle_in_order(&[], choose)
    }

    /// Calls `choose` as [`settle`](Self::settle) does, without making a proposal.
    pub(crate) fn walk(&self, choose: &mut dyn FnMut(&str, &Kind) -> f64) {
        self.keys.values().for_each(|expr| expr.walk(choose));
    }

    /// Does what [`settle`](Self::settle) does, with the keys in `first` before the others.
    pub(crate) fn settle_in_order(&self, first: &[String], choose: &mut dyn FnMut(&str, &Kind) -> f64) -> Proposal {
        let mut labels = BTreeMap::new();
        let others = self.keys.keys().filter(|key| !first.contains(key));
        let order = first.iter().filter(|key| self.keys.contains_key(*key)).chain(others);
        let values: Map<_, _> = order.map(|key| (key.clone(), self.keys[key].settle(choose, &mut labels))).collect();
        Proposal { format: Version, labels, values }
    }

    /// Returns the space with each label in `fixed` replaced by its value, so that it is no longer searched.
    ///
    /// # Errors
    /// If the space lacks a label or never proposes its value. Paths start at `fixed`.
    pub fn with_fixed(&self, fixed: &BTreeMap<String, Value>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut values = BTreeMap::new();
        let axes: BTreeMap<&str, &Kind> = self.axes().into_iter().collect();
        for (label, value) in fixed {
            match axes.get(label.as_str()).map(|kind| kind.constant(value)) {
                Some(Ok(value)) => {
                    values.insert(label.as_str(), value);
                }
                Some(Err(allowed)) => {
                    let problem = Problem::new(Path::here().name(label), format!("label `{label}` cannot be {value}"));
                    problems.push(problem.help(allowed));
                }
                None => problems.push(self.no_label(Path::here().name(label), label)),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let keys = self.keys.iter().map(|(key, expr)| (key.clone(), expr.with_fixed(&values))).collect();
        let space = Self { keys, problems: Vec::new() };
        // Read again, because a new constant may equal another option.
        let json = serde_json::to_value(&space).expect("a space is plain data");
        let space = Self::from(parse::space(json.as_object().expect("a space is an object")));
        if space.problems.is_empty() { Ok(space) } else { Err(space.problems) }
    }

    /// Returns the problem that the space does not have the label named at `at`.
    pub(crate) fn no_label(&self, at: Path, label: &str) -> Problem {
        let labels: Vec<&str> = self.labels().into_iter().collect();
        let problem = Problem::new(at, format!("the space has no label `{label}`"));
        problem.help(format!("its labels are {}", labels.join(", ")))
    }
}

impl From<Parsed> for Space {
    fn from(Parsed { keys, problems }: Parsed) -> Self {
        Self { keys, problems }
    }
}

impl Read for Space {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        match value {
            Value::Object(keys) => Some(parse::space(keys).into()),
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
