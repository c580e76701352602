//! `pipe devices`

use clap::Args;
use pipe_engine::run::{limits, machine};
use pipe_stages::{
    DeviceKind, Precision,
    network::{self, FoundDevice, NoDevices},
};
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    logging::Logging,
    output::{self, print},
    size::size,
};

/// List the devices that networks can be computed on
///
/// A device is chosen with `pipe run --device`, or with `device` in the pipeline file. A kind of device that this build does not know
/// is listed with the feature that it needs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe devices
  pipe devices --json")]
pub(crate) struct Devices {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Devices {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let kinds = DeviceKind::ALL.map(|kind| (kind, network::devices(kind)));
        if self.json {
            let of_kind = |(kind, found): &(DeviceKind, Result<Vec<FoundDevice>, NoDevices>)| -> Vec<Value> {
                match found {
                    Ok(found) => found.iter().map(row).collect(),
                    Err(NoDevices::NotBuilt(_)) => vec![json!({ "kind": kind.word(), "in_build": false })],
                    Err(why) => {
                        vec![
                            json!({ "kind": kind.word(), "in_build": true, "error": format!("{why}; {}", why.hint()) }),
                        ]
                    }
                }
            };
            return print(&output::json(&kinds.iter().flat_map(of_kind).collect::<Vec<_>>()));
        }
        let mut lines = Vec::new();
        for (kind, found) in kinds {
            match found {
                Err(NoDevices::NotBuilt(_)) => {
                    lines.push((kind.word().to_owned(), format!("not in this build: --features {}", kind.word())))
                }
                Err(why) => lines.push((kind.word().to_owned(), format!("{why}; {}", why.hint()))),
                Ok(found) if found.is_empty() => lines.push((kind.word().to_owned(), "none was found".to_owned())),
                Ok(found) => lines.extend(found.iter().map(|found| (found.device.to_string(), described(found)))),
            }
        }
        let width = lines.iter().map(|(device, _)| device.len()).max().unwrap_or(0);
        let lines = lines.iter().map(|(device, what)| format!("{device:width$}  {what}\n"));
        print(&lines.collect::<String>())
    }
}

fn row(found: &FoundDevice) -> Value {
    let device = found.device;
    json!({
        "kind": device.kind.word(),
        "in_build": true,
        "device": device.to_string(),
        "name": name(found),
        "is_software": found.is_software,
        "free_memory": if device.kind == DeviceKind::Cpu { limits::free_memory() } else { None },
        "largest_buffer": found.largest_buffer,
        "precisions": found.precisions.iter().map(|precision| precision.word()).collect::<Vec<_>>(),
    })
}

fn name(found: &FoundDevice) -> &str {
    if found.device.kind == DeviceKind::Cpu { machine::processor() } else { &found.name }
}

fn described(found: &FoundDevice) -> String {
    let mut text = name(found).to_owned();
    if found.device.kind == DeviceKind::Cpu {
        text += &format!(", {} cores", limits::cores());
        text += &limits::free_memory().map_or_else(String::new, |free| format!(", {} free", size(free)));
    }
    text += &found.largest_buffer.map_or_else(String::new, |most| format!(", buffers of up to {}", size(most)));
    if found.precisions.contains(&Precision::Bf16) {
        text += ", bf16";
    }
    if found.is_software {
        text += " (a driver that computes on the processor)";
    }
    text
}
