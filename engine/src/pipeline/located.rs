//! Turns problems with a value into mistakes at their places in the text.

use pipe_stages::{
    params::{self, Read},
    problem::{self, Part, Path, Step},
};
use serde_json::Value;

use super::{
    mistake::Mistake,
    source::Span,
    term::{Term, TermKind},
    walk::{locate, name_of},
};

/// Reads `json`, whose text is `term`, and complains about everything that is wrong with it. A value that is only out of range
/// is returned nevertheless, so that what depends on it can be checked.
pub(super) fn read<T: Read>(term: &Term, json: &Value, mistakes: &mut Vec<Mistake>) -> Option<T> {
    let mut found = Vec::new();
    let read = T::read(json, &params::Domain::Any, &Path::here(), &mut found);
    mistakes.extend(found.into_iter().map(|problem| located(term, problem)));
    read
}

/// Returns `problem`, found in the value of `term`, as a mistake at its place in the text.
pub(super) fn located(term: &Term, problem: problem::Problem) -> Mistake {
    let steps = problem.at.steps();
    let (span, field) = match problem.part {
        Part::Value => (locate(term, steps).span, field(steps)),
        Part::Name => (name_of(locate(term, steps)), None),
        Part::Key => (key_of(term, steps), None),
    };
    let help = problem.help.or_else(|| advice(&problem.found, steps).map(str::to_owned));
    let field = field.map(|field| format!("`{field}`: ")).unwrap_or_default();
    Mistake { message: field + &problem.found, span: Some(span), expected: problem.expected, help }
}

/// Returns what to do about an unknown name, where something else can be had in another way.
fn advice(found: &str, steps: &[Step]) -> Option<&'static str> {
    let Some(Step::Name(field)) = steps.last().filter(|_| found.starts_with("unknown name")) else { return None };
    match field.as_str() {
        "model" => Some("any other network is written out, `model: Layers([..])`; `init` starts from trained weights"),
        "format" => {
            Some("`Decode` reads pictures and their classes; a program of your own reads anything else: `Command(..)`")
        }
        _ => None,
    }
}

/// Returns the end of a path from its last name on, which tells a person what is meant: `policy[0]`.
fn field(steps: &[Step]) -> Option<Path> {
    let last = steps.iter().rposition(|step| matches!(step, Step::Name(_)))?;
    Some(steps[last..].iter().cloned().collect())
}

/// Returns the place of the name of the field at the end of `steps`.
fn key_of(term: &Term, steps: &[Step]) -> Span {
    let Some((Step::Name(name), parent)) = steps.split_last() else { return name_of(locate(term, steps)) };
    let parent = locate(term, parent);
    let key = match &parent.content().kind {
        TermKind::Fields { fields, .. } => fields.iter().find(|field| field.key == *name).map(|field| field.key_span),
        _ => None,
    };
    key.unwrap_or_else(|| name_of(parent))
}
