//! The branches of a space: the options of choices that have labels of their own.

use std::collections::BTreeMap;

use super::{
    expression::{Expression, Kind},
    space::Space,
};

/// An option with labels of its own.
pub(crate) struct Branch<'a> {
    pub(crate) label: &'a str,
    pub(crate) kind: &'a Kind,
    pub(crate) option: usize,
    /// The prior probability of the option.
    pub(crate) probability: f64,
    /// The coordinates of the choices that lead to the option, and its own.
    pub(crate) path: BTreeMap<String, f64>,
}

impl Space {
    /// Returns all branches, each choice before those in its options.
    pub(crate) fn branches(&self) -> Vec<Branch<'_>> {
        let mut branches = Vec::new();
        self.expressions().for_each(|expression| collect(expression, &BTreeMap::new(), &mut branches));
        branches
    }
}

fn collect<'a>(expression: &'a Expression, path: &BTreeMap<String, f64>, branches: &mut Vec<Branch<'a>>) {
    match expression {
        Expression::Constant(_) => {}
        Expression::Object(items) => items.values().for_each(|inner| collect(inner, path, branches)),
        Expression::Array(items) => items.iter().for_each(|inner| collect(inner, path, branches)),
        Expression::Labelled { label, kind } => {
            let Kind::Choice { options, .. } = kind else { return };
            let probabilities = kind.probabilities().expect("a choice has probabilities");
            let paths: Vec<BTreeMap<String, f64>> = (0..options.len())
                .map(|option| {
                    path.iter().map(|(label, x)| (label.clone(), *x)).chain([(label.clone(), option as f64)]).collect()
                })
                .collect();
            for (option, (path, probability)) in paths.iter().zip(probabilities).enumerate() {
                if !matches!(options[option], Expression::Constant(_)) {
                    branches.push(Branch { label, kind, option, probability, path: path.clone() });
                }
            }
            options.iter().zip(&paths).for_each(|(inner, path)| collect(inner, path, branches));
        }
    }
}
