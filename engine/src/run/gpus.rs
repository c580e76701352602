//! The GPUs that programs may be given.

use std::process::{Command, Stdio};

/// The variable that says which GPUs a program sees.
const VARIABLE: &str = "CUDA_VISIBLE_DEVICES";

/// Returns the GPUs that this process sees, by index or by UUID: those in `CUDA_VISIBLE_DEVICES`, otherwise those that the driver
/// lists. None if there is no driver.
pub(super) fn visible() -> Vec<String> {
    match std::env::var(VARIABLE) {
        Ok(value) => in_variable(&value),
        Err(_) => in_list(&list()),
    }
}

/// Returns whether this process is part of a job of Slurm.
pub(super) fn is_in_slurm() -> bool {
    std::env::var_os("SLURM_JOB_ID").is_some()
}

/// Returns the devices in a value of the variable. As CUDA does, it ends at the first that is none, such as `-1`.
fn in_variable(value: &str) -> Vec<String> {
    let mut devices: Vec<String> = Vec::new();
    for device in value.split(',').map(str::trim) {
        if device.is_empty() || device.starts_with('-') {
            break;
        }
        if !devices.iter().any(|known| known == device) {
            devices.push(device.to_owned());
        }
    }
    devices
}

/// Returns what `nvidia-smi -L` prints. Nothing if it cannot be run.
fn list() -> String {
    let output = Command::new("nvidia-smi").arg("-L").stdin(Stdio::null()).stderr(Stdio::null()).output();
    let printed = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    String::from_utf8_lossy(&printed.unwrap_or_default()).into_owned()
}

/// Returns the devices in that list: `GPU 0: NVIDIA H200 (UUID: GPU-..)`. Of a GPU that is divided, its parts, which follow it:
/// `  MIG 1g.18gb Device 0: (UUID: MIG-..)`.
fn in_list(list: &str) -> Vec<String> {
    let mut devices: Vec<String> = Vec::new();
    let mut whole = None;
    for line in list.lines() {
        if let Some((index, _)) = line.strip_prefix("GPU ").and_then(|rest| rest.split_once(':')) {
            devices.extend(whole.replace(index.to_owned()));
        } else if let Some((_, part)) = line.split_once("(UUID: MIG-") {
            whole = None;
            devices.push(format!("MIG-{}", part.trim_end().trim_end_matches(')')));
        }
    }
    devices.extend(whole);
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_devices_of_the_variable_end_at_the_first_that_is_none() {
        for (value, devices) in [
            ("", &[] as &[&str]),
            ("0", &["0"]),
            ("2, 0,2", &["2", "0"]),
            ("-1", &[]),
            ("1,-1,0", &["1"]),
            ("GPU-8f1a,MIG-2b", &["GPU-8f1a", "MIG-2b"]),
        ] {
            assert_eq!(in_variable(value), devices, "{value}");
        }
    }

    #[test]
    fn a_divided_gpu_counts_as_its_parts() {
        assert!(in_list("").is_empty() && in_list("No devices found.\n").is_empty());
        let list = "GPU 0: NVIDIA H200 (UUID: GPU-11)\nGPU 1: NVIDIA H200 (UUID: GPU-22)\n  MIG 1g.18gb     Device  0: (UUID: MIG-a)\n  \
                    MIG 1g.18gb     Device  1: (UUID: MIG-b)\nGPU 2: NVIDIA H200 (UUID: GPU-33)\n";
        assert_eq!(in_list(list), ["0", "MIG-a", "MIG-b", "2"]);
    }
}
