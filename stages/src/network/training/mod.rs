//! The training loop, with its losses, optimizers and schedules, and the history and checkpoints that it produces.

pub(crate) mod data;
pub(crate) mod histograms;
pub(crate) mod history;
pub(crate) mod keep;
pub(crate) mod loss;
mod mixed;
mod objective;
pub(crate) mod optimizer;
pub(crate) mod run;
pub(crate) mod schedule;
mod settings;
pub(crate) mod state;

pub use histograms::{Histogram, Histograms};
pub use keep::Keep;
pub use loss::Loss;
pub use objective::{At, EarlyStopping, MetricName, Objective};
pub use optimizer::OptimizerKind;
pub use schedule::{Cosine, Schedule, Staircase};
pub use settings::BATCH;
pub(crate) use settings::Settings;
