//! The points of a finite space, one after the other.

use super::{constraint::Constraint, space::Space};
use crate::records::Proposal;

/// The most points that are counted. A larger space counts as infinite.
pub(crate) const MOST_POINTS: usize = 1_000_000;

/// Returns every point of the space, or `None` if the space is infinite. Labels are ordered by key, and a choice comes before
/// the labels of its options. The last label changes fastest.
pub(crate) fn all(space: &Space) -> Option<Points<'_>> {
    in_order(space, &[])
}

/// Returns the points as [`all`] does, but with the top-level keys in `first` before the others, so that they change slowest.
pub(crate) fn in_order<'a>(space: &'a Space, first: &'a [String]) -> Option<Points<'a>> {
    let countable = space.axes().iter().all(|(_, kind)| kind.count().is_some());
    countable.then_some(Points { space, first, digits: Some(Vec::new()) })
}

/// Returns the number of points that `constraints` allow, if it is at most `most` and the space has at most a million points.
pub fn count(space: &Space, constraints: &[Constraint], most: u32) -> Option<u32> {
    let mut looked_at = 0;
    let mut found = 0;
    for point in all(space)? {
        looked_at += 1;
        found += u32::from(constraints.iter().all(|constraint| constraint.holds(&point.labels)));
        if found > most || looked_at > MOST_POINTS {
            return None;
        }
    }
    Some(found)
}

/// The iterator that [`all`] returns. It counts through sequences of choices, like the digits of a number, except that earlier
/// digits decide how many later ones there are.
pub(crate) struct Points<'a> {
    space: &'a Space,
    first: &'a [String],
    /// (choice, number of choices) for each label of the next point. `None` after the last point.
    digits: Option<Vec<(u64, u64)>>,
}

impl Iterator for Points<'_> {
    type Item = Proposal;

    fn next(&mut self) -> Option<Proposal> {
        let mut digits = self.digits.take()?;
        let mut asked = 0;
        let point = self.space.settle_in_order(self.first, &mut |_, kind| {
            if asked == digits.len() {
                digits.push((0, kind.count().expect("the space is finite")));
            }
            asked += 1;
            kind.nth(digits[asked - 1].0)
        });
        while let Some((chosen, of)) = digits.pop() {
            if chosen + 1 < of {
                digits.push((chosen + 1, of));
                self.digits = Some(digits);
                break;
            }
        }
        Some(point)
    }
}
