//! Runs every code block of the documentation that can be run, and compares the output with the page.
//!
//! The info string of a block selects what is done with it. A block with any other info string fails the test.
//!
//! | info string | what is done |
//! |---|---|
//! | `console` | its commands (lines that begin with `$ `) are run in the page's folder and must print the lines after them |
//! | `console exit-1` | the same, but its last command must end with this exit code |
//! | `console no-run` | nothing is run, because it needs a network, a GPU or minutes; options of `pipe` must exist |
//! | `ron` | it must be a whole study, and be accepted |
//! | `ron NAME.ron` | the same, and it is written to the page's folder |
//! | `ron NAME.ron refused` | it is written to the page's folder, and must be refused |
//! | `ron stages`, `ron search`, `ron train` | some stages, or fields of a search or a training, which a study with them must accept |
//! | `json`, `json NAME.json` | it must be JSON; with a name it is written to the page's folder |
//! | `json NODE/PATH` | it must equal this record of the tiny study; its lists may be shorter |
//! | `python NAME.py` | it is written to the page's folder |
//! | `text` | nothing: it is a drawing |
//!
//! In the expected output, a line `..` matches any lines, `..` within a line matches any text, and times are not compared. Digests
//! may differ from those on the page, but equal digests on the page must be equal in the output. A command that is not meant for
//! readers is in a comment: `<!-- $ command -->`.

mod block;
mod manual;
mod page;
mod study;

use std::{collections::BTreeSet, fs};

use manual::Manual;
use page::{Page, headings, root};

/// The content of a page's folder before its first block.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Folder {
    Empty,
    /// `tiny.ron` as `pipeline.ron`, and a store in which it has been run.
    TinyHasRun,
    /// Nothing. The page is passed over where there is no Python.
    WithPython,
    /// The same, and `pictures/` with a folder for each of three classes.
    TinyAndPictures,
    /// As for `TinyHasRun`. The page is passed over by a build without remotes.
    TinyWithRemotes,
    /// The same as `TinyHasRun`, on a Slurm cluster. The page is passed over where Slurm is not installed.
    TinyOnCluster,
}
use Folder::{Empty, TinyAndPictures, TinyHasRun, TinyOnCluster, TinyWithRemotes, WithPython};

/// Makes a test for each page, given its path, the content of its folder, and the value of `PIPE_SET` with which its studies take
/// seconds.
macro_rules! pages {
    ($($name:ident: $path:literal, $folder:expr, $set:expr;)*) => {
        const PAGES: &[&str] = &[$($path),*];
        $(
            #[test]
            fn $name() {
                Page::read($path).check($folder, $set);
            }
        )*
    };
}

/// The default study with all its nodes but little work. Its scores differ from those on the page.
const LITTLE_WORK: &str = "raw.train=600; raw.test=200; search.trial.epochs=1; retrain_best.epochs=2; \
                           visualize_filters.steps=1";

pages! {
    readme_does_what_it_says: "README.md", Empty, LITTLE_WORK;
    contributing_does_what_it_says: "CONTRIBUTING.md", Empty, "";
    architecture_does_what_it_says: "ARCHITECTURE.md", Empty, "";
    benchmarks_does_what_it_says: "BENCHMARKS.md", Empty, "";
    changelog_does_what_it_says: "CHANGELOG.md", Empty, "";
    cluster_does_what_it_says: "docs/cluster.md", TinyOnCluster, "";
    command_does_what_it_says: "docs/command.md", WithPython, "";
    commands_does_what_it_says: "docs/commands.md", TinyHasRun, "";
    data_does_what_it_says: "docs/data.md", TinyAndPictures, "";
    interoperability_does_what_it_says: "docs/interoperability.md", TinyHasRun, "";
    json_does_what_it_says: "docs/json.md", Empty, "";
    looking_does_what_it_says: "docs/looking.md", TinyHasRun, "";
    networks_does_what_it_says: "docs/networks.md", Empty, "";
    pipeline_does_what_it_says: "docs/pipeline.md", TinyHasRun, "";
    remote_does_what_it_says: "docs/remote.md", TinyWithRemotes, "";
    reliability_does_what_it_says: "docs/reliability.md", Empty, "";
    reproducibility_does_what_it_says: "docs/reproducibility.md", TinyHasRun, "";
    results_does_what_it_says: "docs/results.md", Empty, "";
    search_does_what_it_says: "docs/search.md", TinyHasRun, "";
    store_does_what_it_says: "docs/store.md", TinyHasRun, "";
}

#[test]
fn every_page_is_checked() {
    let named = |folder: &str| {
        let files = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        let pages = files.filter_map(|name| name.into_string().ok()).filter(|name| name.ends_with(".md"));
        pages.map(|name| format!("{folder}{name}")).collect::<Vec<_>>()
    };
    let found: BTreeSet<_> = [named(""), named("docs/")].concat().into_iter().collect();
    assert_eq!(found, PAGES.iter().map(|path| (*path).to_owned()).collect());
}

#[test]
fn the_readme_is_short() {
    assert!(Page::read("README.md").text.lines().count() <= 150);
}

#[test]
fn every_command_and_option_is_documented() {
    let manual = Manual::read();
    let commands = Page::read("docs/commands.md").text;
    let all: String = PAGES.iter().map(|path| Page::read(path).text).collect();
    let words: BTreeSet<&str> = all.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
    for (command, options) in &manual.options {
        assert!(commands.contains(&format!("`{command}")), "docs/commands.md does not mention `{command}`");
        for option in options.iter().filter(|option| *option != "--help" && *option != "--version") {
            assert!(words.contains(option.as_str()), "no page mentions `pipe {command} {option}`");
        }
    }
}

#[test]
fn every_link_has_a_target() {
    let mut broken = Vec::new();
    for path in PAGES {
        let page = Page::read(path);
        for target in page.links() {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file =
                if file.is_empty() { root().join(path) } else { root().join(path).with_file_name("").join(file) };
            let leads = match fs::read_to_string(&file) {
                Ok(text) => anchor.is_empty() || headings(&text).contains(anchor),
                Err(_) => file.is_dir() && anchor.is_empty(),
            };
            if !leads {
                broken.push(format!("{path}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn generated_regions_begin_and_end() {
    for path in PAGES {
        let mut open = false;
        for line in Page::read(path).text.lines() {
            let (begins, ends) = (line.starts_with("<!-- begin generated: "), line == "<!-- end generated -->");
            assert!(!(begins && open || ends && !open), "{path}: {line}");
            open = begins || open && !ends;
        }
        assert!(!open, "{path}");
    }
}
