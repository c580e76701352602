//! Search spaces as plain data.

mod branches;
mod constraint;
mod expression;
mod numeric;
mod parse;
mod points;
mod space;

pub(crate) use branches::Branch;
pub use constraint::Constraint;
pub(crate) use expression::{Axis, Expression, Kind, comparable};
pub(crate) use numeric::{Numeric, Shape};
pub(crate) use parse::{call, kind_of};
pub use points::count;
pub(crate) use points::{MOST_POINTS, all, in_order};
pub use space::Space;

pub use crate::records::Proposal;
