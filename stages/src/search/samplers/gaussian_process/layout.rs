//! Trials as points, and the distance between two points.

use super::super::normal::normal_cdf;
use crate::search::spaces::{Axis, Kind, Shape, Space};

/// The order of the labels in a [`Point`].
pub(crate) struct Layout<'a> {
    labels: Vec<(&'a str, &'a Kind)>,
}

/// A trial in the model: the place of each label, or `None` if the label is not active.
pub(crate) type Point = Vec<Option<Coordinate>>;

/// The place of a label's value on its axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Coordinate {
    /// The value on an ordered axis, as the mass of the prior below it, from 0 to 1.
    At(f64),
    /// The option on an unordered axis.
    Option(u64),
}

impl<'a> Layout<'a> {
    pub(crate) fn new(space: &'a Space) -> Self {
        Self { labels: space.axes() }
    }

    pub(crate) fn n_labels(&self) -> usize {
        self.labels.len()
    }

    /// Returns the point with these coordinates.
    pub(crate) fn of(&self, coordinate: &dyn Fn(&str, &Kind) -> Option<f64>) -> Point {
        let place = |(label, kind): &(&str, &Kind)| {
            let x = coordinate(label, kind)?;
            Some(match kind.axis() {
                Axis::Options(_) => Coordinate::Option(x as u64),
                Axis::Numeric(numeric) => {
                    let z = numeric.z(x);
                    Coordinate::At(match numeric.shape {
                        Shape::Uniform { lo, hi } => ((z - lo) / (hi - lo)).clamp(0.0, 1.0),
                        Shape::Normal { mu, sigma } => normal_cdf(z, mu, sigma),
                    })
                }
            })
        };
        self.labels.iter().map(place).collect()
    }
}

/// Returns the squared distance of two trials in one label. An inactive label has the distance 1 from the middle of the axis, and
/// any two options have the distance 1, so that the distances are those of a Euclidean space.
fn distance(a: Option<Coordinate>, b: Option<Coordinate>) -> f64 {
    match (a, b) {
        (None, None) => 0.0,
        (Some(Coordinate::At(a)), Some(Coordinate::At(b))) => (a - b) * (a - b),
        (Some(Coordinate::Option(a)), Some(Coordinate::Option(b))) => f64::from(u8::from(a != b)),
        (Some(Coordinate::At(a)), None) | (None, Some(Coordinate::At(a))) => 1.0 + (a - 0.5) * (a - 0.5),
        _ => 1.0,
    }
}

/// Returns the squared distance of two points in each label.
pub(crate) fn distances(a: &Point, b: &Point) -> impl Iterator<Item = f64> {
    a.iter().zip(b).map(|(a, b)| distance(*a, *b))
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
        let point = |labels: serde_json::Value| {
            let labels = serde_json::from_value(labels).unwrap();
            layout.of(&|label, kind| kind.coordinate(label, &labels))
        };
        let (none, low, high) =
            (point(json!({"a": null})), point(json!({"a": 0.5, "b": 0.5})), point(json!({"a": 1.5, "b": 1.5})));
        let apart = |a: &Point, b: &Point| distances(a, b).collect::<Vec<_>>();
        assert_eq!(apart(&low, &high), [0.0, 0.25]);
        assert_eq!(apart(&none, &low), [1.0, 1.0625]);
        assert_eq!(apart(&none, &none), [0.0, 0.0]);
    }
}
