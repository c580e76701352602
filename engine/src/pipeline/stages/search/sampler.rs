//! Whether a search's sampler, space, number of trials, fixed labels and constraints go together.

use pipe_stages::{
    params::Hyper,
    search::{SOBOL_DIMENSIONS, Sampler, Space, SpaceProblem},
    train::Epochs,
    words::one_of,
};

use super::params::SearchParams;
use crate::pipeline::{
    explain::name_of,
    node::Node,
    path::{self, locate},
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
        Err(found) => return problems.extend(found.into_iter().map(|found| in_space(node, "fixed", found))),
    };
    for (i, constraint) in own.constraints.iter().enumerate() {
        let found = constraint.validate(&own.space).into_iter();
        problems.extend(found.map(|found| in_space(node, &format!("constraints[{i}]"), found)));
    }
    let sampler_problem = |message: String| Problem::at(at("sampler"), message);
    match &own.sampler {
        Sampler::Grid(grid) => {
            if let Some(label) = space.endless_label() {
                let problem = sampler_problem(format!("a grid of label `{label}`, which has values without end"));
                problems.push(problem.help("give it a `Choice`, an `IntRange`, or a `FloatRange` with a `step`"));
            }
            for (i, key) in grid.order.iter().enumerate().filter(|(_, key)| !own.space.keys().any(|k| k == *key)) {
                let place = at(&format!("sampler.Grid.order[{i}]"));
                let problem = Problem::at(place, format!("the space has no key `{key}`"));
                problems.push(problem.expected(one_of(own.space.keys())).did_you_mean(key, own.space.keys()));
            }
        }
        Sampler::Sobol if space.labels().len() > SOBOL_DIMENSIONS => {
            let n = space.labels().len();
            problems.push(sampler_problem(format!("{n} labels")).expected(format!("at most {SOBOL_DIMENSIONS}")));
        }
        Sampler::Hyperband(_) | Sampler::SuccessiveHalving(_) => {
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
        _ => {}
    }
    let is_grid = matches!(own.sampler, Sampler::Grid(_));
    if own.trials.is_none() && !is_grid {
        let problem = Problem::at(name_of(node), "missing field `trials`");
        problems.push(problem.expected("`trials: ..` with 1 to 100000"));
    }
    nothing_allowed(&space, own, problems, at("constraints"));
}

/// Returns a complaint about a space, or about what is said of it, at `prefix`.
pub(in crate::pipeline) fn in_space(node: &Node, prefix: &str, found: SpaceProblem) -> Problem {
    let place = locate(node, &path::parse(&format!("{prefix}.{}", found.path)).unwrap_or_default());
    let mut problem = Problem::at(place.span, found.message);
    problem.help = found.hint;
    problem
}

fn nothing_allowed(space: &Space, own: &SearchParams, problems: &mut Vec<Problem>, at: Span) {
    if problems.is_empty() && pipe_stages::search::count(space, &own.constraints, 0) == Some(0) {
        let problem = Problem::at(at, "the constraints allow no point of the space");
        problems.push(problem.help("loosen one of them"));
    }
}
