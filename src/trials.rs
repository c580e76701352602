//! Hears of the trainings of a run as they end, and says what came of each: its score, whether it is the best so far, and what there is to
//! worry about before the best trial is retrained.

use std::collections::{BTreeMap, BTreeSet};

use pipe_engine::{
    plan::Plan,
    run::{Event, How},
};
use pipe_stages::{
    StageName,
    records::{self, Labels, Record, Score, Status},
};
use pipe_store::{Digest, ObjectSource, Store, StoreError};
use pipe_views::metric_value;
use serde_json::{Value, json};

/// The searches of a run.
pub(crate) struct Trials<'p> {
    store: Store,
    plan: &'p Plan,
    searches: Vec<Search<'p>>,
    /// The search of each node that is a trial, as an index.
    of: BTreeMap<&'p str, usize>,
    /// The output trees of the data sets, by node.
    data: BTreeMap<&'p str, Digest>,
    /// The nodes that are settled once more.
    lost: BTreeSet<String>,
}

/// What is known of a search.
struct Search<'p> {
    name: &'p str,
    trials: usize,
    ended: usize,
    /// How many trials were executed, and the seconds that they took together.
    executed: usize,
    seconds: f64,
    /// The best score so far, with its loss.
    best: Option<Score>,
    /// How many trials have no score, by reason.
    without: BTreeMap<String, usize>,
    /// The trees of trials whose results were known, which are read when they are needed.
    unread: Vec<Digest>,
}

/// What came of a training.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct News {
    pub(crate) score: Score,
    /// Whether it is a trial, and the best of its search so far.
    pub(crate) is_best: bool,
}

impl News {
    /// Returns why the training has no score, if it has none.
    pub(crate) fn trouble(&self) -> Option<String> {
        match self.score.status {
            Status::Completed => None,
            Status::Diverged => Some("diverged".to_owned()),
            Status::Failed => Some(self.score.reason.clone().unwrap_or_else(|| "failed".to_owned())),
        }
    }

    /// Returns the score as text: `valid.fine_accuracy 41.2 %, the best so far`.
    pub(crate) fn text(&self) -> String {
        let Score { metric, value, .. } = &self.score;
        let best = if self.is_best { ", the best so far" } else { "" };
        format!("{metric} {}{best}", shown(metric, value.0))
    }

    /// Returns the score as a program reads it.
    pub(crate) fn json(&self) -> Value {
        let Score { status, metric, value, .. } = &self.score;
        json!({ "status": status, "metric": metric, "value": finite(value.0), "best": self.is_best })
    }
}

/// Returns the value of a metric as text for a terminal.
fn shown(metric: &str, value: f64) -> String {
    metric_value(Some(metric), value).replace('\u{a0}', " ")
}

fn finite(x: f64) -> Option<f64> {
    Some(x).filter(|x| x.is_finite())
}

impl<'p> Trials<'p> {
    pub(crate) fn new(store: &Store, plan: &'p Plan) -> Self {
        let search = |search: &'p pipe_engine::plan::SearchTrials| Search {
            name: &search.name,
            trials: search.nodes.len(),
            ended: 0,
            executed: 0,
            seconds: 0.0,
            best: None,
            without: BTreeMap::new(),
            unread: Vec::new(),
        };
        let nodes = plan.searches.iter().enumerate();
        let of =
            nodes.flat_map(|(at, search)| search.nodes.iter().map(move |node| (plan.nodes[*node].name.as_str(), at)));
        Self {
            store: store.clone(),
            plan,
            searches: plan.searches.iter().map(search).collect(),
            of: of.collect(),
            data: BTreeMap::new(),
            lost: BTreeSet::new(),
        }
    }

    /// Hears an event. Returns what came of a training that was executed.
    ///
    /// # Errors
    /// If what it wrote cannot be read.
    pub(crate) fn hear(&mut self, event: &Event<'_>) -> Result<Option<News>, StoreError> {
        if let Event::Lost { node } = event {
            self.lost.insert((*node).to_owned());
            return Ok(None);
        }
        if let Event::Stopped { search, trials, .. } = event {
            let of_name = self.searches.iter_mut().find(|known| known.name == *search);
            of_name.into_iter().for_each(|known| known.trials = *trials);
            return Ok(None);
        }
        let Event::Settled { node, how, tree, seconds, .. } = event else { return Ok(None) };
        // What is settled once more was counted the first time.
        let at = self.of.get(*node).copied().filter(|_| !self.lost.contains(*node));
        if let Some(at) = at {
            self.searches[at].ended += 1;
        }
        match (how, tree, at) {
            (How::Reused, Some(tree), Some(at)) => self.searches[at].unread.push(*tree),
            (How::Executed, Some(tree), at) => {
                if let Some(score) = read::<Score>(&self.store, tree)? {
                    let mut is_best = false;
                    if let Some(at) = at {
                        let search = &mut self.searches[at];
                        (search.executed, search.seconds) = (search.executed + 1, search.seconds + seconds);
                        is_best = search.add(&self.store, score.clone())?;
                    }
                    return Ok(Some(News { score, is_best }));
                }
            }
            (_, None, Some(at)) => {
                *self.searches[at].without.entry(format!("{how:?}").to_lowercase()).or_default() += 1
            }
            _ => {}
        }
        if let Some(tree) = tree
            && let Some(known) = self.plan.nodes.iter().find(|known| known.name == *node && is_data_set(known))
        {
            self.data.insert(&known.name, *tree);
        }
        Ok(None)
    }

    /// Returns the best score so far as text, if one search is going on: `best 41.2 %`, and the time that its other trials will take with
    /// `jobs` side by side.
    pub(crate) fn outlook(&self, jobs: usize) -> Option<String> {
        let search = self.searches.iter().find(|search| search.executed > 0 && search.ended < search.trials)?;
        let best = search.best.as_ref();
        let best = best.map(|best| format!("best {}, ", shown(&best.metric, best.value.0))).unwrap_or_default();
        let left = (search.trials - search.ended) as f64 * search.seconds / search.executed as f64;
        let left = left / jobs.clamp(1, search.trials - search.ended) as f64;
        Some(format!("{best}trials: about {} left", crate::time::duration(left)))
    }

    /// Returns what is to be said of the searches all of whose trials have ended since this was asked last: that more than half have no
    /// score, or that the best is no better than chance.
    ///
    /// # Errors
    /// If a record cannot be read.
    pub(crate) fn warnings(&mut self) -> Result<Vec<String>, StoreError> {
        let mut warnings = Vec::new();
        let Self { store, plan, searches, data, .. } = self;
        for (search, of_plan) in searches.iter_mut().zip(&plan.searches) {
            // A search of which nothing was executed was warned of before.
            if search.ended < search.trials || search.executed == 0 {
                continue;
            }
            search.executed = 0;
            let Search { name, trials, .. } = *search;
            let without: usize = search.without.values().sum();
            if without * 2 > trials {
                let reasons: Vec<_> = search.without.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
                warnings
                    .push(format!("{without} of {trials} trials of `{name}` have no score: {}", reasons.join("; ")));
            }
            let Some(best) = &search.best else { continue };
            let ancestors = plan.with_ancestors(&of_plan.nodes.iter().copied().take(1).collect());
            let trees = ancestors.iter().filter_map(|node| data.get(plan.nodes[*node].name.as_str()));
            for tree in trees {
                let Some(labels) = read::<Labels>(store, tree)? else { continue };
                let head = labels.heads.iter().find(|head| best.metric == format!("valid.{}_accuracy", head.name));
                let Some(chance) = head.map(|head| 1.0 / head.classes.len().max(1) as f64) else { continue };
                if best.value.0 <= chance {
                    warnings.push(format!(
                        "the best trial of `{name}` is no better than chance: {} {}, chance is {}",
                        best.metric,
                        shown(&best.metric, best.value.0),
                        shown(&best.metric, chance)
                    ));
                }
            }
        }
        Ok(warnings)
    }
}

impl Search<'_> {
    /// Counts a score. Returns whether it is the best so far.
    fn add(&mut self, store: &Store, score: Score) -> Result<bool, StoreError> {
        for tree in std::mem::take(&mut self.unread) {
            if let Some(score) = read::<Score>(store, &tree)? {
                self.count(score);
            }
        }
        Ok(self.count(score))
    }

    fn count(&mut self, score: Score) -> bool {
        if score.status != Status::Completed {
            let word = score.status.as_str();
            let reason = score.reason.as_ref().map_or_else(|| word.to_owned(), |reason| format!("{word} ({reason})"));
            *self.without.entry(reason).or_default() += 1;
            return false;
        }
        let is_best = self.best.as_ref().is_none_or(|best| score.loss.0 < best.loss.0);
        if is_best {
            self.best = Some(score);
        }
        is_best
    }
}

fn is_data_set(node: &pipe_engine::plan::Node) -> bool {
    StageName::find(node.stage.id().name) == Some(StageName::Decode)
}

/// Returns a record of an output tree, if the tree has it.
fn read<R: Record>(store: &Store, tree: &Digest) -> Result<Option<R>, StoreError> {
    let Some(file) = store.tree(tree)?.files.get(R::FILE).map(|entry| entry.digest) else { return Ok(None) };
    let bytes = store.read(&file)?;
    // A record of another version says nothing here, and the views say what is wrong with it.
    Ok(records::read(&bytes).ok())
}
