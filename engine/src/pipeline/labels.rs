//! Checks of a search's space against its trials: invalid expressions, labels used twice, labels that nothing uses.

use std::collections::BTreeSet;

use pipe_stages::{
    command::Command,
    network::Family,
    params::{Domain, LabelUse, Read, label},
    problem::{Path, Step},
    search::{Reach, reaches},
    words::one_of,
};
use serde_json::Value;

use super::{
    mistake::Mistake,
    source::Span,
    stage::{Here, TrainSpec, plain},
    stages::search::{
        params::SearchParams,
        sampler::{self, in_space},
        trial::Trial,
    },
    term::{Term, TermKind},
    walk::{self, locate},
};

/// Complains about the space of a search by itself: invalid expressions, labels used twice, a sampler that it does not fit.
pub(super) fn space(term: &Term, own: &SearchParams, trial: Option<&dyn Trial>, mistakes: &mut Vec<Mistake>) {
    let mut found = own.space.validate().to_vec();
    if found.is_empty() {
        found.extend(own.space.nothing_to_search());
    }
    mistakes.extend(found.iter().map(|found| in_space(term, &Path::here().name("space"), found.clone())));
    if found.is_empty() {
        sampler::fits(term, own, trial, mistakes);
    }
}

/// Complains about labels that nothing uses, about ranges of values that are not allowed, and about uses of labels that the space
/// lacks.
pub(super) fn search(own: &SearchParams, trial: &TrainSpec, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
    if !own.space.validate().is_empty() {
        return;
    }
    let family = trial.train.model.family();
    let policy = trial.augment.as_ref().and_then(|augment| here.stages.augmentation(augment));
    let of_policy = policy.map(uses).unwrap_or_default();
    let named = labels_of(trial);
    // A policy that is not known may use any label.
    if trial.augment.is_none() || policy.is_some() {
        let in_policy = of_policy.iter().map(|used| used.label.as_str());
        let named: BTreeSet<&str> = named.iter().map(String::as_str).chain(in_policy).collect();
        unused(own, family, &named, here.term, mistakes);
    }
    out_of_range(own, family, &[uses(&trial.train), of_policy.clone()].concat(), here.term, mistakes);
    let of_trial = |label: &str| label_span(here.term, label).unwrap_or_else(|| locate_in(here.term, "trial"));
    for label in &named {
        missing(own, label, "", of_trial(label), mistakes);
    }
    let by = trial.augment.as_ref().map(|augment| format!(", which `{augment}` uses,")).unwrap_or_default();
    for label in of_policy.into_iter().map(|used| used.label).collect::<BTreeSet<_>>() {
        missing(own, &label, &by, locate_in(here.term, "trial.Train.augment"), mistakes);
    }
}

/// Complains about labels that no word of a program names, and about uses of labels that the space lacks.
pub(super) fn of_program(own: &SearchParams, command: &Command, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
    if !own.space.validate().is_empty() {
        return;
    }
    let named = command.labels();
    let trial = locate_in(here.term, "trial");
    for label in &named {
        let at = label_span(here.term, label).or_else(|| text_span(here.term, &format!("{{hp.{label}}}")));
        missing(own, label, "", at.unwrap_or(trial), mistakes);
    }
    for key in own.space.keys().filter(|_| !command.takes_all_labels()) {
        let labels = own.space.labels_of(key);
        if !named.contains(key) && !labels.iter().any(|label| named.contains(*label)) {
            let span = key_span(here.term, key).unwrap_or_else(|| locate_in(here.term, "space"));
            let help = format!("pass it to the program: `\"{{flags}}\"` for all, or `\"{{hp.{key}}}\"`; or remove it");
            mistakes.push(Mistake::at(span, format!("label `{key}` is not used")).help(help));
        }
    }
}

/// Returns the place of a string that contains `text`.
fn text_span(term: &Term, text: &str) -> Option<Span> {
    match &term.kind {
        TermKind::String(string) => string.contains(text).then_some(term.span),
        TermKind::Tuple { items, .. } | TermKind::List(items) => items.iter().find_map(|item| text_span(item, text)),
        TermKind::Fields { fields, .. } => fields.iter().find_map(|field| text_span(&field.value, text)),
        _ => None,
    }
}

fn locate_in(term: &Term, path: &str) -> Span {
    locate(term, walk::parse(path).unwrap_or_default().steps()).span
}

/// Complains about keys of the space that neither the family nor one of the labels `named` uses, and about those that have a value
/// in the family.
fn unused(own: &SearchParams, family: &dyn Family, named: &BTreeSet<&str>, term: &Term, mistakes: &mut Vec<Mistake>) {
    let keys = family.keys();
    for key in own.space.keys() {
        let reaches = keys.contains(&key) || own.space.labels_of(key).iter().any(|label| named.contains(*label));
        let span = key_span(term, key).unwrap_or_else(|| locate_in(term, "space"));
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
}

/// Complains about a label in use that the space lacks, or that some trials lack. `by` says what uses it.
fn missing(own: &SearchParams, label: &str, by: &str, span: Span, mistakes: &mut Vec<Mistake>) {
    if !own.space.labels().contains(label) {
        let found = format!("the space has no label `{label}`{}", by.trim_end_matches(','));
        let mistake = Mistake::at(span, found).expected(one_of(own.space.labels()));
        mistakes.push(mistake.did_you_mean(label, own.space.labels()));
    } else if !own.space.unconditional_labels().contains(label) {
        let mistake = Mistake::at(span, format!("label `{label}`{by} is not proposed in every trial"));
        mistakes.push(mistake.help("use a label that does not depend on the option of a choice"));
    }
}

/// Complains about values that the search can propose, but that neither the family nor one of `uses` allows.
fn out_of_range(own: &SearchParams, family: &dyn Family, uses: &[LabelUse], term: &Term, mistakes: &mut Vec<Mistake>) {
    let path = Path::here().name("space");
    let written = locate(term, path.steps()).to_json();
    let keys = family.keys();
    for (key, written) in own.space.keys().filter_map(|key| Some((key, written.get(key)?))) {
        for reach in reaches(written, &path.name(key), key) {
            let refused = |value: &Value| {
                let by_family = || keys.contains(&key).then(|| family.refusal(key, value))?;
                let mut of_label = uses.iter().filter(|used| reach.labels.contains(&used.label));
                by_family().or_else(|| of_label.find_map(|used| used.refusal(value)))
            };
            mistakes.extend(beyond(key, &reach, &refused).into_iter().map(|(at, found, expected, help)| {
                let mistake = Mistake::at(locate(term, at.steps()).span, found).expected(expected);
                match help {
                    Some(help) => mistake.help(help),
                    None => mistake,
                }
            }));
        }
    }
}

/// A mistake in an expression: its place, what was found, what is expected, and what to do.
type Beyond<'r> = (&'r Path, String, String, Option<String>);

/// Returns what is wrong with the values of an expression under `key`. `refused` says what is expected instead of a value.
fn beyond<'r>(key: &str, reach: &'r Reach, refused: &dyn Fn(&Value) -> Option<String>) -> Vec<Beyond<'r>> {
    let shown = |value: &Value| value.to_string().trim_matches('"').to_owned();
    let mut misfits = reach.draws.iter().filter_map(|draw| Some((draw, refused(draw)?)));
    let first = misfits.next();
    // It is not where the values lie that is wrong, but that there are numbers between whole ones.
    let is_whole = |value: &Value| value.as_f64().is_some_and(|x| x.fract() == 0.0);
    let rounded = |value: &Value| value.as_f64().map(|x| Value::from(x.round_ties_even()));
    let name = reach.name.as_deref().unwrap_or_default();
    if let Some((draw, expected)) = &first
        && !is_whole(draw)
        && rounded(draw).is_some_and(|near| refused(&near).is_none())
    {
        let found = format!("`{key}`: `{name}` proposes `{}`", shown(draw));
        let help = "for whole numbers write `IntRange(lo: .., hi: ..)`, or give `FloatRange` a whole `step`";
        return vec![(&reach.at, found, expected.clone(), Some(help.to_owned()))];
    }
    if let ([], Some((draw, expected))) = (reach.ends.as_slice(), &first) {
        // A distribution without bounds of its own may miss now and then, but not always.
        let all = 1 + misfits.count() == reach.draws.len();
        let found = || format!("`{key}`: `{name}` proposes values like `{}`", shown(draw));
        return if all { vec![(&reach.at, found(), expected.clone(), None)] } else { Vec::new() };
    }
    let mut beyond = Vec::new();
    for end in &reach.ends {
        let Some(expected) = refused(&end.value) else { continue };
        if end.nearest.as_ref().is_some_and(|nearest| refused(nearest).is_none()) {
            continue;
        }
        let as_written = if end.written.is_number() && end.written.as_f64() != end.value.as_f64() {
            format!(", which proposes `{}`", shown(&end.value))
        } else {
            String::new()
        };
        beyond.push((&end.at, format!("`{key}`: found `{}`{as_written}", shown(&end.written)), expected, None));
    }
    if let (true, Some((draw, expected))) = (beyond.is_empty(), first) {
        let found = format!("`{key}`: `{name}` proposes `{}`", shown(draw));
        beyond.push((&reach.at, found, expected, None));
    }
    beyond
}

/// Complains about an augmentation with a label that is used by a training outside of a search.
pub(super) fn none_in_policy(train: &TrainSpec, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
    let Some(augment) = &train.augment else { return };
    let uses = here.stages.augmentation(augment).map(uses).unwrap_or_default();
    for label in uses.into_iter().map(|used| used.label).collect::<BTreeSet<_>>() {
        let mistake = Mistake::at(here.field("augment"), format!("`hp(\"{label}\")` of `{augment}` outside a search"));
        mistakes.push(mistake.expected("an `Augment` whose policy has values only"));
    }
}

/// Returns the parameters whose value is `hp("label")`.
fn uses(params: &impl Read) -> Vec<LabelUse> {
    let mut uses = Vec::new();
    params.uses(&Domain::Any, &mut uses);
    uses
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
