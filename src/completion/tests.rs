use clap::{Arg, ArgAction, Command};

use super::*;

fn program() -> Command {
    let run = Command::new("run")
        .about("Run the study")
        .arg(Arg::new("stage").long("stage").action(ArgAction::Append).help("Run only this stage"))
        .arg(Arg::new("device").long("device").value_name("DEVICE"))
        .arg(Arg::new("check").long("check").num_args(0..=1))
        .arg(Arg::new("plan").long("plan").action(ArgAction::SetTrue))
        .arg(Arg::new("out").long("out").short('o').value_name("DIR"));
    let plot = Command::new("plot")
        .arg(Arg::new("kind").value_parser(["history", "curves"]))
        .arg(Arg::new("image").value_name("FILE").action(ArgAction::Append));
    let hidden = Command::new("hidden").hide(true);
    let verbose = Arg::new("verbose").long("verbose").short('v').action(ArgAction::Count).global(true);
    Command::new("pipe").arg(verbose).subcommands([run, plot, hidden]).disable_help_subcommand(true)
}

fn check(line: &str, expected: &[&str]) {
    let Offer::Words(words) = complete(&program(), &split(line)) else { panic!("{line}: no words") };
    assert_eq!(words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>(), expected, "{line}");
}

#[test]
fn commands_and_options_are_offered() {
    check("pipe ", &["run", "plot"]);
    check("pipe -v r", &["run"]);
    check("pipe help p", &["plot"]);
    check("pipe run --", &["--check", "--device", "--help", "--out", "--plan", "--stage", "--verbose"]);
    check("pipe run --plan --stage x -", &["--check", "--device", "--help", "--out", "--stage", "--verbose"]);
    check("pipe nonsense ", &[]);
    check("pipe run -- --", &[]);
}

#[test]
fn values_are_those_of_the_argument() {
    check("pipe run --device ", &["auto", "cpu", "cuda", "wgpu"]);
    check("pipe run --device=cu", &["--device=cuda"]);
    check("pipe plot h", &["history"]);
    // An option without a value is followed by another.
    check("pipe run --check --pl", &["--plan"]);
    let offer = |line: &str| complete(&program(), &split(line));
    assert_eq!(offer("pipe run --out "), Offer::Folders);
    assert_eq!(offer("pipe run -vo "), Offer::Folders);
    assert_eq!(offer("pipe plot history "), Offer::Files);
    assert_eq!(offer("pipe plot history a.png b"), Offer::Files);
    assert_eq!(offer("pipe plot history -v a.png "), Offer::Files);
}

#[test]
fn a_word_says_what_it_is() {
    let Offer::Words(words) = complete(&program(), &split("pipe r")) else { panic!() };
    assert_eq!(words, [Word { text: "run".to_owned(), about: "Run the study".to_owned() }]);
}
