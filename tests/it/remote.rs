//! Studies are pushed to remotes and pulled from them: nothing is executed again, nothing damaged is stored, and kills do no harm.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    sandbox::{Events, NODES, Output, Sandbox, TINY, base, contents, names, text},
    servers::{Server, azurite, seaweedfs, user, web_server},
};

type Env<'a> = &'a [(&'static str, String)];

/// Runs the program with an environment.
fn pipe(sandbox: &Sandbox, args: &str, env: Env<'_>) -> Output {
    sandbox.output(sandbox.command(args).envs(env.iter().map(|(name, value)| (*name, value))))
}

/// Returns a folder in which the tiny study was run, with the remote `lab`.
fn with_study(url: &str, env: Env<'_>) -> Sandbox {
    let sandbox = Sandbox::after_run();
    pipe(&sandbox, &format!("remote add lab {url}"), env).ok();
    sandbox
}

/// Returns a folder with the pipeline of the tiny study and the remote `lab`.
fn without_study(url: &str, env: Env<'_>) -> Sandbox {
    let sandbox = Sandbox::new();
    pipe(&sandbox, &format!("remote add lab {url}"), env).ok();
    sandbox
}

/// Checks that the study is there and complete: a run executes nothing.
#[track_caller]
fn check_complete(sandbox: &Sandbox) {
    let events = sandbox.run("").ok();
    assert_eq!((events.hash(), events.nodes("reused").len()), (base().hash.clone(), NODES));
    sandbox.pipe("verify").ok();
}

/// Pushes, pulls into another folder, and runs there.
fn check_round_trip(url: &str, env: Env<'_>) {
    let from = with_study(url, env);
    let pushed: Value = serde_json::from_str(&pipe(&from, "push --json", env).ok().out).unwrap();
    assert!(pushed["sent"].as_u64() > Some(40), "{pushed}");
    assert_eq!((&pushed["study"], &pushed["results"]), (&base().hash.clone().into(), &NODES.into()));
    let again: Value = serde_json::from_str(&pipe(&from, "push --json", env).ok().out).unwrap();
    assert_eq!((again["sent"].as_u64(), &again["known"]), (Some(0), &pushed["sent"]));
    let to = without_study(url, env);
    let listed = pipe(&to, "studies --remote lab", env).ok().out;
    assert!(listed.starts_with(&format!("tiny  {}", &base().hash[..12])), "{listed}");
    pipe(&to, "pull lab/tiny", env).ok();
    check_complete(&to);
}

/// Returns the URL of a folder.
fn file_url(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

#[test]
fn a_copy_on_a_web_server_is_read() {
    let (folder, url) = share();
    with_study(&url, &[]).pipe("push").ok();
    let Some(server) = web_server(&folder.path().join("share")) else { return };
    let to = without_study(server.url(), &[]);
    let checked = to.pipe("remote check").ok().out;
    assert!(checked.contains("list    no\n  write   no: a web server is only read"), "{checked}");
    to.pipe("pull lab/tiny").ok();
    check_complete(&to);
    to.pipe(&format!("pull lab/{}", base().hash)).ok();
    for (args, expected) in [
        ("push", "no permission to write in the remote `lab`: a web server is only read"),
        ("studies --remote lab", "a web server does not list files"),
        ("pull lab/other", "the remote `lab` has no study `other`"),
    ] {
        let output = to.pipe(args);
        assert!(output.code != Some(0) && output.err.contains(expected), "{args}: {}", output.err);
    }
}

fn share() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let url = file_url(&folder.path().join("share"));
    (folder, url)
}

#[test]
fn a_study_is_pushed_to_a_folder_and_pulled_without_being_run_again() {
    let (_folder, url) = share();
    check_round_trip(&url, &[]);
}

#[test]
fn a_study_is_pushed_to_s3_and_pulled_without_being_run_again() {
    let Some(server) = seaweedfs() else { return };
    check_round_trip(server.url(), &server.env);
    check_identities(&server);
    check_many_pushers(server.url(), &server.env);
}

#[test]
fn a_study_is_pushed_to_azure_and_pulled_without_being_run_again() {
    let Some(server) = azurite() else { return };
    check_round_trip(server.url(), &server.env);
    let wrong = [server.env.clone(), vec![("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmc=".to_owned())]].concat();
    let refused = pipe(&Sandbox::new(), &format!("remote add lab {}", server.url()), &wrong);
    assert_eq!(refused.code, Some(1));
    // Azurite says so also of a wrong key.
    assert!(refused.err.contains("AuthorizationFailure"), "{}", refused.err);
}

/// Checks what is said to who may only read, and to who is not known. The study has been pushed.
fn check_identities(server: &Server) {
    let read_only = user(server, "ro", "ro-secret");
    let sandbox = without_study(server.url(), &server.env);
    pipe(&sandbox, "pull lab/tiny", &read_only).ok();
    let checked = pipe(&sandbox, "remote check lab", &read_only).ok();
    assert!(checked.out.contains("write   no: AccessDenied"), "{}", checked.out);
    // What is there already needs no permission.
    pipe(&sandbox, "push", &read_only).ok();
    let refused = pipe(&sandbox, "push --again", &read_only);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("error: no permission to write"), "{}", refused.err);
    for (key, secret, code) in [("ci", "wrong", "SignatureDoesNotMatch"), ("nobody", "x", "InvalidAccessKeyId")] {
        let refused = pipe(&sandbox, "pull lab/tiny", &user(server, key, secret));
        assert_eq!(refused.code, Some(1));
        let expected = format!("error: the remote `lab` does not accept the credentials: {code}");
        assert!(refused.err.starts_with(&expected), "{}", refused.err);
    }
}

fn check_many_pushers(url: &str, env: Env<'_>) {
    let url = format!("{url}/together");
    let sandbox = with_study(&url, env);
    let pushers: Vec<_> = (0..32)
        .map(|_| {
            let mut command = sandbox.command("push");
            command.envs(env.iter().map(|(name, value)| (*name, value)));
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for pusher in pushers {
        let output = pusher.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(pipe(&sandbox, "studies --remote lab", env).ok().out.lines().count(), 1);
    let to = without_study(&url, env);
    pipe(&to, "pull lab/tiny", env).ok();
    check_complete(&to);
}

#[test]
fn thirty_two_pushers_at_once_give_one_study() {
    let (_folder, url) = share();
    check_many_pushers(&url, &[]);
}

/// Checks that each result in a remote has its action, its tree and its files.
fn check_clean(share: &Path) {
    let files = contents(share);
    let has = |digest: &str| {
        let plain = PathBuf::from(format!("objects/{}/{}", &digest[..2], &digest[2..]));
        files.get(&plain).or_else(|| files.get(&plain.with_extension("zst")))
    };
    // What a killed push has begun to write has another ending.
    let is_whole = |path: &Path| path.extension().is_some_and(|ending| ending == "json");
    for (path, bytes) in files.iter().filter(|(path, _)| path.starts_with("actions") && is_whole(path)) {
        let record: Value = serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(has(record["action"].as_str().unwrap()).is_some(), "{record}");
        // The trees of this study are small, and small objects are not compressed.
        let tree: Value = serde_json::from_slice(has(record["tree"].as_str().unwrap()).unwrap()).unwrap();
        for file in tree["files"].as_object().unwrap().values() {
            assert!(has(file["digest"].as_str().unwrap()).is_some(), "{file}");
        }
    }
}

#[test]
fn pushes_and_pulls_that_are_killed_leave_nothing_half_done() {
    let mut random = fastrand::Rng::with_seed(11);
    let (folder, url) = share();
    let share = folder.path().join("share");
    let mut from = with_study(&url, &[]);
    let mut to = without_study(&url, &[]);
    let mut killed = BTreeMap::from([("push", 0), ("pull lab/tiny", 0)]);
    while killed.values().any(|kills| *kills < 50) {
        for (args, sandbox) in [("push", &from), ("pull lab/tiny", &to)] {
            let mut command = sandbox.command(args);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            thread::sleep(Duration::from_millis(random.u64(..60)));
            *killed.get_mut(args).unwrap() += usize::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
        check_clean(&share);
        to.pipe("verify").ok();
        // Once they have come through there is nothing left to interrupt.
        let has_study = to.pipe("studies --json").ok().out.contains("tiny");
        if has_study {
            check_complete(&to);
            fs::remove_dir_all(&share).unwrap();
            (from, to) = (with_study(&url, &[]), without_study(&url, &[]));
        }
    }
    from.pipe("push").ok();
    to.pipe("pull lab/tiny").ok();
    check_complete(&to);
    thread::sleep(Duration::from_millis(1100));
    from.pipe("remote gc lab --grace 0s").ok();
    let left: Vec<_> = contents(&share).into_keys().filter(|path| path.to_string_lossy().contains('#')).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_is_wrong_is_said_and_what_to_do() {
    let (folder, url) = share();
    let sandbox = Sandbox::new();
    let check = |args: &str, expected: &str| {
        let output = sandbox.pipe(args);
        assert_ne!(output.code, Some(0), "{args}");
        assert!(output.err.contains(expected), "{args}: {}", output.err);
        assert!(!output.err.contains("hunter2"), "{}", output.err);
        output.code
    };
    assert_eq!(check("remote add lab s3://u:hunter2@bucket", "a name or a password in it"), Some(2));
    assert_eq!(check("remote add lab ftp://host/x", "none of `s3`"), Some(2));
    assert!(!sandbox.path(".pipe").exists(), "nothing is made for a mistake");
    assert_eq!(check("pull lab/tiny", "there is no remote `lab`"), Some(2));
    sandbox.pipe(&format!("remote add lab {url}")).ok();
    assert_eq!(check(&format!("remote add lab {url}/other"), "there is a remote `lab` already"), Some(2));
    assert_eq!(check("pull lab/tiny", "the remote `lab` has no study `tiny`"), Some(2));
    assert_eq!(check("push", "there are no studies in this store yet"), Some(2));
    assert_eq!(check("push --to lob", "did you mean `lab`?"), Some(2));
    fs::remove_dir_all(folder.path().join("share")).unwrap();
    assert_eq!(check("pull lab/tiny", "perhaps it is not mounted"), Some(1));
    sandbox.pipe("remote remove lab").ok();
    assert_eq!(check("pull lab/tiny", "there is no remote `lab`"), Some(2));
    // Nobody listens there.
    sandbox.write(".pipe/remotes.ron", "{\"lab\": (url: \"s3://bucket\")}");
    let env = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9".to_owned()),
        ("AWS_ACCESS_KEY_ID", "x".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "hunter2".to_owned()),
    ];
    let output = pipe(&sandbox, "pull lab/tiny", &env);
    assert_eq!(output.code, Some(1));
    assert!(output.err.contains("cannot read `format` in the remote `lab`"), "{}", output.err);
}

#[test]
fn a_study_without_weights_is_whole_after_a_run() {
    let (_folder, url) = share();
    let from = with_study(&url, &[]);
    let plan = from.pipe("push --plan --without weights,data,logs").ok().out;
    assert!(plan.contains("would send at most") && plan.contains("without weights and data and logs"), "{plan}");
    from.pipe("push --without weights,data").ok();
    let to = without_study(&url, &[]);
    let pulled = to.pipe("pull tiny").ok();
    assert!(pulled.err.contains("it was pushed without weights and data"), "{}", pulled.err);
    to.pipe("show tiny").ok();
    to.pipe("trials tiny").ok();
    let events = to.run("").ok();
    assert_eq!(events.hash(), base().hash);
    assert!(events.nodes("executed").contains("retrain_best") && events.nodes("reused").contains("search/select"));
    check_complete(&to);
}

#[test]
fn flipped_bytes_of_a_remote_are_never_stored() {
    let (folder, url) = share();
    let from = with_study(&url, &[]);
    from.pipe("push").ok();
    let share = folder.path().join("share");
    let mut random = fastrand::Rng::with_seed(3);
    let objects: Vec<_> = contents(&share).into_keys().filter(|path| path.starts_with("objects")).collect();
    let mut refused = 0;
    for _ in 0..20 {
        let path = share.join(random.choice(&objects).unwrap());
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        let at = random.usize(..bytes.len());
        bytes[at] ^= 1 << random.u8(..8);
        fs::write(&path, bytes).unwrap();
        let to = without_study(&url, &[]);
        let pulled = to.pipe("pull lab/tiny");
        if pulled.code == Some(1) {
            assert!(pulled.err.contains("is damaged"), "{}", pulled.err);
            refused += 1;
        }
        to.pipe("verify").ok();
        fs::write(&path, whole).unwrap();
        to.pipe("pull lab/tiny").ok();
        check_complete(&to);
    }
    assert!(refused >= 15, "{refused}");
}

#[test]
fn a_run_takes_results_from_a_remote_and_sends_what_it_makes() {
    let (folder, url) = share();
    with_study(&url, &[]).pipe("push").ok();
    let to = without_study(&url, &[]);
    let events = to.run("--remote lab").ok();
    assert_eq!(events.hash(), base().hash);
    assert_eq!(of_remote(&events)["results"], 9);
    // What takes no time is not asked for.
    let quick = |name: &String| ["propose", "split", "history", "select"].iter().any(|part| name.contains(part));
    assert!(events.nodes("executed").iter().all(quick), "{:?}", events.nodes("executed"));
    check_complete(&to);
    assert_eq!(to.json("show retrain_best --json")["provenance"]["remote"], "lab");
    // Nothing was sent: that must be asked for.
    let before = contents(&folder.path().join("share"));
    to.edit("trials: 3", "trials: 4");
    to.run("--remote lab").ok();
    assert!(contents(&folder.path().join("share")) == before);
    let writer = without_study(&url, &[]);
    writer.edit("trials: 3", "trials: 4");
    let written = writer.run("--remote lab --remote-write").ok();
    check_clean(&folder.path().join("share"));
    let reader = without_study(&url, &[]);
    reader.edit("trials: 3", "trials: 4");
    let events = reader.run("--remote lab").ok();
    assert_eq!(events.hash(), written.hash());
    assert!(events.nodes("executed").iter().all(quick), "{:?}", events.nodes("executed"));
}

#[test]
fn a_dead_remote_costs_a_run_one_warning_and_a_few_seconds() {
    let sandbox = Sandbox::new();
    sandbox.pipe("remote add lab file:///dev/shm").ok();
    // Connections are accepted there, and nobody answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    for endpoint in ["http://127.0.0.1:9".to_owned(), silent] {
        sandbox.write(".pipe/remotes.ron", "{\"lab\": (url: \"s3://bucket\")}");
        let env = [
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_ACCESS_KEY_ID", "x".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "y".to_owned()),
        ];
        let since = std::time::Instant::now();
        let output = pipe(&sandbox, "run --remote lab --stage raw --set raw.train=201", &env).ok();
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
        assert_eq!(output.err.matches("the run goes on without the remote `lab`").count(), 1, "{}", output.err);
        fs::remove_dir_all(sandbox.path(".pipe")).unwrap();
        fs::create_dir(sandbox.path(".pipe")).unwrap();
        sandbox.pipe("run --stage raw").ok();
    }
}

#[test]
fn signatures_are_made_and_demanded() {
    let (_folder, url) = share();
    let from = with_study(&url, &[]);
    let key = from.pipe("remote keygen key.txt").ok().out.trim().to_owned();
    assert_eq!(from.pipe("remote keygen key.txt").code, Some(2), "a key is never overwritten");
    from.pipe("push").ok();
    let to = without_study(&url, &[]);
    to.pipe(&format!("remote trust lab {key}")).ok();
    let refused = to.pipe("pull lab/tiny");
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("is signed by nobody whom this project trusts"), "{}", refused.err);
    let events = to.run("--remote lab --stage raw").ok();
    assert_eq!(events.nodes("executed").len(), 1, "a result that nobody has signed is none");
    from.pipe("push --sign key.txt").ok();
    to.pipe("pull lab/tiny").ok();
    check_complete(&to);
    let other = without_study(&url, &[]);
    other.pipe(&format!("remote trust lab {key}")).ok();
    let events = other.run("--remote lab --stage raw").ok();
    assert_eq!(events.nodes("reused").len(), 1);
    other.pipe(&format!("remote trust lab {key} --revoke")).ok();
    assert_eq!(other.pipe("remote trust lab abc").code, Some(2));
}

#[test]
fn a_sample_of_what_is_pulled_is_executed_again() {
    let (_folder, url) = share();
    let from = with_study(&url, &[]);
    from.pipe("push").ok();
    let to = without_study(&url, &[]);
    let pulled = to.pipe("pull lab/tiny --recheck 100%").ok();
    assert!(pulled.err.contains("equal"), "{}{}", pulled.out, pulled.err);
}

#[test]
fn a_remote_is_cleaned_up_in_two_steps() {
    let (folder, url) = share();
    let from = with_study(&url, &[]);
    from.pipe("push").ok();
    let share = folder.path().join("share");
    let first = contents(&share);
    from.edit("trials: 3", "trials: 2");
    from.run("").ok();
    from.pipe("push").ok();
    let dry = from.pipe("remote gc lab --keep-last 1 --grace 0s --dry-run").ok().out;
    assert!(dry.contains("would forget") && dry.contains("would mark"), "{dry}");
    thread::sleep(Duration::from_millis(2100));
    let marked = from.pipe("remote gc lab --keep-last 1 --grace 0s").ok().out;
    assert!(marked.contains("forgot  tiny") && marked.contains("marked"), "{marked}");
    thread::sleep(Duration::from_millis(1100));
    let removed = from.pipe("remote gc lab --keep-last 1 --grace 0s").ok().out;
    assert!(removed.contains("removed"), "{removed}");
    check_clean(&share);
    assert!(contents(&share).len() < first.len() + 10);
    let to = without_study(&url, &[]);
    to.edit("trials: 3", "trials: 2");
    to.pipe("pull lab/tiny").ok();
    assert_eq!(to.run("").ok().nodes("executed").len(), 0);
}

#[test]
fn a_result_that_somebody_made_up_is_found_by_executing_it_again() {
    let (_folder, url) = share();
    let forger = with_study(&url, &[]);
    // Another picture beside the same policy: nothing after it changes, and every checksum is right.
    let node = forger.node("flip");
    let key = node["key"].as_str().unwrap();
    let policy = forger.digest("flip", "policy.json");
    let file = format!("{{\"digest\":\"{policy}\",\"size\":156}}");
    let tree = format!("{{\"files\":{{\"policy.json\":{file},\"preview.png\":{file}}},\"format\":1}}\n");
    let name = blake3::hash(tree.as_bytes()).to_string();
    let folder = forger.path(format!(".pipe/objects/{}", &name[..2]));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(&name[2..]), tree).unwrap();
    let unsealed = format!("{{\"action\":\"{key}\",\"format\":1,\"tree\":\"{name}\"}}");
    let check = blake3::hash(unsealed.as_bytes());
    let record = forger.path(format!(".pipe/actions/{}/{}.json", &key[..2], &key[2..]));
    fs::remove_file(&record).unwrap();
    let sealed = format!("{{\"action\":\"{key}\",\"check\":\"{check}\",\"format\":1,\"tree\":\"{name}\"}}\n");
    fs::write(&record, sealed).unwrap();
    assert_eq!(forger.run("").ok().nodes("executed").len(), 0);
    forger.pipe("verify").ok();
    forger.pipe("push").ok();
    let to = without_study(&url, &[]);
    let pulled = to.pipe("pull lab/tiny --recheck 100%");
    assert_eq!(pulled.code, Some(3), "{}{}", pulled.out, pulled.err);
    assert!(format!("{}{}", pulled.out, pulled.err).contains("flip"), "{}{}", pulled.out, pulled.err);
    // And whoever has the true result is told when they push or pull.
    for args in ["push --to lab", "pull lab/tiny"] {
        let honest = with_study(&url, &[]);
        let told = honest.pipe(args);
        assert_eq!(told.code, Some(1));
        assert!(told.err.contains("1 result of the remote `lab` DIFFER"), "{}", told.err);
    }
}

/// Returns the event of a run that says what came from remotes.
#[track_caller]
fn of_remote(events: &Events) -> &Value {
    events.all.iter().find(|event| event["event"] == "remote").unwrap_or_else(|| panic!("{:?}", events.all))
}

/// Returns the tiny study with a network whose weights are large enough to stay at a remote.
fn with_weights() -> String {
    TINY.replace("fc_units: (16, 12)", "fc_units: (96, 64)")
}

/// Returns the folder of a remote with that study, its URL, and a folder in which the study has taken its results from there.
fn with_promises() -> (tempfile::TempDir, String, Sandbox) {
    let (folder, url) = share();
    let from = Sandbox::with(&with_weights());
    let made = from.run("").ok();
    from.pipe(&format!("remote add lab {url}")).ok();
    from.pipe("push").ok();
    let to = Sandbox::with(&with_weights());
    to.pipe(&format!("remote add lab {url}")).ok();
    let events = to.run("--remote lab").ok();
    assert_eq!(events.hash(), made.hash());
    let came = of_remote(&events);
    assert_eq!((&came["remote"], &came["results"], &came["files"]), (&"lab".into(), &9.into(), &0.into()));
    assert_eq!(came["left"].as_u64(), Some(promised(&to).len() as u64), "{came}");
    (folder, url, to)
}

/// Returns the objects that are at a remote and not here.
fn promised(sandbox: &Sandbox) -> BTreeSet<String> {
    let report = sandbox.json("verify --json");
    report["promised"].as_array().unwrap().iter().map(|file| text(&file["name"])).collect()
}

/// Returns the hash of the study that [`evaluates_otherwise`], from a run that knows no remote.
fn hash_otherwise() -> String {
    let local = Sandbox::with(&with_weights());
    evaluates_otherwise(&local);
    local.run("").ok().hash()
}

/// Changes nothing but the evaluation.
fn evaluates_otherwise(sandbox: &Sandbox) {
    sandbox.edit("split: Test", "split: Validation");
}

#[test]
fn of_a_remote_come_the_weights_that_are_needed_and_no_others() {
    let (_folder, _url, to) = with_promises();
    let [weights, validation] = [("retrain_best", "best/weights.safetensors"), ("data", "validation.safetensors")]
        .map(|(node, path)| to.digest(node, path));
    let trial = to.digest("search/train/000", "best/weights.safetensors");
    let before = promised(&to);
    assert!([&weights, &validation, &trial].iter().all(|file| before.contains(*file)), "{before:?}");
    let verified = to.pipe("verify").ok().out;
    assert!(verified.contains("at the remote `lab`") && verified.contains("no damage found"), "{verified}");
    // Views say where it is.
    for args in ["cat retrain_best/best/weights.safetensors", "export retrain_best out"] {
        let refused = to.pipe(args);
        assert_eq!(refused.code, Some(1), "{args}: {}", refused.err);
        assert!(refused.err.contains("is at the remote `lab`"), "{args}: {}", refused.err);
        assert!(refused.err.contains("hint: `pipe remote fetch STUDY`"), "{args}: {}", refused.err);
    }
    for args in ["show", "trials", "report", "gc --grace 0s", "push", "run --plan"] {
        to.pipe(args).ok();
    }
    assert_eq!(promised(&to), before, "nothing of that fetches anything");
    // Another run, which is not told of any remote, fetches what it needs from where it is.
    evaluates_otherwise(&to);
    let events = to.run("").ok();
    assert_eq!(events.nodes("executed"), names(["test"]));
    assert_eq!(events.hash(), hash_otherwise());
    let came = of_remote(&events);
    assert_eq!((&came["remote"], &came["files"], &came["left"]), (&Value::Null, &2.into(), &0.into()));
    let fetched: BTreeSet<_> = before.difference(&promised(&to)).cloned().collect();
    assert_eq!(fetched, [weights, validation].into());
    // All the rest.
    let left = promised(&to).len() as u64;
    assert_eq!(to.json("remote fetch --plan --json")["files"], left);
    assert_eq!(promised(&to).len() as u64, left);
    let fetched = to.pipe("remote fetch").ok().out;
    assert!(fetched.contains(&format!("<- lab: fetched {left} files (")), "{fetched}");
    assert!(promised(&to).is_empty() && !to.pipe("verify").ok().out.contains("at the remote"));
    assert!(to.pipe("remote fetch").ok().out.contains("everything is here"));
    to.pipe("export retrain_best out").ok();
}

#[test]
fn what_a_remote_has_promised_and_does_not_have_is_made_again() {
    let (folder, _url, to) = with_promises();
    let share = folder.path().join("share");
    let weights = to.digest("retrain_best", "best/weights.safetensors");
    fs::remove_file(share.join(format!("objects/{}/{}", &weights[..2], &weights[2..]))).unwrap();
    evaluates_otherwise(&to);
    let hash = hash_otherwise();
    let events = to.run("--remote lab").ok();
    assert_eq!(events.hash(), hash);
    assert_eq!(events.nodes("executed"), names(["retrain_best", "test"]));
    let lost: Vec<_> = events.all.iter().filter(|event| event["event"] == "lost").map(|event| &event["node"]).collect();
    assert_eq!(lost, ["retrain_best"]);
    assert_eq!((&events.study()["executed"], &events.study()["reused"]), (&2.into(), &(NODES - 2).into()));
    assert_eq!(events.err.matches(&weights[2..]).count(), 1, "it is said once: {}", events.err);
    to.pipe("verify").ok();
    // With a remote that is forgotten, everything that is needed is made here.
    let (_folder, _url, to) = with_promises();
    to.pipe("remote remove lab").ok();
    evaluates_otherwise(&to);
    let events = to.run("").ok();
    assert_eq!(events.hash(), hash);
    assert_eq!(events.nodes("executed"), names(["data", "raw", "retrain_best", "test"]));
    assert_eq!(events.err.matches("the run goes on without the remote `lab`").count(), 1, "{}", events.err);
    // What `fetch` does not find is not promised any more, and `run` makes it again.
    let (folder, _url, to) = with_promises();
    let before = promised(&to);
    let weights = to.digest("search/train/001", "best/weights.safetensors");
    let object = folder.path().join(format!("share/objects/{}/{}", &weights[..2], &weights[2..]));
    let whole = fs::read(&object).unwrap();
    fs::write(&object, [&whole[..whole.len() - 1], &[whole[whole.len() - 1] ^ 1]].concat()).unwrap();
    let fetched = to.pipe("remote fetch");
    assert_eq!(fetched.code, Some(1));
    assert!(
        fetched.err.contains("1 file is not to be had any more") && fetched.err.contains("is damaged"),
        "{}",
        fetched.err
    );
    assert!(fetched.out.contains(&format!("fetched {} files", before.len() - 1)), "{}", fetched.out);
    assert_eq!(to.pipe("verify").code, Some(3), "a study names it");
    assert_eq!(to.run("").ok().nodes("executed"), names(["search/train/001"]));
    to.pipe("verify").ok();
}
