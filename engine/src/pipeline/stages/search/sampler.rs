//! Checks that a search's sampler, space, number of trials, fixed labels and constraints fit together.

use pipe_stages::{
    params::Hyper,
    problem::{self, Path},
    search::{Length, Space},
};

use super::{
    params::{SearchParams, TRIALS},
    trial::Trial,
};
use crate::pipeline::{
    mistake::Mistake,
    source::Span,
    term::Term,
    walk::{self, locate, name_of},
};

/// Complains about parts of a search that are valid by themselves but do not fit together.
pub(in crate::pipeline) fn fits(
    term: &Term,
    own: &SearchParams,
    trial: Option<&dyn Trial>,
    mistakes: &mut Vec<Mistake>,
) {
    let at = |path: &str| locate(term, walk::parse(path).unwrap_or_default().steps()).span;
    let space = match own.space.with_fixed(&own.fixed) {
        Ok(space) => space,
        Err(found) => {
            return mistakes.extend(found.into_iter().map(|found| in_space(term, &Path::here().name("fixed"), found)));
        }
    };
    for (i, constraint) in own.constraints.iter().enumerate() {
        let found = constraint.validate(&own.space).into_iter();
        mistakes.extend(found.map(|found| in_space(term, &Path::here().name("constraints").index(i), found)));
    }
    let misfits = own.sampler.misfits(&own.space, &space).into_iter();
    mistakes.extend(misfits.map(|found| in_space(term, &Path::here().name("sampler"), found)));
    let length = own.sampler.length();
    if length == Length::Brackets {
        if own.trials.is_some() {
            let mistake = Mistake::at(at("trials"), "this sampler decides the number of trials itself");
            mistakes.push(mistake.help("remove `trials`"));
        }
        let epochs = format!("trial.{}.epochs", trial.map_or("", |trial| trial.kind().name));
        if let Some(None | Some(Hyper::Label(_))) = trial.map(|trial| trial.epochs()) {
            let mistake = Mistake::at(at(&epochs), "this sampler needs a fixed number of epochs");
            mistakes.push(mistake.expected("a number, which the sampler divides among its rungs"));
        }
        return;
    }
    if own.trials.is_none() && length == Length::Given {
        let expected = format!("`trials: ..` with {}", TRIALS.expected());
        mistakes.push(Mistake::missing_field(name_of(term), "trials", expected));
    }
    nothing_allowed(&space, own, mistakes, at("constraints"));
}

/// Returns a problem inside the field at `prefix` as a mistake at its place in the text.
pub(in crate::pipeline) fn in_space(term: &Term, prefix: &Path, found: problem::Problem) -> Mistake {
    let problem::Problem { at, found, expected, help, .. } = found.inside(prefix);
    Mistake { message: found, span: Some(locate(term, at.steps()).span), expected, help }
}

fn nothing_allowed(space: &Space, own: &SearchParams, mistakes: &mut Vec<Mistake>, at: Span) {
    if mistakes.is_empty() && pipe_stages::search::count(space, &own.constraints, 0) == Some(0) {
        let mistake = Mistake::at(at, "the constraints allow no point of the space");
        mistakes.push(mistake.help("loosen one of them"));
    }
}
