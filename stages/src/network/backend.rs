//! The backends that compute networks, the devices that they find, and the numerics of their results.

#[cfg(feature = "gpu")]
use crate::panics;
use crate::{
    device::{ComputeDevice, DeviceKind, Precision},
    network::kernels::Isa,
    stage::StageError,
};

/// A backend that computes networks.
#[derive(Debug, Clone)]
pub enum Backend {
    /// Our kernels on this processor, compiled for an instruction set.
    Cpu(Isa),
    /// burn on one of its devices, which must be without autodiff, with products of this precision.
    #[cfg(any(feature = "gpu", test))]
    Burn(burn::tensor::Device, Precision),
}

/// A device that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDevice {
    /// What it is called on the command line.
    pub device: ComputeDevice,
    /// What it calls itself. Empty for the processor.
    pub name: String,
    /// Whether it is a driver that computes on the processor.
    pub is_software: bool,
    /// The length of the largest buffer that it allocates, in bytes, if it is a GPU.
    pub largest_buffer: Option<u64>,
    /// The precisions of products that it can be asked for.
    pub precisions: Vec<Precision>,
}

/// Why there is no device of a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoDevices {
    /// This build knows none.
    #[error("this build of `pipe` has no {}", .0.title())]
    NotBuilt(DeviceKind),
    /// burn panicked when it looked for them.
    #[error("the driver of {} cannot be used: {message}", .kind.title())]
    Driver {
        /// The kind.
        kind: DeviceKind,
        /// What burn or the driver said.
        message: String,
    },
}

impl NoDevices {
    /// Returns what to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NotBuilt(kind) => {
                format!("build it with `cargo build --release --features {}`, or use `--device cpu`", kind.word())
            }
            Self::Driver { message, .. } if is_too_old(message) => TOO_OLD.to_owned(),
            Self::Driver { kind, .. } => driver_hint(*kind).to_owned(),
        }
    }
}

impl From<NoDevices> for StageError {
    fn from(why: NoDevices) -> Self {
        Self::Environment { message: why.to_string(), hint: Some(why.hint()), source: None }
    }
}

/// Returns whether a message says that the driver lacks a function.
fn is_too_old(message: &str) -> bool {
    message.to_lowercase().contains("missing symbol")
}

/// What to do if the driver lacks a function. The latest of those that burn calls came with CUDA 12.8.
const TOO_OLD: &str = "the driver is too old (`nvidia-smi` says which it is): NVIDIA's driver 570 or later, which has CUDA 12.8, is needed; \
                       `--device cpu` needs none";

/// Returns the devices of a kind that this machine has. To learn their names, they are opened.
///
/// # Errors
/// If this build knows none of this kind, or their driver cannot be used.
pub fn devices(kind: DeviceKind) -> Result<Vec<FoundDevice>, NoDevices> {
    if kind == DeviceKind::Cpu {
        return Ok(vec![FoundDevice {
            device: ComputeDevice::CPU,
            name: String::new(),
            is_software: false,
            largest_buffer: None,
            precisions: vec![Precision::F32],
        }]);
    }
    #[cfg(feature = "gpu")]
    if let Some(filter) = filter(kind) {
        let named = |(ordinal, device): (usize, burn::tensor::Device)| {
            let identity = device.identity();
            FoundDevice {
                device: ComputeDevice::of(kind, ordinal),
                is_software: identity.as_ref().is_some_and(|identity| identity.physical.is_none()),
                name: identity.map_or_else(String::new, |identity| identity.name),
                largest_buffer: super::on_burn::kernels::largest_buffer(&device),
                precisions: Precision::ALL
                    .into_iter()
                    .filter(|&precision| computes(&device, kind, precision))
                    .collect(),
            }
        };
        let look = || usable(filter).into_iter().enumerate().map(named).collect();
        return panics::caught(look).map_err(|message| NoDevices::Driver { kind, message });
    }
    Err(NoDevices::NotBuilt(kind))
}

/// Returns the devices that burn finds and that its kernels run on.
#[cfg(feature = "gpu")]
fn usable(filter: burn::tensor::DeviceType) -> Vec<burn::tensor::Device> {
    let found = burn::tensor::Device::enumerate(filter).into_iter();
    // burn never uses such operations on drivers that compute on the processor, so those say that they have none.
    let is_software =
        |device: &burn::tensor::Device| device.identity().is_some_and(|identity| identity.physical.is_none());
    found.filter(|device| super::on_burn::kernels::has_plane_operations(device) || is_software(device)).collect()
}

/// Returns whether a device of this kind multiplies numbers of this precision.
#[cfg(feature = "gpu")]
fn computes(device: &burn::tensor::Device, kind: DeviceKind, precision: Precision) -> bool {
    use burn::tensor::DType;

    match precision {
        Precision::F32 => true,
        // Of other kinds, nothing is known of how fast or exact it is.
        Precision::Bf16 => kind == DeviceKind::Cuda && device.supports_dtype(DType::BF16),
    }
}

/// Returns burn's name of a kind of GPU, if this build has it.
#[cfg(feature = "gpu")]
fn filter(kind: DeviceKind) -> Option<burn::tensor::DeviceType> {
    match kind {
        #[cfg(feature = "cuda")]
        DeviceKind::Cuda => Some(burn::tensor::DeviceType::Cuda),
        #[cfg(feature = "wgpu")]
        DeviceKind::Wgpu => Some(burn::tensor::DeviceType::Wgpu),
        _ => None,
    }
}

impl Backend {
    /// Returns the backend for `device`.
    ///
    /// # Errors
    /// If this build has no such devices, or the machine does not have this one, or it has not the precision. There is no fallback to
    /// another device or precision.
    pub fn of(device: ComputeDevice) -> Result<Self, StageError> {
        let lacks =
            || StageError::Environment { message: lacking(device), hint: Some(PRECISION_HINT.into()), source: None };
        if device.kind == DeviceKind::Cpu {
            return if device.precision == Precision::F32 { Ok(Self::Cpu(Isa::detect())) } else { Err(lacks()) };
        }
        #[cfg(feature = "gpu")]
        if let Some(filter) = filter(device.kind) {
            let look = || {
                let found = usable(filter);
                let n = found.len();
                let one = found.into_iter().nth(device.ordinal);
                (one.map(|one| (computes(&one, device.kind, device.precision), one)), n)
            };
            let (found, n) =
                panics::caught(look).map_err(|message| NoDevices::Driver { kind: device.kind, message })?;
            return match found {
                Some((false, _)) => Err(lacks()),
                Some((true, found)) => Ok(Self::Burn(found, device.precision)),
                None => Err(StageError::Environment {
                    message: absent(device, n),
                    hint: Some(driver_hint(device.kind).into()),
                    source: None,
                }),
            };
        }
        Err(NoDevices::NotBuilt(device.kind).into())
    }
}

/// Keeps what burn learns about a device in `folder`, for later processes: which of its kernels are fast for which shapes, and the compiled
/// kernels. Call it before any device is used. Only time depends on what is there: a folder that cannot be used costs the learning again.
///
/// burn's own settings (`cubecl.toml`, `burn.toml`) are not read.
#[cfg(feature = "gpu")]
pub fn keep_kernels(folder: &std::path::Path) {
    use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig, cache::CacheConfig};

    // The variables CUBECL_.. stay in force: they are how burn is looked into.
    let mut config = CubeClRuntimeConfig::default().override_from_env();
    config.environment.path = CacheConfig::Directory(folder.to_owned());
    config.compilation.cache = true;
    CubeClRuntimeConfig::try_set(config);
}

/// Says that a device is not among those that were found.
pub fn absent(device: ComputeDevice, found: usize) -> String {
    let (kind, title) = (device.kind.word(), device.kind.title());
    match found {
        0 => format!("there is no device `{device}`: no {title} device was found"),
        1 => format!("there is no device `{device}`: one {title} device was found, `{kind}:0`"),
        n => format!("there is no device `{device}`: {n} {title} devices were found, `{kind}:0` to `{kind}:{}`", n - 1),
    }
}

/// Says that a device does not have the precision that is asked for.
pub fn lacking(device: ComputeDevice) -> String {
    format!("the device `{device}` does not compute with {}", device.precision.word())
}

/// What to do about it.
pub const PRECISION_HINT: &str = "`--precision f32` runs everywhere; bf16 needs `--device cuda` and a card of compute capability 8.0 or later (`pipe devices`)";

/// Says what to do if a device of a kind is not found.
pub fn driver_hint(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Cpu => "use `--device cpu`",
        DeviceKind::Cuda => "is NVIDIA's driver installed (`nvidia-smi`)? `--device cpu` needs none",
        DeviceKind::Wgpu => {
            "is a driver for Vulkan installed (`vulkaninfo`; Debian's `mesa-vulkan-drivers`)? `--device cpu` needs none"
        }
    }
}

/// Returns the error of a computation on a GPU that ended with this message of burn or of a driver. It is no result: what failed is the
/// device.
pub fn device_failed(device: &str, message: &str) -> StageError {
    let said = message.to_lowercase();
    let hint = if said.contains("memory") {
        "use a smaller `batch` or network, or a lower `--jobs-per-device`"
    } else if is_too_old(message) {
        TOO_OLD
    } else if said.contains("nvrtc") || said.contains("cuda installation") || said.contains("shared library") {
        "CUDA's run-time compiler is needed: install `libnvrtc` and the headers of CUDA, and set CUDA_PATH to their folder"
    } else if said.contains("lost") || said.contains("poisoned") {
        "the driver has given the device up: `dmesg` may say why; the next run goes on from the last checkpoint"
    } else {
        "`pipe logs NODE` shows what it said; `--device cpu` needs no GPU"
    };
    StageError::Environment {
        message: format!("the computation on {device} failed: {message}"),
        hint: Some(hint.into()),
        source: None,
    }
}

/// Returns the name of the class of numerics, which is part of an action. On CPUs, computations of the same class give the same bits
/// on every machine. On GPUs they give the same numbers within a tolerance. The class includes how dropout masks are drawn.
pub fn numerics(kind: DeviceKind, precision: Precision) -> &'static str {
    match (kind, precision) {
        // Only CUDA computes with bf16.
        (DeviceKind::Cpu, _) => "canonical f32, kernels-3",
        (DeviceKind::Wgpu, _) => "f32, burn-wgpu 0.22.1, kernels-1",
        (DeviceKind::Cuda, Precision::F32) => "f32 tf32, burn-cuda 0.22.1, kernels-1",
        (DeviceKind::Cuda, Precision::Bf16) => "f32 bf16, burn-cuda 0.22.1, kernels-1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_that_lacks_a_function_is_too_old() {
        let message = "Missing symbol cuEventElapsedTime_v2: libcuda.so.1: undefined symbol";
        let why = NoDevices::Driver { kind: DeviceKind::Cuda, message: message.into() };
        assert!(why.hint().contains("NVIDIA's driver 570 or later"));
        let StageError::Environment { hint: Some(hint), .. } = device_failed("`cuda:0`", message) else { panic!() };
        assert_eq!(hint, why.hint());
    }
}
