//! Gives up a search whose first trials all fail alike. A sampler that reads no scores would go on to the last one.

use std::collections::BTreeMap;

use crate::plan::{Plan, SearchTrials};

/// What is known about the trials of each search that have ended.
pub(super) struct Searches<'p> {
    searches: Vec<(&'p SearchTrials, State)>,
    /// The search that a node trains a trial of.
    of: BTreeMap<usize, usize>,
}

enum State {
    /// No trial has ended, or some have, all without a result and alike.
    Failing(Option<Failing>),
    /// A trial has ended in another way.
    GoesOn,
    /// It is given up. This is the node of the first trial that failed.
    GivenUp(usize),
}

struct Failing {
    /// The node of the first trial that failed.
    first: usize,
    message: String,
    trials: usize,
}

/// A search that is given up.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GivenUp<'p> {
    /// Its name.
    pub(super) search: &'p str,
    /// The number of trials that failed alike.
    pub(super) trials: usize,
    /// The node of the first of them.
    pub(super) first: usize,
    /// What that one said.
    pub(super) message: String,
}

impl<'p> Searches<'p> {
    /// Returns the searches of a plan. None of their trials has ended.
    pub(super) fn new(plan: &'p Plan) -> Self {
        let of =
            plan.searches.iter().enumerate().flat_map(|(at, search)| search.nodes.iter().map(move |node| (*node, at)));
        let of = of.collect();
        Self { searches: plan.searches.iter().map(|search| (search, State::Failing(None))).collect(), of }
    }

    /// Notes that a node has a result. A failure that is a result counts, too: it is a score.
    pub(super) fn has_result(&mut self, node: usize) {
        if let Some((_, state @ State::Failing(_))) = self.of.get(&node).map(|at| &mut self.searches[*at]) {
            *state = State::GoesOn;
        }
    }

    /// Notes that a node has ended without a result. Returns its search if that is to be given up now.
    pub(super) fn has_crashed(&mut self, node: usize, message: &str) -> Option<GivenUp<'p>> {
        let (search, state) = &mut self.searches[*self.of.get(&node)?];
        let State::Failing(failing) = state else { return None };
        let failing = failing.get_or_insert_with(|| Failing { first: node, message: message.to_owned(), trials: 0 });
        if gist(&failing.message) != gist(message) {
            *state = State::GoesOn;
            return None;
        }
        failing.trials += 1;
        // If it has no other trials, nothing is given up.
        if failing.trials < search.lag || failing.trials == search.nodes.len() {
            return None;
        }
        let Failing { first, message, trials } = failing;
        let given_up =
            GivenUp { search: &search.name, trials: *trials, first: *first, message: std::mem::take(message) };
        *state = State::GivenUp(given_up.first);
        Some(given_up)
    }

    /// Returns the node of the trial that failed first, if this node is of a trial of a search that is given up.
    pub(super) fn given_up(&self, node: usize) -> Option<usize> {
        match self.searches[*self.of.get(&node)?].1 {
            State::GivenUp(first) => Some(first),
            _ => None,
        }
    }
}

/// Returns a message without what differs between trials that fail for one reason: words with a digit, and paths.
fn gist(message: &str) -> String {
    let differs = |word: &str| word.contains('/') || word.contains(|c: char| c.is_ascii_digit());
    message.split_whitespace().filter(|word| !differs(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pipe_store::{ActionResult, Store};

    use super::*;
    use crate::{
        pipeline::{
            expand::{Downloads, expand},
            read::read,
        },
        run::{self, Event, How, Options, worker::StopFlag},
        study::Outcome,
    };

    fn plan(sampler: &str, lag: usize, trials: usize) -> Plan {
        let text = format!(
            "Study(name: \"s\", stages: [
                (\"raw\", Fetch(Embedded(name: \"shapes100\", train: 100, test: 100))),
                (\"data\", Decode(from: \"raw\", format: Cifar100)),
                (\"search\", Search(trials: {trials}, lag: {lag}, sampler: {sampler}, space: {{\"dropout\": uniform(0, 0.5)}},
                    trial: Train(data: \"data\", model: HyperCnn(base_filters: 4), epochs: 1, label_smoothing: hp(\"dropout\")))),
            ])"
        );
        let pipeline = read("pipeline.ron", &text, &[]);
        let pipeline =
            pipeline.unwrap_or_else(|refused| panic!("{}", refused.render(crate::pipeline::mistake::Rendering::Plain)));
        expand(&pipeline, &Downloads::default())
    }

    #[test]
    fn a_search_is_given_up_if_its_first_trials_all_fail_alike() {
        let plan = plan("Random", 3, 5);
        let trials = plan.searches[0].nodes.clone();
        assert_eq!((plan.searches[0].name.as_str(), trials.len()), ("search", 5));
        let fails = |searches: &mut Searches<'_>, trial: usize, message: &str| {
            searches
                .has_crashed(trials[trial], message)
                .map(|given_up| (given_up.trials, given_up.first, given_up.message))
        };
        let mut searches = Searches::new(&plan);
        assert_eq!(fails(&mut searches, 2, "exit 1 in /work/2: no module"), None);
        assert_eq!(fails(&mut searches, 0, "exit 12 in /work/0: no module"), None);
        assert_eq!(searches.given_up(trials[3]), None);
        let first = trials[2];
        assert_eq!(
            fails(&mut searches, 1, "exit 1 in  /work/1: no module").unwrap(),
            (3, first, "exit 1 in /work/2: no module".to_owned())
        );
        assert_eq!(searches.given_up(trials[3]), Some(first));
        // It is said once.
        assert_eq!(fails(&mut searches, 4, "exit 1 in /work/4: no module"), None);
        assert_eq!(searches.given_up(0), None);
    }

    #[test]
    fn a_search_goes_on_if_a_trial_has_a_result_or_fails_in_another_way() {
        let plan = plan("Random", 2, 5);
        let [a, b, c, d, e] = plan.searches[0].nodes[..] else { panic!() };
        let mut searches = Searches::new(&plan);
        searches.has_result(a);
        assert!([b, c, d, e].iter().all(|trial| searches.has_crashed(*trial, "no module").is_none()));
        let mut searches = Searches::new(&plan);
        assert!(searches.has_crashed(a, "no module").is_none() && searches.has_crashed(b, "no memory").is_none());
        assert!([c, d, e].iter().all(|trial| searches.has_crashed(*trial, "no memory").is_none()));
        // What is not a trial does not matter.
        assert!((0..5).all(|_| searches.has_crashed(0, "no module").is_none()));
    }

    #[test]
    fn a_search_without_other_trials_is_not_given_up() {
        let plan = plan("Random", 2, 2);
        let mut searches = Searches::new(&plan);
        assert!(plan.searches[0].nodes.iter().all(|trial| searches.has_crashed(*trial, "no module").is_none()));
    }

    /// Runs a plan whose data are there, with a program that cannot be started, so that every training fails. Returns the number of
    /// trials that were started, how often the search was given up, and what came of the run.
    fn run_in_vain(plan: &Plan, jobs: usize) -> (usize, usize, run::Ran) {
        static STOP: StopFlag = StopFlag::new();
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let mut trees = vec![None; plan.nodes.len()];
        for (index, node) in plan.nodes.iter().enumerate().filter(|(_, node)| node.part_of != "search") {
            let edges = plan.nodes.iter().flat_map(|node| node.inputs.values());
            let read =
                edges.filter(|edge| edge.node == index).map(|edge| (edge.path.clone(), node.name.clone().into()));
            let (digest, tree) = store.put_tree(&read.collect()).unwrap();
            let action = plan.action(index, &trees).unwrap();
            store.put(&action.record()).unwrap();
            store.commit(&action.key(), &ActionResult::Tree(digest), &serde_json::Value::Null).unwrap();
            trees[index] = Some(tree);
        }
        let options = Options {
            jobs,
            threads: Some(1),
            cores: 1,
            devices: vec![0],
            jobs_per_device: 1,
            rerun: BTreeSet::new(),
            cadence: std::time::Duration::from_secs(60),
            program: folder.path().join("missing"),
            log_level: "error",
            memory: None,
            remote: None,
            executor: crate::run::Executor::Here,
        };
        let (mut started, mut given_up) = (0, 0);
        let all = (0..plan.nodes.len()).collect();
        let ran = run::run(&store, plan, &all, &options, None, &STOP, &mut |event| match event {
            Event::Started { node, .. } => started += usize::from(node.starts_with("search/train/")),
            Event::GivenUp { search, trials, node, message } => {
                given_up += 1;
                assert!(search == "search" && trials == 2 && node.starts_with("search/train/"));
                assert!(message.starts_with("the worker did not start"), "{message}");
            }
            Event::Settled { node, how: How::Failed, .. } => assert!(node.starts_with("search/train/"), "{node}"),
            _ => {}
        });
        (started, given_up, ran.unwrap())
    }

    #[test]
    fn a_run_starts_no_more_trials_of_a_search_that_is_given_up() {
        let plan = plan("Random", 2, 7);
        let (started, given_up, ran) = run_in_vain(&plan, 1);
        assert_eq!((started, given_up, ran.failed), (2, 1, 2));
        let first = Outcome::Skipped("search/train/000".to_owned());
        let skipped = |trial: &str| ran.nodes[trial].outcome == first;
        assert!(skipped("search/train/002") && skipped("search/train/006") && skipped("search/history/000"));
        assert_eq!(ran.nodes.len(), plan.nodes.len());
        let (started, given_up, ran) = run_in_vain(&plan, 4);
        assert!((2..=6).contains(&started) && given_up == 1 && ran.failed == started, "{started}");
    }
}
