//! Search spaces as plain data.

mod branches;
mod constraint;
mod expression;
mod extremes;
mod numeric;
mod parse;
mod points;
mod space;

pub(crate) use branches::Branch;
pub use constraint::Constraint;
pub(crate) use expression::{Axis, Kind};
pub use extremes::{End, Extreme, extremes};
pub(crate) use numeric::{Numeric, Shape};
pub use points::count;
pub(crate) use points::{all, in_order};
pub use space::Space;

pub use crate::records::Proposal;

#[cfg(test)]
pub(crate) use expression::Expression;
