//! Tests of the stages of a search, run one after the other on objects in memory.

use std::collections::BTreeSet;

use pipe_store::MemoryObjects;
use serde_json::json;

use super::*;
use crate::{
    history::History,
    params::Float,
    promote::Promote,
    records::{ImportedTrials, Score, Status},
    search::{
        Random, Rule,
        testing::{hyperopt_cifar_space, joint, of_hyperopt, random, searched},
    },
    select::Select,
    split::Split,
    stage::{ComputeDevice, QuietHost},
};

const LAG: u32 = 2;
const STARTUP: u32 = 4;

/// A search that is run stage by stage, as a plan would.
struct Search {
    space: Space,
    sampler: Sampler,
    objects: MemoryObjects,
    history: Vec<Digest>,
    splits: Vec<Option<Digest>>,
    parameters: Vec<Digest>,
    proposals: Vec<Vec<u8>>,
}

fn run(stage: &dyn Stage, objects: &MemoryObjects, slots: &[(&str, Option<Digest>)]) -> Result<Outputs, StageError> {
    let slots = slots.iter().filter_map(|(slot, digest)| Some(((*slot).to_owned(), (*digest)?))).collect();
    let seed = if stage.needs().seed { 7 } else { 0 };
    stage.run(&Inputs::new(&slots, objects), &Context { seed, device: ComputeDevice::CPU, host: &QuietHost })
}

impl Search {
    /// Runs a search whose trial i ends with the score `scores[i]`.
    fn new(sampler: Sampler, scores: &[Score]) -> Self {
        let mut search = Self {
            space: hyperopt_cifar_space(),
            sampler,
            objects: MemoryObjects::default(),
            history: Vec::new(),
            splits: Vec::new(),
            parameters: Vec::new(),
            proposals: Vec::new(),
        };
        for (trial, score) in (0..).zip(scores) {
            search.propose(trial);
            search.score(trial, score);
        }
        search
    }

    fn put(&mut self, outputs: Outputs, path: &str) -> Digest {
        self.objects.put(outputs.into_files().remove(path).expect("the stage writes it"))
    }

    fn propose(&mut self, trial: u32) {
        let split = self.sampler.split(trial, false).map(|rule| {
            let seen = trial.checked_sub(LAG).map(|last| self.history[last as usize]);
            let outputs =
                run(&Split { trial, rule, left_out: 0, repeats: 0 }, &self.objects, &[("history", seen)]).unwrap();
            self.put(outputs, "split.json")
        });
        let previous = self.parameters.last().copied();
        let stage = self.stage(trial);
        let outputs = run(&stage, &self.objects, &[("split", split), ("previous", previous)]).unwrap();
        let proposal = outputs.files()["proposal.json"].clone();
        self.objects.put(proposal.clone());
        self.proposals.push(proposal);
        self.splits.push(split);
        let parameters = self.put(outputs, "parameters.json");
        self.parameters.push(parameters);
    }

    fn stage(&self, trial: u32) -> Propose {
        let (space, sampler) = (self.space.clone(), self.sampler.clone());
        Propose { trial, space, constraints: Vec::new(), limits: None, given: BTreeMap::new(), repeats: 0, sampler }
    }

    fn score(&mut self, trial: u32, score: &Score) {
        let score = self.objects.put(crate::params::record(score));
        let slots = [("score", Some(score)), ("previous", self.history.last().copied())];
        let outputs = run(&History { trial, failure: None, others: Vec::new() }, &self.objects, &slots).unwrap();
        let row = self.put(outputs, "history.json");
        self.history.push(row);
    }

    fn select(&self) -> Result<(Value, Vec<u8>), StageError> {
        let slots = [("history", self.history.last().copied()), ("parameters", self.parameters.last().copied())];
        let mut files = run(&Select::default(), &self.objects, &slots)?.into_files();
        let best = serde_json::from_slice(&files["best.json"]).unwrap();
        Ok((best, files.remove("proposal.json").unwrap()))
    }
}

fn tpe() -> Sampler {
    of_hyperopt(Some(STARTUP))
}

fn ended(status: Status, loss: f64, reason: Option<&str>) -> Score {
    let loss = Float(loss);
    let (metric, reason) = ("valid.loss".to_owned(), reason.map(str::to_owned));
    Score { format: Version, status, metric, value: loss, loss, epoch: None, reason }
}

fn completed(loss: f64) -> Score {
    Score { epoch: Some(3), ..ended(Status::Completed, loss, None) }
}

fn scores(n: u32) -> Vec<Score> {
    // 7, 4, 1, 8, 5, 2, .. in a full cycle.
    (0..n).map(|i| completed(f64::from((i * 7 + 7) % 10) / 10.0)).collect()
}

#[test]
fn a_proposal_depends_only_on_the_scores_that_it_may_see() {
    let before = Search::new(tpe(), &scores(12));
    for changed in 0..12 {
        let mut scores = scores(12);
        // The best trial becomes the worst, and any other trial becomes the best.
        let best = scores[changed as usize].loss.0 <= 0.1;
        scores[changed as usize] = completed(if best { 5.0 } else { -1.0 });
        let after = Search::new(tpe(), &scores);
        for trial in 0..12 {
            let sees = trial >= STARTUP && trial >= changed + LAG;
            let (a, b) = (&before.proposals[trial as usize], &after.proposals[trial as usize]);
            if !sees {
                assert!(a == b, "trial {trial} must not see the score of trial {changed}");
            } else if trial == STARTUP.max(changed + LAG) {
                assert!(a != b, "trial {trial} sees the score of trial {changed}");
            }
        }
    }
}

#[test]
fn a_loss_that_does_not_change_the_split_changes_nothing_downstream() {
    let mut scores = scores(12);
    let before = Search::new(tpe(), &scores);
    scores[3] = completed(0.800_000_000_1);
    let after = Search::new(tpe(), &scores);
    assert_ne!(before.history[3], after.history[3]);
    assert_eq!((before.splits, before.parameters), (after.splits, after.parameters));
}

#[test]
fn the_stage_proposes_what_the_sampler_proposes() {
    let search = Search::new(tpe(), &scores(12));
    let mut past = Past::default();
    for (trial, bytes) in (0..).zip(&search.proposals) {
        let seen: Vec<f64> =
            (0..(trial + 1u32).saturating_sub(LAG)).map(|i| f64::from((i * 7 + 7) % 10) / 10.0).collect();
        past.split = Rule::Root(0.25).split(&seen, trial, 0);
        let proposal = tpe().propose(&search.space, &[], 7, trial, &past).unwrap().proposal;
        assert_eq!(proposal.to_record(), *bytes, "trial {trial}");
        past.trials.push(TrialParameters { id: trial, labels: proposal.labels });
    }
}

#[test]
fn proposals_are_read_from_their_records_bit_for_bit() {
    for trial in 0..200 {
        let proposal = random(&hyperopt_cifar_space(), 1, trial);
        assert_eq!(serde_json::from_slice::<Proposal>(&proposal.to_record()).unwrap(), proposal);
    }
}

#[test]
fn equal_proposals_of_different_samplers_have_equal_bytes() {
    let (random, tpe) = (Search::new(Sampler::Random(Random), &scores(5)), Search::new(tpe(), &scores(5)));
    assert_eq!(random.proposals[..4], tpe.proposals[..4]);
    assert_ne!(random.proposals[4], tpe.proposals[4]);
}

#[test]
fn pending_diverged_and_failed_trials_count_as_worst() {
    let check = |losses: &[f64], trials, good: &[u32]| {
        assert_eq!(Rule::Root(0.5).split(losses, trials, 0).good, good.iter().copied().collect());
    };
    check(&[3.0, 2.0, 1.0, 4.0], 8, &[1, 2]);
    check(&[f64::NAN, f64::NAN, 1.0, 9.0], 8, &[2, 3]);
    check(&[2.0, 2.0, 2.0], 3, &[0]);
    check(&[-f64::NAN, f64::NEG_INFINITY, f64::INFINITY], 3, &[1]);
    check(&[], 0, &[]);

    let mut scores = scores(6);
    scores[0] = ended(Status::Diverged, -5.0, Some("the loss is NaN in epoch 2"));
    scores[1] = ended(Status::Completed, f64::NAN, None);
    scores[3] = ended(Status::Failed, f64::NEG_INFINITY, None);
    let search = Search::new(tpe(), &scores);
    let slots = [("history", Some(search.history[3]))];
    let outputs =
        run(&Split { trial: 6, rule: Rule::Root(0.25), left_out: 0, repeats: 0 }, &search.objects, &slots).unwrap();
    assert_eq!(outputs.files()["split.json"], b"{\"format\":2,\"good\":[2],\"trials\":6}\n");
}

#[test]
fn the_best_trial_is_the_first_with_the_least_loss() {
    let mut scores = scores(8);
    scores[1] = ended(Status::Diverged, 0.0, None);
    scores[4] = ended(Status::Completed, f64::NAN, None);
    scores[6] = completed(0.1);
    let search = Search::new(tpe(), &scores);
    let (best, proposal) = search.select().unwrap();
    let figures = ["trial", "loss", "epoch", "trials", "completed"].map(|key| best[key].clone());
    assert_eq!(figures, [json!(2), json!(0.1), json!(3), json!(8), json!(7)]);
    assert_eq!(proposal, search.proposals[2]);
    assert_eq!(best["labels"], serde_json::from_slice::<Value>(&proposal).unwrap()["labels"]);
}

#[test]
fn trials_of_a_rung_are_ranked_by_loss_and_failed_ones_come_last() {
    let mut scores = scores(5);
    scores[2] = ended(Status::Diverged, 0.0, None);
    let search = Search::new(Sampler::Random(Random), &scores);
    let promoted = |rank| {
        let stage = Promote { trial: 5, rung: (1, 4), rank };
        let slots = [("history", search.history.last().copied()), ("previous", search.parameters.last().copied())];
        run(&stage, &search.objects, &slots).map(|outputs| outputs.files()["proposal.json"].clone())
    };
    // Losses of trials 1, 3 and 4: 0.4, 0.8, 0.5.
    for (rank, trial) in [(0, 1), (1, 4), (2, 3), (3, 2)] {
        assert!(promoted(rank).unwrap() == search.proposals[trial], "rank {rank}");
    }
    assert_eq!(promoted(4).unwrap_err().to_string(), "the rung has 4 trials, so none has rank 4");
}

#[test]
fn imported_trials_are_used_as_earlier_trials() {
    // Not a multiple of three: after such a number, a branch may be due, which reads no scores.
    let earlier = searched(&hyperopt_cifar_space(), &Sampler::Random(Random), 99, 7);
    let imported = |loss: &dyn Fn(usize) -> Option<f64>| {
        let trial = |(i, proposal): (usize, &Proposal)| Imported::new(proposal.labels.clone(), loss(i));
        ImportedTrials { format: Version, source: None, trials: earlier.iter().enumerate().map(trial).collect() }
    };
    let first = |imported: &ImportedTrials, sampler: Sampler| {
        let mut search = Search::new(sampler, &[]);
        let imported = Some(search.objects.put(crate::params::record(imported)));
        let split = search.sampler.split(0, true).map(|rule| {
            let outputs =
                run(&Split { trial: 0, rule, left_out: 0, repeats: 0 }, &search.objects, &[("imported", imported)])
                    .unwrap();
            search.put(outputs, "split.json")
        });
        run(&search.stage(0), &search.objects, &[("imported", imported), ("split", split)])
            .map(|outputs| outputs.files()["proposal.json"].clone())
    };
    let (rising, falling) = (imported(&|i| Some(i as f64)), imported(&|i| (i > 1).then_some(-(i as f64))));
    let gaussian = || serde_json::from_str(r#"{"GaussianProcess":{"startup":5,"candidates":20}}"#).unwrap();
    for sampler in [joint(5), of_hyperopt(Some(5)), gaussian()] {
        assert_ne!(first(&rising, sampler.clone()).unwrap(), first(&falling, sampler).unwrap());
    }
    // With fewer trials than `startup`, the prior proposes, which does not read scores.
    assert_eq!(first(&rising, joint(8)).unwrap(), first(&falling, joint(8)).unwrap());
    let mut foreign = rising;
    foreign.trials[3].labels.insert("batch_size".to_owned(), json!(9000));
    let message = first(&foreign, joint(5)).unwrap_err().to_string();
    assert_eq!(message, "imported trial 3: its hyperparameter `batch_size` is 9000, which the space never proposes");
}

#[test]
fn a_search_without_a_completed_trial_says_why() {
    let diverged = ended(Status::Diverged, f64::NAN, Some("NaN in epoch 2"));
    let mut search = Search::new(Sampler::Random(Random), &[diverged.clone(), diverged]);
    search.propose(2);
    let stage = History { trial: 2, failure: Some("images too small".to_owned()), others: Vec::new() };
    let outputs = run(&stage, &search.objects, &[("previous", Some(search.history[1]))]).unwrap();
    let row = search.put(outputs, "history.json");
    search.history.push(row);
    let message = search.select().unwrap_err().to_string();
    let expected = "none of 3 trials completed with a score: trial 0 diverged (NaN in epoch 2); \
                    trial 1 diverged (NaN in epoch 2); trial 2 failed (images too small)";
    assert_eq!(message, expected);
}

#[test]
fn a_link_of_the_history_names_the_link_before_it() {
    let search = Search::new(Sampler::Random(Random), &scores(2));
    let row = |i: usize| {
        String::from_utf8(pipe_store::ObjectSource::read(&search.objects, &search.history[i]).unwrap().to_vec())
    };
    let first = "{\"epoch\":3,\"format\":1,\"loss\":0.7,\"status\":\"completed\",\"trial\":0}\n";
    assert_eq!(row(0).unwrap(), first);
    let second = format!(
        "{{\"epoch\":3,\"format\":1,\"loss\":0.4,\"previous\":\"{}\",\"status\":\"completed\",\"trial\":1}}\n",
        Digest::of(first.as_bytes())
    );
    assert_eq!(row(1).unwrap(), second);
}

#[test]
fn broken_chains_and_wrong_slots_are_refused() {
    let search = Search::new(tpe(), &scores(6));
    let refused = |stage: &dyn Stage, slots: &[(&str, Option<Digest>)], text: &str| {
        let message = run(stage, &search.objects, slots).unwrap_err().to_string();
        assert!(message.contains(text), "{message}");
    };
    let propose = |trial| search.stage(trial);
    let (history, parameters, split) = (search.history[5], search.parameters[5], search.splits[5]);
    refused(
        &Split { trial: 5, rule: Rule::Root(0.25), left_out: 0, repeats: 0 },
        &[("history", Some(history))],
        "the scores of 6 trials",
    );
    refused(
        &Split { trial: 5, rule: Rule::Root(0.25), left_out: 0, repeats: 0 },
        &[("history", Some(parameters))],
        "broken",
    );
    refused(&propose(5), &[("split", split), ("previous", Some(parameters))], "the parameters of 6 trials");
    refused(&propose(6), &[("split", split), ("previous", Some(parameters))], "the split has 5 trials, expected 6");
    refused(&propose(5), &[("split", split)], "trial 5 was given the parameters of 0 trials");
    refused(&propose(0), &[("previous", Some(parameters))], "trial 0 was given the parameters of 6 trials");
    let select = [("history", Some(search.history[4])), ("parameters", Some(parameters))];
    refused(&Select::default(), &select, "scores of 5 trials and parameters of 6");
    let space = serde_json::from_value(json!({"x": {"uniform": [1, 0]}, "y": {"choice": []}})).unwrap();
    let stage = Propose {
        trial: 0,
        space,
        constraints: Vec::new(),
        limits: None,
        given: BTreeMap::new(),
        repeats: 0,
        sampler: Sampler::Random(Random),
    };
    refused(&stage, &[], "`x.uniform`: the lower bound 1 is not below the upper bound 0; `y.choice`");
}

/// A search of small networks within limits.
fn within(limits: Value, space: Value, trial: u32) -> (Propose, MemoryObjects, Digest) {
    let labels = crate::records::Labels {
        format: Version,
        heads: vec![crate::records::Head { name: "class".to_owned(), classes: vec!["a".to_owned(), "b".to_owned()] }],
        image: crate::records::ImageShape { channels: 1, height: 4, width: 4 },
    };
    let mut objects = MemoryObjects::default();
    let labels = objects.put(crate::params::record(&labels));
    let limited = json!({ "limits": limits, "model": { "Mlp": { "layers": 1 } } });
    let stage = Propose {
        trial,
        space: serde_json::from_value(space).unwrap(),
        constraints: Vec::new(),
        limits: Some(serde_json::from_value(limited).unwrap()),
        given: BTreeMap::new(),
        repeats: 0,
        sampler: Sampler::Random(Random),
    };
    (stage, objects, labels)
}

#[test]
fn a_network_above_the_limits_is_never_proposed() {
    // A hidden unit has 19 parameters, and there are two more.
    let space = json!({ "units_1": { "IntRange": [1, 100] } });
    let (mut stage, mut objects, labels) = within(json!({ "parameters": 192 }), space, 0);
    let mut previous = None;
    let mut units = Vec::new();
    for trial in 0..10 {
        stage.trial = trial;
        let outputs = run(&stage, &objects, &[("labels", Some(labels)), ("previous", previous)]).unwrap();
        let files = outputs.into_files();
        let proposal: Proposal = crate::records::read(&files["proposal.json"]).unwrap();
        units.push(proposal.values["units_1"].as_u64().unwrap());
        objects.put(files["proposal.json"].clone());
        previous = Some(objects.put(files["parameters.json"].clone()));
    }
    units.sort_unstable();
    assert_eq!(units, (1..=10).collect::<Vec<_>>());
    stage.trial = 10;
    let error = run(&stage, &objects, &[("labels", Some(labels)), ("previous", previous)]).unwrap_err();
    let expected = "for trial 10 no new network was found that fits parameters <= 192: the smallest that was drawn has 211 parameters";
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn a_space_in_which_nothing_fits_says_so() {
    let space = json!({ "units_1": { "FloatRange": { "lo": 50, "hi": 100, "step": 1 } } });
    let (stage, objects, labels) = within(json!({ "memory": "1kB" }), space, 0);
    let error = run(&stage, &objects, &[("labels", Some(labels))]).unwrap_err().to_string();
    assert!(error.contains("for trial 0 no new network was found that fits memory <= 1000B: the smallest"), "{error}");
}

/// Returns the history of trials with these accuracies and numbers of parameters. A trial without an accuracy failed.
fn history_of(objects: &mut MemoryObjects, trials: &[(Option<f64>, u64)]) -> Vec<Digest> {
    let others = vec![serde_json::from_value(json!({ "minimise": { "Last": "parameters" } })).unwrap()];
    let mut links = Vec::new();
    for (trial, (accuracy, parameters)) in (0..).zip(trials) {
        let score = match accuracy {
            Some(accuracy) => completed(-accuracy),
            None => ended(Status::Failed, f64::NAN, Some("too deep")),
        };
        let record = json!({
            "format": 1, "status": "completed", "hyperparameters": {}, "labels": {}, "epochs": 2, "steps": 20, "diverged_at": null,
            "best_epoch": null, "settings": {}, "parameters": parameters, "flops": 20, "figures": {},
        });
        let score = objects.put(crate::params::record(&score));
        let record = objects.put(crate::params::record(&record));
        let slots = [("score", Some(score)), ("trial", Some(record)), ("previous", links.last().copied())];
        let history = History { trial, failure: None, others: Vec::clone(&others) };
        let files = run(&history, objects, &slots).unwrap().into_files();
        links.push(objects.put(files["history.json"].clone()));
    }
    links
}

#[test]
fn several_objectives_make_a_front_whose_trials_are_good() {
    let trials = [(Some(0.9), 900), (Some(0.5), 100), (Some(0.8), 200), (Some(0.4), 500), (None, 1), (Some(0.7), 300)];
    let mut objects = MemoryObjects::default();
    let links = history_of(&mut objects, &trials);
    let last: HistoryLink = crate::records::read(
        &crate::stage::Inputs::new(&BTreeMap::new(), &objects).object(links.last().unwrap()).unwrap(),
    )
    .unwrap();
    assert_eq!((last.loss.0, last.others.as_slice()), (-0.7, &[Float(300.0)][..]));
    let split = Split { trial: 6, rule: Rule::Share(0.5), left_out: 0, repeats: 0 };
    let files = run(&split, &objects, &[("history", links.last().copied())]).unwrap().into_files();
    let split: SplitRecord = crate::records::read(&files["split.json"]).unwrap();
    // Half of the five that completed: the front.
    assert_eq!(split.good, BTreeSet::from([0, 1, 2]));

    let mut previous = None;
    for trial in 0..6 {
        let labels = BTreeMap::from([("n".to_owned(), json!(trial))]);
        let proposal = Proposal { format: Version, labels: labels.clone(), ..Proposal::default() }.to_record();
        objects.put(proposal.clone());
        let files = outputs(trial, labels, "test", proposal, previous).into_files();
        previous = Some(objects.put(files["parameters.json"].clone()));
    }
    let selected = |pick: Value| {
        let select: Select = serde_json::from_value(json!({ "pick": pick })).unwrap();
        let slots = [("history", links.last().copied()), ("parameters", previous)];
        let files = run(&select, &objects, &slots).map(Outputs::into_files);
        files.map(|files| crate::records::read::<crate::records::Best>(&files["best.json"]).unwrap())
    };
    let best = selected(Value::Null).unwrap();
    let front: Vec<u32> = best.front.unwrap().iter().map(|trial| trial.trial).collect();
    assert_eq!((best.trial, front), (0, vec![0, 1, 2]));
    let trial = |pick: Value| selected(pick).unwrap().trial;
    assert_eq!((trial(json!("Knee")), trial(json!({ "Objective": 1 })), trial(json!({ "Trial": 3 }))), (2, 1, 3));
    let refused = selected(json!({ "Trial": 4 })).unwrap_err().to_string();
    assert!(refused.contains("trial 4 cannot be picked"), "{refused}");
}

#[test]
fn a_repeated_point_is_one_trial_for_the_sampler() {
    let space: Space = serde_json::from_value(json!({ "n": { "IntRange": [1, 100] } })).unwrap();
    let sampler = joint(1);
    let mut objects = MemoryObjects::default();
    let (mut parameters, mut history): (Vec<Digest>, Vec<Digest>) = (Vec::new(), Vec::new());
    let mut labels = Vec::new();
    for trial in 0..6 {
        let rule = sampler.split(trial / 2, false).filter(|_| trial % 2 == 0);
        let split = rule.map(|rule| {
            let split = Split { trial, rule, left_out: 0, repeats: 2 };
            let files = run(&split, &objects, &[("history", history.last().copied())]).unwrap().into_files();
            let record: SplitRecord = crate::records::read(&files["split.json"]).unwrap();
            assert_eq!((record.trials, record.good), (trial / 2, BTreeSet::from([0])));
            objects.put(files["split.json"].clone())
        });
        let propose = Propose {
            trial,
            space: space.clone(),
            constraints: Vec::new(),
            limits: None,
            given: BTreeMap::new(),
            repeats: 2,
            sampler: sampler.clone(),
        };
        let files = run(&propose, &objects, &[("split", split), ("previous", parameters.last().copied())])
            .unwrap()
            .into_files();
        objects.put(files["proposal.json"].clone());
        let link: ParametersLink = crate::records::read(&files["parameters.json"]).unwrap();
        labels.push(link.labels);
        parameters.push(objects.put(files["parameters.json"].clone()));
        // The first point is the best by its mean, although one of its repetitions is not.
        let loss = [0.1, 0.5, 0.4, 0.4, 0.9, 0.3][trial as usize];
        let score = objects.put(crate::params::record(&completed(loss)));
        let slots = [("score", Some(score)), ("previous", history.last().copied())];
        let files = run(&History { trial, failure: None, others: Vec::new() }, &objects, &slots).unwrap().into_files();
        history.push(objects.put(files["history.json"].clone()));
    }
    assert!(labels.chunks(2).all(|pair| pair[0] == pair[1]));
    assert!(labels[0] != labels[2] && labels[2] != labels[4] && labels[0] != labels[4]);
}
