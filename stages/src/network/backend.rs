//! The backends that compute networks, and the numerics of their results.

use crate::{
    network::kernels::Isa,
    stage::{ComputeDevice, StageError},
};

/// A backend that computes networks.
#[derive(Debug, Clone)]
pub enum Backend {
    /// Our kernels on this processor, compiled for an instruction set.
    Cpu(Isa),
    /// burn on one of its devices. The device must be without autodiff.
    #[cfg(any(feature = "cuda", test))]
    Burn(burn::tensor::Device),
}

impl Backend {
    /// Returns the backend for `device`.
    ///
    /// # Errors
    /// If this build has no CUDA, or the machine does not have this device. There is no fallback to another device.
    pub fn of(device: ComputeDevice) -> Result<Self, StageError> {
        match device {
            ComputeDevice::Cpu => Ok(Self::Cpu(Isa::detect())),
            ComputeDevice::Cuda { ordinal } => cuda(ordinal),
        }
    }
}

/// Returns the name of the class of numerics. Two builds with the same class compute bit-identical outputs on any two CPUs.
pub fn numerics() -> &'static str {
    "canonical f32, kernels-2"
}

#[cfg(feature = "cuda")]
fn cuda(ordinal: usize) -> Result<Backend, StageError> {
    use burn::tensor::{Device, DeviceType};

    let cards = Device::enumerate(DeviceType::Cuda).len();
    if ordinal < cards {
        return Ok(Backend::Burn(Device::cuda(ordinal)));
    }
    Err(StageError::Environment {
        message: format!("there is no CUDA device {ordinal}: this machine has {cards}"),
        hint: Some("use `--device cpu`, or check that the driver is installed".into()),
        source: None,
    })
}

#[cfg(not(feature = "cuda"))]
fn cuda(ordinal: usize) -> Result<Backend, StageError> {
    Err(StageError::Environment {
        message: format!("CUDA device {ordinal} is not available: this build has no CUDA"),
        hint: Some("use `--device cpu`, or build with `--features cuda`".into()),
        source: None,
    })
}
