//! A pipeline as typed values: what the text means.

use std::{any::Any, collections::BTreeMap, sync::Arc};

use pipe_stages::{decode::Decode, params};
use serde::{Deserialize, de::Error as _};
use serde_json::{Value, json};

use super::stages::{Fields, StageKind, StageSpec, train::TrainSpec};
use crate::action::DeviceKind;

/// The format of the record.
const FORMAT: u32 = 1;

/// A study as a user describes it.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The study's name; empty if the pipeline was read from its record, which does not have it.
    pub name: String,
    /// The seed that the seeds of all nodes are derived from.
    pub seed: u64,
    /// What it computes on.
    pub device: DeviceKind,
    /// Its stages.
    pub stages: Stages,
}

/// The stages of a pipeline by name, in the order of the file, which means nothing.
#[derive(Debug, Clone, Default)]
pub struct Stages(Vec<(String, Arc<dyn StageSpec>)>);

impl Stages {
    /// Returns the stages with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &dyn StageSpec)> {
        self.0.iter().map(|(name, spec)| (name.as_str(), spec.as_ref()))
    }

    /// Returns the stage called `name`.
    pub fn get(&self, name: &str) -> Option<&dyn StageSpec> {
        self.iter().find(|(known, _)| *known == name).map(|(_, spec)| spec)
    }

    /// Returns the stage called `name`, if it is of this type.
    pub fn get_as<S: StageSpec>(&self, name: &str) -> Option<&S> {
        (self.get(name)? as &dyn Any).downcast_ref()
    }

    /// Returns the stages of one type, with their names.
    pub fn of_type<S: StageSpec>(&self) -> impl Iterator<Item = (&str, &S)> {
        self.iter().filter_map(|(name, spec)| Some((name, (spec as &dyn Any).downcast_ref()?)))
    }

    /// Returns how the network of the stage called `name` is trained, or its networks.
    pub fn training(&self, name: &str) -> Option<&TrainSpec> {
        self.get(name)?.training(self)
    }

    /// Returns the data set that the stage called `name` makes.
    pub fn data_set(&self, name: &str) -> Option<&Decode> {
        self.get(name)?.data_set()
    }
}

impl FromIterator<(String, Arc<dyn StageSpec>)> for Stages {
    fn from_iter<I: IntoIterator<Item = (String, Arc<dyn StageSpec>)>>(stages: I) -> Self {
        Self(stages.into_iter().collect())
    }
}

impl Pipeline {
    /// Returns the canonical record: the same for every text that means the same. The study's name is not in it, nor where
    /// files are fetched from.
    pub fn record(&self) -> Vec<u8> {
        let stages: BTreeMap<&str, Value> = self.stages.iter().map(|(name, spec)| (name, spec.record())).collect();
        let mut record = self.head();
        record["format"] = FORMAT.into();
        record["stages"] = json!(stages);
        params::record(&record)
    }

    /// Returns what the record says of the whole study: its seed and its device.
    pub fn head(&self) -> Value {
        json!({ "seed": self.seed.to_string(), "device": self.device })
    }

    /// Returns the pipeline that has this record.
    ///
    /// # Errors
    /// If the bytes are not the record of a pipeline, or have a stage that this build does not know or that does not fit.
    pub fn from_record(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let record: Record = serde_json::from_slice(bytes)?;
        if record.format != FORMAT {
            return Err(serde_json::Error::custom(format!("format {}, expected {FORMAT}", record.format)));
        }
        let seed = record.seed.parse().map_err(|_| serde_json::Error::custom("the seed is not a number"))?;
        let stage = |(name, stage): (String, BTreeMap<String, Value>)| match read_stage(stage) {
            Ok(spec) => Ok((name, spec)),
            Err(error) => Err(serde_json::Error::custom(format!("stage `{name}`: {error}"))),
        };
        let stages = record.stages.into_iter().map(stage).collect::<Result<_, _>>()?;
        Ok(Self { name: String::new(), seed, device: record.device, stages })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    seed: String,
    device: DeviceKind,
    /// name -> kind -> fields
    stages: BTreeMap<String, BTreeMap<String, Value>>,
}

fn read_stage(stage: BTreeMap<String, Value>) -> Result<Arc<dyn StageSpec>, serde_json::Error> {
    let mut items = stage.into_iter();
    let (Some((name, fields)), None) = (items.next(), items.next()) else {
        return Err(serde_json::Error::custom("not one kind"));
    };
    let kind = StageKind::find(&name).ok_or_else(|| serde_json::Error::custom(format!("unknown kind `{name}`")))?;
    (kind.from_record)(Fields(fields))
}
