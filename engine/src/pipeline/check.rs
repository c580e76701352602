//! Checks the graph of stages: references, kinds, cycles, and each stage's own checks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use pipe_stages::words::one_of;

use super::{
    mistake::Mistake,
    source::Span,
    stage::{Here, Reads, StageSpec, Stages},
    stages::{self, search},
    term::{Field, Term},
};

/// A stage as it was read.
pub(super) struct Entry<'n> {
    pub(super) name: String,
    /// The place of the name.
    pub(super) name_span: Span,
    /// The stage as it is written.
    pub(super) term: &'n Term,
    /// The stage itself, if it could be read.
    pub(super) spec: Option<Arc<dyn StageSpec>>,
}

/// Complains about references (unknown names, wrong kinds), cycles, and whatever the stages themselves refuse.
pub(super) fn graph(entries: &[Entry<'_>], mistakes: &mut Vec<Mistake>) {
    let kinds: BTreeMap<&str, &str> =
        entries.iter().map(|entry| (entry.name.as_str(), entry.term.name().unwrap_or(""))).collect();
    for reference in entries.iter().flat_map(|entry| references(entry.term)) {
        mistakes.extend(reference.mistake(&kinds));
    }
    cycles(entries, mistakes);
    let read: Stages = entries.iter().filter_map(|entry| Some((entry.name.clone(), entry.spec.clone()?))).collect();
    for entry in entries {
        if let Some(spec) = &entry.spec {
            spec.check(&Here { name: entry.name_span, term: entry.term, stages: &read }, mistakes);
        }
    }
}

/// A field that names another stage.
struct Reference<'n> {
    to: String,
    field: &'n Field,
    allowed: &'static [&'static str],
}

/// Returns the references of a stage, even if the stage could not be read.
fn references(term: &Term) -> Vec<Reference<'_>> {
    let reads = term.name().and_then(stages::find).map_or(&[] as &[Reads], |kind| kind.reads);
    let reference = |reads: &Reads| {
        let (last, outer) = reads.path.split_last()?;
        let term = outer.iter().try_fold(term, |term, name| Some(&term.field(name)?.value))?;
        let field = term.field(last)?;
        // The same conversion as when the stage is read, so that every notation of the name is checked.
        let to = field.value.to_json().as_str()?.to_owned();
        Some(Reference { to, field, allowed: reads.kinds })
    };
    reads.iter().filter_map(reference).collect()
}

impl Reference<'_> {
    /// Returns what is wrong with the reference, given the kind of each stage.
    fn mistake(&self, kinds: &BTreeMap<&str, &str>) -> Option<Mistake> {
        let at = self.field.value.span;
        let Some(kind) = kinds.get(self.to.as_str()) else {
            let fitting = kinds.iter().filter(|(_, kind)| self.allowed.contains(kind)).map(|(name, _)| *name);
            let known: Vec<_> =
                if fitting.clone().next().is_some() { fitting.collect() } else { kinds.keys().copied().collect() };
            let mistake = Mistake::at(at, format!("there is no stage `{}`", self.to));
            return Some(mistake.expected(one_of(known)).did_you_mean(&self.to, kinds.keys().copied()));
        };
        // An unknown kind is reported once, at its own place.
        if self.allowed.contains(kind) || stages::find(kind).is_none() {
            return None;
        }
        let mistake = Mistake::at(at, format!("`{}` is {}", self.to, with_article(kind)));
        let mistake = mistake.expected(format!("a stage of kind {}", one_of(self.allowed.iter().copied())));
        if *kind != search::NAME {
            return Some(mistake);
        }
        let retrain = format!("`Retrain(of: \"{}\")` trains one from its best trial", self.to);
        Some(mistake.help(format!("a search has many networks: {retrain}")))
    }
}

/// Complains about each cycle once, naming all of it.
fn cycles(entries: &[Entry<'_>], mistakes: &mut Vec<Mistake>) {
    let targets: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| match &entry.spec {
            Some(spec) => spec.reads().into_iter().map(str::to_owned).collect(),
            None => references(entry.term).into_iter().map(|reference| reference.to).collect(),
        })
        .collect();
    let names = entries.iter().map(|entry| entry.name.as_str());
    let edges: BTreeMap<&str, Vec<&str>> =
        names.zip(&targets).map(|(name, to)| (name, to.iter().map(String::as_str).collect())).collect();
    let spans: BTreeMap<&str, Span> = entries.iter().map(|entry| (entry.name.as_str(), entry.name_span)).collect();
    let mut done = BTreeSet::new();
    for start in edges.keys() {
        let mut way: Vec<&str> = Vec::new();
        follow(start, &edges, &mut way, &mut done, &mut |cycle| {
            let text =
                cycle.iter().chain(cycle.first()).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" -> ");
            mistakes.push(
                Mistake::at(spans[cycle[0]], format!("a cycle: {text}"))
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

fn with_article(kind: &str) -> String {
    let vowel = kind.starts_with(['A', 'E', 'I', 'O', 'U']);
    format!("{} `{kind}`", if vowel { "an" } else { "a" })
}
