//! Descriptions of a study, a node or an object.

mod claims;
mod node;
mod object;

use pipe_engine::{
    note::{self, Note},
    readings::{self, TestReadings},
    run::live::{self, LiveNode},
    study::{Found, OpenRun, Outcome, StudyNode, StudyStatus},
};
use pipe_stages::{
    StageName,
    records::{Score, Status},
};
use pipe_store::{ActionKey, Digest, Store};
use serde::Serialize;

pub(crate) use self::object::png_size;
pub use self::{
    claims::Claims,
    node::{InputView, NodeView, OutputView, node},
    object::{ObjectKind, ObjectView, TensorView, object},
};
use crate::{
    ViewError,
    findings::Findings,
    outputs::Outputs,
    text::{Align, columns, metric_value, moment},
};

/// A study with the outcome of each node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StudyView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The study hash.
    pub study: Digest,
    /// `complete`, `failed`, `running` or `stopped`.
    pub status: &'static str,
    /// The run that has not come to its end. The nodes are those that are done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<OpenRun>,
    /// The nodes that are being executed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<LiveNode>,
    /// The digest of the record of the pipeline.
    pub pipeline: Digest,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub selection: Vec<String>,
    /// How often the test split of each data set had been read when the study was recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<TestReadings>,
    /// What users noted, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// What is known of the claims of the programs. Left out if none was run.
    #[serde(skip_serializing_if = "Claims::is_empty")]
    pub claims: Claims,
    /// What it found.
    pub findings: Findings,
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
    /// Its score, if it was trained: `valid.fine_accuracy 41.88 %`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<String>,
    /// Why it failed, or which input is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Returns a study with the outcome of each node.
///
/// # Errors
/// If the ledger of the test splits cannot be read.
pub fn study(store: &Store, found: &Found) -> Result<StudyView, ViewError> {
    let line = |(name, node): (&String, &pipe_engine::study::StudyNode)| {
        let (outcome, reason) = words(&node.outcome);
        let (key, tree, score) = (node.key(), node.tree(), score(store, name, node)?);
        Ok(NodeLine { name: name.clone(), stage: node.stage.clone(), outcome, key, tree, score, reason })
    };
    Ok(StudyView {
        name: found.name.clone(),
        study: found.hash,
        status: status(found),
        open: found.open.clone(),
        running: found
            .open
            .as_ref()
            .and_then(|open| live::of(store, &open.run))
            .map(|live| live.nodes)
            .unwrap_or_default(),
        pipeline: found.study.pipeline,
        selection: found.study.selection.clone(),
        test: readings::of(store, &found.hash, &found.study)?,
        notes: note::of(store, &found.hash)?,
        claims: Claims::of(store, found)?,
        findings: Findings::of(store, found)?,
        nodes: found.study.nodes.iter().map(line).collect::<Result<_, ViewError>>()?,
    })
}

/// Returns the score of a training as text.
pub(crate) fn score(store: &Store, name: &str, node: &StudyNode) -> Result<Option<String>, ViewError> {
    if !node.kind().is_some_and(StageName::trains) {
        return Ok(None);
    }
    let score = Outputs::of(store, name, node)?.map(|outputs| outputs.record::<Score>()).transpose()?.flatten();
    let shown = |score: &Score| match score.status {
        Status::Completed => format!("{} {}", score.metric, metric_value(Some(&score.metric), score.value.0)),
        other => other.as_str().to_owned(),
    };
    Ok(score.as_ref().map(shown).map(|text| text.replace('\u{a0}', " ")))
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

/// Returns the status of a study as one word: `complete`, `failed`, `running` or `stopped`.
pub fn status(found: &Found) -> &'static str {
    match (&found.open, found.study.status) {
        (Some(OpenRun { running: true, .. }), _) => "running",
        (Some(_), _) => "stopped",
        (None, StudyStatus::Complete) => "complete",
        (None, StudyStatus::Failed) => "failed",
    }
}

impl StudyView {
    /// Returns the view as text: a few lines, then a table of nodes.
    pub fn render(&self) -> String {
        let mut facts = Vec::new();
        facts.extend(self.name.as_ref().map(|name| ("name", name.clone())));
        if self.open.is_none() {
            facts.push(("study", self.study.to_string()));
        }
        let progress = |open: &OpenRun| format!(": {} of {} nodes are done", self.nodes.len(), open.planned());
        facts.push(("status", format!("{}{}", self.status, self.open.as_ref().map(progress).unwrap_or_default())));
        facts.push(("pipeline", self.pipeline.to_string()));
        if !self.selection.is_empty() {
            facts.push(("selection", self.selection.join(", ")));
        }
        let readings = test_readings(&self.test).into_iter();
        facts.extend(readings.map(|text| ("test", text.trim_start_matches("test ").to_owned())));
        let noted = |note: &Note| ("note", format!("{}  {}", moment(note.at as f64), note.text.replace('\n', " ")));
        facts.extend(self.notes.iter().map(noted));
        facts.extend(self.claims.sentence().map(|sentence| ("claims", sentence)));
        let short = |digest: Option<Digest>| digest.map(|digest| digest.short()).unwrap_or_default();
        let row = |line: &NodeLine| {
            let reason = line.reason.clone().unwrap_or_default();
            vec![
                line.name.clone(),
                line.stage.clone(),
                line.outcome.to_owned(),
                short(line.key.map(|key| key.0)),
                short(line.tree),
                line.score.clone().unwrap_or_default(),
                reason,
            ]
        };
        let rows: Vec<_> = self.nodes.iter().map(row).collect();
        let table = columns(&["node", "stage", "outcome", "key", "tree", "score", "reason"], &rows, &|_| Align::Left);
        let found: String = self.findings.lines().iter().map(|line| format!("{line}\n")).collect();
        let found = if found.is_empty() { found } else { format!("\n{found}") };
        let running: String = self.running.iter().map(|node| format!("running: {}\n", going_on(node))).collect();
        let running = if running.is_empty() { running } else { format!("\n{running}") };
        format!("{}{running}{found}\n{table}", facts_text(&facts))
    }
}

/// Returns what a node is doing, as a line: `search/train/003, epoch 2 of 4, 45 %, valid.fine_accuracy 12.5 % after epoch 1`.
fn going_on(live: &LiveNode) -> String {
    let progress = &live.progress;
    let epoch = progress.epoch.map(|(epoch, epochs)| format!("epoch {epoch} of {epochs}"));
    let share = (progress.total > 0).then(|| format!("{} %", progress.done * 100 / progress.total));
    let last = live.curve.last().map(|last| {
        let mut metrics: Vec<_> = last.metrics.iter().filter(|(name, _)| name.starts_with("valid.")).collect();
        // Without a validation split, there is only the training.
        if metrics.is_empty() {
            metrics.extend(&last.metrics);
        }
        let shown = |(name, value): (&String, &f32)| format!("{name} {}", metric_value(Some(name), f64::from(*value)));
        let shown: Vec<_> = metrics.into_iter().take(3).map(shown).collect();
        format!("{} after epoch {}", shown.join(", "), last.epoch).replace('\u{a0}', " ")
    });
    let place = live.place.as_ref().map(|place| format!("on {place}"));
    let parts = [Some(live.node.clone()), epoch, share, last, place];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
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
        let found = Found { name: Some("shapes".into()), hash: study.hash(), study, open: None };
        let text = super::study(&store, &found).unwrap().render();
        assert!(text.starts_with("name      shapes\nstudy     "), "{text}");
        assert!(text.contains("status    failed\n"), "{text}");
        let line = text.lines().find(|line| line.starts_with("search/train/000")).unwrap();
        assert!(line.contains("train    failed") && line.ends_with("images too small"), "{line}");
        assert!(text.contains("`search/propose/001` has no outputs"), "{text}");
    }
}
