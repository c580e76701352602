//! Descriptions of a study, a node or an object.

mod node;
mod object;

use pipe_engine::{
    readings::{self, TestReadings},
    study::{Found, Outcome, StudyError, StudyStatus},
};
use pipe_store::{ActionKey, Digest, Store};
use serde::Serialize;

pub(crate) use self::object::png_size;
pub use self::{
    node::{InputView, NodeView, OutputView, node},
    object::{ObjectKind, ObjectView, TensorView, object},
};
use crate::text::{Align, columns};

/// A study with the outcome of each node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StudyView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The study hash.
    pub study: Digest,
    pub status: StudyStatus,
    /// The digest of the record of the pipeline.
    pub pipeline: Digest,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub selection: Vec<String>,
    /// How often the test split of each data set had been read when the study was recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<TestReadings>,
    pub nodes: Vec<NodeLine>,
}

/// One node of a study, on one line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeLine {
    pub name: String,
    pub stage: String,
    /// `done`, `failed`, `crashed` or `skipped`.
    pub outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<ActionKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<Digest>,
    /// Why it failed, or which input is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Returns a study with the outcome of each node.
///
/// # Errors
/// If the ledger of the test splits cannot be read.
pub fn study(store: &Store, found: &Found) -> Result<StudyView, StudyError> {
    let line = |(name, node): (&String, &pipe_engine::study::StudyNode)| {
        let (outcome, reason) = words(&node.outcome);
        NodeLine { name: name.clone(), stage: node.stage.clone(), outcome, key: node.key(), tree: node.tree(), reason }
    };
    Ok(StudyView {
        name: found.name.clone(),
        study: found.hash,
        status: found.study.status,
        pipeline: found.study.pipeline,
        selection: found.study.selection.clone(),
        test: readings::of(store, &found.hash, &found.study)?,
        nodes: found.study.nodes.iter().map(line).collect(),
    })
}

/// Returns how often a test split was read, as a sentence. Names the evaluations if there are several data sets.
pub(crate) fn test_readings(all: &[TestReadings]) -> Vec<String> {
    let names = |of: &TestReadings| if all.len() > 1 { format!(" ({})", of.nodes.join(", ")) } else { String::new() };
    all.iter().map(|of| format!("{of}{}", names(of))).collect()
}

/// Returns an outcome as one word, and the reason if there is one.
pub(crate) fn words(outcome: &Outcome) -> (&'static str, Option<String>) {
    match outcome {
        Outcome::Tree(_) => ("done", None),
        Outcome::Failure(message) => ("failed", Some(message.clone())),
        Outcome::Crash => ("crashed", None),
        Outcome::Skipped(needed) => ("skipped", Some(format!("`{needed}` has no outputs"))),
    }
}

/// Returns the status of a study as one word.
pub(crate) fn status(status: StudyStatus) -> &'static str {
    match status {
        StudyStatus::Complete => "complete",
        StudyStatus::Failed => "failed",
    }
}

impl StudyView {
    /// Returns the view as text: a few lines, then a table of nodes.
    pub fn render(&self) -> String {
        let mut facts = Vec::new();
        facts.extend(self.name.as_ref().map(|name| ("name", name.clone())));
        facts.push(("study", self.study.to_string()));
        facts.push(("status", status(self.status).to_owned()));
        facts.push(("pipeline", self.pipeline.to_string()));
        if !self.selection.is_empty() {
            facts.push(("selection", self.selection.join(", ")));
        }
        let readings = test_readings(&self.test).into_iter();
        facts.extend(readings.map(|text| ("test", text.trim_start_matches("test ").to_owned())));
        let short = |digest: Option<Digest>| digest.map(|digest| digest.short()).unwrap_or_default();
        let row = |line: &NodeLine| {
            let reason = line.reason.clone().unwrap_or_default();
            vec![
                line.name.clone(),
                line.stage.clone(),
                line.outcome.to_owned(),
                short(line.key.map(|key| key.0)),
                short(line.tree),
                reason,
            ]
        };
        let rows: Vec<_> = self.nodes.iter().map(row).collect();
        let table = columns(&["node", "stage", "outcome", "key", "tree", "reason"], &rows, &|_| Align::Left);
        format!("{}\n{table}", facts_text(&facts))
    }
}

/// Returns (name, value) pairs as lines with aligned values.
pub(crate) fn facts_text(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    facts.iter().map(|(name, value)| format!("{name:<width$}  {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Builder, Trial};

    #[test]
    fn a_study_is_shown_with_a_line_per_node() {
        let mut builder = Builder::new().search("search", &[Trial::completed(0.3), Trial::completed(0.4)]);
        builder.outcome("search/train/000", Outcome::Failure("images too small".into()));
        builder.outcome("search/train/001", Outcome::Skipped("search/propose/001".into()));
        let (store, study) = builder.done();
        let found = Found { name: Some("shapes".into()), hash: study.hash(), study };
        let text = super::study(&store, &found).unwrap().render();
        assert!(text.starts_with("name      shapes\nstudy     "), "{text}");
        assert!(text.contains("status    failed\n"), "{text}");
        let line = text.lines().find(|line| line.starts_with("search/train/000")).unwrap();
        assert!(line.contains("train    failed") && line.ends_with("images too small"), "{line}");
        assert!(text.contains("`search/propose/001` has no outputs"), "{text}");
    }
}
