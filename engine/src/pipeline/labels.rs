//! Checks of a search's space against its trials: invalid expressions, labels used twice, labels that nothing uses.

use std::collections::BTreeSet;

use pipe_stages::{
    network::Family,
    params::label,
    problem::{Path, Step},
    search::{End, Extreme, extremes},
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
        let path = Path::here().name("space");
        let Some(written) = locate(term, path.steps()).to_json().get(key).cloned() else { continue };
        for extreme in extremes(&written, &path.name(key)) {
            if let Some(expected) = refusal(family, key, &extreme) {
                let message = format!("`{key}`: found `{}`", extreme.value.to_string().trim_matches('"'));
                mistakes.push(Mistake::at(locate(term, extreme.at.steps()).span, message).expected(expected));
            }
        }
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

/// Returns what is expected instead of a value that the search can propose for `key`, if the family never allows it.
fn refusal(family: &dyn Family, key: &str, Extreme { value, end, .. }: &Extreme) -> Option<String> {
    if *end != End::Value && !family.is_bounded(key) {
        return None;
    }
    let refused = family.refusal(key, value)?;
    if *end == End::OpenBound {
        // All values are below the bound, so it is enough that the largest of them is allowed.
        family.refusal(key, &value.as_f64().map_or(Value::Null, |bound| bound.next_down().into()))?;
    }
    Some(refused)
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
        json if label(json).is_some() => labels.extend(label(json).map(str::to_owned)),
        Value::Object(map) => map.values().for_each(|value| collect_labels(value, labels)),
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
