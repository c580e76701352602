//! The points of a space whose axes can all be counted, one after the other.

use super::{Proposal, Space, constraint::Constraint};

/// Points that are looked at to find those that constraints allow: beyond that, a space counts as endless.
const MOST: usize = 1_000_000;

/// Returns every point of the space, the axis that is asked last (labels are asked in the order of keys, a choice before
/// the labels of its options) moving fastest; nothing if an axis cannot be counted.
pub(super) fn all(space: &Space) -> Option<Points<'_>> {
    in_order(space, &[])
}

/// Returns the same with the top-level keys in `first` asked before the others, so that they move slowest.
pub(super) fn in_order<'a>(space: &'a Space, first: &'a [String]) -> Option<Points<'a>> {
    let countable = space.axes().iter().all(|(_, kind)| kind.count().is_some());
    countable.then_some(Points { space, first, digits: Some(Vec::new()) })
}

/// Returns how many points there are that `constraints` allow, if that is at most `most` and can be told.
pub fn count(space: &Space, constraints: &[Constraint], most: u32) -> Option<u32> {
    let mut looked_at = 0;
    let mut found = 0;
    for point in all(space)? {
        looked_at += 1;
        found += u32::from(constraints.iter().all(|constraint| constraint.holds(&point.labels)));
        if found > most || looked_at > MOST {
            return None;
        }
    }
    Some(found)
}

/// See [`all`]. A point is named by what was chosen for each label on the way, like the digits of a number whose later
/// digits depend on the earlier ones.
pub(super) struct Points<'a> {
    space: &'a Space,
    first: &'a [String],
    /// (what is chosen, of how many) for the next point; nothing after the last.
    digits: Option<Vec<(u64, u64)>>,
}

impl Iterator for Points<'_> {
    type Item = Proposal;

    fn next(&mut self) -> Option<Proposal> {
        let mut digits = self.digits.take()?;
        let mut asked = 0;
        let point = self.space.settle_in_order(self.first, &mut |_, kind| {
            if asked == digits.len() {
                digits.push((0, kind.count().expect("only spaces that can be counted are listed")));
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
