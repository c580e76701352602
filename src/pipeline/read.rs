//! Reads a pipeline: text -> tree -> typed values, complaining about every mistake at its place.

use std::collections::BTreeMap;

use pipe_stages::{
    augment::Augment, decode::Decode, evaluate::{Evaluate, EvaluateOn}, fetch::FetchSpec, train::Train, visualize::VisualizeFilters,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    check,
    path::{self, Step, locate},
    problem::{Problem, one_of},
    set::{self, Override},
    source::{Source, Span},
    spec::{Pipeline, RetrainSpec, SearchSpec, StageSpec, TrainSpec},
    syntax::{self, Kind, Node},
};
use crate::action::DeviceKind;

/// Everything that is wrong with a pipeline.
#[derive(Debug)]
pub struct Refused {
    pub problems: Vec<Problem>,
    pub sources: Vec<Source>,
}

impl Refused {
    /// Returns the complaints as text.
    pub fn render(&self) -> String {
        super::problem::render(&self.problems, &self.sources)
    }
}

/// Returns the pipeline in `text`, called `name` in complaints, with `overrides` applied.
///
/// # Errors
/// If anything is wrong with it: all that can be told together.
pub fn read(name: &str, text: &str, overrides: &[Override]) -> Result<Pipeline, Refused> {
    let mut sources = vec![Source { name: name.to_owned(), text: text.to_owned() }];
    let mut root = match syntax::parse(&sources, 0) {
        Ok(root) => root,
        Err(problems) => return Err(Refused { problems, sources }),
    };
    let mut problems = set::apply(&mut root, overrides, &mut sources);
    let pipeline = Reader { problems: &mut problems }.pipeline(&root);
    match pipeline {
        Some(pipeline) if problems.is_empty() => Ok(pipeline),
        _ => {
            problems.sort_by_key(|problem| problem.span.map(|span| (span.source, span.start)));
            Err(Refused { problems, sources })
        }
    }
}

struct Reader<'p> {
    problems: &'p mut Vec<Problem>,
}

impl Reader<'_> {
    fn pipeline(&mut self, root: &Node) -> Option<Pipeline> {
        const FIELDS: [&str; 4] = ["name", "seed", "device", "stages"];
        let Kind::Fields { name, fields } = &root.kind else {
            self.problems.push(Problem::at(root.span, root.describe()).expected("`Study(name: .., seed: .., stages: [..])`"));
            return None;
        };
        if let Some(other) = name.as_deref().filter(|name| *name != "Study") {
            self.problems.push(Problem::at(root.span, format!("`{other}`")).expected("`Study`"));
        }
        for field in fields.iter().filter(|field| !FIELDS.contains(&field.key.as_str())) {
            let problem = Problem::at(field.key_span, format!("unknown field `{}`", field.key)).expected(one_of(FIELDS));
            self.problems.push(problem.did_you_mean(&field.key, FIELDS));
        }
        let field = |key: &str| fields.iter().find(|field| field.key == key).map(|field| &field.value);
        let mut missing = |key: &str| self.problems.push(Problem::at(root.span, format!("missing field `{key}`")));
        for key in ["name", "stages"].into_iter().filter(|key| field(key).is_none()) {
            missing(key);
        }
        let name = field("name").and_then(|node| self.study_name(node));
        let seed = field("seed").map_or(Some(0), |node| self.value::<u64>(node, node.to_json(), &[]));
        let device = field("device").map_or(Some(DeviceKind::Cpu), |node| self.value(node, node.to_json(), &[]));
        let read = field("stages").map(|node| self.stages(node)).unwrap_or_default();
        check::graph(&read, self.problems);
        let stages = read.into_iter().filter_map(|(name, _, _, spec)| Some((name, spec?))).collect();
        Some(Pipeline { name: name?, seed: seed?, device: device?, stages })
    }

    fn study_name(&mut self, node: &Node) -> Option<String> {
        let name: String = self.value(node, node.to_json(), &[])?;
        if is_name(&name) {
            return Some(name);
        }
        self.problems.push(Problem::at(node.span, format!("the name `{name}`")).expected("letters, digits, `-` and `_`"));
        None
    }

    fn stages<'n>(&mut self, node: &'n Node) -> Vec<check::Entry<'n>> {
        let mut entries: Vec<check::Entry<'n>> = Vec::new();
        for (name, name_span, stage) in self.named_stages(node) {
            if !is_name(&name) {
                self.problems.push(Problem::at(name_span, format!("the name `{name}`")).expected("letters, digits, `-` and `_`"));
            }
            if entries.iter().any(|(known, ..)| *known == name) {
                self.problems.push(Problem::at(name_span, format!("two stages are named `{name}`")).help("rename one of them"));
                continue;
            }
            let spec = self.stage(stage);
            entries.push((name, name_span, stage, spec));
        }
        entries
    }

    fn named_stages<'n>(&mut self, node: &'n Node) -> Vec<(String, Span, &'n Node)> {
        const EXPECTED: &str = "`(\"name\", Kind(..))`";
        match &node.kind {
            Kind::Fields { fields, .. } => fields.iter().map(|field| (field.key.clone(), field.key_span, &field.value)).collect(),
            Kind::List(items) => {
                let mut named = Vec::new();
                for item in items {
                    match &item.kind {
                        Kind::Tuple { name: None, items } => match items.as_slice() {
                            [Node { span, kind: Kind::String(name) }, stage] => named.push((name.clone(), *span, stage)),
                            _ => self.problems.push(Problem::at(item.span, "a stage without a name").expected(EXPECTED)),
                        },
                        _ => self.problems.push(Problem::at(item.span, item.describe()).expected(EXPECTED)),
                    }
                }
                named
            }
            _ => {
                self.problems.push(Problem::at(node.span, node.describe()).expected(format!("a list of {EXPECTED}")));
                Vec::new()
            }
        }
    }

    fn stage(&mut self, node: &Node) -> Option<StageSpec> {
        let kind = node.name().unwrap_or_default();
        if !StageSpec::KINDS.contains(&kind) {
            let found = if kind.is_empty() { node.describe().to_owned() } else { format!("unknown stage `{kind}`") };
            let span = Span { end: node.span.start + kind.len().max(1), ..node.span };
            self.problems.push(Problem::at(span, found).expected(one_of(StageSpec::KINDS)).did_you_mean(kind, StageSpec::KINDS));
            return None;
        }
        if kind != "Evaluate" {
            self.refuse_test_split(node);
        }
        let mut form = Form::new(node, kind);
        Some(match kind {
            "Fetch" => {
                let fetch: FetchSpec = self.rest(form)?;
                self.ranges(node, fetch.problems());
                StageSpec::Fetch(fetch)
            }
            "Decode" => {
                let from = self.reference(&mut form, "from");
                let decode: Decode = self.rest(form)?;
                self.ranges(node, decode.problems());
                StageSpec::Decode { from: from?, decode }
            }
            "Augment" => {
                let data = self.reference(&mut form, "data");
                let augment: Augment = self.rest(form)?;
                self.ranges(node, augment.problems());
                StageSpec::Augment { data: data?, augment }
            }
            "Train" => {
                let train = self.train(node, form)?;
                check::no_labels(node, &train, self.problems);
                StageSpec::Train(train)
            }
            "Search" => StageSpec::Search(self.search(node, form)?),
            "Retrain" => {
                let of = self.reference(&mut form, "of");
                let own = self.rest(form)?;
                StageSpec::Retrain(RetrainSpec { of: of?, own })
            }
            "Evaluate" => {
                let of = self.reference(&mut form, "of");
                let evaluate: Evaluate = self.rest(form)?;
                StageSpec::Evaluate { of: of?, evaluate }
            }
            "VisualizeFilters" => {
                let of = self.reference(&mut form, "of");
                let visualize: VisualizeFilters = self.rest(form)?;
                self.ranges(node, visualize.problems());
                StageSpec::VisualizeFilters { of: of?, visualize }
            }
            _ => unreachable!("the kinds were just compared"),
        })
    }

    fn train(&mut self, node: &Node, mut form: Form<'_>) -> Option<TrainSpec> {
        let data = self.reference(&mut form, "data");
        let augment = form.fields.contains_key("augment").then(|| self.reference(&mut form, "augment"));
        form.wiring.push("augment");
        let train: Train = self.rest(form)?;
        self.ranges(node, train.problems());
        Some(TrainSpec { data: data?, augment: augment.map_or(Some(None), |augment| augment.map(Some))?, train })
    }

    fn search(&mut self, node: &Node, mut form: Form<'_>) -> Option<SearchSpec> {
        form.wiring.push("trial");
        let trial = form.fields.remove("trial");
        let objective = ["maximise", "minimise"].map(|mode| (mode, form.fields.remove(mode)));
        form.wiring.extend(["maximise", "minimise"]);
        let trial_node = locate(node, &[Step::Name("trial".into())]);
        let trial = match trial {
            None => {
                self.problems.push(Problem::at(head(node), "missing field `trial`").expected("`trial: Train(..)`"));
                None
            }
            Some(_) if trial_node.name() == Some("Train") => {
                self.refuse_test_split(trial_node);
                let mut form = Form::new(trial_node, "Train");
                // What a search goes for is what its trials are scored by.
                let given: Vec<_> = objective.into_iter().filter_map(|(mode, value)| Some((mode, value?))).collect();
                match given.as_slice() {
                    [] => {}
                    [(mode, value)] => {
                        let value = serde_json::json!({ *mode: value });
                        if form.fields.insert("objective".to_owned(), value).is_some() {
                            let at = locate(trial_node, &[Step::Name("objective".into())]).span;
                            self.problems.push(Problem::at(at, format!("the search has a `{mode}` already")));
                        }
                    }
                    _ => self.problems.push(Problem::at(head(node), "both `maximise` and `minimise`").expected("one of them")),
                }
                self.train(trial_node, form)
            }
            Some(_) => {
                self.problems.push(Problem::at(trial_node.span, trial_node.describe()).expected("`Train(..)`"));
                None
            }
        };
        let own: super::spec::SearchParams = self.rest(form)?;
        check::search(node, &own, trial.as_ref(), self.problems);
        Some(SearchSpec { own, trial: trial? })
    }

    /// Takes the name of a stage to read from.
    fn reference(&mut self, form: &mut Form<'_>, field: &'static str) -> Option<String> {
        form.wiring.push(field);
        match form.fields.remove(field) {
            Some(Value::String(name)) => Some(name),
            Some(_) => {
                let node = locate(form.node, &[Step::Name(field.into())]);
                self.problems.push(Problem::at(node.span, node.describe()).expected("the name of a stage, as a string"));
                None
            }
            None => {
                let problem = Problem::at(head(form.node), format!("missing field `{field}`"));
                self.problems.push(problem.expected(format!("`{field}: \"name of a stage\"`")));
                None
            }
        }
    }

    /// Reads what is left of a form.
    fn rest<T: DeserializeOwned>(&mut self, form: Form<'_>) -> Option<T> {
        self.value(form.node, form.content(), &form.wiring)
    }

    /// Reads `json`, which `node` is the text of. `more` are fields that were taken out of it.
    fn value<T: DeserializeOwned>(&mut self, node: &Node, json: Value, more: &[&str]) -> Option<T> {
        match serde_path_to_error::deserialize(json) {
            Ok(value) => Some(value),
            Err(error) => {
                let steps = steps_of(error.path());
                self.problems.push(explain(node, &steps, &error.inner().to_string(), more));
                None
            }
        }
    }

    fn ranges(&mut self, node: &Node, found: Vec<(String, String)>) {
        for (at, message) in found {
            let steps = path::parse(&at).unwrap_or_default();
            let message = if at.is_empty() { message } else { format!("`{at}`: {message}") };
            self.problems.push(Problem::at(locate(node, &steps).span, message));
        }
    }

    /// Trials are chosen on validation; the test split is read once, by `Evaluate`.
    fn refuse_test_split(&mut self, node: &Node) {
        let Kind::Fields { fields, .. } = &node.kind else { return };
        for field in fields.iter().filter(|field| ["split", "data", "from", "validation", "on"].contains(&field.key.as_str())) {
            let text = field.value.to_json().to_string().to_lowercase();
            if text.contains("\"test\"") || text.contains("/test") || text.contains("test.safetensors") {
                self.problems.push(
                    Problem::at(field.value.span, "the test split")
                        .expected("a stage other than the test split here")
                        .help("only `Evaluate` reads the test split; trials are chosen on the validation split"),
                );
            }
        }
    }
}

/// The fields of a stage while they are taken apart.
struct Form<'n> {
    node: &'n Node,
    fields: Map<String, Value>,
    /// What stands there instead of fields.
    other: Option<Value>,
    /// Fields that were asked for, for "expected one of".
    wiring: Vec<&'static str>,
}

impl<'n> Form<'n> {
    fn new(node: &'n Node, kind: &str) -> Self {
        let json = node.to_json();
        let content = json.get(kind).cloned().unwrap_or_else(|| Value::Object(Map::new()));
        let (fields, other) = match content {
            Value::Object(fields) => (fields, None),
            other => (Map::new(), Some(other)),
        };
        Self { node, fields, other, wiring: Vec::new() }
    }

    fn content(&self) -> Value {
        self.other.clone().unwrap_or_else(|| Value::Object(self.fields.clone()))
    }
}

/// Returns the place of a value's name, rather than all of it.
fn head(node: &Node) -> Span {
    let length = node.name().map_or(1, str::len);
    Span { end: node.span.start + length, ..node.span }
}

/// Returns what serde says, pointing at what it says it of.
fn explain(node: &Node, steps: &[Step], message: &str, more: &[&str]) -> Problem {
    let at = locate(node, steps);
    let quoted = |text: &str| -> Vec<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    if let Some(rest) = message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant ")) {
        let mut names = quoted(rest);
        if !names.is_empty() {
            let found = names.remove(0);
            let is_field = message.starts_with("unknown field");
            let top = steps.is_empty() || (steps.len() == 1 && matches!(&steps[0], Step::Name(name) if *name == found));
            if is_field && top {
                names.extend(more.iter().map(|name| (*name).to_owned()));
            }
            names.sort();
            let span = if is_field { key_span(at, &found).or_else(|| key_span(node, &found)) } else { None };
            let what = if is_field { "field" } else { "name" };
            let known = || names.iter().map(String::as_str);
            return Problem::at(span.unwrap_or_else(|| if is_field { at.span } else { head(at) }), format!("unknown {what} `{found}`"))
                .expected(one_of(known()))
                .did_you_mean(&found, known());
        }
    }
    if message.starts_with("missing field") {
        return Problem::at(head(at), message.to_owned());
    }
    match message.rsplit_once(", expected ") {
        Some((found, expected)) => Problem::at(at.span, found.to_owned()).expected(expected),
        None => Problem::at(at.span, message.to_owned()),
    }
}

fn key_span(node: &Node, key: &str) -> Option<Span> {
    match &node.kind {
        Kind::Fields { fields, .. } => fields
            .iter()
            .find(|field| field.key == key)
            .map(|field| field.key_span)
            .or_else(|| fields.iter().find_map(|field| key_span(&field.value, key))),
        Kind::Tuple { items, .. } | Kind::List(items) => items.iter().find_map(|item| key_span(item, key)),
        _ => None,
    }
}

fn steps_of(path: &serde_path_to_error::Path) -> Vec<Step> {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Name(key.clone())),
            Segment::Enum { variant } => Some(Step::Name(variant.clone())),
            Segment::Unknown => None,
        })
        .collect()
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 100 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Returns whether a decoded dataset has a test split and a validation split.
pub(crate) fn splits(decode: &Decode) -> BTreeMap<&'static str, bool> {
    let written = decode.splits();
    ["validation", "test"].map(|split| (split, written.contains(&split))).into()
}

/// Returns the name of the split that an evaluation reads.
pub(crate) fn split_of(evaluate: &Evaluate) -> &'static str {
    match evaluate.split {
        EvaluateOn::Test => "test",
        EvaluateOn::Validation => "validation",
    }
}
