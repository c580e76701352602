//! Describes this machine, for provenance. Nothing here affects a key.

use std::{fs, sync::LazyLock};

use pipe_stages::{ComputeDevice, DeviceKind, network};
use serde_json::{Value, json};

use super::slurm::note::Place;
use crate::how::How;

/// Returns the model of the processor, as the system names it.
pub fn processor() -> &'static str {
    // Read once, because the system visits every core to answer.
    static MODEL: LazyLock<String> = LazyLock::new(|| {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()));
        model.unwrap_or(std::env::consts::ARCH).to_owned()
    });
    &MODEL
}

/// Returns the widest instruction set that the kernels use here. It affects how fast they are, not what they compute.
pub fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return "x86-64 AVX-512";
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            return "x86-64 AVX2 FMA";
        }
        "x86-64"
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::env::consts::ARCH
}

/// Returns the models of the NVIDIA GPUs of this machine, as their driver names them.
fn gpus() -> Vec<String> {
    let entries = fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
    let mut gpus: Vec<_> = entries.map(|entry| entry.path()).collect();
    gpus.sort();
    let model = |text: &String| {
        let line = text.lines().find_map(|line| line.strip_prefix("Model:"));
        line.map(|model| model.trim().to_owned())
    };
    let texts = gpus.iter().filter_map(|gpu| fs::read_to_string(gpu.join("information")).ok());
    texts.filter_map(|text| model(&text)).collect()
}

/// Returns the provenance of a result that a program made which was run as `how` says: besides the usual, what it was kept from, and the
/// GPUs if it used any.
pub fn provenance_of_program(how: &How) -> Value {
    let mut provenance = provenance("none", how.threads);
    provenance["sandbox"] = json!(how.sandbox.in_force());
    if how.gpus > 0 {
        provenance["gpus"] = json!({
            "used": how.gpus,
            "visible": std::env::var("CUDA_VISIBLE_DEVICES").ok(),
            "models": gpus(),
            "driver": nvidia_driver(),
        });
    }
    provenance
}

/// Returns the provenance of a result that is made on `device`: besides the usual, which GPU it is.
pub fn provenance_on(device: ComputeDevice, threads: usize) -> Value {
    let mut provenance = provenance(&device.to_string(), threads);
    let found = network::devices(device.kind).into_iter().flatten().nth(device.ordinal);
    if let Some(found) = found.filter(|_| device.kind != DeviceKind::Cpu) {
        let driver = if device.kind == DeviceKind::Cuda { nvidia_driver() } else { None };
        provenance["gpu"] = json!({ "model": found.name, "driver": driver });
    }
    provenance
}

/// Returns the first line that NVIDIA's driver says of itself.
fn nvidia_driver() -> Option<String> {
    let text = fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    text.lines().next().map(str::to_owned)
}

/// Returns the provenance of a result that was made on this machine: what to record beside it. Nothing depends on it.
pub fn provenance(device: &str, threads: usize) -> Value {
    let mut provenance = json!({
        "format": 1,
        "pipe": env!("CARGO_PKG_VERSION"),
        "processor": processor(),
        "instruction_set": instruction_set(),
        "device": device,
        "threads": threads,
    });
    let Place { host, job } = Place::of_this_process();
    if let Some(job) = job {
        provenance["host"] = json!(host);
        provenance["job"] = json!(job);
    }
    provenance
}
