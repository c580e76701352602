//! Where networks compute, and the name of the numbers that come out.

use crate::{
    network::kernels::Isa,
    stage::{ComputeDevice, StageError},
};

/// Where a network computes.
#[derive(Debug, Clone)]
pub enum Place {
    /// On this processor, with our kernels compiled for an instruction set.
    Cpu(Isa),
    /// On a device of burn, without autodiff.
    #[cfg(any(feature = "cuda", test))]
    Burn(burn::tensor::Device),
}

impl Place {
    /// Returns the place that `device` names.
    ///
    /// # Errors
    /// If the build has no CUDA, or the machine no such card. Nothing else is ever taken in its place.
    pub fn of(device: ComputeDevice) -> Result<Self, StageError> {
        match device {
            ComputeDevice::Cpu => Ok(Self::Cpu(Isa::detect())),
            ComputeDevice::Cuda { ordinal } => cuda(ordinal),
        }
    }
}

/// Returns the class of numerics: outputs of a stage that computes on a CPU are equal bit for bit within one class, on every
/// CPU.
pub fn numerics() -> &'static str {
    "canonical f32, kernels-2"
}

#[cfg(feature = "cuda")]
fn cuda(ordinal: usize) -> Result<Place, StageError> {
    use burn::tensor::{Device, DeviceType};

    let cards = Device::enumerate(DeviceType::Cuda).len();
    if ordinal < cards {
        return Ok(Place::Burn(Device::cuda(ordinal)));
    }
    Err(StageError::Environment {
        message: format!("there is no CUDA device {ordinal}: {cards} found"),
        hint: Some("use `--device cpu`, or check that the driver is installed".into()),
        source: None,
    })
}

#[cfg(not(feature = "cuda"))]
fn cuda(ordinal: usize) -> Result<Place, StageError> {
    Err(StageError::Environment {
        message: format!("CUDA device {ordinal} was asked for, and this build has no CUDA"),
        hint: Some("use `--device cpu`, or build with `--features cuda`".into()),
        source: None,
    })
}
