//! Networks: an [`Architecture`] is plain data, a family builds one from a proposal, and a [`Network`] computes with it.

pub mod architecture;
mod awake;
mod backend;
mod compute;
pub mod error;
pub mod families;
pub mod function;
mod grad_cam;
mod initialiser;
pub(crate) mod kernels;
pub mod layers;
#[cfg(any(feature = "gpu", test))]
pub(crate) mod on_burn;
mod on_cpu;
pub mod padding;
mod pass;
mod predictor;
#[cfg(test)]
mod tests;
pub mod training;
mod weights;
pub mod written_out;

pub use architecture::{Architecture, Builder, Layer};
#[cfg(feature = "gpu")]
pub use backend::keep_kernels;
pub use backend::{
    Backend, FoundDevice, NoDevices, PRECISION_HINT, absent, device_failed, devices, driver_hint, lacking, numerics,
};
pub use compute::Network;
pub use error::ModelError;
pub use families::{Family, Proposed, TABLES, Table, TableFamily};
pub use function::Function;
pub use grad_cam::GradCam;
pub use initialiser::Initialiser;
pub use kernels::buffer::Buffer;
pub use layers::LayerKind;
pub use padding::Padding;
pub use pass::{Forward, Mode, Pass, Response};
pub use predictor::Predictor;
pub use weights::{Weight, Weights};
pub use written_out::Layers;
