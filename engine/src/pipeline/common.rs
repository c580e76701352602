//! `commands: (..)` of a study: what all its commands have, unless they say otherwise.

use super::{
    located::located,
    mistake::Mistake,
    stages::command::{self, params::CommonParams},
    term::{Field, Term, TermKind},
};
use pipe_stages::{
    params::{Domain, Read},
    problem::Path,
};

/// The field of a study.
pub(super) const FIELD: &str = "commands";

/// Adds to each command what it does not say itself. Variables of `env` are added one by one. Complains about what is wrong with the
/// common fields, once.
pub(super) fn apply(root: &mut Term, mistakes: &mut Vec<Mistake>) {
    let Some(common) = root.field(FIELD).map(|field| field.value.clone()) else { return };
    let mut found = Vec::new();
    CommonParams::read(&common.content().to_json(), &Domain::Any, &Path::here(), &mut found);
    if !found.is_empty() {
        return mistakes.extend(found.into_iter().map(|problem| located(common.content(), problem)));
    }
    if let TermKind::Fields { fields, .. } = &mut root.kind
        && let Some(stages) = fields.iter_mut().find(|field| field.key == "stages")
    {
        add(&mut stages.value, common.fields());
    }
}

fn add(term: &mut Term, common: &[Field]) {
    match &mut term.kind {
        TermKind::Fields { name, fields } => {
            if name.as_deref() == Some(command::NAME) {
                for field in common {
                    match fields.iter_mut().find(|own| own.key == field.key) {
                        None => fields.push(field.clone()),
                        Some(own) if own.key == "env" => merge(&mut own.value, &field.value),
                        Some(_) => {}
                    }
                }
                return;
            }
            fields.iter_mut().for_each(|field| add(&mut field.value, common));
        }
        TermKind::List(items) | TermKind::Tuple { items, .. } => items.iter_mut().for_each(|item| add(item, common)),
        _ => {}
    }
}

/// Adds the fields that a map lacks.
fn merge(own: &mut Term, common: &Term) {
    let TermKind::Fields { fields, .. } = &mut own.kind else { return };
    for field in common.fields() {
        if !fields.iter().any(|known| known.key == field.key) {
            fields.push(field.clone());
        }
    }
}
