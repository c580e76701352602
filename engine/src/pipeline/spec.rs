//! A pipeline as typed values, and its record.

use std::{collections::BTreeMap, sync::Arc};

use pipe_stages::{fetch::Surroundings, params, records::Version};
use serde::{Deserialize, de::Error as _};
use serde_json::{Value, json};

use super::{
    mistake::Refused,
    source::Source,
    stage::{RecordFields, StageSpec, Stages},
    stages,
};
use pipe_stages::{DeviceKind, Precision};

/// A study as a user describes it.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The study's name. Empty if the pipeline was read from its record, which lacks it.
    pub name: String,
    /// The seed that the seeds of all nodes are derived from.
    pub seed: u64,
    /// The kind of device that it computes on.
    pub device: DeviceKind,
    /// The precision of its products.
    pub precision: Precision,
    /// Its stages.
    pub stages: Stages,
    /// The texts that it was read from. None if it was read from its record.
    pub texts: Vec<Source>,
}

impl Pipeline {
    /// Looks at the files and folders of this disk that the pipeline names. Their content is part of its record and of its plan.
    ///
    /// # Errors
    /// If some cannot be used: all of them, each with its place in the text.
    pub fn look_up(&mut self, around: &Surroundings<'_>) -> Result<(), Refused> {
        let mut mistakes = Vec::new();
        self.stages.look_up(around, &mut mistakes);
        // Copies of a stage have the same mistakes.
        let mut known = Vec::new();
        mistakes.retain(|mistake| {
            !known.contains(mistake) && {
                known.push(mistake.clone());
                true
            }
        });
        if mistakes.is_empty() { Ok(()) } else { Err(Refused { mistakes, sources: self.texts.clone() }) }
    }

    /// Returns the canonical record, which is the same for all texts with the same meaning. It holds neither the study's
    /// name nor the addresses that files are fetched from.
    pub fn record(&self) -> Vec<u8> {
        let stages: BTreeMap<&str, Value> = self.stages.iter().map(|(name, spec)| (name, spec.record())).collect();
        let mut record = self.head();
        record["format"] = json!(Version::<1>);
        record["stages"] = json!(stages);
        params::record(&record)
    }

    /// Returns the part of the record that is about the whole study: its seed, its device, and its precision if it is not f32.
    pub fn head(&self) -> Value {
        let mut head = json!({ "seed": self.seed.to_string(), "device": self.device });
        if self.precision != Precision::F32 {
            head["precision"] = json!(self.precision);
        }
        head
    }

    /// Returns the pipeline that has this record.
    ///
    /// # Errors
    /// If the bytes are not the record of a pipeline, or if this build does not know a stage in it or one of its fields.
    pub fn from_record(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let record: Record = serde_json::from_slice(bytes)?;
        let seed = record.seed.parse().map_err(|_| serde_json::Error::custom("the seed is not a number"))?;
        let stage = |(name, stage): (String, BTreeMap<String, Value>)| match read_stage(stage) {
            Ok(spec) => Ok((name, spec)),
            Err(error) => Err(serde_json::Error::custom(format!("stage `{name}`: {error}"))),
        };
        let stages = record.stages.into_iter().map(stage).collect::<Result<_, _>>()?;
        let Record { device, precision, .. } = record;
        Ok(Self { name: String::new(), seed, device, precision, stages, texts: Vec::new() })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(rename = "format")]
    _format: Version<1>,
    seed: String,
    device: DeviceKind,
    #[serde(default)]
    precision: Precision,
    /// name -> kind -> fields
    stages: BTreeMap<String, BTreeMap<String, Value>>,
}

fn read_stage(stage: BTreeMap<String, Value>) -> Result<Arc<dyn StageSpec>, serde_json::Error> {
    let mut items = stage.into_iter();
    let (Some((name, fields)), None) = (items.next(), items.next()) else {
        return Err(serde_json::Error::custom("expected one kind with its fields"));
    };
    let kind = stages::find(&name).ok_or_else(|| serde_json::Error::custom(format!("unknown kind `{name}`")))?;
    (kind.from_record)(RecordFields(fields))
}
