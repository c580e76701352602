//! The devices on which networks are computed.

use std::{fmt, str::FromStr};

use crate::choices;

choices! {
    /// The kind of device that a study computes on. Which one of several devices is not part of a key.
    #[derive(Copy, Eq, PartialOrd, Ord)]
    pub enum DeviceKind = Cpu {
        /// The processor, with kernels of our own that give the same bits on every processor.
        Cpu,
        /// An NVIDIA GPU, through burn and CUDA.
        Cuda,
        /// Any GPU, through burn and Vulkan, Metal or DirectX 12.
        Wgpu,
    }
}

impl DeviceKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Cuda, Self::Wgpu];

    /// Returns the kind as the command line names it, which is also the cargo feature of its builds.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Wgpu => "wgpu",
        }
    }

    /// Returns the kind as sentences name it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Cpu => "processor",
            Self::Cuda => "CUDA",
            Self::Wgpu => "wgpu",
        }
    }
}

choices! {
    /// The numbers that convolutions and dense layers multiply. All other numbers are f32: weights, sums, normalisation, losses, updates.
    #[derive(Copy, Eq, PartialOrd, Ord)]
    pub enum Precision = F32 {
        /// f32. NVIDIA's tensor cores round it to TF32, which has 11 bits of it.
        F32,
        /// bfloat16, which has 8 bits: faster, on CUDA only.
        Bf16,
    }
}

impl Precision {
    /// Both.
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// Returns what the command line calls it.
    pub fn word(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|precision| precision.word() == text);
        found.ok_or_else(|| "expected `f32` or `bf16`".to_owned())
    }
}

/// The device on which a stage computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComputeDevice {
    /// Its kind.
    pub kind: DeviceKind,
    /// The precision of its products.
    pub precision: Precision,
    /// Its number among those of its kind, from 0. Whoever executes an action chooses it, and it is not part of the action's key.
    pub ordinal: usize,
}

impl ComputeDevice {
    /// The processor.
    pub const CPU: Self = Self::of(DeviceKind::Cpu, 0);

    /// Returns the device of a kind with this number, for f32.
    pub const fn of(kind: DeviceKind, ordinal: usize) -> Self {
        Self { kind, precision: Precision::F32, ordinal }
    }
}

/// As on the command line: `cpu`, `cuda:0`. The precision is another option.
impl fmt::Display for ComputeDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            DeviceKind::Cpu => f.write_str("cpu"),
            kind => write!(f, "{}:{}", kind.word(), self.ordinal),
        }
    }
}

impl FromStr for ComputeDevice {
    type Err = String;

    /// Reads `cpu`, `cuda`, `cuda:1`, `wgpu` or `wgpu:1`. Without a number it is the first one.
    fn from_str(text: &str) -> Result<Self, String> {
        let (word, ordinal) = text.split_once(':').map_or((text, None), |(word, ordinal)| (word, Some(ordinal)));
        let kind = DeviceKind::ALL.into_iter().find(|kind| kind.word() == word);
        let ordinal = ordinal.map_or(Ok(0), str::parse);
        match (kind, ordinal) {
            (Some(DeviceKind::Cpu), _) if text == "cpu" => Ok(Self::CPU),
            (Some(kind), Ok(ordinal)) if kind != DeviceKind::Cpu => Ok(Self::of(kind, ordinal)),
            _ => Err("expected `cpu`, `cuda`, `wgpu`, or a number as in `cuda:1`".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for text in ["cpu", "cuda:0", "cuda:7", "wgpu:1"] {
            assert_eq!(text.parse::<ComputeDevice>().unwrap().to_string(), text);
        }
        assert_eq!("wgpu".parse(), Ok(ComputeDevice::of(DeviceKind::Wgpu, 0)));
        for text in ["", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "gpu", ":0"] {
            assert!(text.parse::<ComputeDevice>().is_err(), "{text}");
        }
    }
}
