//! What one execution is a function of, and the key that names it.

use std::{collections::BTreeMap, sync::Arc};

use pipe_stages::{DeviceKind, Precision, params, records::Version, stage::Stage};
use pipe_store::{ActionKey, Digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything that the outputs of an execution depend on. Its record is an object of the store, and the digest of the
/// record is the key. The fields are sorted by name, as in the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The kind of device that the stage computes on, if it computes with networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceKind>,
    /// 1. A new format changes every key.
    pub format: Version<1>,
    /// The digest of each input file, by slot.
    pub inputs: BTreeMap<String, Digest>,
    /// The numerics class, if the stage computes with networks. Outputs are equal within a class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numerics: Option<String>,
    /// The stage's parameters, without those at their defaults. Shared, because many trials have the same.
    #[serde(with = "shared")]
    pub params: Arc<Value>,
    /// The precision of products, if the stage computes with networks and it is not f32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    /// The stage's seed, if it draws random numbers: a number of 64 bits in decimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// The stage's name.
    pub stage: String,
    /// The version of what the stage computes.
    pub version: u32,
}

impl Action {
    /// Returns the action of `stage` on `inputs`.
    pub fn new(
        stage: &dyn Stage,
        params: Arc<Value>,
        inputs: BTreeMap<String, Digest>,
        seed: u64,
        (device, precision): (DeviceKind, Precision),
    ) -> Self {
        let (id, needs) = (stage.id(), stage.needs());
        Self {
            format: Version,
            stage: id.name.to_owned(),
            version: id.version,
            params,
            inputs,
            seed: needs.seed.then(|| seed.to_string()),
            device: needs.device.then_some(device),
            numerics: needs.device.then(|| pipe_stages::numerics(device, precision).to_owned()),
            precision: Some(precision).filter(|precision| needs.device && *precision != Precision::F32),
        }
    }

    /// Returns the canonical record.
    pub fn record(&self) -> Vec<u8> {
        params::sorted_record(self)
    }

    /// Returns the key: the digest of the record.
    pub fn key(&self) -> ActionKey {
        ActionKey(Digest::of(&self.record()))
    }

    /// Returns the digest of the trajectory that checkpoints are kept under, if `stage` keeps any. `stage` must be this
    /// action's.
    pub fn trajectory(&self, stage: &dyn Stage) -> Option<Digest> {
        let params = stage.trajectory()?;
        Some(Digest::of(&Self { params: Arc::new(params), ..self.clone() }.record()))
    }

    /// Returns the seed, or 0 for a stage that draws no random numbers.
    pub fn seed(&self) -> u64 {
        self.seed.as_deref().and_then(|seed| seed.parse().ok()).unwrap_or(0)
    }
}

/// Returns the seed for `stage` in a study. It does not depend on a node's name or a trial's number, so that equal work has
/// equal keys. `repeat` tells independent estimates apart.
pub fn derive_seed(study_seed: u64, stage: &str, repeat: u64) -> u64 {
    let mut hasher = Vec::from(b"pipe seed 1\0".as_slice());
    hasher.extend(study_seed.to_le_bytes());
    hasher.extend(repeat.to_le_bytes());
    hasher.extend(stage.as_bytes());
    let digest = Digest::of(&hasher);
    u64::from_le_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 bytes"))
}

/// Serialises a shared value as the value itself.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    pub(super) fn serialize<S: Serializer>(value: &Arc<Value>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Value>, D::Error> {
        Value::deserialize(deserializer).map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_bytes_and_its_key_do_not_change() {
        let action = Action {
            format: Version,
            stage: "train".into(),
            version: 1,
            params: Arc::new(serde_json::json!({ "epochs": 2 })),
            inputs: [("train".to_owned(), Digest::of(b""))].into(),
            seed: Some("7".into()),
            device: Some(DeviceKind::Cpu),
            numerics: Some("f32".into()),
            precision: None,
        };
        let record = concat!(
            r#"{"device":"Cpu","format":1,"inputs":{"train":"af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},"#,
            r#""numerics":"f32","params":{"epochs":2},"seed":"7","stage":"train","version":1}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(action.record()).unwrap(), record);
        let key = "55e01f3291d32016b37a0d1946f15d3318fba4f138de99cc36fdbb255d692339";
        assert_eq!(action.key(), ActionKey(key.parse().unwrap()));
        assert_eq!(serde_json::from_str::<Action>(record).unwrap(), action);
    }

    #[test]
    fn bf16_has_keys_and_trajectories_of_its_own_and_f32_those_from_before() {
        let params = Arc::new(serde_json::json!({ "model": { "Mlp": {} }, "epochs": 1 }));
        let train: pipe_stages::train::Train = serde_json::from_value((*params).clone()).unwrap();
        let action = |on| Action::new(&train, params.clone(), BTreeMap::new(), 1, on);
        let [exact, coarse] = Precision::ALL.map(|precision| action((DeviceKind::Cuda, precision)));
        let record = String::from_utf8(exact.record()).unwrap();
        assert!(
            record.starts_with(r#"{"device":"Cuda","format":1,"inputs":{},"numerics":"f32 tf32, burn-cuda"#),
            "{record}"
        );
        assert!(!record.contains("precision"), "{record}");
        let record = String::from_utf8(coarse.record()).unwrap();
        assert!(record.contains(r#""numerics":"f32 bf16, burn-cuda"#) && record.contains(r#""precision":"Bf16""#));
        assert_eq!(serde_json::from_str::<Action>(&record).unwrap(), coarse);
        assert_ne!(exact.trajectory(&train).unwrap(), coarse.trajectory(&train).unwrap());
    }

    #[test]
    fn seeds_differ_by_study_stage_and_repeat_and_do_not_change() {
        let seeds = [(7, "train", 0), (8, "train", 0), (7, "propose", 0), (7, "train", 1)];
        let seeds = seeds.map(|(study, stage, repeat)| derive_seed(study, stage, repeat));
        let pinned: [u64; 4] = [12042488483611169233, 15815748773613379249, 17845410881669999218, 10747254249217222273];
        assert_eq!(seeds, pinned);
    }
}
