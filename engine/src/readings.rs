//! The ledger of the test splits: which evaluations have read the test split of a data set, in which studies.
//!
//! A result on a test split says less with each look at it. The ledger stays when studies are forgotten and collected. A data set is
//! known by the digest of the file of its test split, and a reading by the key of its action: the same evaluation is counted once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::SystemTime,
};

use pipe_stages::{
    StageName,
    evaluate::Evaluate,
    params,
    records::{EvaluateOn, Version},
};
use pipe_store::{Digest, RefKind, Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::study::{self, Study, StudyError, StudyNode};

/// An entry of the ledger: an evaluation that a study names. The fields are sorted by name, as in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    /// The key of the evaluation.
    action: Digest,
    /// 1.
    format: Version<1>,
    /// The hash of the study.
    study: Digest,
}

/// How often the test split of a data set had been read when a study was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestReadings {
    /// The digest of the file of the test split.
    pub test_split: Digest,
    /// The number of different evaluations that read it, up to those of this study.
    pub readings: usize,
    /// The number of studies that name one of them.
    pub studies: usize,
    /// The evaluations of this study that read it.
    pub nodes: Vec<String>,
}

impl fmt::Display for TestReadings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = if self.readings == 1 { "once".to_owned() } else { format!("{} times", self.readings) };
        let studies = if self.studies == 1 { "1 study".to_owned() } else { format!("{} studies", self.studies) };
        write!(f, "test read {times} in {studies}")
    }
}

/// Adds the evaluations of a study to the ledger.
///
/// # Errors
/// If an action or the ledger cannot be read, or the ledger cannot be written.
pub fn record(store: &Store, study: &Study, now: SystemTime) -> Result<(), StudyError> {
    let hash = study.hash();
    for (test_split, nodes) in of_study(store, study)? {
        let name = test_split.to_string();
        let known: BTreeSet<_> =
            store.ref_log(RefKind::Readings, &name)?.into_iter().map(|entry| entry.digest).collect();
        let actions: BTreeSet<_> = nodes.into_values().collect();
        for action in actions {
            let record = params::sorted_record(&Reading { action, format: Version, study: hash });
            if !known.contains(&Digest::of(&record)) {
                let entry = store.put(&record)?;
                store.ref_append(RefKind::Readings, &name, &entry, now)?;
            }
        }
    }
    Ok(())
}

/// Returns how often the test splits that a study reads had been read when it was recorded first, so that the answer stays the same
/// whatever is run later. A study that is not in the ledger has none.
///
/// # Errors
/// If an action or the ledger cannot be read.
pub fn of(store: &Store, hash: &Digest, study: &Study) -> Result<Vec<TestReadings>, StudyError> {
    let mut all = Vec::new();
    for (test_split, nodes) in of_study(store, study)? {
        let mut ledger = Vec::new();
        for entry in store.ref_log(RefKind::Readings, &test_split.to_string())? {
            let bytes = store.read_record(&entry.digest)?;
            let reading: Reading = serde_json::from_slice(&bytes).map_err(|source| StudyError::NotA {
                kind: "a reading of a test split",
                digest: entry.digest,
                source,
            })?;
            ledger.push(reading);
        }
        let Some(last) = ledger.iter().rposition(|reading| reading.study == *hash) else { continue };
        let so_far = &ledger[..=last];
        let readings = so_far.iter().map(|reading| reading.action).collect::<BTreeSet<_>>().len();
        let studies = so_far.iter().map(|reading| reading.study).collect::<BTreeSet<_>>().len();
        all.push(TestReadings { test_split, readings, studies, nodes: nodes.into_keys().collect() });
    }
    Ok(all)
}

/// Returns the records of all readings.
///
/// # Errors
/// If the ledger cannot be read.
pub fn entries(store: &Store) -> Result<BTreeSet<Digest>, StoreError> {
    let mut entries = BTreeSet::new();
    for name in store.ref_names(RefKind::Readings)? {
        entries.extend(store.ref_log(RefKind::Readings, &name)?.into_iter().map(|entry| entry.digest));
    }
    Ok(entries)
}

/// Returns the evaluations of a study that read a test split, by the digest of the split: node and action key.
fn of_study(store: &Store, study: &Study) -> Result<BTreeMap<Digest, BTreeMap<String, Digest>>, StudyError> {
    let mut found: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    let held_out = held_out(store, study)?;
    let reads = |node: &StudyNode| {
        node.tree().is_some() && (node.is(StageName::Evaluate) || (node.is(StageName::Command) && !held_out.is_empty()))
    };
    for (name, node) in study.nodes.iter().filter(|(_, node)| reads(node)) {
        let Some(key) = node.action else { continue };
        let action = match study::action(store, &key) {
            // What the study says of it is all that is left.
            Err(StudyError::Store(StoreError::Missing(_))) => continue,
            action => action?,
        };
        if node.is(StageName::Command) {
            for data in action.inputs.values().filter(|data| held_out.contains(*data)) {
                found.entry(*data).or_default().insert(name.clone(), key);
            }
            continue;
        }
        let evaluate: Result<Evaluate, _> = serde_json::from_value(action.params.as_ref().clone());
        let reads_test = evaluate.is_ok_and(|evaluate| evaluate.split == EvaluateOn::Test);
        if let Some(data) = action.inputs.get("data").filter(|_| reads_test) {
            found.entry(*data).or_default().insert(name.clone(), key);
        }
    }
    Ok(found)
}

/// Returns the digests of the files of a study that only a final command may read.
fn held_out(store: &Store, study: &Study) -> Result<BTreeSet<Digest>, StudyError> {
    let mut found = BTreeSet::new();
    if !study.nodes.values().any(|node| node.is(StageName::Command)) {
        return Ok(found);
    }
    // A study that was pruned, or one of another build, has no pipeline that can be read.
    let Ok(pipeline) = study.read_pipeline(store) else { return Ok(found) };
    for (name, node) in &study.nodes {
        let Some(spec) = pipeline.stages.get(name) else { continue };
        let is_held_out = |path: &str| match (spec.program(&pipeline.stages), spec.data_set()) {
            (Some(program), _) => program.holds_out(path),
            (None, Some(_)) => path == "test.safetensors",
            _ => false,
        };
        let tree = study::tree_of(store, node)?;
        let files = tree.iter().flat_map(|tree| &tree.files);
        found.extend(files.filter(|(path, _)| is_held_out(path)).map(|(_, entry)| entry.digest));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::{
        action::Action,
        study::{Outcome, StudyNode},
    };

    /// Returns a study with an evaluation of these weights on this data.
    fn evaluated(store: &Store, data: &str, split: Option<&str>, weights: &[&str]) -> Study {
        let node = |weights: &&str| {
            let action = Action {
                format: Version,
                stage: "evaluate".into(),
                version: 1,
                params: Arc::new(split.map_or(json!({}), |split| json!({ "split": split }))),
                inputs: [
                    ("data".to_owned(), Digest::of(data.as_bytes())),
                    ("weights".to_owned(), Digest::of(weights.as_bytes())),
                ]
                .into(),
                seed: None,
                device: None,
                numerics: None,
                precision: None,
            };
            let key = store.put(&action.record()).unwrap();
            let outcome = Outcome::Tree(Digest::of(b"tree"));
            (
                format!("test {weights}"),
                StudyNode { action: Some(key), outcome, part_of: "test".into(), stage: "evaluate".into() },
            )
        };
        Study::new(Digest::of(b"pipeline"), Vec::new(), weights.iter().map(node).collect())
    }

    fn count(store: &Store, study: &Study) -> Vec<(usize, usize)> {
        let found = of(store, &study.hash(), study).unwrap();
        found.into_iter().map(|of| (of.readings, of.studies)).collect()
    }

    #[test]
    fn each_evaluation_is_counted_once_as_of_each_study() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let now = SystemTime::now();
        let first = evaluated(&store, "a", None, &["x"]);
        let second = evaluated(&store, "a", Some("Test"), &["x", "y"]);
        let other = evaluated(&store, "b", None, &["x"]);
        let validation = evaluated(&store, "a", Some("Validation"), &["z"]);
        assert_eq!(count(&store, &first), [], "not in the ledger yet");
        for study in [&first, &second, &first, &other, &validation, &second] {
            record(&store, study, now).unwrap();
        }
        // `Test` is the default, so an action says it or leaves it out, and these are two keys.
        assert_eq!([&first, &second, &other].map(|study| count(&store, study)), [[(1, 1)], [(3, 2)], [(1, 1)]]);
        assert_eq!(count(&store, &validation), []);
        let text = of(&store, &second.hash(), &second).unwrap()[0].to_string();
        assert_eq!(text, "test read 3 times in 2 studies");
        assert_eq!(store.ref_names(RefKind::Readings).unwrap().len(), 2);
        assert_eq!(store.ref_log(RefKind::Readings, &Digest::of(b"a").to_string()).unwrap().len(), 3);
    }

    #[test]
    fn the_bytes_of_an_entry_do_not_change() {
        let (action, study) = (Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32]));
        let record = params::sorted_record(&Reading { action, format: Version, study });
        let expected =
            format!("{{\"action\":\"{}\",\"format\":1,\"study\":\"{}\"}}\n", "01".repeat(32), "02".repeat(32));
        assert_eq!(String::from_utf8(record).unwrap(), expected);
    }
}
