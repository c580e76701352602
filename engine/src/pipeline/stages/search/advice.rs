//! What a user is told about a search that can run, but probably does not do what is meant.

use pipe_stages::network::training::AnyObjective;

use super::params::SearchSpec;

impl SearchSpec {
    /// Returns what to tell the user, each a sentence without the name of the search.
    pub(super) fn advice(&self) -> Vec<String> {
        let of_objective = self.trial.objective().and_then(|objective| objective.against_its_metric());
        let constraints = self.own.constraints.iter().zip(1..);
        let idle = constraints.filter_map(|(constraint, n)| {
            let why = constraint.idle(&self.own.space)?;
            Some(format!("constraint {n} of {} has no effect: {why}", self.own.constraints.len()))
        });
        let of_others = self.others.iter().filter_map(|AnyObjective(objective)| objective.against_its_metric());
        of_objective.into_iter().chain(of_others).chain(idle).chain(self.own.space.mistaken_logarithms()).collect()
    }
}
