//! Trials as points.

use super::super::{draws, normal::normal_cdf};
use crate::search::spaces::{Axis, Expression, Kind, Numeric, Shape, Space};

/// The order of the labels in a [`Point`].
pub(crate) struct Layout<'a> {
    labels: Vec<(&'a str, &'a Kind)>,
    axes: Vec<Axis>,
    roots: Vec<Step>,
}

/// A label to choose a coordinate for, and the labels that follow from it.
struct Step {
    axis: usize,
    /// For each option of a choice, the labels in it.
    inner: Vec<Vec<Step>>,
}

/// A trial in the model: the place of each label on its axis. On an ordered axis that is the mass of the prior below the value, from 0
/// to 1. On an unordered one it is the index of the option. It is not a number if the label is not active.
pub(crate) type Point = Vec<f64>;

/// A configuration: the coordinate of each label, or not a number if the label is not active.
pub(crate) type Coordinates = Vec<f64>;

impl<'a> Layout<'a> {
    pub(crate) fn new(space: &'a Space) -> Self {
        let labels = space.axes();
        let axes = labels.iter().map(|(_, kind)| kind.axis()).collect();
        let mut roots = Vec::new();
        let mut next = 0;
        space.expressions().for_each(|expression| steps(expression, &mut next, &mut roots));
        Self { labels, axes, roots }
    }

    /// Returns whether each label is ordered.
    pub(crate) fn ordered(&self) -> Vec<bool> {
        self.axes.iter().map(|axis| matches!(axis, Axis::Numeric(_))).collect()
    }

    pub(crate) fn label(&self, axis: usize) -> &'a str {
        self.labels[axis].0
    }

    pub(crate) fn kind(&self, axis: usize) -> &'a Kind {
        self.labels[axis].1
    }

    /// Returns how a label is modelled.
    pub(crate) fn axis(&self, axis: usize) -> &Axis {
        &self.axes[axis]
    }

    pub(crate) fn numeric(&self, axis: usize) -> Option<&Numeric> {
        match &self.axes[axis] {
            Axis::Numeric(numeric) => Some(numeric),
            Axis::Options(_) => None,
        }
    }

    /// Returns a configuration. Calls `choose` for the coordinate of each active label.
    pub(crate) fn walk(&self, choose: &mut dyn FnMut(usize) -> f64) -> Coordinates {
        let mut coordinates = vec![f64::NAN; self.labels.len()];
        follow(&self.roots, choose, &mut coordinates);
        coordinates
    }

    /// Returns the coordinates of a trial with these labels.
    pub(crate) fn coordinates(&self, labels: &std::collections::BTreeMap<String, serde_json::Value>) -> Coordinates {
        let of = |(label, kind): &(&str, &Kind)| kind.coordinate(label, labels).unwrap_or(f64::NAN);
        self.labels.iter().map(of).collect()
    }

    /// Returns the point of a configuration.
    pub(crate) fn point(&self, coordinates: &[f64]) -> Point {
        coordinates.iter().enumerate().map(|(axis, x)| self.place(axis, *x)).collect()
    }

    /// Returns the point of a configuration. Where it has the coordinate of another configuration, its place is the other's.
    pub(crate) fn point_near(&self, coordinates: &[f64], other: &[f64], point: &[f64]) -> Point {
        let place = |(axis, x): (usize, &f64)| if *x == other[axis] { point[axis] } else { self.place(axis, *x) };
        coordinates.iter().enumerate().map(place).collect()
    }

    fn place(&self, axis: usize, x: f64) -> f64 {
        match &self.axes[axis] {
            Axis::Numeric(numeric) if !x.is_nan() => {
                let z = numeric.z(x);
                match numeric.shape {
                    Shape::Uniform { lo, hi } => ((z - lo) / (hi - lo)).clamp(0.0, 1.0),
                    Shape::Normal { mu, sigma } => normal_cdf(z, mu, sigma),
                }
            }
            _ => x,
        }
    }

    /// Returns the coordinate nearest to a place on an ordered axis.
    pub(crate) fn coordinate(&self, axis: usize, place: f64) -> f64 {
        // Not the bounds themselves: the upper one could be rounded to a step beyond the last value, and those of a normal
        // distribution are infinite.
        draws::quantile(
            &Kind::Numeric(*self.numeric(axis).expect("the axis is ordered")),
            place.clamp(1e-9, 1.0 - 1e-9),
        )
    }
}

/// Adds the labels of an expression, which come in the order of [`Space::axes`]. `next` is the number of those before.
fn steps(expression: &Expression, next: &mut usize, to: &mut Vec<Step>) {
    match expression {
        Expression::Constant(_) => {}
        Expression::Object(items) => items.values().for_each(|inner| steps(inner, next, to)),
        Expression::Array(items) => items.iter().for_each(|inner| steps(inner, next, to)),
        Expression::Labelled { kind, .. } => {
            let axis = *next;
            *next += 1;
            let options: &[Expression] = if let Kind::Choice { options, .. } = kind { options } else { &[] };
            let of_option = |option| {
                let mut inner = Vec::new();
                steps(option, next, &mut inner);
                inner
            };
            to.push(Step { axis, inner: options.iter().map(of_option).collect() });
        }
    }
}

fn follow(steps: &[Step], choose: &mut dyn FnMut(usize) -> f64, coordinates: &mut Coordinates) {
    for Step { axis, inner } in steps {
        let chosen = choose(*axis);
        coordinates[*axis] = chosen;
        if !inner.is_empty() {
            follow(&inner[chosen as usize], choose, coordinates);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn inactive_labels_have_no_place() {
        let space: Space =
            serde_json::from_value(json!({"a": {"choice": [null, {"label": ["b", {"uniform": [0, 2]}]}]}})).unwrap();
        let layout = Layout::new(&space);
        let point =
            |labels: serde_json::Value| layout.point(&layout.coordinates(&serde_json::from_value(labels).unwrap()));
        assert_eq!(point(json!({"a": 0.5, "b": 0.5})), [1.0, 0.25]);
        let none = point(json!({"a": null}));
        assert!(none[0] == 0.0 && none[1].is_nan());
    }

    #[test]
    fn a_walk_asks_for_the_labels_that_the_space_asks_for() {
        let space: Space = serde_json::from_value(json!({
            "z": {"choice": [{"b": {"uniform": [0, 1]}}, [{"label": ["c", {"choice": [1, {"d": {"randint": 3}}]}]}, 5]]},
            "a": {"e": {"uniform": [0, 1]}},
        }))
        .unwrap();
        let layout = Layout::new(&space);
        for (of_z, of_c) in [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)] {
            let choose = |label: &str| match label {
                "z" => of_z,
                "c" => of_c,
                _ => 0.5,
            };
            let (mut asked, mut expected) = (Vec::new(), Vec::new());
            let found = layout.walk(&mut |axis| {
                asked.push(layout.label(axis).to_owned());
                choose(layout.label(axis))
            });
            space.walk(&mut |label, _| {
                expected.push(label.to_owned());
                choose(label)
            });
            assert_eq!(asked, expected);
            let active = |axis: usize| asked.iter().any(|label| label == layout.label(axis));
            assert!(found.iter().enumerate().all(|(axis, x)| x.is_nan() != active(axis)), "{found:?}");
        }
    }
}
