#![expect(clippy::print_stdout, reason = "a test that is passed over says so")]

use std::{
    collections::BTreeMap,
    io::Read,
    sync::atomic::{AtomicBool, Ordering},
};

use pipe_stages::program::{KeptState, Placed};
use tempfile::TempDir;

use super::*;

/// Set for a process that is to become a program.
const BECOMES: &str = "PIPE_TEST_BECOMES_A_PROGRAM";

/// The test program is the launcher, too: this test is then the program.
#[test]
fn becomes_a_program() {
    // No other test has a pipe as its standard input and this word in its command line.
    if !env::args().any(|arg| arg == BECOMES) {
        return;
    }
    let mut spec = String::new();
    std::io::stdin().read_to_string(&mut spec).unwrap();
    std::process::exit(launch(&spec).into());
}

fn launcher() -> Launcher {
    let args = ["--exact", "run::program::tests::becomes_a_program", "--nocapture", "--quiet", "--skip", BECOMES];
    Launcher { program: env::current_exe().unwrap(), args: args.map(str::to_owned).to_vec() }
}

/// A store, and a program in it.
struct Bench {
    folder: TempDir,
    store: Store,
    program: Program,
    watched: Watched,
    how: How,
    fresh: bool,
    stop: AtomicBool,
    /// The memory of the program, as often as it was told.
    beats: Mutex<Vec<Option<u64>>>,
}

impl Bench {
    /// Returns a bench for a script of the shell.
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let bench = Self {
            folder,
            store,
            program: Program { words: vec!["./run.sh".to_owned()], ..Program::default() },
            watched: Watched::Nothing,
            how: How::default(),
            fresh: false,
            stop: AtomicBool::new(false),
            beats: Mutex::default(),
        };
        bench.script(script)
    }

    fn script(mut self, script: &str) -> Self {
        let digest = self.store.put(format!("#!/bin/sh\nset -e\n{script}\n").as_bytes()).unwrap();
        self.program.files.insert("run.sh".to_owned(), Placed::Object { digest, executable: true });
        self
    }

    fn keeps_state(mut self, epochs: u64, report: Option<&str>) -> Self {
        self.program.state = Some(KeptState { epochs, report: report.map(str::to_owned) });
        self
    }

    fn how(mut self, how: How) -> Self {
        self.how = how;
        self
    }

    fn key(&self) -> ActionKey {
        ActionKey(Digest::of(b"an action"))
    }

    fn trajectory(&self) -> Digest {
        Digest::of(b"a trajectory")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.store.root().join("work").join(self.key().to_string()).join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    fn run_telling(&self, tell: &mut dyn FnMut(&[u8])) -> Run {
        let launcher = launcher();
        let runner = Runner {
            objects: &self.store,
            checkpoints: &self.store,
            trajectory: self.program.state.as_ref().map(|_| self.trajectory()),
            keep: 1,
            fresh: self.fresh,
            how: &self.how,
            gpus: None,
            launcher: &launcher,
            is_only: false,
            asked: &|| self.stop.load(Ordering::SeqCst).then_some(Asked::Gone),
            beat: &|memory| lock(&self.beats).push(memory),
        };
        let work = self.store.work_folder(&self.key()).unwrap();
        runner.run(&work, &self.program, &self.watched, tell)
    }

    fn run(&self) -> Run {
        self.run_telling(&mut |_| ())
    }

    fn finished(&self) -> Finished {
        let mut finished = self.run().result.unwrap();
        finished.last_lines.retain(|line| !is_of_test(line));
        finished
    }

    fn error(&self) -> String {
        match self.run().result.unwrap_err() {
            StageError::Environment { message, hint, .. } => {
                let lines = message.lines().filter(|line| !is_of_test(line.trim_start_matches("  | ")));
                let hint = hint.map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
                lines.collect::<Vec<_>>().join("\n") + &hint
            }
            error => panic!("{error:?}"),
        }
    }
}

/// Returns whether a line is one that the test program says before it becomes another.
fn is_of_test(line: &str) -> bool {
    line.is_empty() || line == "running 1 test"
}

/// Returns the processes of a working folder.
fn is_alone(bench: &Bench) -> bool {
    let folder = fs::canonicalize(bench.at("")).unwrap_or_else(|_| bench.at(""));
    let wanted = format!("{}={}", environment::WORK, folder.display());
    let wanted = wanted.trim_end_matches('/').as_bytes();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let environs = entries.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
    !environs.into_iter().any(|environ| environ.split(|byte| *byte == 0).any(|variable| variable == wanted))
}

#[test]
fn a_program_reads_its_files_and_its_outputs_are_found() {
    let mut bench = Bench::new(
        "cat in/data/x > out/copy; mkdir -p out/plots; echo plot > out/plots/a; ln -s copy out/link; mkfifo out/pipe
         printf '#!/bin/sh\\n' > out/tool; chmod +x out/tool; echo \"$1|$2|$SEED|$HOME_OF_NOBODY|$TMPDIR\"; pwd; cat; : > $TMPDIR/x; test -e tmp/x",
    );
    bench.program.files.insert("in/data/x".to_owned(), Placed::Bytes(b"bytes".to_vec()));
    bench.program.words.extend(["--x=a b".to_owned(), "'\"$(".to_owned()]);
    bench.program.env.insert("SEED".to_owned(), "7".to_owned());
    let finished = bench.finished();
    assert_eq!(finished.code, 0, "{finished:?}");
    let found: Vec<_> =
        finished.outputs.iter().map(|(name, file)| (name.as_str(), file.size, file.executable)).collect();
    assert_eq!(found, [("copy", 5, false), ("plots/a", 5, false), ("tool", 10, true)]);
    assert_eq!(finished.others, ["link", "pipe"]);
    assert_eq!(fs::read(&finished.outputs["copy"].path).unwrap(), b"bytes");
    let folder = fs::canonicalize(bench.at("")).unwrap().display().to_string();
    assert_eq!(finished.last_lines.len(), 2);
    let (words, temporary) = finished.last_lines[0].split_once("||").unwrap();
    assert_eq!((words, &*finished.last_lines[1]), ("--x=a b|'\"$(|7", &*folder));
    assert!(temporary == format!("{folder}/tmp") || temporary.len() <= 60, "{temporary}");
    assert_eq!(finished.hint, None);
}

#[test]
fn an_exit_code_is_an_end_and_the_last_lines_say_why() {
    let finished = Bench::new(
        "for i in 1 2 3 4 5 6 7 8 9; do echo $i a; echo $i b; echo $i c; done; echo broken >&2; echo last; exit 3",
    )
    .finished();
    assert_eq!((finished.code, finished.last_lines.len()), (3, 20));
    assert_eq!(finished.last_lines[17..], ["9 c", "broken", "last"]);
}

#[test]
fn a_program_that_cannot_be_started_says_what_to_do() {
    let mut bench = Bench::new("");
    bench.program.words[0] = "no-such-program".to_owned();
    assert_eq!(
        bench.error(),
        "the program `no-such-program` is not found in `PATH`\n  hint: install it, or activate the environment that has it"
    );
    let mut bench = Bench::new("");
    let digest = bench.store.put(b"#!/no/such/interpreter\n").unwrap();
    bench.program.files.insert("run.sh".to_owned(), Placed::Object { digest, executable: true });
    assert_eq!(
        bench.error(),
        "`./run.sh` could not be started: No such file or directory (os error 2)\n  hint: its first line names an interpreter that is not there"
    );
}

#[test]
fn no_process_is_left_when_a_program_ends() {
    for script in
        ["sleep 1000 &", "setsid sleep 1000 &", "(setsid sh -c 'trap \"\" TERM; sleep 1000 & sleep 1000' &) & exit 3"]
    {
        let bench = Bench::new(script);
        let since = Instant::now();
        bench.finished();
        assert!(since.elapsed() < Duration::from_secs(4), "{script}");
        assert!(is_alone(&bench), "{script}");
    }
}

#[test]
fn a_program_that_is_asked_to_stop_may_save_its_state() {
    let script = "trap 'echo saved > state/last; exit 0' TERM; echo ready > state/ready; sleep 1000 & wait";
    let bench = Bench::new(script).keeps_state(10, None);
    let run = thread::scope(|scope| {
        let running = scope.spawn(|| bench.run());
        while !bench.at("state/ready").exists() {
            thread::sleep(Duration::from_millis(5));
        }
        bench.stop.store(true, Ordering::SeqCst);
        running.join().unwrap()
    });
    // That it ended with code 0 does not say that it has done its work.
    assert!(matches!(run.result, Err(StageError::Interrupted)) && run.leaves_state);
    assert!(is_alone(&bench));
    bench.stop.store(false, Ordering::SeqCst);
    let bench = bench.script("cat state/last; test ! -e state/other");
    assert_eq!(bench.finished().last_lines, ["saved"]);
    assert!(bench.store.latest_checkpoint(&bench.trajectory(), 9).is_none());
    let (step, parts) = bench.store.latest_checkpoint(&bench.trajectory(), 10).unwrap();
    assert_eq!((step, &*parts["state/last"]), (10, &b"saved\n"[..]));
}

#[test]
fn a_program_that_does_not_stop_is_killed() {
    let bench = Bench::new("trap '' TERM; echo ready > out/ready; while true; do sleep 1; done");
    thread::scope(|scope| {
        let running = scope.spawn(|| bench.run());
        while !bench.at("out/ready").exists() {
            thread::sleep(Duration::from_millis(5));
        }
        let since = Instant::now();
        bench.stop.store(true, Ordering::SeqCst);
        assert!(matches!(running.join().unwrap().result, Err(StageError::Interrupted)));
        assert!(since.elapsed() >= SHORT_GRACE && since.elapsed() < SHORT_GRACE * 3);
    });
    assert!(is_alone(&bench));
}

#[test]
fn the_state_comes_from_a_kill_then_from_a_checkpoint_and_is_not_used_when_fresh() {
    let grow = "n=$(cat state/n 2>/dev/null || echo 0); echo $((n + 1)) > state/n; echo \"epoch $n\" >> report.jsonl; cat state/n";
    let mut bench = Bench::new(grow).keeps_state(3, Some("report.jsonl"));
    bench.watched = Watched::File("report.jsonl".to_owned());
    assert_eq!(bench.finished().last_lines, ["1"]);
    // The folder is still there: it goes on from it.
    let finished = bench.finished();
    assert_eq!((finished.last_lines[0].as_str(), finished.watched.as_deref()), ("2", Some(&b"epoch 0\nepoch 1\n"[..])));
    // The folder is gone: it goes on from the checkpoint.
    bench.store.work_folder(&bench.key()).unwrap().remove().unwrap();
    bench = bench.keeps_state(5, Some("report.jsonl"));
    assert_eq!(bench.finished().watched.as_deref(), Some(&b"epoch 0\nepoch 1\nepoch 2\n"[..]));
    // A shorter one does not start from a longer one.
    bench.store.work_folder(&bench.key()).unwrap().remove().unwrap();
    bench = bench.keeps_state(2, Some("report.jsonl"));
    assert_eq!(bench.finished().watched.as_deref(), Some(&b"epoch 0\n"[..]));
    bench.fresh = true;
    assert_eq!(bench.finished().last_lines, ["1"]);
}

#[test]
fn a_report_among_the_outputs_outlives_kills_and_the_other_outputs_do_not() {
    let script = "ls out; echo row >> out/log.csv; echo x > out/other; echo s > state/s; test $(wc -l < out/log.csv) = 2 || kill -9 $$";
    let mut bench = Bench::new(script).keeps_state(1, Some("out/log.csv"));
    bench.how.retries = 1;
    let finished = bench.finished();
    assert_eq!((finished.code, finished.last_lines), (0, vec!["log.csv".to_owned()]));
    assert!(bench.read(LOG).contains("Z log.csv\n"));
}

#[test]
fn what_is_lost_is_tried_again_and_is_no_result() {
    for (end, why) in [
        ("kill -9 $$", "`./run.sh` was killed, and not by `pipe`: the system was probably out of memory"),
        ("kill -SEGV $$", "`./run.sh` was killed by a signal (SIGSEGV)"),
        ("exit 75", "`./run.sh` asks to be run again (exit code 75)"),
        ("sleep 1000", "`./run.sh` was stopped after 0.4 seconds, its time limit"),
    ] {
        let how = How { retries: 2, time_limit: Some(0.4), ..How::default() };
        let bench = Bench::new(&format!("echo x >> state/tries; echo last words; {end}")).keeps_state(1, None).how(how);
        let error = bench.error();
        assert!(error.starts_with(&format!("{why}\n  | last words")), "{error}");
        assert_eq!(bench.read("state/tries"), "x\nx\nx\n", "{end}");
        assert!(is_alone(&bench) && bench.run().leaves_state);
    }
}

#[test]
fn what_is_watched_is_told_as_a_whole_when_it_has_grown() {
    let script = "echo 1 >> report; sleep 0.3; echo 2 >> report; sleep 0.3; echo 3 >> report";
    let mut bench = Bench::new(script);
    bench.watched = Watched::File("report".to_owned());
    let mut told = Vec::new();
    bench.run_telling(&mut |bytes| told.push(String::from_utf8(bytes.to_vec()).unwrap())).result.unwrap();
    assert_eq!(told.last().unwrap(), "1\n2\n3\n");
    assert!(told.len() >= 2 && told.windows(2).all(|pair| pair[1].starts_with(&pair[0])), "{told:?}");
}

#[test]
fn lines_from_before_a_kill_are_heard_if_there_is_a_state() {
    let script =
        "echo epoch $(cat state/n 2>/dev/null); test -e state/n || { echo 1 > state/n; sleep 0.2; kill -9 $$; }";
    for (keeps, expected) in [(true, "epoch\nepoch 1\n"), (false, "epoch\n")] {
        let mut bench = Bench::new(if keeps { script } else { "echo epoch" }).how(How { retries: 1, ..How::default() });
        if keeps {
            bench = bench.keeps_state(1, None);
        }
        bench.watched = Watched::Output;
        let mut told = String::new();
        let result = bench.run_telling(&mut |bytes| told = String::from_utf8(bytes.to_vec()).unwrap()).result;
        let watched = String::from_utf8(result.unwrap().watched.unwrap()).unwrap();
        let heard: String = watched.lines().filter(|line| !is_of_test(line)).map(|line| format!("{line}\n")).collect();
        assert_eq!((heard.as_str(), told), (expected, watched), "{keeps}");
    }
}

#[test]
fn the_sandbox_refuses_what_is_not_declared() {
    let mut bench = Bench::new("");
    let secret = bench.folder.path().join("secret");
    fs::write(&secret, "s").unwrap();
    let script = format!("echo new > new; mv new out/new; cat '{}' > out/secret; echo read", secret.display());
    bench = bench.script(&script);
    bench.how.project = Some(bench.folder.path().to_owned());
    bench.how.sandbox = Sandbox::Folder;
    assert_eq!(bench.finished().last_lines, ["read"]);
    bench.how.sandbox = Sandbox::Landlock;
    if Sandbox::Landlock.in_force().is_none() {
        assert!(bench.error().starts_with("the kernel of this machine has no Landlock"));
        println!("not tested: this kernel has no Landlock");
        return;
    }
    for project in [true, false] {
        let finished = bench.finished();
        assert_eq!((finished.code, finished.outputs.contains_key("new")), (1, true), "{finished:?}");
        let expected = match project {
            true => "`secret` is in the project and not in `files`: add it there".to_owned(),
            false => format!("`{}` is not declared: let a `Fetch` read it, or set `sandbox: Folder`", secret.display()),
        };
        assert_eq!(finished.hint, Some(expected));
        bench.how.project = None;
    }
    // Nor may it write elsewhere.
    let bench = bench.script(&format!("echo x > '{}'", secret.display()));
    assert_ne!(bench.finished().code, 0);
    assert_eq!(fs::read_to_string(&secret).unwrap(), "s");
}

#[test]
fn what_a_kill_left_is_ended_before_the_folder_is_used_again() {
    let bench = Bench::new("cat state/n").keeps_state(1, None);
    fs::create_dir_all(bench.at("state")).unwrap();
    fs::write(bench.at("state/n"), "7\n").unwrap();
    let folder = fs::canonicalize(bench.at("")).unwrap();
    let folder = PathBuf::from(folder.to_str().unwrap().trim_end_matches('/'));
    let mut left = Command::new("/bin/sleep").arg("1000").env(environment::WORK, folder).spawn().unwrap();
    while is_alone(&bench) {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(bench.finished().last_lines, ["7"]);
    assert!(is_alone(&bench));
    // It was waited for already, perhaps.
    drop(left.wait());
}

#[test]
fn a_program_of_python_works_in_the_sandbox() {
    let script = "import json, os, sys, tempfile\nprint(sys.prefix)\njson.dump({'a': 1}, open('out/a.json', 'w'))\ntempfile.mkdtemp()\n";
    let mut bench = Bench::new("");
    let digest = bench.store.put(script.as_bytes()).unwrap();
    bench.program.files = BTreeMap::from([("train.py".to_owned(), Placed::Object { digest, executable: false })]);
    bench.program.words = vec!["python3".to_owned(), "train.py".to_owned()];
    let run = bench.run();
    match run.result {
        Ok(finished) => assert_eq!((finished.code, finished.outputs.len()), (0, 1), "{finished:?}"),
        Err(StageError::Environment { message, .. }) if message.contains("not found") => {
            println!("not tested: there is no python3");
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn the_memory_of_all_its_processes_is_told() {
    // The shell keeps some megabytes in a variable, and another process has its own.
    let bench =
        Bench::new("a=$(head -c 8000000 /dev/zero | tr '\\0' x); (b=$a$a; sleep 2; echo ${#b}) & wait; echo ${#a}");
    assert_eq!(bench.finished().code, 0);
    let beats = lock(&bench.beats);
    let most = beats.iter().flatten().max().expect("there was a beat");
    assert!((20_000_000..2_000_000_000).contains(most), "{beats:?}");
}
