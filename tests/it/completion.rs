//! Completions: what `pipe complete` offers, and that shells offer it.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::sandbox::{Sandbox, skipped};

/// Returns the words that are offered, or what the shell is to offer itself.
#[track_caller]
fn offered(sandbox: &Sandbox, line: &str) -> Vec<String> {
    let output = sandbox.output(sandbox.command("complete --line").arg(line)).ok();
    assert_eq!(output.err, "", "{line}");
    let (kind, words) = output.out.split_once('\n').unwrap();
    if kind != "words" {
        return vec![kind.to_owned()];
    }
    words.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn the_words_of_a_store_and_of_a_file_are_offered() {
    let sandbox = Sandbox::after_run();
    sandbox.run("--set search.trials=2").ok();
    sandbox.pipe("tag tiny~1 v1").ok();
    let before = sandbox.listing();
    let check = |line: &str, expected: &[&str]| assert_eq!(offered(&sandbox, line), expected, "{line}");
    check("pipe im", &["importance", "import-trials"]);
    check("pipe gc --gr", &["--grace"]);
    // Studies and nodes, a level at a time.
    check("pipe trials ", &["tiny", "v1", "search"]);
    check("pipe diff tiny~", &["tiny~1"]);
    check("pipe diff v1 t", &["tiny"]);
    check("pipe show search/", &["search/history/", "search/propose/", "search/select", "search/train/"]);
    check("pipe show search/train/", &["search/train/000", "search/train/001"]);
    check("pipe show --study v1 search/train/", &["search/train/000", "search/train/001", "search/train/002"]);
    check("pipe logs re", &["retrain_best"]);
    check("pipe tag --delete ", &["v1"]);
    // Files of nodes.
    check("pipe cat fl", &["flip/"]);
    check("pipe cat flip/p", &["flip/policy.json", "flip/preview.png"]);
    check("pipe export retrain_best/b", &["retrain_best/best/"]);
    check("pipe export --tensorboard runs t", &["tiny"]);
    // Kinds, searches and columns.
    check("pipe plot sca", &["scatter-matrix", "scatter3d"]);
    check("pipe plot history --search ", &["search"]);
    check("pipe plot contour --x l", &["loss", "lr_rate_mult"]);
    check("pipe plot curves --metric valid.l", &["valid.loss"]);
    check("pipe trials --columns trial,act", &["trial,activation"]);
    check("pipe trials --sort -lr", &["-lr_rate_mult"]);
    check("pipe plot architecture --study v1 retr", &["retrain_best"]);
    // The pipeline file.
    check("pipe run --stage vis", &["visualize_filters"]);
    check("pipe why search/tr", &["search/train/"]);
    check("pipe run --set search.tri", &["search.trial.", "search.trials="]);
    check("pipe run --set search.trial.optimizer=Ad", &["search.trial.optimizer=Adam", "search.trial.optimizer=AdamW"]);
    check("pipe run --set=see", &["--set=seed="]);
    check("pipe run --device=c", &["--device=cpu", "--device=cuda"]);
    check("pipe run --precision ", &["f32", "bf16"]);
    check("pipe run --file ", &["files"]);
    check("pipe export --mlflow ", &["folders"]);
    check("pipe show nothing", &[]);
    // bash has divided the word already.
    let args = ["--breaks", " \"'@><=;|&(:", "--line", "pipe run --set search.trial.nesterov=t"];
    assert_eq!(sandbox.output(sandbox.command("complete").args(args)).ok().out, "words\ntrue\t\n");
    assert_eq!(sandbox.listing(), before, "nothing is written");
}

#[test]
fn what_cannot_be_read_offers_nothing_and_is_no_error() {
    let sandbox = Sandbox::with("Study(");
    for line in
        ["pipe show ", "pipe run --set search.", "pipe run --stage ", "pipe plot contour --x ", "pipe cat a/", "pipe "]
    {
        let words = offered(&sandbox, line);
        assert_eq!(words.is_empty(), line != "pipe ", "{line}: {words:?}");
    }
    fs::create_dir_all(sandbox.path(".pipe/objects")).unwrap();
    fs::write(sandbox.path(".pipe/format"), "damaged").unwrap();
    assert!(offered(&sandbox, "pipe show ").is_empty());
    fs::create_dir(sandbox.path("empty")).unwrap();
    assert!(offered(&sandbox, "pipe show --store empty ").is_empty());
    assert!(fs::read_dir(sandbox.path("empty")).unwrap().next().is_none(), "no store is made");
    assert!(!sandbox.path("nowhere").exists() && offered(&sandbox, "pipe show --store nowhere ").is_empty());
}

#[test]
fn it_is_quick_with_a_thousand_trials() {
    let sandbox = Sandbox::after_run();
    // A run that was killed at its beginning. All its nodes are offered.
    let mut command = sandbox.command("run --json --set search.trials=1000");
    let mut run = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("search/train/") && line.contains("\"executed\"")));
    kill_process_group(Pid::from_child(&run), Signal::KILL).unwrap();
    run.wait().unwrap();
    assert_eq!(offered(&sandbox, "pipe show search/train/").len(), 1000);
    let since = Instant::now();
    for line in ["pipe show search/train/", "pipe run --set search.tri", "pipe trials --columns "] {
        assert!(!offered(&sandbox, line).is_empty(), "{line}");
    }
    // Three processes of a build for tests, on a machine that does other things, too.
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
}

/// Runs a script in a shell, with completions for `pipe`. Returns the words that the shell offers, sorted. `None` if there is no such shell.
fn in_shell(sandbox: &Sandbox, shell: &str, args: &[&str], script: &str) -> Option<Vec<String>> {
    let name = format!("pipe.{shell}");
    sandbox.write(&name, &sandbox.pipe(&format!("completions {shell}")).ok().out);
    let mut command = Command::new(shell);
    command.args(args).args(["-c", script]).env_clear().current_dir(sandbox.path(""));
    command.env("PATH", "/usr/bin:/bin:/usr/local/bin:/opt/homebrew/bin").env("HOME", sandbox.path(""));
    if command.output().is_err() {
        skipped(&format!("there is no {shell}"));
        return None;
    }
    let output = sandbox.output(&mut command).ok();
    assert_eq!(output.err, "", "{script}");
    let mut words: Vec<_> = output.out.lines().map(str::to_owned).collect();
    words.sort();
    Some(words)
}

const CASES: [(&str, &[&str]); 5] = [
    ("im", &["import-trials", "importance"]),
    ("show search/train/", &["search/train/000", "search/train/001", "search/train/002"]),
    ("gc --gr", &["--grace"]),
    ("plot history --search ", &["search"]),
    ("nonsense ", &[]),
];

#[test]
fn bash_completes() {
    let sandbox = Sandbox::after_run();
    let pipe = env!("CARGO_BIN_EXE_pipe");
    for (line, expected) in CASES.into_iter().chain([("run --set search.trial.nesterov=t", &["true"][..])]) {
        let script = format!(
            "source pipe.bash; COMP_WORDBREAKS=$' =:'; COMP_LINE='{pipe} {line}'; COMP_POINT=${{#COMP_LINE}}; \
             COMP_WORDS=({pipe}); COMP_CWORD=1; _pipe; (( ${{#COMPREPLY[@]}} )) && printf '%s\\n' \"${{COMPREPLY[@]}}\"; true"
        );
        let Some(words) = in_shell(&sandbox, "bash", &["--noprofile", "--norc"], &script) else { return };
        assert_eq!(words, expected, "{line}");
    }
}

#[test]
fn zsh_completes() {
    let sandbox = Sandbox::after_run();
    let pipe = env!("CARGO_BIN_EXE_pipe");
    for (line, expected) in CASES {
        // What `_describe` is given: `word:what it is`.
        let script = format!(
            "compdef() {{ : }}; _describe() {{ print -l -- \"${{(@P)2}}\" }}; source ./pipe.zsh; \
             line='{pipe} {line}'; words=(\"${{(@s: :)line}}\"); CURRENT=$#words; PREFIX=$words[-1]; _pipe; true"
        );
        let Some(words) = in_shell(&sandbox, "zsh", &["-f"], &script) else { return };
        let words: Vec<_> = words.iter().map(|word| word.split(':').next().unwrap()).collect();
        assert_eq!(words, expected, "{line}");
    }
}

#[test]
fn fish_completes() {
    let sandbox = Sandbox::after_run();
    let pipe = env!("CARGO_BIN_EXE_pipe");
    for (line, expected) in CASES.into_iter().chain([("run --file pipel", &["pipeline.ron"][..])]) {
        let script = format!("source pipe.fish; complete -C '{pipe} {line}'");
        let Some(words) = in_shell(&sandbox, "fish", &["--no-config"], &script) else { return };
        let words: Vec<_> = words.iter().map(|word| word.split('\t').next().unwrap()).collect();
        assert_eq!(words, expected, "{line}");
    }
}

#[test]
fn other_shells_complete_commands_and_options() {
    let sandbox = Sandbox::new();
    for (shell, entries) in [
        ("elvish", ["\nset edit:completion:arg-completer[pipe] = {|@words|\n", "\n            cand trials '"]),
        (
            "powershell",
            [
                "\nRegister-ArgumentCompleter -Native -CommandName 'pipe' -ScriptBlock {\n",
                "\n            [CompletionResult]::new('trials', ",
            ],
        ),
    ] {
        let script = sandbox.pipe(&format!("completions {shell}")).ok().out;
        assert!(entries.iter().all(|entry| script.contains(entry)), "{shell}: {script}");
    }
    assert_eq!(sandbox.pipe("completions tcsh").code, Some(2));
}
