//! Where networks compute, and the name of the numbers that come out.

use burn::tensor::Device;

use crate::stage::{ComputeDevice, StageError};

/// Returns the class of numerics: outputs of a stage that computes with burn are equal bit for bit within one class on
/// one kind of processor.
pub fn numerics() -> &'static str {
    "f32 flex-0.22.1 kernels-1"
}

/// Returns burn's device, without autodiff.
///
/// # Errors
/// If the build has no CUDA, or the machine no such card. Nothing else is ever taken in its place.
pub fn burn_device(device: ComputeDevice) -> Result<Device, StageError> {
    match device {
        ComputeDevice::Cpu => Ok(Device::flex()),
        ComputeDevice::Cuda { ordinal } => cuda(ordinal),
    }
}

#[cfg(feature = "cuda")]
fn cuda(ordinal: usize) -> Result<Device, StageError> {
    let cards = Device::enumerate(burn::tensor::DeviceType::Cuda).len();
    if ordinal < cards {
        return Ok(Device::cuda(ordinal));
    }
    Err(StageError::Environment {
        message: format!("there is no CUDA device {ordinal}: {cards} found"),
        hint: Some("use `--device cpu`, or check that the driver is installed".into()),
        source: None,
    })
}

#[cfg(not(feature = "cuda"))]
fn cuda(ordinal: usize) -> Result<Device, StageError> {
    Err(StageError::Environment {
        message: format!("CUDA device {ordinal} was asked for, and this build has no CUDA"),
        hint: Some("use `--device cpu`, or build with `--features cuda`".into()),
        source: None,
    })
}
