//! Checks of a search's space against its trials: invalid expressions, labels used twice, labels that nothing uses.

use std::collections::BTreeSet;

use pipe_stages::{
    network::Family,
    problem::{Path, Step},
    words::one_of,
};
use serde_json::Value;

use super::{
    mistake::Mistake,
    source::Span,
    stage::{TrainSpec, plain},
    stages::search::{
        params::SearchParams,
        sampler::{self, in_space},
    },
    term::{Term, TermKind},
    walk::{self, locate},
};

/// Complains about the space of a search: invalid expressions, labels used twice, labels that nothing uses.
pub(super) fn search(term: &Term, own: &SearchParams, trial: Option<&TrainSpec>, mistakes: &mut Vec<Mistake>) {
    let at = |path: &str| locate(term, walk::parse(path).unwrap_or_default().steps()).span;
    let sound = own.space.validate().is_empty();
    mistakes
        .extend(own.space.validate().iter().map(|found| in_space(term, &Path::here().name("space"), found.clone())));
    if sound {
        sampler::fits(term, own, trial, mistakes);
    }
    let Some(trial) = trial.filter(|_| sound) else { return };

    let named = labels_of(trial);
    let family = trial.train.model.family();
    let keys = family.keys();
    for key in own.space.keys() {
        let reaches = keys.contains(&key) || own.space.labels_of(key).iter().any(|label| named.contains(*label));
        let span = key_span(term, key).unwrap_or_else(|| at("space"));
        if !reaches {
            let mistake =
                Mistake::at(span, format!("label `{key}` is not used")).expected(one_of(keys.iter().copied()));
            let mistake = mistake.did_you_mean(key, keys.iter().copied());
            mistakes.push(if mistake.help.is_some() {
                mistake
            } else {
                mistake.help(format!("use it in the trial as `hp(\"{key}\")`, or remove it"))
            });
        } else if family.fixed(key).is_some() {
            mistakes.push(
                Mistake::at(span, format!("`{key}` is fixed in the trial's model and searched as well"))
                    .help("remove one of the two"),
            );
        }
    }
    for key in own.space.keys().filter(|key| keys.contains(key)) {
        let space = locate(term, &[Step::Name("space".into())]);
        let Some(written) = space.to_json().get(key).cloned() else { continue };
        values(family, key, &written, &format!("space.{key}"), &mut |path, value, expected| {
            let message = format!("`{key}`: found `{}`", value.to_string().trim_matches('"'));
            mistakes.push(Mistake::at(at(path), message).expected(expected));
        });
    }
    let always = own.space.unconditional_labels();
    for label in named {
        let span = label_span(term, &label).unwrap_or_else(|| at("trial"));
        if !own.space.labels().contains(label.as_str()) {
            let mistake =
                Mistake::at(span, format!("the space has no label `{label}`")).expected(one_of(own.space.labels()));
            mistakes.push(mistake.did_you_mean(&label, own.space.labels()));
        } else if !always.contains(label.as_str()) {
            let mistake = Mistake::at(span, format!("label `{label}` is not proposed in every trial"));
            mistakes.push(mistake.help("use a label that does not depend on the option of a choice"));
        }
    }
}

/// Calls `complain` for each value that the expression `json` at `path` can propose for `key` and that the family never allows,
/// with its path, the value, and what is expected there.
fn values(family: &dyn Family, key: &str, json: &Value, path: &str, complain: &mut dyn FnMut(&str, &Value, String)) {
    let single = json.as_object().and_then(|map| map.iter().next().filter(|_| map.len() == 1));
    let Some((kind, content)) = single else {
        if let Some(expected) = refusal(family, key, json) {
            complain(path, json, expected);
        }
        return;
    };
    let items = content.as_array().map(Vec::as_slice).unwrap_or_default();
    match (kind.as_str(), items) {
        ("choice" | "Choice", options) => {
            for (i, option) in options.iter().enumerate() {
                values(family, key, option, &format!("{path}.{kind}[{i}]"), complain);
            }
        }
        ("IntRange" | "FloatRange", _) => {
            for (i, end) in ["lo", "hi"].into_iter().enumerate() {
                let (value, place) = match content.get(end) {
                    Some(value) => (value, format!("{path}.{kind}.{end}")),
                    None => (items.get(i).unwrap_or(&Value::Null), format!("{path}.{kind}[{i}]")),
                };
                if let Some(expected) = refusal(family, key, value) {
                    complain(&place, value, expected);
                }
            }
        }
        ("pchoice", pairs) => {
            for (i, option) in pairs.iter().enumerate().filter_map(|(i, pair)| Some((i, pair.get(1)?))) {
                values(family, key, option, &format!("{path}.pchoice[{i}][1]"), complain);
            }
        }
        ("label", [_, expression]) => values(family, key, expression, &format!("{path}.label[1]"), complain),
        ("uniform" | "quniform", [lo, hi, ..]) if family.is_bounded(key) => {
            if let Some(expected) = refusal(family, key, lo) {
                complain(&format!("{path}.{kind}[0]"), lo, expected);
            }
            // A uniform number is below its upper bound, a quantised one can equal it.
            if let Some(expected) = refusal(family, key, hi).filter(|_| kind == "quniform" || hi.as_f64() != Some(1.0))
            {
                complain(&format!("{path}.{kind}[1]"), hi, expected);
            }
        }
        _ => {}
    }
}

/// Returns what is expected instead of `value` if the family refuses it.
fn refusal(family: &dyn Family, key: &str, value: &Value) -> Option<String> {
    if value.is_array() || value.is_object() { None } else { family.refusal(key, value) }
}

/// Complains about each `hp("label")` of a training that is not part of a search.
pub(super) fn none(term: &Term, trial: &TrainSpec, mistakes: &mut Vec<Mistake>) {
    for label in labels_of(trial) {
        let span = label_span(term, &label).unwrap_or(term.span);
        mistakes.push(Mistake::at(span, format!("`hp(\"{label}\")` outside a search")).expected("a value"));
    }
}

/// Returns the labels that a training uses.
fn labels_of(trial: &TrainSpec) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    collect_labels(&plain(&trial.train), &mut labels);
    labels
}

fn collect_labels(json: &Value, labels: &mut BTreeSet<String>) {
    match json {
        Value::Object(map) => match map.get("hp").and_then(Value::as_str).filter(|_| map.len() == 1) {
            Some(label) => {
                labels.insert(label.to_owned());
            }
            None => map.values().for_each(|value| collect_labels(value, labels)),
        },
        Value::Array(items) => items.iter().for_each(|value| collect_labels(value, labels)),
        _ => {}
    }
}

fn key_span(term: &Term, key: &str) -> Option<Span> {
    let space = locate(term, &[Step::Name("space".into())]);
    let TermKind::Fields { fields, .. } = &space.kind else { return None };
    fields.iter().find(|field| field.key == key).map(|field| field.key_span)
}

/// Returns the place of `hp("label")`.
fn label_span(term: &Term, label: &str) -> Option<Span> {
    match &term.kind {
        TermKind::Tuple { name: Some(name), items } if name == "hp" => {
            matches!(items.as_slice(), [Term { kind: TermKind::String(text), .. }] if text == label)
                .then_some(term.span)
        }
        TermKind::Tuple { items, .. } | TermKind::List(items) => items.iter().find_map(|item| label_span(item, label)),
        TermKind::Fields { fields, .. } => fields.iter().find_map(|field| label_span(&field.value, label)),
        _ => None,
    }
}
