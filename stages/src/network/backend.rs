//! The backends that compute networks, the devices that they find, and the numerics of their results.

use crate::{
    device::{ComputeDevice, DeviceKind},
    network::kernels::Isa,
    stage::StageError,
};

/// A backend that computes networks.
#[derive(Debug, Clone)]
pub enum Backend {
    /// Our kernels on this processor, compiled for an instruction set.
    Cpu(Isa),
    /// burn on one of its devices. The device must be without autodiff.
    #[cfg(any(feature = "gpu", test))]
    Burn(burn::tensor::Device),
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
}

/// Why there is no device of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this build of `pipe` has no {}", .kind.title())]
pub struct NotBuilt {
    kind: DeviceKind,
}

impl NotBuilt {
    /// Returns what to do about it.
    pub fn hint(self) -> String {
        format!("build it with `cargo build --release --features {}`, or use `--device cpu`", self.kind.word())
    }
}

/// Returns the devices of a kind that this machine has. To learn their names, they are opened.
///
/// # Errors
/// If this build knows none of this kind.
pub fn devices(kind: DeviceKind) -> Result<Vec<FoundDevice>, NotBuilt> {
    if kind == DeviceKind::Cpu {
        return Ok(vec![FoundDevice {
            device: ComputeDevice::CPU,
            name: String::new(),
            is_software: false,
            largest_buffer: None,
        }]);
    }
    #[cfg(feature = "gpu")]
    if let Some(filter) = filter(kind) {
        let found = usable(filter).into_iter().enumerate();
        let named = |(ordinal, device): (usize, burn::tensor::Device)| {
            let identity = device.identity();
            FoundDevice {
                device: ComputeDevice { kind, ordinal },
                is_software: identity.as_ref().is_some_and(|identity| identity.physical.is_none()),
                name: identity.map_or_else(String::new, |identity| identity.name),
                largest_buffer: super::on_burn::kernels::largest_buffer(&device),
            }
        };
        return Ok(found.map(named).collect());
    }
    Err(NotBuilt { kind })
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
    /// If this build has no such devices, or the machine does not have this one. There is no fallback to another device.
    pub fn of(device: ComputeDevice) -> Result<Self, StageError> {
        if device.kind == DeviceKind::Cpu {
            return Ok(Self::Cpu(Isa::detect()));
        }
        #[cfg(feature = "gpu")]
        if let Some(filter) = filter(device.kind) {
            let found = usable(filter);
            let n = found.len();
            return match found.into_iter().nth(device.ordinal) {
                Some(found) => Ok(Self::Burn(found)),
                None => Err(StageError::Environment {
                    message: absent(device, n),
                    hint: Some(driver_hint(device.kind).into()),
                    source: None,
                }),
            };
        }
        let why = NotBuilt { kind: device.kind };
        Err(StageError::Environment { message: why.to_string(), hint: Some(why.hint()), source: None })
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
pub fn numerics(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Cpu => "canonical f32, kernels-3",
        DeviceKind::Cuda => "f32 tf32, burn-cuda 0.22.1, kernels-1",
        DeviceKind::Wgpu => "f32, burn-wgpu 0.22.1, kernels-1",
    }
}
