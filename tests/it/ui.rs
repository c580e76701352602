//! `pipe ui`: the page that shows a study while it runs, and every other view of a run that has not come to its end.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    pages::browsed,
    sandbox::{Sandbox, skipped, text},
};

/// A server that ends with the test.
struct Ui {
    child: Child,
    port: u16,
    token: String,
}

impl Drop for Ui {
    fn drop(&mut self) {
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

/// A run that ends with the test.
struct Run(Child);

impl Drop for Run {
    fn drop(&mut self) {
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

impl Run {
    fn start(sandbox: &Sandbox, args: &str) -> Self {
        Self(sandbox.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Ui {
    fn start(sandbox: &Sandbox, args: &str) -> Self {
        let mut command = sandbox.command(&format!("ui {args}"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let (host, token) = address.trim().split_once("/?token=").unwrap();
        let port = host.strip_prefix("http://127.0.0.1:").unwrap().parse().unwrap();
        Self { child, port, token: token.to_owned() }
    }

    /// Sends a request and returns the whole answer.
    fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(request.replace("PORT", &self.port.to_string()).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nCookie: pipe_ui={}\r\n\r\n", self.token))
    }

    fn state(&self) -> Option<Value> {
        let answer = self.get("/state");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        head.starts_with("HTTP/1.1 200").then(|| serde_json::from_str(body).unwrap())
    }

    /// Returns the first state that is as wanted.
    #[track_caller]
    fn wait_for(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let since = Instant::now();
        loop {
            let state = self.state();
            if let Some(state) = state.as_ref().filter(|state| wanted(state)) {
                return state.clone();
            }
            assert!(since.elapsed() < Duration::from_secs(120), "it stays {state:?}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn the_page_is_for_who_has_the_token() {
    let sandbox = Sandbox::after_run();
    let before = sandbox.listing();
    let ui = Ui::start(&sandbox, "");
    let page = ui.send(&format!("GET /?token={} HTTP/1.1\r\nHost: localhost:PORT\r\n\r\n", ui.token));
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("Set-Cookie: pipe_ui="), "{page}");
    assert!(page.contains("HttpOnly; SameSite=Strict") && page.contains("default-src 'none'"), "{page}");
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n".to_owned(), "403"),
        ("GET /state HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nCookie: pipe_ui=0\r\n\r\n".to_owned(), "403"),
        (format!("GET /state?token={} HTTP/1.1\r\nHost: evil.example\r\n\r\n", ui.token), "403"),
        (format!("POST /state?token={} HTTP/1.1\r\nHost: localhost:PORT\r\n\r\n", ui.token), "405"),
        ("hello\r\n\r\n".to_owned(), "400"),
    ] {
        let answer = ui.send(&request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(!answer.contains(&ui.token), "{answer}");
    }
    for path in ["/page.js", "/style.css", "/report", "/logs?node=search/train/001"] {
        assert!(ui.get(path).starts_with("HTTP/1.1 200 "), "{path}");
    }
    for path in ["/other", "/../pipeline.ron", "/logs?node=no/such", "/objects"] {
        assert!(ui.get(path).starts_with("HTTP/1.1 404 "), "{path}");
    }
    let state = ui.state().unwrap();
    assert_eq!((&state["status"], &state["done"], &state["planned"]), (&"complete".into(), &17.into(), &17.into()));
    assert_eq!((state["trials"].as_array().unwrap().len(), &state["live"]), (3, &Value::Null));
    assert_eq!(sandbox.listing(), before, "looking changes nothing");
    let busy = sandbox.pipe(&format!("ui --port {}", ui.port));
    assert_eq!(busy.code, Some(1));
    assert!(busy.err.contains("cannot be used") && busy.err.contains("takes a free one"), "{}", busy.err);
}

/// Two trials of which one cannot be trained, and a training that takes a while.
const STUDY: &str = r#"Study(
    name: "live",
    seed: 7,
    stages: [
        ("raw", Fetch(Embedded(name: "shapes100", train: 400, test: 100))),
        ("data", Decode(from: "raw", format: Cifar100)),
        ("search", Search(
            trials: 2, sampler: Grid, lag: 1, maximise: Best("valid.fine_accuracy"),
            space: {"nb_conv_pool_layers": IntRange(lo: 3, hi: 7, step: 4)},
            trial: Train(data: "data", model: HyperCnn(base_filters: 4, first_conv_filters: 4, fc_units: (16, 12)), epochs: 1),
        )),
        ("long", Train(data: "data", model: HyperCnn(base_filters: 4, fc_units: (16, 12)), epochs: 5000)),
    ],
)"#;

#[test]
fn a_study_is_shown_while_it_runs_and_after_a_kill() {
    let sandbox = Sandbox::with(STUDY);
    let ui = Ui::start(&sandbox, "");
    assert!(ui.get("/state").starts_with("HTTP/1.1 404 "), "there is nothing yet");
    // Both are told by a stream of events as well.
    let mut events = TcpStream::connect(("127.0.0.1", ui.port)).unwrap();
    let request = format!("GET /events?token={} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", ui.token, ui.port);
    events.write_all(request.as_bytes()).unwrap();
    let mut events = BufReader::new(events).lines().map(Result::unwrap);
    assert_eq!(events.find(|line| line.starts_with("event: ")).as_deref(), Some("event: nothing"));

    let run = Run::start(&sandbox, "run --jobs 2");
    let has_curve = |state: &Value| {
        let nodes = state["live"]["nodes"].as_array();
        nodes.into_iter().flatten().any(|node| node["node"] == "long" && node["curve"].as_array().unwrap().len() > 1)
    };
    let state = ui.wait_for(|state| has_curve(state) && state["trials"].as_array().unwrap().len() == 2);
    assert_eq!((&state["status"], &state["name"], &state["study"]), (&"running".into(), &"live".into(), &Value::Null));
    assert_eq!(events.find(|line| line.starts_with("event: state")).as_deref(), Some("event: state"));
    let long = state["live"]["nodes"].as_array().unwrap().iter().find(|node| node["node"] == "long").unwrap().clone();
    assert!(long["progress"]["memory"].as_u64() > Some(1 << 20) && long["speed"].as_f64() > Some(0.0), "{long}");
    assert!(long["curve"][0]["metrics"]["valid.fine_accuracy"].is_f64(), "{long}");
    let failed = state["trials"].as_array().unwrap().iter().find(|trial| trial["status"] == "failed").unwrap().clone();
    assert!(text(&failed["reason"]).contains("too small"), "{failed}");
    let stage = |state: &Value, name: &str| {
        let stages = state["stages"].as_array().unwrap().iter();
        stages.clone().find(|stage| stage["name"] == name).unwrap().clone()
    };
    assert_eq!((&stage(&state, "long")["running"], &stage(&state, "long")["planned"]), (&1.into(), &1.into()));
    assert_eq!(stage(&state, "data")["done"], 1);

    // Every view takes the run.
    let shown = sandbox.pipe("show").ok().out;
    assert!(shown.contains("status    running: ") && shown.contains("\nrunning: long, epoch "), "{shown}");
    assert!(sandbox.pipe("trials").ok().out.contains("too small"));
    assert!(sandbox.pipe("studies").ok().out.contains("  running"));
    assert!(sandbox.pipe("report --output -").ok().out.contains("search"));
    sandbox.pipe("plot history --out history.svg").ok();

    let mut watch = Run::start(&sandbox, "report --watch --output live.html");
    let live = || std::fs::read_to_string(sandbox.path("live.html")).unwrap_or_default();
    let since = Instant::now();
    while !live().contains("This study is running") {
        assert!(since.elapsed() < Duration::from_secs(60), "{}", live());
        thread::sleep(Duration::from_millis(100));
    }
    drop(run);
    assert!(watch.0.wait().unwrap().success(), "it ends with the run");
    assert!(live().contains("This study was stopped") && !live().contains("http-equiv"), "{}", live());
    let stopped = ui.wait_for(|state| state["status"] == "stopped");
    assert_eq!((&stopped["live"], stopped["trials"].as_array().unwrap().len()), (&Value::Null, 2));
    assert!(sandbox.pipe("show live").ok().out.contains("status    stopped: "));
    let studies = sandbox.json("studies --json");
    assert_eq!((&studies[0]["status"], &studies[0]["study"]), (&"stopped".into(), &Value::Null));
    // Its end takes the place of what was stopped.
    sandbox.run("--set long.epochs=1").ok();
    assert_eq!(ui.wait_for(|state| state["status"] != "stopped")["status"], "complete");
    assert_eq!(sandbox.json("studies --json").as_array().unwrap().len(), 1);
    assert!(sandbox.stored("tmp").is_empty(), "what was going on is not noted any more");
}

#[test]
fn a_browser_shows_rows_as_they_come_a_curve_that_grows_and_a_failed_trial_with_its_reason() {
    let sandbox = Sandbox::with(STUDY);
    let ui = Ui::start(&sandbox, "");
    let address = format!("http://127.0.0.1:{}/?token={}", ui.port, ui.token);
    if browsed(&address).is_none() {
        return skipped("there is no Chromium");
    }
    let run = Run::start(&sandbox, "run --jobs 2");
    let wait_for = |wanted: &dyn Fn(&str) -> bool| {
        let since = Instant::now();
        loop {
            let page = browsed(&address).unwrap();
            if wanted(&page) {
                return page;
            }
            assert!(since.elapsed() < Duration::from_secs(120), "{page}");
        }
    };
    let points = |page: &str| {
        let line = page.split("class=\"curve valid\" points=\"").nth(1).and_then(|rest| rest.split('"').next());
        line.map_or(0, |line| line.split(' ').count())
    };
    let page = wait_for(&|page| points(page) > 1 && page.contains("class=\"without\""));
    let row = page.split("<tr class=\"without\"").nth(1).and_then(|rest| rest.split("</tr>").next()).unwrap();
    assert!(row.contains("data-trial=\"search/train/001\"") && row.contains("are too small"), "{row}");
    assert!(page.contains("class=\"status running\"") && page.contains("data-node=\"long\""), "{page}");
    assert!(page.contains("data-stage=\"search\"") && page.contains("Train · running"), "{page}");
    let so_far = points(&page);
    wait_for(&|page| points(page) > so_far);
    drop(run);
    sandbox.run("--set long.epochs=1").ok();
    let page = wait_for(&|page| page.contains("class=\"status complete\""));
    assert!(!page.contains("data-node=") && page.contains("best trial: search/train/000"), "{page}");
}
