//! What types cannot say of a graph: names that are read from, kinds that fit, cycles, splits that exist.

use std::collections::{BTreeMap, BTreeSet};

use pipe_stages::{decode::Format, network::training::Keep, words::one_of};

use super::{
    located::located,
    node::Node,
    path::{Step, locate},
    problem::Problem,
    source::Span,
    spec::{RetrainData, StageSpec, TrainSpec, split_of, splits},
};

/// A stage as it was read: its name, the name's place, its text, and what it means if it means something.
pub(super) type Entry<'n> = (String, Span, &'n Node, Option<StageSpec>);

/// A field that names another stage.
struct Reference<'a> {
    field: &'static str,
    to: String,
    allowed: &'static [&'static str],
    /// Where the field stands.
    node: &'a Node,
}

/// Complains about references: names that no stage has, kinds that do not fit, cycles, splits that do not exist.
pub(super) fn graph(entries: &[Entry<'_>], problems: &mut Vec<Problem>) {
    let kinds: BTreeMap<&str, &str> =
        entries.iter().map(|(name, _, node, _)| (name.as_str(), node.name().unwrap_or(""))).collect();
    for (_, _, node, _) in entries {
        for reference in references(node) {
            let at = locate(reference.node, &[Step::Name(reference.field.to_owned())]).span;
            match kinds.get(reference.to.as_str()) {
                None => {
                    let problem = Problem::at(at, format!("there is no stage `{}`", reference.to));
                    let fitting =
                        kinds.iter().filter(|(_, kind)| reference.allowed.contains(kind)).map(|(name, _)| *name);
                    let known: Vec<_> = if fitting.clone().next().is_some() {
                        fitting.collect()
                    } else {
                        kinds.keys().copied().collect()
                    };
                    problems.push(
                        problem
                            .expected(one_of(known.iter().copied()))
                            .did_you_mean(&reference.to, kinds.keys().copied()),
                    );
                }
                // Of a kind that there is not, that is all that needs to be said.
                Some(kind) if !reference.allowed.contains(kind) && StageSpec::KINDS.contains(kind) => {
                    let problem = Problem::at(at, format!("`{}` is {}", reference.to, article(kind)));
                    let mut problem =
                        problem.expected(format!("a stage of kind {}", one_of(reference.allowed.iter().copied())));
                    if *kind == "Search" {
                        problem = problem.help(format!(
                            "a search has many networks: `Retrain(of: \"{}\")` makes one of its best trial",
                            reference.to
                        ));
                    }
                    problems.push(problem);
                }
                Some(_) => {}
            }
        }
    }
    cycles(entries, problems);
    missing_splits(entries, problems);
    missing_weights(entries, problems);
    missing_files(entries, problems);
    misfits(entries, problems);
}

/// Returns the references of a stage, also of one that could not be read whole.
fn references(node: &Node) -> Vec<Reference<'_>> {
    let table: &[(&'static str, &'static [&'static str])] = match node.name() {
        Some("Decode") => &[("from", &["Fetch"])],
        Some("Augment") => &[("data", &["Decode"])],
        Some("Train") => &[("data", &["Decode"]), ("augment", &["Augment"])],
        Some("Retrain") => &[("of", &["Search"])],
        Some("Evaluate" | "VisualizeFilters") => &[("of", &["Train", "Retrain"])],
        Some("Search") => &[("imported", &["Fetch"])],
        _ => &[],
    };
    let reference = |&(field, allowed): &(&'static str, &'static [&'static str])| {
        // However it is written, as it will be read.
        let to = node.field(field)?.value.to_json().as_str()?.to_owned();
        Some(Reference { field, to, allowed, node: node.content() })
    };
    let of_trial = trial_of(node).filter(|_| node.name() == Some("Search")).map(references).unwrap_or_default();
    table.iter().filter_map(reference).chain(of_trial).collect()
}

fn trial_of(node: &Node) -> Option<&Node> {
    node.field("trial").map(|field| &field.value)
}

/// Complains about each cycle once, naming all of it.
fn cycles(entries: &[Entry<'_>], problems: &mut Vec<Problem>) {
    let targets: Vec<Vec<String>> = entries
        .iter()
        .map(|(_, _, node, _)| references(node).into_iter().map(|reference| reference.to).collect())
        .collect();
    let names = entries.iter().map(|(name, ..)| name.as_str());
    let edges: BTreeMap<&str, Vec<&str>> =
        names.zip(&targets).map(|(name, to)| (name, to.iter().map(String::as_str).collect())).collect();
    let spans: BTreeMap<&str, Span> = entries.iter().map(|(name, span, ..)| (name.as_str(), *span)).collect();
    let mut done = BTreeSet::new();
    for start in edges.keys() {
        let mut way: Vec<&str> = Vec::new();
        follow(start, &edges, &mut way, &mut done, &mut |cycle| {
            let text =
                cycle.iter().chain(cycle.first()).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" -> ");
            problems.push(
                Problem::at(spans[cycle[0]], format!("a cycle: {text}"))
                    .help("a stage can read only from stages that do not read from it"),
            );
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
    let heads_of = |data: &str| match spec(data)? {
        StageSpec::Decode { decode, .. } => Some(heads(&decode.format)),
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
                let at = locate(node, &[Step::Name("objective".into())]).span;
                objective_needs(train, splits_of(data), at, problems);
                objective_names(train, heads_of(data), at, problems);
            }
            Some(StageSpec::Search(search)) => {
                let at = ["maximise", "minimise"].map(|mode| locate(node, &[Step::Name(mode.into())]).span);
                let at = at.into_iter().find(|at| *at != node.span).unwrap_or(*span);
                objective_needs(&search.trial.train, splits_of(&search.trial.data), at, problems);
                objective_names(&search.trial.train, heads_of(&search.trial.data), at, problems);
            }
            Some(StageSpec::Retrain(retrain))
                if retrain.own.epochs.is_none() && retrain.own.data == RetrainData::Train =>
            {
                let problem = Problem::at(*span, format!("`{}` does not say for how long to train", retrain.of));
                let long =
                    "`epochs: 20`, or `data: TrainAndValidation`, which trains as long as the best trial's best epoch";
                problems.push(problem.expected(long));
            }
            _ => {}
        }
    }
}

/// Complains about formats whose files are not among those that are fetched.
fn missing_files(entries: &[Entry<'_>], problems: &mut Vec<Problem>) {
    for (_, _, node, read) in entries {
        let Some(StageSpec::Decode { from, decode }) = read else { continue };
        let source = entries.iter().find(|(name, ..)| name == from);
        let Some((.., Some(StageSpec::Fetch(fetch)))) = source else { continue };
        let action = fetch.divide().0;
        let has = action.outputs();
        let missing: Vec<_> = decode.slots().iter().copied().filter(|slot| !has.contains(slot)).collect();
        if !missing.is_empty() {
            let at = locate(node, &[Step::Name("format".into())]).span;
            let list = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let problem = Problem::at(at, format!("the format reads {}, which `{from}` lacks", list(&missing)));
            problems.push(problem.expected(format!("a format that reads {}", list(&has))));
        }
    }
}

/// Complains about stages that look at a network whose weights are not kept.
fn missing_weights(entries: &[Entry<'_>], problems: &mut Vec<Problem>) {
    let spec = |name: &str| entries.iter().find(|(known, ..)| known == name).and_then(|(_, _, _, spec)| spec.as_ref());
    for (_, _, node, read) in entries {
        let Some(StageSpec::Evaluate { of, .. } | StageSpec::VisualizeFilters { of, .. }) = read else { continue };
        let keep = match spec(of) {
            Some(StageSpec::Train(own)) => own.train.keep.clone(),
            Some(StageSpec::Retrain(retrain)) => match spec(&retrain.of) {
                Some(StageSpec::Search(search)) => retrain.kept(&search.trial),
                _ => continue,
            },
            _ => continue,
        };
        if !keep.contains(&Keep::Best) && !keep.contains(&Keep::Last) {
            let at = locate(node, &[Step::Name("of".into())]).span;
            let problem = Problem::at(at, format!("`{of}` keeps neither its best nor its last weights"));
            problems.push(problem.help(format!("add `Best` or `Last` to the `keep` of `{of}`")));
        }
    }
}

/// Complains about networks that cannot be for images of the size that they are known to have.
fn misfits(entries: &[Entry<'_>], problems: &mut Vec<Problem>) {
    for (_, _, node, read) in entries {
        let (trial, node) = match read {
            Some(StageSpec::Train(own)) => (own, *node),
            Some(StageSpec::Search(search)) => (&search.trial, trial_of(node).unwrap_or(node)),
            _ => continue,
        };
        let data = entries.iter().find(|(name, ..)| *name == trial.data);
        let Some((.., Some(StageSpec::Decode { decode, .. }))) = data else { continue };
        // What is wrong for images of any size is said already.
        let known = decode.format.shape().filter(|shape| !shape.contains(&0));
        let misfit = known.and_then(|shape| trial.train.misfit(shape));
        problems.extend(misfit.map(|problem| located(node.content(), problem)));
    }
}

fn objective_needs(
    train: &pipe_stages::train::Train,
    splits: Option<BTreeMap<&'static str, bool>>,
    at: Span,
    problems: &mut Vec<Problem>,
) {
    let has_validation = splits.is_none_or(|splits| splits["validation"]);
    if !has_validation && train.objective.metric().starts_with("valid.") {
        let problem = Problem::at(
            at,
            format!("the objective `{}` on a dataset without a validation split", train.objective.metric()),
        );
        problems.push(problem.help("give `Decode` a `validation`, or go for a `train.` metric"));
    }
}

/// Returns the names of the heads that images of a format have.
fn heads(format: &Format) -> &'static [&'static str] {
    match format {
        Format::Cifar100 => &["fine", "coarse"],
        Format::Cifar10 | Format::Idx | Format::Folders { .. } => &["class"],
    }
}

/// Complains about an objective's metric of a head that there is not.
fn objective_names(
    train: &pipe_stages::train::Train,
    heads: Option<&'static [&'static str]>,
    at: Span,
    problems: &mut Vec<Problem>,
) {
    let metric = train.objective.metric();
    let (Some(heads), Some((split, figure))) = (heads, metric.split_once('.')) else { return };
    // Of another form, it was refused by itself.
    if !figure.ends_with("_loss") && !figure.ends_with("_accuracy") {
        return;
    }
    let of_heads = heads.iter().flat_map(|head| [format!("{split}.{head}_loss"), format!("{split}.{head}_accuracy")]);
    let known: Vec<_> =
        ["loss", "accuracy"].map(|figure| format!("{split}.{figure}")).into_iter().chain(of_heads).collect();
    let names = || known.iter().map(String::as_str);
    if names().all(|name| name != metric) {
        let problem = Problem::at(at, format!("there is no metric `{metric}`"));
        problems.push(problem.expected(one_of(names())).did_you_mean(metric, names()));
    }
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['A', 'E', 'I', 'O', 'U']);
    format!("{} `{kind}`", if vowel { "an" } else { "a" })
}
