//! What computes networks, and the name of the numbers that come out.

use crate::{
    network::kernels::Isa,
    stage::{ComputeDevice, StageError},
};

/// What computes a network.
#[derive(Debug, Clone)]
pub enum Backend {
    /// Our kernels on this processor, compiled for an instruction set.
    Cpu(Isa),
    /// burn on one of its devices, which is given without autodiff.
    #[cfg(any(feature = "cuda", test))]
    Burn(burn::tensor::Device),
}

impl Backend {
    /// Returns what computes on `device`.
    ///
    /// # Errors
    /// If the build has no CUDA or the machine no such card. Nothing else is ever taken instead.
    pub fn of(device: ComputeDevice) -> Result<Self, StageError> {
        match device {
            ComputeDevice::Cpu => Ok(Self::Cpu(Isa::detect())),
            ComputeDevice::Cuda { ordinal } => cuda(ordinal),
        }
    }
}

/// Returns the class of numerics. Within one class the outputs of a stage that computes on a CPU are equal bit for bit, on
/// every CPU.
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
        message: format!("there is no CUDA device {ordinal}: {cards} found"),
        hint: Some("use `--device cpu`, or check that the driver is installed".into()),
        source: None,
    })
}

#[cfg(not(feature = "cuda"))]
fn cuda(ordinal: usize) -> Result<Backend, StageError> {
    Err(StageError::Environment {
        message: format!("CUDA device {ordinal} was asked for, and this build has no CUDA"),
        hint: Some("use `--device cpu`, or build with `--features cuda`".into()),
        source: None,
    })
}
