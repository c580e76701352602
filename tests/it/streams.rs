//! Standard output and standard error: a terminal, a file, a full disk, or nobody.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::Read,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    process::{Command, Stdio},
    thread,
};

use insta::assert_snapshot;
use pipe_stages::images::sheet;
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::sandbox::{Sandbox, base};

/// A sequence that clears the screen.
const CLEAR: &str = "\u{1b}[2J";

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// Returns the end of a pipe that nobody reads.
fn closed() -> OwnedFd {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// Returns a terminal, and the end of it that a program writes to.
fn terminal(columns: u16) -> (File, File) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let end = OpenOptions::new().read(true).write(true).open(OsStr::from_bytes(name.as_bytes())).unwrap();
    (terminal.into(), end)
}

/// Returns everything that is written to a terminal, until nobody has its other end.
fn read_all(terminal: &mut File) -> Vec<u8> {
    let (mut sent, mut piece) = (Vec::new(), [0; 4096]);
    // At the end, Linux returns an error.
    while let Ok(n @ 1..) = terminal.read(&mut piece) {
        sent.extend_from_slice(&piece[..n]);
    }
    sent
}

/// Runs a command whose standard error is a terminal, and returns its exit code and what the terminal was sent.
fn on_terminal(command: &mut Command, columns: u16) -> (Option<i32>, String) {
    let (mut terminal, end) = terminal(columns);
    let mut child = command.stdout(Stdio::null()).stderr(end).spawn().unwrap();
    // The command has an end of its own: once the child has ended, nobody has one.
    command.stderr(Stdio::null());
    let reader = thread::spawn(move || String::from_utf8_lossy(&read_all(&mut terminal)).into_owned());
    let code = child.wait().unwrap().code();
    (code, reader.join().unwrap())
}

/// Returns the lines that a terminal shows at the end, without colours. It does what a terminal does with the sequences that bars use.
fn screen(sent: &str, columns: usize) -> Vec<String> {
    let (mut rows, mut row, mut column) = (vec![Vec::new()], 0_usize, 0);
    let mut rest = sent.chars();
    while let Some(c) = rest.next() {
        match c {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => {
                assert_eq!(rest.next(), Some('['), "{sent:?}");
                let mut number = String::new();
                let end = loop {
                    match rest.next().expect("sequences are complete") {
                        c if c.is_ascii_alphabetic() => break c,
                        c => number.push(c),
                    }
                };
                let n = number.parse().unwrap_or(1);
                match end {
                    'A' => row = row.saturating_sub(n),
                    'B' => row += n,
                    'C' => column += n,
                    'D' => column = column.saturating_sub(n),
                    'K' if number == "2" => rows[row].clear(),
                    'K' => rows[row].truncate(column),
                    'm' => {}
                    _ => panic!("CSI {number}{end}: {sent:?}"),
                }
            }
            c => {
                if column == columns {
                    (row, column) = (row + 1, 0);
                }
                rows.resize(rows.len().max(row + 1), Vec::new());
                let width = rows[row].len().max(column + 1);
                rows[row].resize(width, ' ');
                rows[row][column] = c;
                column += 1;
            }
        }
        rows.resize(rows.len().max(row + 1), Vec::new());
    }
    rows.into_iter().map(|row| row.into_iter().collect::<String>().trim_end().to_owned()).collect()
}

/// A pipeline whose second node fails.
const FAILS: &str = r#"Study(name: "fails", stages: [
    ("raw", Fetch(Embedded(name: "shapes100", train: 200, test: 100))),
    ("data", Decode(from: "raw", format: Cifar10)),
])"#;

#[test]
fn a_study_is_finished_although_nobody_is_told() {
    let check = |sandbox: &Sandbox, args: &str, stderr: Stdio| {
        let output = sandbox.command(args).stderr(stderr).stdout(Stdio::piped()).output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        assert_eq!((out, output.status.code()), (format!("study tiny {}\n", base().hash), Some(0)), "{args}");
    };
    // Everything is executed, and workers and the engine log a lot.
    check(&Sandbox::new(), "run -vvv", closed().into());
    let sandbox = Sandbox::after_run();
    for args in ["run", "run -vvv", "run --log-format json -v", "run --rerun retrain_best --rerun data"] {
        check(&sandbox, args, full().into());
        check(&sandbox, args, closed().into());
    }
    let mut shell = Command::new("sh");
    let script = format!("exec {} run --rerun retrain_best -vv 2>&-", env!("CARGO_BIN_EXE_pipe"));
    let output = sandbox.output(shell.args(["-c", &script]).current_dir(sandbox.path("")).env_clear());
    assert_eq!(output.ok().out, format!("study tiny {}\n", base().hash));
}

#[test]
fn a_worker_that_cannot_be_heard_does_its_work() {
    let sandbox = Sandbox::after_run();
    let node = sandbox.node("search/train/001");
    let (key, tree) = (node["key"].as_str().unwrap(), node["tree"].as_str().unwrap());
    for stderr in [Stdio::from(full()), closed().into()] {
        fs::remove_file(sandbox.path(format!(".pipe/actions/{}/{}.json", &key[..2], &key[2..]))).unwrap();
        let mut command = sandbox.command(&format!("exec {key} --fresh -vvv"));
        let output = command.env("RUST_LOG", "trace").stderr(stderr).stdout(Stdio::piped()).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{tree}\n"));
    }
}

#[test]
fn failures_do_not_change_the_exit_code_if_nobody_is_told() {
    let sandbox = Sandbox::with(FAILS);
    for (args, code) in [("run", 1), ("show nothing", 2), ("run --nonsense", 2), ("run --file absent.ron", 2)] {
        for stderr in [Stdio::from(full()), closed().into()] {
            let mut command = sandbox.command(args);
            let status = command.stdout(Stdio::null()).stderr(stderr).status().unwrap();
            assert_eq!(status.code(), Some(code), "{args}");
        }
    }
}

/// Commands that print, with their exit codes.
const PRINTING: [(&str, i32); 31] = [
    ("run", 0),
    ("run --json", 0),
    ("run --log-format json", 0),
    ("run --plan", 0),
    ("run --plan --json", 0),
    ("studies", 0),
    ("studies --json", 0),
    ("show", 0),
    ("show flip --json", 0),
    ("show --timeline", 0),
    ("trials", 0),
    ("trials --csv", 0),
    ("trials --json", 0),
    ("importance", 0),
    ("diff tiny other", 1),
    ("diff tiny other --json", 1),
    ("gc --dry-run", 0),
    ("verify", 0),
    ("report", 0),
    ("report --output -", 0),
    ("report --output page.html", 0),
    ("plot history", 0),
    ("plot history --out picture.svg", 0),
    ("cat flip/policy.json", 0),
    ("predict retrain_best picture.png", 0),
    ("completions bash", 0),
    ("man", 0),
    ("--help", 0),
    ("run -h", 0),
    ("--version", 0),
    ("import-trials trials.json", 0),
];

/// Returns a folder in which each of [`PRINTING`] can be run.
fn printing() -> Sandbox {
    let sandbox = Sandbox::after_run();
    sandbox.run("--set name=other --set visualize_filters.steps=2").ok();
    sandbox.pipe("export flip/preview.png picture.png").ok();
    sandbox.write("trials.json", &sandbox.pipe("trials tiny --json").ok().out);
    sandbox
}

#[test]
fn output_that_cannot_be_written_is_exit_code_2() {
    let sandbox = printing();
    let key = sandbox.node("flip")["key"].as_str().unwrap().to_owned();
    let exec = format!("exec {key}");
    for args in PRINTING.iter().map(|(args, _)| *args).chain([&*exec]) {
        let output = sandbox.command(args).stdout(full()).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args}: {err}");
        let expected = "error: standard output: No space left on device (os error 28)\n";
        assert!(err.ends_with(expected) && err.matches(expected).count() == 1, "{args}: {err}");
    }
    // Damage and a failed node are told, too.
    let failing = Sandbox::with(FAILS);
    let output = failing.command("run").stdout(full()).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("failed  data") && output.status.code() == Some(2), "{err}");
    // A command that has nothing to print lost nothing.
    assert_eq!(sandbox.command("diff tiny tiny").stdout(full()).status().unwrap().code(), Some(0));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let sandbox = printing();
    for (args, code) in PRINTING {
        let output = sandbox.command(args).stdout(closed()).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args}: {err}");
        assert!(!err.contains("standard output") && !err.contains("panicked"), "{args}: {err}");
    }
}

#[test]
fn lines_go_out_on_every_terminal_and_bars_on_capable_ones() {
    let sandbox = Sandbox::with(FAILS);
    sandbox.pipe("run");
    let check = |columns: u16, variables: &[(&str, &str)], has_bars: bool| {
        let mut command = sandbox.command("run --rerun raw");
        let (code, sent) = on_terminal(command.envs(variables.iter().copied()), columns);
        let said = screen(&sent, columns.into());
        assert_eq!(code, Some(1), "{variables:?}: {said:#?}");
        for part in ["   executed  raw  (", "     failed  data: ", "1 executed, 0 reused, 1 failed in ", "report:   "] {
            let lines = said.iter().filter(|line| line.starts_with(part)).count();
            assert_eq!(lines, 1, "{variables:?}: `{part}` in {said:#?}");
        }
        assert_eq!(sent.contains("\u{1b}["), has_bars, "{variables:?}: {sent:?}");
        assert_eq!(sent.contains(" nodes "), has_bars, "{variables:?}: {sent:?}");
        assert!(!said.iter().any(|line| line.contains(" nodes ")), "bars are removed: {said:#?}");
    };
    check(200, &[], false);
    check(200, &[("TERM", "")], false);
    check(200, &[("TERM", "dumb")], false);
    check(200, &[("TERM", "xterm")], true);
    check(200, &[("TERM", "xterm"), ("CI", "")], true);
    check(200, &[("TERM", "xterm-256color"), ("CI", "false")], true);
    check(200, &[("TERM", "xterm"), ("CI", "true")], false);
    check(200, &[("TERM", "xterm"), ("CI", "1")], false);
    for columns in [0, 1, 7] {
        let (code, sent) = on_terminal(sandbox.command("run --rerun raw -vvv").env("TERM", "xterm"), columns);
        assert!(code == Some(1) && !sent.contains("panicked"), "{columns}: {sent:?}");
    }
}

#[test]
fn a_terminal_that_is_gone_does_not_matter() {
    let sandbox = Sandbox::after_run();
    let (mut terminal, end) = terminal(100);
    let mut command = sandbox.command("run --rerun retrain_best --rerun visualize_filters -vvv");
    let child = command.env("TERM", "xterm").stdout(Stdio::piped()).stderr(end).spawn().unwrap();
    drop(command);
    terminal.read_exact(&mut [0; 64]).unwrap();
    // From now on, writing to it is an error.
    drop(terminal);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(0), format!("study tiny {}\n", base().hash).into_bytes()));
}

#[test]
fn verify_draws_its_bar_on_capable_terminals_alone() {
    let sandbox = Sandbox::after_run();
    for (term, has_bar) in [("xterm", true), ("dumb", false)] {
        let (code, sent) = on_terminal(sandbox.command("verify").env("TERM", term), 100);
        assert_eq!((code, sent.contains("verify ")), (Some(0), has_bar), "{term}: {sent:?}");
    }
}

#[test]
fn bars_do_not_tear_lines_of_the_log() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command("run -vvv --stage retrain_best");
    let (code, sent) = on_terminal(command.env("TERM", "xterm").env("NO_COLOR", "1"), 1000);
    assert_eq!(code, Some(0), "{sent}");
    let shown = screen(&sent, 1000);
    let lines: Vec<_> = shown.iter().filter(|line| line.contains("DEBUG ")).collect();
    let executing = |lines: &[&str]| lines.iter().filter(|line| line.contains("DEBUG executing")).count();
    let plain = Sandbox::new().pipe("run -vvv --stage retrain_best").ok().err;
    let expected = executing(&plain.lines().collect::<Vec<_>>());
    let found = executing(&lines.iter().map(|line| line.as_str()).collect::<Vec<_>>());
    assert!(found == expected && found > 10 && sent.contains(" nodes "), "{found} of {expected}: {shown:#?}");
    for line in lines {
        // A worker's line has the name of its node before it.
        let start = line.split("DEBUG ").next().unwrap();
        assert!(start.is_empty() || start.ends_with(": ") && start.split(' ').count() == 2, "{line:?}");
        assert!(!line.contains(" nodes ") && !line.contains('█'), "{line:?}");
    }
}

/// Returns a folder with a data set of pictures in two classes, one of which is called [`CLEAR`].
fn with_hostile_class() -> Sandbox {
    let sandbox = Sandbox::new();
    let classes = ["a", CLEAR];
    for (part, n) in [("train", 10), ("test", 4)] {
        for (i, class) in classes.iter().enumerate() {
            let folder = sandbox.path("data").join(part).join(class);
            fs::create_dir_all(&folder).unwrap();
            for picture in 0..n {
                let pixels: Vec<u8> = (0..8 * 8 * 3).map(|at| (at * (i + 1) + picture * 7) as u8).collect();
                fs::write(folder.join(format!("{picture}.png")), sheet::encode(&pixels, 8, 8, 3)).unwrap();
            }
        }
    }
    let archive = sandbox.path("data.tar.gz");
    let mut tar = Command::new("tar");
    assert!(tar.arg("-czf").arg(&archive).arg("-C").arg(sandbox.path("")).arg("data").status().unwrap().success());
    let bytes = fs::read(&archive).unwrap();
    let (size, digest) = (bytes.len(), blake3::hash(&bytes));
    let url = format!("file://{}", archive.display());
    let pipeline = format!(
        r#"Study(name: "hostile", seed: 1, stages: [
    ("raw", Fetch(Url(url: "{url}", size: {size}, blake3: "{digest}"))),
    ("data", Decode(from: "raw", format: Folders(train: "train", test: "test", size: (8, 8)), validation: Stratified(0.2))),
    ("net", Train(data: "data", model: Mlp(layers: 1), epochs: 1, batch: 4)),
    ("test", Evaluate(of: "net", split: Test)),
])"#
    );
    sandbox.write("pipeline.ron", &pipeline);
    sandbox
}

/// Checks that a terminal would act on nothing in a text.
#[track_caller]
fn assert_harmless(text: &str, what: &str) {
    let found = text.find(|c: char| c.is_control() && c != '\n' && c != '\t');
    assert_eq!(found, None, "{what}: {text:?}");
}

#[test]
fn a_class_name_cannot_clear_the_screen() {
    let sandbox = with_hostile_class();
    let run = sandbox.pipe("run").ok();
    assert_harmless(&run.err, "run");
    let picture = "data/test/a/0.png";
    let predicted = sandbox.pipe(&format!("predict net {picture} --top 2")).ok().out;
    assert!(predicted.contains("\\u{1b}[2J"), "{predicted:?}");
    assert_harmless(&predicted, "predict");
    let json = sandbox.pipe(&format!("predict net {picture} --top 2 --json")).ok().out;
    assert_harmless(&json, "predict --json");
    let classes: serde_json::Value = serde_json::from_str(&json).unwrap();
    let heads = classes[0]["heads"]["class"].as_array().unwrap();
    assert!(heads.iter().any(|class| class["class"] == CLEAR), "JSON means what it did: {json}");
    for command in ["show", "show data", "show test", "show net", "studies", "run --plan", "report --output -"] {
        assert_harmless(&sandbox.pipe(command).ok().out, command);
    }
    // Bytes are as they are in a file, and escaped on a terminal.
    let per_class = sandbox.pipe("show test --json").ok().out;
    assert_harmless(&per_class, "show --json");
    sandbox.write("hostile.txt", CLEAR);
    let mut command = sandbox.command("cat test/predictions.csv");
    let bytes = sandbox.output(&mut command).ok().out;
    assert!(bytes.contains("class_prediction"), "{bytes}");
}

#[test]
fn names_in_errors_cannot_clear_the_screen() {
    let sandbox = Sandbox::after_run();
    let file = format!("{CLEAR}.ron");
    let written = format!("Study(name: \"{CLEAR}\", stages: [(\"{CLEAR}\", {CLEAR}), (\"a\", Fetch(\"{CLEAR}\"))])");
    fs::write(sandbox.path(&file), written).unwrap();
    fs::write(sandbox.path("escaped.ron"), "Study(name: \"\\u{1b}[2J\", \u{1b}: 1, stages: [(\"\\u{1b}\", Fetch())])")
        .unwrap();
    for args in [
        vec!["show", CLEAR],
        vec!["run", "--file", &file],
        vec!["run", "--file", "escaped.ron"],
        vec!["run", "--file", "absent\u{1b}[2J\u{202e}"],
        vec!["run", "--set", "name=\u{1b}[2J"],
        vec!["run", CLEAR],
        vec!["export", "flip", "\u{1b}[2J/\r/x/"],
        vec!["export", "flip/policy.json", "\u{1b}[2J.json"],
        vec!["plot", "slice", "--columns", CLEAR],
        vec!["trials", "--sort", CLEAR],
        vec!["predict", "retrain_best", CLEAR],
        vec!["init", CLEAR],
    ] {
        for on_tty in [false, true] {
            let mut command = sandbox.command("");
            command.args(&args);
            let said = if on_tty {
                on_terminal(command.env("TERM", "xterm"), 100).1.replace("\r\n", "\n")
            } else {
                sandbox.output(&mut command).err
            };
            let said = colourless(&said);
            assert_harmless(&said, &format!("{args:?}"));
            assert!(!said.contains('\u{202e}') && !said.is_empty(), "{args:?}: {said:?}");
        }
    }
}

/// Returns text without sequences that select colours.
fn colourless(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('m') {
            Some((colour, rest)) if colour.chars().all(|c| c.is_ascii_digit() || c == ';') => plain += rest,
            _ => plain += &format!("\u{1b}[{part}"),
        }
    }
    plain
}

#[test]
fn bytes_are_as_they_are_in_a_file_and_escaped_on_a_terminal() {
    let sandbox = Sandbox::after_run();
    let raw = sandbox.command("cat flip/preview.png").output().unwrap().stdout;
    assert!(raw.starts_with(b"\x89PNG\r\n\x1a\n"));
    let (mut terminal, end) = terminal(100);
    let mut command = sandbox.command("cat flip/preview.png");
    let mut child = command.stdout(end).stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    let sent = read_all(&mut terminal);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let shown = String::from_utf8(sent).unwrap().replace("\r\n", "\n");
    assert!(shown.starts_with("\\x89PNG\n\\u{1a}\n"), "{:?}", &shown[..20]);
    assert_harmless(&shown, "cat");
}

#[test]
fn a_pipeline_file_may_end_in_a_comment_and_must_be_text() {
    let sandbox = Sandbox::new();
    let text = fs::read_to_string(sandbox.path("pipeline.ron")).unwrap();
    let plan = sandbox.pipe("run --plan").would_run().out;
    for end in ["// end", "\n// end", "//", "/* end */", "\n/* a */ // é"] {
        sandbox.write("pipeline.ron", &format!("{}{end}", text.trim_end()));
        assert_eq!(sandbox.pipe("run --plan").would_run().out, plan, "{end:?}");
    }
    fs::write(sandbox.path("pipeline.ron"), b"Study(\n    name: \"caf\xe9\",\n)").unwrap();
    assert_snapshot!(sandbox.pipe("run").shown(), @r#"
    ! error: the byte 0xe9 is not UTF-8
    !  --> pipeline.ron:2:15
    !   |
    ! 2 |     name: "caf�",
    !   |               ^ expected UTF-8 text
    !   |
    !   = help: save the file as UTF-8
    !
    exit 2
    "#);
    fs::write(sandbox.path("pipeline.ron"), b"// nothing yet").unwrap();
    assert_snapshot!(sandbox.pipe("run").shown(), @"
    ! error: there is nothing but comments and space
    !  --> pipeline.ron:1:1
    !   |
    ! 1 | // nothing yet
    !   | ^
    !
    exit 2
    ");
}
