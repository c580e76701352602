//! The values of options and arguments: studies, nodes and columns of the store, and what the pipeline file has.
//!
//! Everything is read at each call, so what is read is little. What cannot be read offers nothing.

use std::{collections::BTreeSet, path::PathBuf};

use clap::{Arg, ValueHint};
use pipe_engine::{
    pipeline::{complete, read},
    study, tag, unfinished,
};
use pipe_stages::Precision;
use pipe_store::Store;
use pipe_views::{moment, trials};

use super::{
    cursor::Cursor,
    offer::{Offer, Word},
};
use crate::{files, store_args::StoreArgs};

/// The most studies before the latest of a name that are offered.
const BACK: usize = 50;

/// Returns what the value of `arg` can be. `typed` is what there is of it.
pub(super) fn of(cursor: &Cursor<'_>, arg: &Arg, typed: &str) -> Offer {
    let look = Look { cursor };
    let known = arg.get_possible_values();
    if !known.is_empty() {
        let known = known.iter().filter(|value| !value.is_hide_set());
        let word = |value: &clap::builder::PossibleValue| {
            Word::new(value.get_name(), value.get_help().map(ToString::to_string).unwrap_or_default())
        };
        return Offer::Words(known.map(word).collect());
    }
    let words = match (cursor.command.get_name(), arg.get_id().as_str()) {
        ("plot", "what") if cursor.value("kind") == Some("architecture") => look.nodes(typed),
        ("plot", "what") => look.studies(typed),
        ("show", "what") => join(look.studies(typed), look.nodes(typed)),
        ("export", "what") if look.is_of_study() => look.studies(typed),
        ("cat" | "export", "what") => look.outputs(typed),
        ("why", "node") | ("run", "stage" | "rerun" | "check") => look.planned(typed),
        ("logs" | "predict", "node") => look.nodes(typed),
        ("tag", "delete") => look.tags(),
        ("trials" | "importance", "study") => join(look.studies(typed), look.searches()),
        (_, "study") | ("diff", "a" | "b") => look.studies(typed),
        ("import-trials", "search") => look.searches_of_file(),
        (_, "search") => look.searches(),
        ("run" | "why", "set") => look.overrides(typed),
        ("trials" | "plot", "columns") => after(typed, ',', look.columns()),
        ("trials", "sort") => {
            let reverse = if typed.starts_with('-') { "-" } else { "" };
            look.columns().into_iter().map(|word| Word { text: format!("{reverse}{}", word.text), ..word }).collect()
        }
        ("plot", "x" | "y" | "z" | "colour") => look.columns(),
        ("plot", "trim") => {
            look.columns().into_iter().map(|word| Word { text: format!("{}=", word.text), ..word }).collect()
        }
        ("plot", "metric") => look.metrics(),
        (_, "device") => ["auto", "cpu", "cuda", "wgpu"].map(|device| Word::new(device, "")).to_vec(),
        (_, "precision") => Precision::ALL.map(|precision| Word::new(precision.word(), "")).to_vec(),
        ("exec", "key") => Vec::new(),
        _ => return paths(arg),
    };
    Offer::Words(words)
}

/// Returns whether files or folders are offered, by what the help calls the value.
fn paths(arg: &Arg) -> Offer {
    let name = arg.get_value_names().and_then(<[_]>::first).map_or("", |name| name.as_str());
    let is_path =
        arg.get_value_hint() == ValueHint::AnyPath || ["FILE", "FOLDER", "PATH"].iter().any(|word| name.contains(word));
    match name {
        "DIR" => Offer::Folders,
        _ if is_path => Offer::Files,
        _ => Offer::Words(Vec::new()),
    }
}

/// Looks at the store and the pipeline file of a command line.
struct Look<'c> {
    cursor: &'c Cursor<'c>,
}

impl Look<'_> {
    fn args(&self) -> StoreArgs {
        let path = |id| self.cursor.value(id).map(PathBuf::from);
        StoreArgs::given(path("store"), path("file"))
    }

    /// Returns the store. One is not made.
    fn store(&self) -> Option<Store> {
        let root = self.args().root();
        root.join("format").is_file().then(|| Store::open(&root).ok()).flatten()
    }

    /// Returns the study that is meant on the command line.
    fn study(&self) -> Option<&str> {
        let what = if self.cursor.command.get_name() == "plot" { self.cursor.value("what") } else { None };
        what.or_else(|| self.cursor.value("study"))
    }

    /// Returns whether an export is one of a whole study.
    fn is_of_study(&self) -> bool {
        let is_destination = |id: &str| !["what", "dest", "study", "store", "file", "force", "onnx"].contains(&id);
        let given = |id: &str| self.cursor.value(id).is_some();
        self.cursor.command.get_arguments().any(|arg| {
            let id = arg.get_id().as_str();
            is_destination(id) && arg.get_value_names().is_some_and(|names| names[0] == "DIR") && given(id)
        })
    }

    fn studies(&self, typed: &str) -> Vec<Word> {
        let Some(store) = self.store() else { return Vec::new() };
        let mut words = Vec::new();
        let all = study::list(&store).unwrap_or_default();
        for of_name in all.chunk_by(|a, b| a.0 == b.0) {
            for (back, (name, entry)) in of_name.iter().rev().enumerate().take(BACK) {
                let about = format!("{}  {}", entry.digest.short(), moment(entry.at as f64));
                match back {
                    0 => words.push(Word::new(name, about)),
                    _ if typed.contains('~') => words.push(Word::new(format!("{name}~{back}"), about)),
                    _ => break,
                }
            }
        }
        let open = store.readable_runs().unwrap_or_default();
        let is_new = |name: &str| !name.is_empty() && !all.iter().any(|(known, _)| known == name);
        let begun: BTreeSet<_> = open.into_iter().map(|run| run.study_name).filter(|name| is_new(name)).collect();
        words.extend(begun.into_iter().map(|name| Word::new(name, "not over")));
        words.extend(self.tags());
        words
    }

    fn tags(&self) -> Vec<Word> {
        let tags = self.store().and_then(|store| tag::list(&store).ok()).unwrap_or_default();
        tags.into_iter().map(|(tag, entry)| Word::new(tag, format!("tag  {}", entry.digest.short()))).collect()
    }

    fn node_names(&self) -> Vec<String> {
        let store = self.store();
        store.and_then(|store| unfinished::names(&store, self.study()).ok()).unwrap_or_default()
    }

    fn nodes(&self, typed: &str) -> Vec<Word> {
        level(self.node_names().iter().map(String::as_str), typed)
    }

    /// Returns nodes and their files.
    fn outputs(&self, typed: &str) -> Vec<Word> {
        let nodes = self.node_names();
        let node =
            nodes.iter().filter(|node| typed.strip_prefix(node.as_str()).is_some_and(|rest| rest.starts_with('/')));
        let Some(node) = node.max_by_key(|node| node.len()) else {
            let is_cat = self.cursor.command.get_name() == "cat";
            // `cat` takes a file, and a node is on the way to one.
            let as_folder = |word: Word| match is_cat && nodes.contains(&word.text) {
                true => Word { text: word.text + "/", ..word },
                false => word,
            };
            return level(nodes.iter().map(String::as_str), typed).into_iter().map(as_folder).collect();
        };
        let files = || {
            let store = self.store()?;
            let found = unfinished::find(&store, self.study()).ok()?;
            let tree = study::tree_of(&store, found.study.nodes.get(node)?).ok()??;
            Some(tree.files.keys().map(|path| format!("{node}/{path}")).collect::<Vec<_>>())
        };
        let files = files().unwrap_or_default();
        level(files.iter().map(String::as_str), typed)
    }

    /// Returns the stages of the pipeline file, and the nodes of its latest study.
    fn planned(&self, typed: &str) -> Vec<Word> {
        let Some(pipeline) = self.text().and_then(|text| read::read("", &text, &[]).ok()) else {
            return self.nodes(typed);
        };
        let mut names: BTreeSet<_> = pipeline.stages.iter().map(|(name, _)| name.to_owned()).collect();
        let of_store = self.store().and_then(|store| unfinished::names(&store, Some(&pipeline.name)).ok());
        names.extend(of_store.unwrap_or_default());
        level(names.iter().map(String::as_str), typed)
    }

    /// Returns the text of the pipeline file.
    fn text(&self) -> Option<String> {
        read::text("", files::read(&self.args().file, read::TEXT as u64).ok()?).ok()
    }

    fn overrides(&self, typed: &str) -> Vec<Word> {
        let words = self.text().map(|text| complete::overrides(&text, typed)).unwrap_or_default();
        words.into_iter().map(|word| Word::new(word, "")).collect()
    }

    fn searches_of_file(&self) -> Vec<Word> {
        let pipeline = self.text().and_then(|text| read::read("", &text, &[]).ok());
        let is_search = |(_, spec): &(&str, &dyn pipe_engine::pipeline::stage::StageSpec)| spec.kind().name == "Search";
        let searches = pipeline.iter().flat_map(|pipeline| pipeline.stages.iter()).filter(is_search);
        searches.map(|(name, _)| Word::new(name, "")).collect()
    }

    fn searches(&self) -> Vec<Word> {
        let Some(store) = self.store() else { return Vec::new() };
        let found = unfinished::find(&store, self.study()).ok();
        found.iter().flat_map(|found| found.study.searches()).map(|name| Word::new(name, "")).collect()
    }

    fn columns(&self) -> Vec<Word> {
        let columns = || {
            let store = self.store()?;
            let study = unfinished::find(&store, self.study()).ok()?.study;
            let searches: Vec<_> = match self.cursor.value("search") {
                Some(search) => vec![search.to_owned()],
                None => study.searches().map(str::to_owned).collect(),
            };
            let mut names = Vec::new();
            for search in searches {
                for name in trials::column_names(&store, &study, &search).ok()? {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
            Some(names)
        };
        columns().unwrap_or_default().into_iter().map(|name| Word::new(name, "")).collect()
    }

    /// Returns the metrics of learning curves: `valid.loss`, of which the columns have `end.valid.loss`.
    fn metrics(&self) -> Vec<Word> {
        let columns = self.columns();
        columns.iter().filter_map(|word| word.text.strip_prefix("end.")).map(|name| Word::new(name, "")).collect()
    }
}

fn join(mut first: Vec<Word>, second: Vec<Word>) -> Vec<Word> {
    first.extend(second);
    first
}

/// Returns the names that begin with `typed`, up to the next `/`: of a thousand trials a folder is offered first.
fn level<'n>(names: impl Iterator<Item = &'n str>, typed: &str) -> Vec<Word> {
    let of_level = |name: &'n str| {
        let rest = name.strip_prefix(typed)?;
        Some(rest.find('/').map_or(name, |at| &name[..typed.len() + at + 1]))
    };
    let found: BTreeSet<_> = names.filter_map(of_level).collect();
    found.into_iter().map(|name| Word::new(name, "")).collect()
}

/// Returns the words with what was typed up to the last `separator` before them.
fn after(typed: &str, separator: char, words: Vec<Word>) -> Vec<Word> {
    let before = typed.rfind(separator).map_or("", |at| &typed[..=at]);
    words.into_iter().map(|word| Word { text: format!("{before}{}", word.text), ..word }).collect()
}
