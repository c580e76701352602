//! Whether constraints leave anything of a space.

use super::{
    samplers::draws::{Chance, prior},
    spaces::{Constraint, MOST_POINTS, Proposal, Space, all},
};

/// The number of draws from an infinite space that are looked at.
const DRAWS: u32 = 2000;

/// Returns whether `allows` and `constraints` allow a point of the space. Of an infinite space, or one with more than a million points,
/// only draws from the prior are looked at. They are the same every time.
pub fn any_allowed(space: &Space, constraints: &[Constraint], allows: &dyn Fn(&Proposal) -> bool) -> bool {
    let allowed =
        |point: &Proposal| constraints.iter().all(|constraint| constraint.holds(&point.labels)) && allows(point);
    let draw = |trial_idx| {
        let chance = Chance { seed: 0, trial_idx, attempt: 0 };
        space.settle(&mut |label, kind| prior(kind, &mut chance.of(label)))
    };
    (0..DRAWS).map(draw).any(|point| allowed(&point))
        || all(space).is_some_and(|points| points.take(MOST_POINTS).any(|point| allowed(&point)))
}
