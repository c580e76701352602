//! What types cannot say of a pipeline: names that are read from, kinds that fit, cycles, labels that reach something.

use std::collections::{BTreeMap, BTreeSet};

use pipe_stages::{
    search::SpaceProblem,
    train::Model,
};
use serde_json::Value;

use super::{
    path::{self, Step, locate},
    problem::{Problem, one_of},
    read::{split_of, splits},
    source::Span,
    spec::{RetrainData, SearchParams, StageSpec, TrainSpec},
    syntax::{Kind, Node},
};

/// A stage as it was read: its name, the name's place, its text, and what it means if it means something.
pub(super) type Entry<'n> = (String, Span, &'n Node, Option<StageSpec>);

/// A field that names another stage.
struct Reference<'a> {
    field: &'static str,
    to: &'a str,
    allowed: &'static [&'static str],
    /// Where the field stands.
    node: &'a Node,
}

/// Complains about references: names that no stage has, kinds that do not fit, cycles, splits that do not exist.
pub(super) fn graph(entries: &[Entry<'_>], problems: &mut Vec<Problem>) {
    let kinds: BTreeMap<&str, &str> = entries.iter().map(|(name, _, node, _)| (name.as_str(), node.name().unwrap_or(""))).collect();
    for (name, _, node, _) in entries {
        for reference in references(node) {
            let at = locate(reference.node, &[Step::Name(reference.field.to_owned())]).span;
            match kinds.get(reference.to) {
                None => {
                    let problem = Problem::at(at, format!("there is no stage `{}`", reference.to));
                    let fitting = kinds.iter().filter(|(_, kind)| reference.allowed.contains(kind)).map(|(name, _)| *name);
                    let known: Vec<_> = if fitting.clone().next().is_some() { fitting.collect() } else { kinds.keys().copied().collect() };
                    problems.push(problem.expected(one_of(known.iter().copied())).did_you_mean(reference.to, kinds.keys().copied()));
                }
                Some(kind) if !reference.allowed.contains(kind) && !kind.is_empty() => {
                    let problem = Problem::at(at, format!("`{}` is {}", reference.to, article(kind)));
                    let mut problem = problem.expected(format!("a stage of kind {}", one_of(reference.allowed.iter().copied())));
                    if *kind == "Search" {
                        problem = problem.help(format!("a search has many networks: `Retrain(of: \"{}\")` makes one of its best trial", reference.to));
                    }
                    problems.push(problem);
                }
                Some(_) => {}
            }
        }
        let _ = name;
    }
    cycles(entries, problems);
    missing_splits(entries, problems);
}

/// Returns the references of a stage, also of one that could not be read whole.
fn references(node: &Node) -> Vec<Reference<'_>> {
    let table: &[(&'static str, &'static [&'static str])] = match node.name() {
        Some("Decode") => &[("from", &["Fetch"])],
        Some("Augment") => &[("data", &["Decode"])],
        Some("Train") => &[("data", &["Decode"]), ("augment", &["Augment"])],
        Some("Retrain") => &[("of", &["Search"])],
        Some("Evaluate" | "VisualizeFilters") => &[("of", &["Train", "Retrain"])],
        Some("Search") => return trial_of(node).map(references).unwrap_or_default(),
        _ => &[],
    };
    let Kind::Fields { fields, .. } = &node.kind else { return Vec::new() };
    let find = |name: &str| fields.iter().find(|field| field.key == name);
    table
        .iter()
        .filter_map(|&(field, allowed)| match &find(field)?.value.kind {
            Kind::String(to) => Some(Reference { field, to, allowed, node }),
            _ => None,
        })
        .collect()
}

fn trial_of(node: &Node) -> Option<&Node> {
    let Kind::Fields { fields, .. } = &node.kind else { return None };
    fields.iter().find(|field| field.key == "trial").map(|field| &field.value)
}

/// Complains about each cycle once, naming all of it.
fn cycles(entries: &[Entry<'_>], problems: &mut Vec<Problem>) {
    let edges: BTreeMap<&str, Vec<&str>> =
        entries.iter().map(|(name, _, node, _)| (name.as_str(), references(node).iter().map(|r| r.to).collect())).collect();
    let spans: BTreeMap<&str, Span> = entries.iter().map(|(name, span, ..)| (name.as_str(), *span)).collect();
    let mut done = BTreeSet::new();
    for start in edges.keys() {
        let mut way: Vec<&str> = Vec::new();
        follow(start, &edges, &mut way, &mut done, &mut |cycle| {
            let text = cycle.iter().chain(cycle.first()).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" -> ");
            problems.push(Problem::at(spans[cycle[0]], format!("a cycle: {text}")).help("a stage can read only from stages that do not read from it"));
        });
    }
}

fn follow<'a>(
    name: &'a str,
    edges: &BTreeMap<&'a str, Vec<&'a str>>,
    way: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
    found: &mut dyn FnMut(&[&'a str]),
) {
    if let Some(start) = way.iter().position(|known| *known == name) {
        return found(&way[start..]);
    }
    if done.contains(name) {
        return;
    }
    way.push(name);
    for next in edges.get(name).into_iter().flatten() {
        follow(next, edges, way, done, found);
    }
    way.pop();
    done.insert(name);
}

/// Complains about stages that read a split which their dataset does not have.
fn missing_splits(entries: &[Entry<'_>], problems: &mut Vec<Problem>) {
    let spec = |name: &str| entries.iter().find(|(known, ..)| known == name).and_then(|(_, _, _, spec)| spec.as_ref());
    let data_of = |name: &str| match spec(name)? {
        StageSpec::Train(train) => Some(train.data.clone()),
        StageSpec::Search(search) => Some(search.trial.data.clone()),
        StageSpec::Retrain(retrain) => match spec(&retrain.of)? {
            StageSpec::Search(search) => Some(search.trial.data.clone()),
            _ => None,
        },
        _ => None,
    };
    let splits_of = |data: &str| match spec(data)? {
        StageSpec::Decode { decode, .. } => Some(splits(decode)),
        _ => None,
    };
    for (_, span, node, read) in entries {
        match read {
            Some(StageSpec::Evaluate { of, evaluate }) => {
                let split = split_of(evaluate);
                let has = data_of(of).and_then(|data| splits_of(&data)).is_none_or(|splits| splits[split]);
                if !has {
                    let at = locate(node, &[Step::Name("split".into())]).span;
                    let problem = Problem::at(at, format!("the dataset has no {split} split"));
                    problems.push(problem.help(match split {
                        "test" => "its `validation: OfficialTest` takes the test images for validation: say `split: Validation`, or choose another validation split",
                        _ => "its `validation` is `None`: give it one",
                    }));
                }
            }
            Some(StageSpec::Train(TrainSpec { data, train, .. })) => {
                objective_needs(train, splits_of(data), locate(node, &[Step::Name("objective".into())]).span, problems);
            }
            Some(StageSpec::Search(search)) => {
                let at = ["maximise", "minimise"].map(|mode| locate(node, &[Step::Name(mode.into())]).span);
                let at = at.into_iter().find(|at| *at != node.span).unwrap_or(*span);
                objective_needs(&search.trial.train, splits_of(&search.trial.data), at, problems);
            }
            Some(StageSpec::Retrain(retrain)) => {
                if retrain.own.epochs.is_none() && retrain.own.data == RetrainData::Train {
                    let problem = Problem::at(*span, format!("`{}` does not say for how long to train", retrain.of));
                    problems.push(problem.expected("`epochs: 20`, or `data: TrainAndValidation`, which trains as long as the best trial's best epoch"));
                }
            }
            _ => {}
        }
    }
}

fn objective_needs(train: &pipe_stages::train::Train, splits: Option<BTreeMap<&'static str, bool>>, at: Span, problems: &mut Vec<Problem>) {
    let has_validation = splits.is_none_or(|splits| splits["validation"]);
    if !has_validation && train.objective.metric().starts_with("valid.") {
        let problem = Problem::at(at, format!("the objective `{}` on a dataset without a validation split", train.objective.metric()));
        problems.push(problem.help("give `Decode` a `validation`, or go for a `train.` metric"));
    }
}

/// Complains about what a search proposes: bad expressions, labels used twice, labels that reach nothing.
pub(super) fn search(node: &Node, own: &SearchParams, trial: Option<&TrainSpec>, problems: &mut Vec<Problem>) {
    let at = |path: &str| locate(node, &path::parse(path).unwrap_or_default()).span;
    if !(1..=100_000).contains(&own.trials) {
        problems.push(Problem::at(at("trials"), format!("{} trials", own.trials)).expected("1 to 100000"));
    }
    if !(1..=1000).contains(&own.lag) {
        problems.push(Problem::at(at("lag"), format!("a lag of {}", own.lag)).expected("1 (one trial at a time) to 1000"));
    }
    let mut complain = |prefix: &str, found: SpaceProblem| {
        let mut problem = Problem::at(at(&format!("{prefix}.{}", found.path)), found.message);
        problem.help = found.hint;
        problems.push(problem);
    };
    own.sampler.validate().into_iter().for_each(|found| complain("sampler", found));
    let space_problems = own.space.validate();
    let sound = space_problems.is_empty();
    space_problems.into_iter().for_each(|found| complain("space", found));
    let Some(trial) = trial.filter(|_| sound) else { return };

    let json = super::spec::plain(&trial.train);
    let mut named = BTreeSet::new();
    labels_named(&json, &mut named);
    let Model::HyperCnn(family) = &trial.train.model;
    let keys = pipe_stages::model::HyperCnn::keys();
    for key in own.space.keys() {
        let reaches = keys.contains(&key) || named.contains(key);
        let span = key_span(node, key).unwrap_or_else(|| at("space"));
        if !reaches {
            let problem = Problem::at(span, format!("unused axis: label `{key}` reaches nothing")).expected(one_of(keys.iter().copied()));
            let problem = problem.did_you_mean(key, keys.iter().copied());
            problems.push(if problem.help.is_some() { problem } else { problem.help(format!("use it in the trial as `hp(\"{key}\")`, or remove it")) });
        } else if family.fixed.contains_key(key) {
            problems.push(Problem::at(span, format!("`{key}` is fixed in the trial's model and searched as well")).help("remove one of the two"));
        }
    }
    let always = own.space.unconditional_labels();
    for label in named {
        let span = label_span(node, &label).unwrap_or_else(|| at("trial"));
        if !own.space.labels().contains(label.as_str()) {
            let problem = Problem::at(span, format!("the space has no label `{label}`")).expected(one_of(own.space.labels()));
            problems.push(problem.did_you_mean(&label, own.space.labels()));
        } else if !always.contains(label.as_str()) {
            let problem = Problem::at(span, format!("label `{label}` is not proposed in every trial"));
            problems.push(problem.help("a value outside the space needs a label that no choice can leave out"));
        }
    }
}

/// Complains about `hp("label")` where no search is around.
pub(super) fn no_labels(node: &Node, trial: &TrainSpec, problems: &mut Vec<Problem>) {
    let mut named = BTreeSet::new();
    labels_named(&super::spec::plain(&trial.train), &mut named);
    for label in named {
        let span = label_span(node, &label).unwrap_or(node.span);
        problems.push(Problem::at(span, format!("`hp(\"{label}\")` outside a search")).expected("a value"));
    }
}

fn labels_named(json: &Value, labels: &mut BTreeSet<String>) {
    match json {
        Value::Object(map) => match map.get("hp").and_then(Value::as_str).filter(|_| map.len() == 1) {
            Some(label) => {
                labels.insert(label.to_owned());
            }
            None => map.values().for_each(|value| labels_named(value, labels)),
        },
        Value::Array(items) => items.iter().for_each(|value| labels_named(value, labels)),
        _ => {}
    }
}

fn key_span(node: &Node, key: &str) -> Option<Span> {
    let space = locate(node, &[Step::Name("space".into())]);
    let Kind::Fields { fields, .. } = &space.kind else { return None };
    fields.iter().find(|field| field.key == key).map(|field| field.key_span)
}

/// Returns the place of `hp("label")`.
fn label_span(node: &Node, label: &str) -> Option<Span> {
    match &node.kind {
        Kind::Tuple { name: Some(name), items } if name == "hp" => {
            matches!(items.as_slice(), [Node { kind: Kind::String(text), .. }] if text == label).then_some(node.span)
        }
        Kind::Tuple { items, .. } | Kind::List(items) => items.iter().find_map(|item| label_span(item, label)),
        Kind::Fields { fields, .. } => fields.iter().find_map(|field| label_span(&field.value, label)),
        _ => None,
    }
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['A', 'E', 'I', 'O', 'U']);
    format!("{} `{kind}`", if vowel { "an" } else { "a" })
}
