//! What this machine is: for the executor's admissions and for provenance. Nothing here reaches a key.

use std::{fs, sync::LazyLock, thread};

use serde_json::{Value, json};

/// Returns the number of processors this process may use.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Returns the memory that can be had without swapping, in bytes, if the system tells.
pub fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Returns the processor's model, as the system names it.
pub fn processor() -> &'static str {
    // Asked for once: the system looks at every core to answer.
    static MODEL: LazyLock<String> = LazyLock::new(|| {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()));
        model.unwrap_or(std::env::consts::ARCH).to_owned()
    });
    &MODEL
}

/// Returns the widest instruction set that the kernels choose here: part of the numerics class.
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

/// Returns what stands beside a result of this machine: everything that explains, nothing that decides.
pub fn provenance(device: &str, threads: usize) -> Value {
    json!({
        "format": 1,
        "pipe": env!("CARGO_PKG_VERSION"),
        "processor": processor(),
        "instruction_set": instruction_set(),
        "device": device,
        "threads": threads,
    })
}
