use std::{
    fs,
    sync::{Mutex, PoisonError},
};

use pipe_store::{Digest, MemoryObjects};
use serde_json::json;

use super::*;
use crate::{
    program::{Finished, FoundFile},
    records::{ListedFile, Score as ScoreRecord, TrainingHistory, TrialRecord, Version},
    stage::{ComputeDevice, Host, Progress},
};

/// A host that runs nothing: the program has written these files to `out`, reported this, and ended with this code.
#[derive(Default)]
struct Pretender {
    folder: Option<tempfile::TempDir>,
    wrote: Vec<(&'static str, &'static str)>,
    report: &'static str,
    code: i32,
    ran: Mutex<Option<Program>>,
    told: Mutex<Vec<Progress>>,
}

impl Host for Pretender {
    fn progress(&self, progress: &Progress) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(progress.clone());
    }

    fn threads(&self) -> usize {
        3
    }

    fn run_program(
        &self,
        program: &Program,
        _: &Inputs<'_>,
        watched: &Watched,
        tell: &mut dyn FnMut(&[u8]),
    ) -> Result<Finished, StageError> {
        *self.ran.lock().unwrap() = Some(program.clone());
        tell(self.report.as_bytes());
        let mut outputs = BTreeMap::new();
        for (path, text) in &self.wrote {
            let place = self.folder.as_ref().unwrap().path().join(path.replace('/', "_"));
            #[expect(clippy::disallowed_methods, reason = "the program wrote it")]
            fs::write(&place, text).unwrap();
            outputs.insert((*path).to_owned(), FoundFile { path: place, size: text.len() as u64, executable: false });
        }
        Ok(Finished {
            code: self.code,
            outputs,
            others: Vec::new(),
            watched: (*watched != Watched::Nothing).then(|| self.report.as_bytes().to_vec()),
            last_lines: vec!["Traceback".to_owned(), "ValueError".to_owned()],
            hint: None,
        })
    }
}

fn pretender(wrote: &[(&'static str, &'static str)], report: &'static str) -> Pretender {
    let folder = Some(tempfile::tempdir().unwrap());
    Pretender { folder, wrote: wrote.to_vec(), report, ..Pretender::default() }
}

fn command(json: Value) -> Command {
    serde_json::from_value(json).unwrap()
}

/// Runs a command on these inputs, by slot.
fn run(command: &Command, host: &Pretender, inputs: &[(&str, Vec<u8>)]) -> Result<Outputs, StageError> {
    let mut objects = MemoryObjects::default();
    let slots: BTreeMap<_, _> =
        inputs.iter().map(|(slot, bytes)| ((*slot).to_owned(), objects.put(bytes.clone()))).collect();
    let context = Context { seed: 5 << 32, device: ComputeDevice::CPU, host };
    command.run(&Inputs::new(&slots, &objects), &context)
}

fn proposal(labels: Value) -> Vec<u8> {
    let labels = labels.as_object().unwrap().clone().into_iter().collect();
    Proposal { labels, ..Proposal::default() }.to_record()
}

fn record<R: crate::records::Record>(outputs: &Outputs) -> R {
    crate::records::read(&outputs.files()[R::FILE]).unwrap()
}

#[test]
fn a_program_gets_its_words_and_its_files_by_paths_below_its_folder() {
    let command = command(json!({
        "run": ["python", "train.py", "{in.train}", "{in.plots}", "{flags}", "{epochs}", "{seed}", "{params}", "{state}"],
        "env": { "OMP_NUM_THREADS": "{threads}" },
        "slots": { "train": "train.npz", "plots": null },
        "epochs": { "hp": "n" },
        "reports": "Lines",
    }));
    let digest = Digest::of(b"print()");
    let listing = Listing {
        files: vec![ListedFile { path: "train.py".into(), digest, size: 7, executable: true }],
        ..Listing::default()
    };
    let host = pretender(&[], "");
    let inputs = [
        ("proposal", proposal(json!({ "n": 8.0, "lr": 0.5 }))),
        (FILES, record_bytes(&listing)),
        ("in.train", b"npz".to_vec()),
        ("in.plots/a.png", b"png".to_vec()),
        ("program.plots/tool", b"elf".to_vec()),
    ];
    run(&command, &host, &inputs).unwrap();
    let program = host.ran.into_inner().unwrap().unwrap();
    let words =
        ["python", "train.py", "in/train/train.npz", "in/plots", "--lr", "0.5", "8", "5", "params.json", "state"];
    assert_eq!(program.words, words);
    assert_eq!(program.env["OMP_NUM_THREADS"], "3");
    let object = |bytes: &[u8], executable| Placed::Object { digest: Digest::of(bytes), executable };
    let expected = [
        ("in/plots/a.png", object(b"png", false)),
        ("in/plots/tool", object(b"elf", true)),
        ("in/train/train.npz", object(b"npz", false)),
        ("params.json", Placed::Bytes(b"{\"lr\":0.5,\"n\":8.0}\n".to_vec())),
        ("train.py", object(b"print()", true)),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(path, placed)| (path.to_owned(), placed)).into();
    assert_eq!(program.files, expected);
    assert_eq!(program.state, Some(KeptState { epochs: 8, report: Some("report.jsonl".into()) }));
}

fn record_bytes(record: &impl serde::Serialize) -> Vec<u8> {
    crate::params::record(record)
}

#[test]
fn the_mention_of_a_placeholder_decides_what_is_part_of_the_key() {
    let plain = command(json!({ "run": ["a"] }));
    assert_eq!((plain.needs().seed, plain.needs().process, plain.trajectory()), (false, true, None));
    let seeded = command(json!({ "run": ["a"], "env": { "SEED": "{seed}" } }));
    assert!(seeded.needs().seed);
    let state = |epochs: u32, outputs: &[&str]| {
        let command = command(json!({ "run": ["a", "{state}", "{epochs}"], "epochs": epochs, "outputs": outputs }));
        command.trajectory().unwrap()
    };
    assert_eq!(state(3, &["a"]), state(9, &["b"]));
    assert_eq!(state(3, &[]), json!({ "run": ["a", "{state}", "{epochs}"] }));
}

const OBJECTIVE: &str = "valid.accuracy";

fn trial(objective: Value) -> Command {
    command(json!({
        "run": ["train", "{report}", "{epochs}"],
        "outputs": ["model.bin", "plots/"],
        "metrics": ["metrics.json"],
        "reports": "Lines",
        "epochs": 3,
        "objective": objective,
        "catch": [3],
    }))
}

const WROTE: [(&str, &str); 4] = [
    ("model.bin", "weights"),
    ("plots/a.png", "png"),
    ("extra.txt", "not declared"),
    ("metrics.json", "{\"test\": {\"f1\": 0.25}, \"nan\": NaN, \"note\": \"x\"}"),
];

const REPORT: &str = "{\"epoch\":1,\"valid.accuracy\":0.5}\n{\"epoch\":2,\"valid.accuracy\":0.9}\n\
                      {\"epoch\":3,\"valid.accuracy\":0.75}\n{\"epoch\":4,\"valid.accuracy\":1}\n";

#[test]
fn what_a_program_wrote_and_reported_is_its_result() {
    let host = pretender(&WROTE, REPORT);
    let outputs = run(&trial(json!({ "maximise": { "Best": OBJECTIVE } })), &host, &[]).unwrap();
    assert_eq!(outputs.found().keys().collect::<Vec<_>>(), ["metrics.json", "model.bin", "plots/a.png"]);
    let history = String::from_utf8(outputs.files()[TrainingHistory::FILE].clone()).unwrap();
    assert_eq!(history, "epoch,valid.accuracy\n1,0.5\n2,0.9\n3,0.75\n", "the fourth epoch was not asked for");
    let score: ScoreRecord = record(&outputs);
    assert_eq!((score.value.0, score.loss.0, score.epoch), (0.9, -0.9, Some(2)));
    let trained = record::<TrialRecord>(&outputs).trained.unwrap();
    let figure = |name: &str| (trained.figures[name].best.0, trained.figures[name].end.0);
    assert_eq!((figure(OBJECTIVE), figure("test.f1"), trained.epochs), ((0.9, 0.75), (0.25, 0.25), 3));
    let told = host.told.into_inner().unwrap();
    assert_eq!((told[0].done, told[0].total), (3, 3));
}

#[test]
fn the_objective_is_found_in_the_reports_or_in_the_files_of_metrics() {
    let value = |objective: Value, report: &'static str| {
        let outputs = run(&trial(objective), &pretender(&WROTE, report), &[]).unwrap();
        let score: ScoreRecord = record(&outputs);
        (score.status.as_str(), score.value.0, score.loss.0, score.epoch)
    };
    assert_eq!(value(json!({ "maximise": { "Last": OBJECTIVE } }), REPORT), ("completed", 0.75, -0.75, Some(3)));
    assert_eq!(value(json!({ "minimise": { "Last": "test.f1" } }), ""), ("completed", 0.25, 0.25, Some(3)));
    let diverged = |objective, report| {
        let (status, value, loss, _) = value(objective, report);
        assert!(status == "diverged" && value.is_nan() && loss.is_nan());
    };
    diverged(json!({ "minimise": { "Best": "nan" } }), "");
    diverged(json!({ "minimise": { "Best": "loss" } }), "{\"epoch\":1,\"loss\":2}\n{\"epoch\":2,\"loss\":NaN}\n");
    // The last epoch lacks the metric.
    diverged(json!({ "minimise": { "Last": "loss" } }), "{\"epoch\":1,\"loss\":2}\n{\"epoch\":2,\"other\":1}\n");
}

fn error(command: &Command, host: &Pretender) -> (bool, String) {
    match run(command, host, &[]).unwrap_err() {
        StageError::Failed { message, .. } => (true, message),
        StageError::Environment { message, hint, .. } => {
            (false, hint.map_or(message.clone(), |hint| format!("{message} ({hint})")))
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_program_that_does_not_do_what_it_should_has_no_result() {
    let best = || trial(json!({ "maximise": { "Best": OBJECTIVE } }));
    let check = |host: &Pretender, expected: &str| assert_eq!(error(&best(), host), (false, expected.to_owned()));
    check(
        &pretender(&WROTE[1..], REPORT),
        "the program did not write `model.bin` to `{out}` (it wrote `extra.txt` there)",
    );
    check(
        &pretender(&WROTE[..3], REPORT),
        "the program did not write `metrics.json` to `{out}` (it is one of its `metrics`)",
    );
    check(
        &pretender(&WROTE, "{\"epoch\":1,\"valid.acc\":1}\n"),
        "the program reported no metric `valid.accuracy` (it reported `nan`, `test.f1`, `valid.acc`)",
    );
    check(&pretender(&WROTE, "oops\n"), "line 1 of `{report}` is not JSON: expected value at line 1 column 1: `oops`");
    let failing = Pretender { code: 1, ..pretender(&WROTE, REPORT) };
    check(&failing, "`train` ended with the exit code 1\n  | Traceback\n  | ValueError");
}

#[test]
fn a_caught_exit_code_is_the_worst_score_of_a_trial_and_a_failure_of_a_stage() {
    let host = Pretender { code: 3, ..pretender(&WROTE, REPORT) };
    let outputs = run(&trial(json!({ "maximise": { "Best": OBJECTIVE } })), &host, &[]).unwrap();
    let score: ScoreRecord = record(&outputs);
    assert_eq!(score.status.loss_or_worst(score.loss.0), f64::INFINITY);
    assert_eq!(score.reason.as_deref(), Some("`train` ended with the exit code 3"));
    let stage = command(json!({ "run": ["a"], "catch": [3] }));
    assert_eq!(error(&stage, &host), (true, "`a` ended with the exit code 3".to_owned()));
}

#[test]
fn a_command_is_read_as_it_is_written_and_its_record_does_not_change() {
    let json = json!({
        "run": ["a", { "hp": "x" }, 0.5, "{{}}"],
        "slots": { "a": "b.npz", "c": null },
        "outputs": ["x"],
        "reports": { "Stdout": r"(?<epoch>\d+) (?<a.b>\d+)" },
        "objective": { "minimise": { "Last": "anything at all" } },
        "environment": [{ "what": "file uv.lock", "is": "aa" }],
    });
    let read = command(json.clone());
    assert_eq!(serde_json::to_value(&read).unwrap(), json);
    assert_eq!(read.id().version, 1);
    let _: Version<1> = Version;
}
