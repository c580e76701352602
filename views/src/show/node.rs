//! One node of a study: its action, its outputs and their provenance.

use std::{collections::BTreeMap, sync::Arc};

use pipe_engine::{
    claims::{self, Claimed},
    names::NameError,
    study::{Found, Study, action, tree_of},
};
use pipe_stages::DeviceKind;
use pipe_store::{ActionKey, Digest, Store};
use serde::Serialize;
use serde_json::Value;

use super::{facts_text, score, words};
use crate::{
    ViewError, findings, notation,
    text::{Align, bytes, cell, columns, moment, significant},
};

/// A node with its action, its outputs and their provenance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeView {
    pub node: String,
    pub study: Digest,
    /// The kind of stage: `train`.
    pub stage: String,
    /// The stage of the pipeline that the node belongs to.
    pub part_of: String,
    /// `done`, `failed`, `crashed` or `skipped`.
    pub outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// None, like the other parts of the action, if an input does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<ActionKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<Value>,
    pub inputs: Vec<InputView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numerics: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<Digest>,
    /// Its score, if it was trained: `valid.fine_accuracy 41.88 %`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<String>,
    /// How well it did, if it is an evaluation or a final command, a line for each head.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<String>,
    pub outputs: Vec<OutputView>,
    /// What is claimed of the outputs of a program, and what is known of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claimed>,
    /// When, where and for how long it was computed, as recorded beside the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Value>,
}

/// A file that an action reads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InputView {
    pub slot: String,
    pub digest: Digest,
    /// The output of this study that has these bytes: `data/train.safetensors`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// A file of an output tree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutputView {
    pub path: String,
    pub digest: Digest,
    pub size: u64,
}

/// Returns the description of the node called `name`.
///
/// # Errors
/// If there is no such node, or an object that it names cannot be read.
pub fn node(store: &Store, found: &Found, name: &str) -> Result<NodeView, ViewError> {
    let Some(node) = found.study.nodes.get(name) else {
        return Err(NameError::Unknown { text: name.to_owned(), candidates: Vec::new() }.into());
    };
    let (outcome, reason) = words(&node.outcome);
    let tree = tree_of(store, node)?;
    let files = tree.into_iter().flat_map(|tree| tree.files);
    let action = node.action.map(|key| action(store, &key)).transpose()?;
    let provenance = node.key().map(|key| store.provenance(&key)).transpose()?.flatten();
    let mut view = NodeView {
        node: name.to_owned(),
        study: found.hash,
        stage: node.stage.clone(),
        part_of: node.part_of.clone(),
        outcome,
        reason,
        key: node.key(),
        version: None,
        params: None,
        inputs: Vec::new(),
        seed: None,
        device: None,
        numerics: None,
        tree: node.tree(),
        score: score(store, name, node)?,
        figures: findings::figures(store, name, node)?,
        outputs: files.map(|(path, entry)| OutputView { path, digest: entry.digest, size: entry.size }).collect(),
        claim: claims::of(store, &found.study.read_pipeline(store)?.stages, node)?,
        provenance,
    };
    if let Some(action) = action {
        view.inputs = inputs(store, &found.study, name, &action.inputs)?;
        (view.version, view.params, view.seed) =
            (Some(action.version), Some(Arc::unwrap_or_clone(action.params)), action.seed);
        (view.device, view.numerics) = (action.device, action.numerics);
    }
    Ok(view)
}

/// Returns the inputs, each with the output of the study that has the same bytes. Trees are read until all are found.
fn inputs(
    store: &Store,
    study: &Study,
    reader: &str,
    slots: &BTreeMap<String, Digest>,
) -> Result<Vec<InputView>, ViewError> {
    let mut sought: BTreeMap<Digest, Option<String>> = slots.values().map(|digest| (*digest, None)).collect();
    for (name, node) in study.nodes.iter().filter(|(name, _)| *name != reader) {
        if sought.values().all(Option::is_some) {
            break;
        }
        for (path, entry) in tree_of(store, node)?.into_iter().flat_map(|tree| tree.files) {
            if let Some(output) = sought.get_mut(&entry.digest) {
                output.get_or_insert_with(|| format!("{name}/{path}"));
            }
        }
    }
    let view = |(slot, digest): (&String, &Digest)| InputView {
        slot: slot.clone(),
        digest: *digest,
        output: sought[digest].clone(),
    };
    Ok(slots.iter().map(view).collect())
}

impl NodeView {
    /// Returns the view as text.
    pub fn render(&self) -> String {
        let mut facts = vec![("node", self.node.clone()), ("study", self.study.to_string())];
        let version = self.version.map(|version| format!(", version {version}")).unwrap_or_default();
        facts.push(("stage", format!("{}{version}", self.stage)));
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        facts.push(("outcome", format!("{}{reason}", self.outcome)));
        facts.extend(self.key.map(|key| ("key", key.to_string())));
        facts.extend(self.seed.clone().map(|seed| ("seed", seed)));
        facts.extend(self.device.map(|device| ("device", format!("{device:?}"))));
        facts.extend(self.numerics.clone().map(|numerics| ("numerics", numerics)));
        facts.extend(self.tree.map(|tree| ("tree", tree.to_string())));
        facts.extend(self.claim.as_ref().map(|claim| ("claim", claim.to_string())));
        facts.extend(self.score.as_ref().map(|score| ("score", score.clone())));
        facts.extend(self.figures.iter().map(|figure| ("found", figure.clone())));
        let mut text = facts_text(&facts);
        if let Some(params) = self.params.as_ref().filter(|params| params.as_object().is_none_or(|map| !map.is_empty()))
        {
            text += &format!("\nparameters\n{}\n", indented(&notation::pretty(params)));
        }
        let input = |input: &InputView| {
            vec![input.slot.clone(), input.digest.short(), input.output.clone().unwrap_or_default()]
        };
        let output = |output: &OutputView| vec![output.path.clone(), output.digest.short(), bytes(output.size)];
        text += &section("inputs", self.inputs.iter().map(input).collect());
        text += &section("outputs", self.outputs.iter().map(output).collect());
        if let Some(provenance) = &self.provenance {
            text += &section("provenance", provenance_rows(provenance));
        }
        text
    }
}

fn section(title: &str, rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let table =
        columns(&["", "", ""], &rows, &|at| if at == 2 && title == "outputs" { Align::Right } else { Align::Left });
    let lines: Vec<_> = table.lines().skip(1).collect();
    format!("\n{title}\n{}\n", indented(&lines.join("\n")))
}

fn provenance_rows(provenance: &Value) -> Vec<Vec<String>> {
    fn walk(value: &Value, path: &str, rows: &mut Vec<Vec<String>>) {
        match value {
            Value::Object(items) => {
                for (key, item) in items {
                    walk(item, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, rows);
                }
            }
            Value::Number(x) if path == "started" => {
                rows.push(vec![path.to_owned(), moment(x.as_f64().unwrap_or(0.0))]);
            }
            Value::Number(x) if path.ends_with("seconds") => {
                rows.push(vec![path.to_owned(), significant(x.as_f64().unwrap_or(f64::NAN), 4)]);
            }
            other => rows.push(vec![path.to_owned(), cell(other)]),
        }
    }
    let mut rows = Vec::new();
    walk(provenance, "", &mut rows);
    rows
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use pipe_store::ActionResult;
    use serde_json::json;

    use super::*;
    use crate::testing::Builder;

    #[test]
    fn a_node_is_shown_with_its_action_outputs_and_provenance() {
        let (store, study) = Builder::whole(4).done();
        let node = &study.nodes["search/train/001"];
        let provenance = json!({ "seconds": 12.345678, "class": { "cpu": "x86_64 avx2", "burn": "0.22.1" } });
        store.commit(&node.key().unwrap(), &ActionResult::Tree(node.tree().unwrap()), &provenance).unwrap();
        let found = Found { name: None, hash: study.hash(), study, open: None };
        let view = super::node(&store, &found, "search/train/001").unwrap();
        let text = view.render();
        for part in [
            "stage     train, version 2\n",
            "outcome   done\n",
            "numerics  canonical f32",
            "parameters\n  (\n    epochs: 6,\n",
            "  policy    ",
            "flip/policy.json\n",
            "search/propose/001/proposal.json\n",
            "  best/weights.safetensors  ",
            "  class.cpu   x86_64 avx2\n",
            "  seconds     12.35\n",
        ] {
            assert!(text.contains(part), "no `{part}` in\n{text}");
        }
        assert!(serde_json::to_string(&view).unwrap().contains("\"params\":{\"epochs\":6,"));
    }

    #[test]
    fn a_node_with_a_missing_input_has_no_action() {
        let mut builder = Builder::whole(4);
        let node = builder.nodes.get_mut("test").unwrap();
        (node.action, node.outcome) = (None, pipe_engine::study::Outcome::Skipped("retrain_best".into()));
        let (store, study) = builder.done();
        let found = Found { name: None, hash: study.hash(), study, open: None };
        let text = super::node(&store, &found, "test").unwrap().render();
        assert!(text.ends_with("outcome  skipped: `retrain_best` has no outputs\n"), "{text}");
    }
}
