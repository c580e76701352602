//! Pictures of a study as SVG: pure functions of a store and a study.
//!
//! They are drawn without a plotting library, so that a picture follows the reader's light or dark mode, distinguishes kinds by
//! dashes and shapes as well as by colour, has a title for screen readers, and has a few kilobytes, equal for equal studies.
//! (plotters 0.3.7 writes colours and whole pixels into every element, has no classes, and draws a dash as many lines.)

mod axis;
pub(crate) mod chart;
pub mod confusion;
mod contour;
mod convergence;
pub(crate) mod curves;
pub(crate) mod declared;
pub mod diagram;
pub(crate) mod difference;
mod edf;
mod frame;
pub(crate) mod front;
pub mod graph;
mod histogram;
pub(crate) mod history;
mod importances;
mod kind;
mod layout;
mod matrix;
pub(crate) mod overlay;
pub(crate) mod palette;
mod parallel;
mod rank;
pub mod reliability;
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

pub(crate) use self::{kind::histories, svg::is_forbidden, table::Table};
pub use self::{
    kind::{ShownColumns, TrialPicture, draw},
    svg::Picture,
    table::Trim,
};
