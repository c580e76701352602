//! The training loop, with its losses, optimizers and schedules, and the history and checkpoints that it produces.

mod class_weights;
pub(crate) mod data;
mod freeze;
pub(crate) mod histograms;
pub(crate) mod history;
pub(crate) mod keep;
pub(crate) mod loss;
mod metric;
pub(crate) mod mixed;
mod objective;
#[cfg(feature = "gpu")]
mod on_device;
mod on_host;
pub(crate) mod optimizer;
pub(crate) mod order;
mod penalty;
mod run;
pub(crate) mod schedule;
mod settings;
pub(crate) mod state;
pub(crate) mod tally;
mod tiny;
pub(crate) mod trainer;
mod transfer;

pub use class_weights::ClassWeights;
pub(crate) use class_weights::Unweighted;
pub(crate) use freeze::frozen;
pub use histograms::{Histogram, Histograms};
pub use keep::Keep;
pub use loss::Loss;
pub use metric::{Better, Figure, better, larger_is_better};
pub use objective::{AnyObjective, At, EarlyStopping, MetricName, Objective};
pub use optimizer::OptimizerKind;
pub use order::Sampling;
pub use schedule::{Cosine, Schedule, Staircase};
pub use settings::BATCH;
pub(crate) use settings::Settings;
pub use transfer::{Init, InitWeights};
pub(crate) use transfer::{TransferError, transfer};
