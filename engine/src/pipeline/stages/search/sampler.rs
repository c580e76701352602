//! Whether a search's sampler, space, number of trials, fixed labels and constraints go together.

use pipe_stages::{
    params::Hyper,
    problem::{self, Path},
    search::{Length, Space},
    train::Epochs,
};

use super::params::SearchParams;
use crate::pipeline::{
    node::Node,
    path::{self, locate, name_of},
    problem::Problem,
    source::Span,
    stage::TrainSpec,
};

/// Complains about parts that are sound by themselves and do not go together.
pub(in crate::pipeline) fn fits(
    node: &Node,
    own: &SearchParams,
    trial: Option<&TrainSpec>,
    problems: &mut Vec<Problem>,
) {
    let at = |path: &str| locate(node, &path::parse(path).unwrap_or_default()).span;
    let space = match own.space.with_fixed(&own.fixed) {
        Ok(space) => space,
        Err(found) => {
            return problems.extend(found.into_iter().map(|found| in_space(node, &Path::here().name("fixed"), found)));
        }
    };
    for (i, constraint) in own.constraints.iter().enumerate() {
        let found = constraint.validate(&own.space).into_iter();
        problems.extend(found.map(|found| in_space(node, &Path::here().name("constraints").index(i), found)));
    }
    let misfits = own.sampler.misfits(&own.space, &space).into_iter();
    problems.extend(misfits.map(|found| in_space(node, &Path::here().name("sampler"), found)));
    let length = own.sampler.length();
    if length == Length::Brackets {
        if own.trials.is_some() {
            let problem = Problem::at(at("trials"), "the sampler says itself how many trials there are");
            problems.push(problem.help("remove `trials`"));
        }
        if let Some(Hyper::Label(_) | Hyper::Value(Epochs::Named(_))) = trial.map(|trial| &trial.train.epochs) {
            let problem = Problem::at(at("trial.Train.epochs"), "the most epochs of a trial are not known");
            problems.push(problem.expected("a number: the sampler divides it"));
        }
        return;
    }
    if own.trials.is_none() && length == Length::Given {
        let problem = Problem::at(name_of(node), "missing field `trials`");
        problems.push(problem.expected("`trials: ..` with 1 to 100000"));
    }
    nothing_allowed(&space, own, problems, at("constraints"));
}

/// Returns a problem inside the field at `prefix`, with its place in the text.
pub(in crate::pipeline) fn in_space(node: &Node, prefix: &Path, found: problem::Problem) -> Problem {
    let problem::Problem { at, found, expected, help, .. } = found.inside(prefix);
    Problem { message: found, span: Some(locate(node, at.steps()).span), expected, help }
}

fn nothing_allowed(space: &Space, own: &SearchParams, problems: &mut Vec<Problem>, at: Span) {
    if problems.is_empty() && pipe_stages::search::count(space, &own.constraints, 0) == Some(0) {
        let problem = Problem::at(at, "the constraints allow no point of the space");
        problems.push(problem.help("loosen one of them"));
    }
}
