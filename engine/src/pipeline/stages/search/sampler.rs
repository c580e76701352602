//! Checks that a search's sampler, space, number of trials, fixed labels and constraints fit together.

use pipe_stages::{
    params::Hyper,
    problem::{self, Path},
    search::{self, Length, Sampler, Space, any_allowed},
};

use super::{
    params::{SearchParams, TRIALS, constraints},
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
    first_fits(term, own, &space, mistakes);
    let misfits = own.sampler.misfits(&own.space, &space).into_iter();
    mistakes.extend(misfits.map(|found| in_space(term, &Path::here().name("sampler"), found)));
    nothing_allowed(&space, own, mistakes, at("constraints"));
    let length = own.sampler.length();
    if own.repeats > 1 && own.sampler.repeats() > 1 {
        let mistake = Mistake::at(at("repeats"), "both the search and its sampler have `repeats`");
        mistakes.push(mistake.help("remove one of the two"));
    }
    if length == Length::Brackets {
        if own.trials.is_some() {
            let mistake = Mistake::at(at("trials"), "this sampler decides the number of trials itself");
            mistakes.push(mistake.help("remove `trials`"));
        }
        if !own.stop.0.is_empty() {
            let mistake = Mistake::at(at("stop"), "this sampler decides the number of trials itself");
            mistakes.push(mistake.help("remove `stop`"));
        }
        if own.repeats > 1 {
            let mistake = Mistake::at(at("repeats"), "`repeats` with a sampler that trains in rungs");
            mistakes.push(mistake.help("remove `repeats`, or use another sampler"));
        }
        let epochs = format!("trial.{}.epochs", trial.map_or("", |trial| trial.kind().name));
        if let Some(None | Some(Hyper::Label(_))) = trial.map(|trial| trial.epochs()) {
            let mistake = Mistake::at(at(&epochs), "this sampler needs a fixed number of epochs");
            mistakes.push(mistake.expected("a number, which the sampler divides among its rungs"));
        }
        if let (Sampler::SuccessiveHalving(rungs), Some(Some(Hyper::Value(most)))) =
            (&own.sampler, trial.map(|trial| trial.epochs()))
            && rungs.min_epochs > most
        {
            let message = format!("`min_epochs`: found `{}`", rungs.min_epochs);
            let mistake = Mistake::at(at("sampler.SuccessiveHalving.min_epochs"), message);
            mistakes.push(mistake.expected(format!("at most the {most} epochs of the trial")));
        }
        return;
    }
    if own.trials.is_none() && length == Length::Given {
        let expected = format!("`trials: ..` with {}", TRIALS.expected());
        mistakes.push(Mistake::missing_field(name_of(term), "trials", expected));
    }
}

/// Complains about first proposals that the space or the constraints do not allow, or that are written twice. `space` is what is
/// searched.
fn first_fits(term: &Term, own: &SearchParams, space: &Space, mistakes: &mut Vec<Mistake>) {
    let place = |i: usize| Path::here().name("first").index(i);
    if own.sampler.length() == Length::Points && !own.first.is_empty() {
        let problem =
            problem::Problem::new(Path::here().name("first"), "`first` with a sampler that tries every point");
        mistakes.push(in_space(term, &Path::here(), problem.help("remove `first`, or use another sampler")));
    }
    for (i, given) in own.first.iter().enumerate() {
        let found = search::misfits(space, given);
        let is_sound = found.is_empty();
        mistakes.extend(found.into_iter().map(|found| in_space(term, &place(i), found)));
        let complain = |found: &str, help: &str| {
            let problem = problem::Problem::new(Path::here(), found).help(help);
            in_space(term, &place(i), problem)
        };
        if given.is_empty() {
            mistakes.push(complain("a proposal without values", "give a label a value, or remove it"));
        } else if let Some(earlier) = own.first[..i].iter().position(|earlier| earlier == given) {
            let found = format!("it is the same as proposal {earlier} of `first`");
            mistakes.push(complain(&found, "no configuration is proposed twice: remove one of the two"));
        } else if is_sound && search::given(space, &constraints(own), &|_| true, (0, i as u32), given, &[]).is_none() {
            mistakes.push(complain("the constraints do not allow this proposal", "change it, or loosen a constraint"));
        }
    }
}

/// Returns a problem inside the field at `prefix` as a mistake at its place in the text.
pub(in crate::pipeline) fn in_space(term: &Term, prefix: &Path, found: problem::Problem) -> Mistake {
    let problem::Problem { at, found, expected, help, .. } = found.inside(prefix);
    Mistake { message: found, span: Some(locate(term, at.steps()).span), expected, help }
}

fn nothing_allowed(space: &Space, own: &SearchParams, mistakes: &mut Vec<Mistake>, at: Span) {
    if mistakes.is_empty() && !own.constraints.is_empty() && !any_allowed(space, &constraints(own), &|_| true) {
        let mistake = Mistake::at(at, "the constraints allow no point of the space");
        mistakes.push(mistake.help("loosen one of them"));
    }
}
