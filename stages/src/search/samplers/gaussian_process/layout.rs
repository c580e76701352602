//! Trials as points, and the distance between two points.

use super::super::{draws, normal::normal_cdf};
use crate::search::spaces::{Axis, Kind, Numeric, Shape, Space};

/// The order of the labels in a [`Point`].
pub(crate) struct Layout<'a> {
    space: &'a Space,
    labels: Vec<(&'a str, &'a Kind)>,
    axes: Vec<Axis>,
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
        Self { space, labels, axes }
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

    pub(crate) fn numeric(&self, axis: usize) -> Option<&Numeric> {
        match &self.axes[axis] {
            Axis::Numeric(numeric) => Some(numeric),
            Axis::Options(_) => None,
        }
    }

    /// Returns a configuration. Calls `choose` for the coordinate of each active label.
    pub(crate) fn walk(&self, choose: &mut dyn FnMut(usize) -> f64) -> Coordinates {
        let mut coordinates = vec![f64::NAN; self.labels.len()];
        let mut from = 0;
        self.space.walk(&mut |label, _| {
            // Labels come in the order of the axes, but those of options that are not chosen are skipped.
            let ahead = self.labels[from..].iter().position(|(known, _)| *known == label);
            let axis = from + ahead.expect("the axes are those of the space");
            from = axis + 1;
            coordinates[axis] = choose(axis);
            coordinates[axis]
        });
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

/// The squared distance between an inactive label and the middle of its axis.
const APART: f64 = 0.25;

/// Returns the squared distance of two places on an axis. An inactive label is [`APART`] from the middle of the axis, and from every
/// option. Any two options have the distance 1, so that the distances are those of a Euclidean space.
pub(crate) fn distance(ordered: bool, a: f64, b: f64) -> f64 {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => 0.0,
        (false, false) if ordered => (a - b) * (a - b),
        (false, false) => f64::from(u8::from(a != b)),
        (true, false) if ordered => APART + (b - 0.5) * (b - 0.5),
        (false, true) if ordered => APART + (a - 0.5) * (a - 0.5),
        _ => APART,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn active_and_inactive_labels_have_a_distance() {
        let space: Space =
            serde_json::from_value(json!({"a": {"choice": [null, {"label": ["b", {"uniform": [0, 2]}]}]}})).unwrap();
        let layout = Layout::new(&space);
        let point =
            |labels: serde_json::Value| layout.point(&layout.coordinates(&serde_json::from_value(labels).unwrap()));
        let (none, low, high) =
            (point(json!({"a": null})), point(json!({"a": 0.5, "b": 0.5})), point(json!({"a": 1.5, "b": 1.5})));
        let apart = |a: &Point, b: &Point| {
            let ordered = layout.ordered();
            (0..2).map(|axis| distance(ordered[axis], a[axis], b[axis])).collect::<Vec<_>>()
        };
        assert_eq!(apart(&low, &high), [0.0, 0.25]);
        assert_eq!(apart(&none, &low), [1.0, 0.3125]);
        assert_eq!(apart(&none, &none), [0.0, 0.0]);
    }
}
