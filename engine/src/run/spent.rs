//! Decides which trainings have checkpoints that nothing can use any more.

use std::collections::{BTreeMap, BTreeSet};

use pipe_stages::{StageName, promote::Promote};
use pipe_store::Digest;

use crate::{names::trial_number, plan::Plan};

/// The number of the best trials of each search whose checkpoints are kept, so that they can be trained for longer.
pub(super) const BEST: usize = 3;

/// What has become of a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fate {
    /// It has no result yet.
    Open,
    /// It has outputs. For a training, the loss that the search minimises: infinite if there is none.
    Done(f64),
    /// It failed, and would fail again.
    Failed,
}

/// The trainings of a plan, and what may continue them.
pub(super) struct Trainings {
    /// All nodes that train.
    pub(super) nodes: Vec<usize>,
    searches: Vec<Search>,
}

#[derive(Default)]
struct Search {
    /// The trainings, by the numbers of their trials.
    trials: BTreeMap<u32, usize>,
    promotions: Vec<Promotion>,
    /// The number of consecutive trials that train the same point.
    repeats: u32,
}

struct Promotion {
    node: usize,
    of: Promote,
}

impl Trainings {
    /// Returns the trainings of a plan.
    pub(super) fn new(plan: &Plan) -> Self {
        let mut nodes = Vec::new();
        let mut searches: BTreeMap<&str, Search> = BTreeMap::new();
        for (index, node) in plan.nodes.iter().enumerate() {
            let name = node.stage.id().name;
            if let Some(stage) = StageName::find(name).filter(|stage| stage.trains()) {
                nodes.push(index);
                if let Some(trial) = trial_number(&node.name, &node.part_of, stage) {
                    searches.entry(&node.part_of).or_default().trials.insert(trial, index);
                }
            } else if name == StageName::Promote.as_str() {
                let of = serde_json::from_value(node.params.as_ref().clone()).expect("the parameters of `promote`");
                searches.entry(&node.part_of).or_default().promotions.push(Promotion { node: index, of });
            } else if name == StageName::Select.as_str() {
                let repeats = node.params.get("repeats").and_then(|repeats| u32::try_from(repeats.as_u64()?).ok());
                searches.entry(&node.part_of).or_default().repeats = repeats.unwrap_or(1).max(1);
            }
        }
        Self { nodes, searches: searches.into_values().collect() }
    }

    /// Returns the most checkpoints that these trainings of the plan leave at the same time, besides those of trainings that run.
    pub(super) fn most_kept(&self, trainings: &BTreeSet<usize>) -> usize {
        let is_meant = |node: &&usize| trainings.contains(node);
        let mut of_searches = BTreeSet::new();
        let mut most = 0;
        for search in &self.searches {
            let in_rung =
                |trial: u32| search.promotions.iter().any(|of| (of.of.rung.0..=of.of.rung.1).contains(&trial));
            let promoted = |trial: u32| search.promotions.iter().any(|of| of.of.trial == trial);
            // A promoted trial continues the trajectory of another.
            let until_promoted = search.trials.iter().filter(|(trial, _)| in_rung(**trial) && !promoted(**trial));
            let until_promoted = until_promoted.map(|(_, node)| node).filter(is_meant).count();
            let all = search.trials.values().filter(is_meant).count();
            most += all.min(BEST + until_promoted);
            of_searches.extend(search.trials.values().copied());
        }
        most + self.nodes.iter().filter(is_meant).filter(|node| !of_searches.contains(node)).count()
    }

    /// Returns the trajectories whose checkpoints nothing in the plan can use. `fate` returns what has become of a node, and
    /// `trajectory` that of a training, if it is known.
    pub(super) fn spent(
        &self,
        fate: impl Fn(usize) -> Fate,
        trajectory: impl Fn(usize) -> Option<Digest>,
    ) -> BTreeSet<Digest> {
        let mut kept: BTreeSet<usize> = self.nodes.iter().copied().filter(|&node| fate(node) == Fate::Open).collect();
        let trials: BTreeSet<_> = self.searches.iter().flat_map(|search| search.trials.values()).collect();
        // A training of its own may be made longer.
        kept.extend(self.nodes.iter().filter(|node| !trials.contains(node) && fate(**node) != Fate::Failed));
        for search in &self.searches {
            for Promotion { node, of } in &search.promotions {
                // Once a promoted training has its action, it is known which trajectory it continues.
                let training = search.trials.get(&of.trial);
                let decided = fate(*node) != Fate::Open
                    && training.is_none_or(|&node| fate(node) != Fate::Open || trajectory(node).is_some());
                if !decided {
                    kept.extend(search.trials.range(of.rung.0..=of.rung.1).map(|(_, node)| *node));
                }
            }
            search.keep_best(&mut kept, &fate, &trajectory);
        }
        let kept: BTreeSet<_> = kept.into_iter().filter_map(&trajectory).collect();
        self.nodes.iter().filter_map(|&node| trajectory(node)).filter(|of| !kept.contains(of)).collect()
    }
}

impl Search {
    /// Adds the trainings of the best trials. Of trials that train the same point, the first stands for all.
    fn keep_best(
        &self,
        kept: &mut BTreeSet<usize>,
        fate: &impl Fn(usize) -> Fate,
        trajectory: &impl Fn(usize) -> Option<Digest>,
    ) {
        let repeats = self.repeats.max(1);
        let mut points: BTreeMap<u32, Vec<Fate>> = BTreeMap::new();
        for (trial, &node) in &self.trials {
            points.entry(trial / repeats).or_default().push(fate(node));
        }
        let mut ranking = Vec::new();
        for (point, fates) in points {
            let Some(&first) = self.trials.get(&(point * repeats)) else { continue };
            if fates.contains(&Fate::Open) {
                // Its mean is not known yet.
                kept.insert(first);
                continue;
            }
            let loss = |fate: &Fate| if let Fate::Done(loss) = fate { *loss } else { f64::INFINITY };
            let mean = fates.iter().map(loss).sum::<f64>() / fates.len() as f64;
            if mean < f64::INFINITY {
                ranking.push((mean, first));
            }
        }
        // Sorting is stable, so of equal losses that of the lowest trial is first.
        ranking.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Trials of different rungs may have one trajectory.
        let mut best = BTreeSet::new();
        for (_, node) in ranking {
            if let Some(of) = trajectory(node)
                && best.insert(of)
            {
                kept.insert(node);
                if best.len() == BEST {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Fate = Fate::Open;

    fn done(loss: u32) -> Fate {
        Fate::Done(f64::from(loss))
    }

    fn of(trajectory: usize) -> Digest {
        Digest::of(&[trajectory as u8])
    }

    /// Returns a search whose trials are the nodes from 0, and whose promotions, (node, trial, rung), have other nodes.
    fn search(trials: usize, repeats: u32, promotions: &[(usize, u32, (u32, u32))]) -> Trainings {
        let promotions =
            promotions.iter().map(|&(node, trial, rung)| Promotion { node, of: Promote { trial, rung, rank: 0 } });
        let search = Search {
            trials: (0..trials).map(|trial| (trial as u32, trial)).collect(),
            promotions: promotions.collect(),
            repeats,
        };
        Trainings { nodes: (0..trials).collect(), searches: vec![search] }
    }

    /// Checks which trajectories are spent if the nodes have these fates, and the trainings these trajectories.
    #[track_caller]
    fn check(trainings: &Trainings, fates: &[Fate], trajectories: &[Option<usize>], spent: &[usize]) {
        let found = trainings.spent(|node| fates[node], |node| trajectories.get(node).copied().flatten().map(of));
        assert_eq!(found, spent.iter().copied().map(of).collect());
    }

    fn each(n: usize) -> Vec<Option<usize>> {
        (0..n).map(Some).collect()
    }

    #[test]
    fn the_best_trials_are_kept_and_of_equal_ones_the_first() {
        let trainings = search(6, 1, &[]);
        check(&trainings, &[5, 1, 2, 2, 2, 9].map(done), &each(6), &[0, 4, 5]);
        let diverged = [done(5), Fate::Done(f64::INFINITY), Fate::Failed, done(3), done(2), done(1)];
        check(&trainings, &diverged, &each(6), &[0, 1, 2]);
    }

    #[test]
    fn what_is_not_finished_or_shared_with_what_is_not_is_kept() {
        let trainings = search(6, 1, &[]);
        let fates = [done(1), done(2), done(3), done(4), done(5), OPEN];
        check(&trainings, &fates, &each(6), &[3, 4]);
        check(&trainings, &fates, &[Some(0), Some(1), Some(2), Some(3), Some(4), Some(4)], &[3]);
        check(&trainings, &fates, &[Some(0), Some(1), Some(2), Some(3), Some(4), None], &[3, 4]);
    }

    #[test]
    fn a_rung_is_kept_until_it_is_known_who_is_promoted() {
        // The trials 0 to 4 are a rung, and the trial 5 continues one of them. The node 6 promotes it.
        let trainings = search(6, 1, &[(6, 5, (0, 4))]);
        let rung = [done(1), done(2), done(3), done(4), done(5), OPEN];
        let fates = |promotion| [&rung[..], &[promotion]].concat();
        let unknown = [&each(5)[..], &[None]].concat();
        check(&trainings, &fates(OPEN), &unknown, &[]);
        check(&trainings, &fates(done(0)), &unknown, &[]);
        let known = [&each(5)[..], &[Some(4)]].concat();
        check(&trainings, &fates(done(0)), &known, &[3]);
        let ended = [&rung[..5], &[done(0), done(0)]].concat();
        check(&trainings, &ended, &[&each(5)[..], &[Some(0)]].concat(), &[3, 4]);
    }

    #[test]
    fn repetitions_are_judged_by_their_mean() {
        // The points have the means 5, 3, 4, 9, infinity.
        let trainings = search(10, 2, &[]);
        let fates = [1, 9, 3, 3, 4, 4, 9, 9, 0, 0].map(done);
        let with_failure = [&fates[..9], &[Fate::Failed]].concat();
        check(&trainings, &with_failure, &each(10), &[1, 3, 5, 6, 7, 8, 9]);
        let unfinished = [&fates[..9], &[OPEN]].concat();
        check(&trainings, &unfinished, &each(10), &[1, 3, 5, 6, 7]);
    }

    #[test]
    fn the_most_checkpoints_are_those_of_the_best_trials_and_of_open_rungs() {
        let all = |n: usize| (0..n).collect::<BTreeSet<_>>();
        assert_eq!(search(6, 1, &[]).most_kept(&all(6)), BEST);
        assert_eq!(search(6, 1, &[]).most_kept(&all(2)), 2);
        // Nine trials of which one is promoted: ten trainings, and nine trajectories.
        assert_eq!(search(10, 1, &[(10, 9, (0, 8))]).most_kept(&all(10)), 10);
        assert_eq!(search(20, 1, &[(20, 9, (0, 4))]).most_kept(&all(20)), BEST + 5);
        assert_eq!(Trainings { nodes: vec![0, 1], searches: Vec::new() }.most_kept(&all(2)), 2);
    }

    #[test]
    fn a_training_outside_a_search_is_kept_unless_it_failed() {
        let trainings = Trainings { nodes: vec![0, 1], searches: Vec::new() };
        check(&trainings, &[done(1), Fate::Failed], &each(2), &[1]);
    }
}
