//! Pictures of a study as SVG: pure functions of a store and a study. Drawn here and not with a plotting library, so that a
//! picture follows its reader's light or dark, tells kinds apart by dashes and forms, names itself for those who cannot see
//! it, and is a few kilobytes of equal bytes for equal studies (plotters 0.3.7 was weighed: it writes colours and whole
//! pixels into every element, has no classes, and draws a dash as many lines).

mod axis;
pub(crate) mod chart;
mod contour;
pub(crate) mod curves;
pub mod diagram;
mod frame;
mod histogram;
pub(crate) mod history;
mod importances;
mod kind;
mod layout;
pub(crate) mod palette;
mod parallel;
mod repeats;
mod scatter3d;
mod scatter_matrix;
mod shade;
mod slice;
pub(crate) mod spread;
mod svg;
mod table;
#[cfg(test)]
mod tests;
pub mod timeline;

pub(crate) use self::{kind::histories, table::Table};
pub use self::{
    kind::{Choice, TrialPicture, draw},
    svg::Picture,
    table::Trim,
};
