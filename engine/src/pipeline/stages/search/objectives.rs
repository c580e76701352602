//! What a search looks for: one objective, or several at once.

use pipe_stages::{
    command::Score,
    network::training::{AnyObjective, Figure, Objective},
    search::{Length, Stopping},
    words::one_of,
};
use serde_json::{Value, json};

use super::params::SearchSpec;
use crate::pipeline::{
    located,
    mistake::Mistake,
    reading::Reading,
    source::Span,
    stage::Here,
    stages::{command, decode},
    term::{Term, TermKind},
};

/// The objectives that are known of the network, without training it.
const OF_NETWORK: [&str; 2] = ["parameters", "flops"];

/// Takes the objectives of a search: the one that its trials are scored by, if it is given, and the others.
pub(super) fn read(reading: &mut Reading<'_, '_>) -> (Option<Objective>, Vec<AnyObjective>) {
    let is_command = reading.term.field("trial").is_some_and(|field| field.value.name() == Some(command::NAME));
    let term = reading.term;
    let given = ["maximise", "minimise"].map(|mode| (mode, reading.form.take(mode)));
    let given: Vec<(&str, Value)> = given.into_iter().filter_map(|(mode, value)| Some((mode, value?))).collect();
    let several = given.iter().any(|(_, value)| value.is_array());
    if given.len() > 1 && !several {
        let at = term.field("minimise").map_or(term.span, |field| field.key_span);
        let mistake = Mistake::at(at, "both `maximise` and `minimise`");
        reading.mistakes.push(mistake.help("remove one of the two, or write lists to look for several at once"));
    }
    if !several {
        let Some((mode, value)) = given.into_iter().next() else { return (None, Vec::new()) };
        let before = reading.mistakes.len();
        let written = json!({ mode: value });
        let objective = if is_command {
            located::read::<Score>(term, &written, reading.mistakes).map(|AnyObjective(objective)| objective)
        } else {
            located::read(term, &written, reading.mistakes)
        };
        // A mistake in it is reported once, not for the trial as well.
        return (objective.filter(|_| reading.mistakes.len() == before), Vec::new());
    }
    let mut all = Vec::new();
    for (mode, value) in given {
        let items = match value {
            Value::Array(items) => items,
            one => vec![one],
        };
        let places = places(term, mode);
        for (i, item) in items.into_iter().enumerate() {
            let at = places.get(i).copied().unwrap_or(term.span);
            all.extend(one(mode, &item, at, is_command, reading.mistakes));
        }
    }
    // A trial is scored by the first metric, and the size of its network is known besides.
    let metric = all.iter().position(|AnyObjective(objective)| !OF_NETWORK.contains(&objective.metric()));
    let first = metric.map(|at| all.remove(at).0);
    (first, all)
}

/// Returns the places of the objectives in the field `mode`.
fn places(term: &Term, mode: &str) -> Vec<Span> {
    let Some(field) = term.field(mode) else { return Vec::new() };
    match &field.value.kind {
        TermKind::List(items) => items.iter().map(|item| item.span).collect(),
        _ => vec![field.value.span],
    }
}

/// Reads one objective of several.
fn one(mode: &str, item: &Value, at: Span, is_command: bool, mistakes: &mut Vec<Mistake>) -> Option<AnyObjective> {
    let written = match item {
        Value::String(name) if OF_NETWORK.contains(&name.as_str()) => json!({ mode: { "Last": name } }),
        item => json!({ mode: item }),
    };
    let read = match pipe_stages::params::read::<AnyObjective>(&written) {
        // The names of the metrics of `pipe` are checked with the data set.
        Ok(read) if is_command || OF_NETWORK.contains(&read.0.metric()) => Some(read),
        Ok(read) => pipe_stages::params::read::<Objective>(&written).ok().map(|_| read),
        Err(_) => None,
    };
    if read.is_none() {
        let expected = "`Best(\"..\")` or `Last(\"..\")` of a metric, `\"parameters\"` or `\"flops\"`";
        mistakes.push(Mistake::at(at, format!("`{mode}`: found `{item}`")).expected(expected));
    }
    read
}

/// Complains about objectives that the trial does not have, or that the sampler does not take.
pub(super) fn check(search: &SearchSpec, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
    if search.others.is_empty() {
        return;
    }
    let at = |mode: &str| here.term.field(mode).map(|field| field.key_span);
    let at = at("minimise").or_else(|| at("maximise")).unwrap_or(here.name);
    let own = &search.own;
    if own.sampler.reads_scores() || own.sampler.length() == Length::Brackets {
        let mistake = Mistake::at(at, format!("several objectives with `{}`", own.sampler.name()));
        mistakes.push(mistake.expected("`Auto`, `Tpe`, `Random`, `Sobol` or `Grid`"));
    }
    if !own.stop.0.iter().all(Stopping::takes_several) {
        let mistake = Mistake::at(here.field("stop"), "a reason to `stop` that is of one objective, with several");
        mistakes.push(mistake.expected("`NoImprovement(trials: ..)`, without a `min_delta`"));
    }
    for (field, is_given) in [("remember", own.remember), ("imported", search.imported.is_some())] {
        if is_given {
            let mistake = Mistake::at(here.field(field), format!("`{field}` with several objectives"));
            mistakes.push(mistake.help("remove it, or all objectives but one"));
        }
    }
    let mut seen: Vec<&str> = search.trial.objective().map(Objective::metric).into_iter().collect();
    for AnyObjective(objective) in &search.others {
        let name = objective.metric();
        if seen.contains(&name) {
            mistakes.push(Mistake::at(at, format!("`{name}` is an objective twice")).help("remove one of the two"));
        }
        seen.push(name);
        in_history(search, name, at, here, mistakes);
    }
}

/// Complains about a metric that a training of `pipe` does not measure.
fn in_history(search: &SearchSpec, name: &str, at: Span, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
    let Some(trial) = search.trial.training(here.stages) else {
        if OF_NETWORK.contains(&name) {
            let mistake = Mistake::at(at, format!("`{name}` of a program of your own"));
            mistakes.push(mistake.help("let it write the number as a metric of another name"));
        }
        return;
    };
    if OF_NETWORK.contains(&name) {
        return;
    }
    trial.check_metric(name, "objective", at, here.stages, mistakes);
    let Some(data_set) = here.stages.data_set(&trial.data) else { return };
    let figure = name
        .split_once('.')
        .and_then(|(_, figure)| Figure::find(figure, decode::heads(&data_set.format).iter().copied()));
    let is_asked = trial.train.metrics.iter().any(|metric| metric.as_str() == name);
    if figure.is_some_and(|(_, figure)| !figure.is_always_there()) && !is_asked {
        let mistake = Mistake::at(at, format!("the trial does not measure `{name}`"));
        mistakes.push(mistake.help(format!("add it: `metrics: [\"{name}\"]`")));
    }
}

impl SearchSpec {
    /// Returns the names of its objectives, the one that trials are scored by first.
    pub fn objectives(&self) -> Vec<&str> {
        let first = self.trial.objective().map(Objective::metric);
        first.into_iter().chain(self.others.iter().map(|AnyObjective(objective)| objective.metric())).collect()
    }

    /// Returns the value of an objective whose loss is known. `at` counts as in [`objectives`](Self::objectives).
    pub fn value_of(&self, at: usize, loss: f64) -> f64 {
        let objective = match at.checked_sub(1) {
            None => self.trial.objective(),
            Some(at) => self.others.get(at).map(|AnyObjective(objective)| objective),
        };
        // The loss of a value is its negative, or the value itself, and so the other way round.
        objective.map_or(loss, |objective| objective.loss(loss))
    }

    /// Returns the objectives that can be named, in words.
    pub(in crate::pipeline) fn known_objectives(&self) -> String {
        one_of(self.objectives())
    }
}
