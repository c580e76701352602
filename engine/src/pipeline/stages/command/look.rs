//! Looks at the files of the project and at the environment, when a pipeline is planned.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command as Process, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use pipe_stages::{
    command::Known,
    fetch::{FolderContent, ProjectError, Snapshot, Surroundings},
    problem::Step,
};
use pipe_store::Digest;

use super::{
    params::{CommandParams, Environment},
    spec::{Code, CommandSpec},
};
use crate::pipeline::{mistake::Mistake, source::Span, term::Term, walk::locate};

/// The most characters of what a program says that are kept as they are. Of more, the digest is kept.
const SAID: usize = 200;
/// Each plan waits for what a program says. Longer than this, and the user may want to know.
const LONG_SAID: Duration = Duration::from_millis(200);
/// Where the same things are on every Linux.
const EVERYWHERE: [&str; 5] = ["/bin/", "/usr/bin/", "/dev/", "/proc/", "/sys/"];

impl CommandSpec {
    /// Returns the command with what its files and its environment are now. If they cannot be used, adds mistakes and returns `None`.
    pub(super) fn looked_up(&self, around: &Surroundings<'_>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let (params, term) = self.written.as_ref()?;
        let before = mistakes.len();
        let mut spec = self.clone();
        let base = if around.base.as_os_str().is_empty() { std::path::Path::new(".") } else { around.base };
        spec.how.project = std::path::absolute(base).ok();
        undeclared(params, term, around, mistakes);
        spec.absolute = absolute(params);
        if !params.files.is_empty() {
            match Snapshot::of_project(around.base, &params.files, &around.look) {
                Ok(snapshot) => {
                    let mut code =
                        Code { content: FolderContent { listing: Some(snapshot.digest()) }, ..Code::default() };
                    code.sources.folder = Some(Arc::new(snapshot));
                    spec.code = Some(code);
                }
                Err(errors) => {
                    mistakes.extend(errors.into_iter().map(|(index, error)| refused(params, term, index, &error)));
                }
            }
        }
        for (index, known) in params.environment.iter().enumerate() {
            let at = locate(term.content(), &[Step::Name("environment".into()), Step::Index(index)]).span;
            match known_of(known, around) {
                Ok(known) => spec.command.environment.push(known),
                Err((found, help)) => mistakes.push(Mistake::at(at, found).help(help)),
            }
        }
        (mistakes.len() == before).then_some(spec)
    }
}

fn refused(params: &CommandParams, term: &Term, index: usize, error: &ProjectError) -> Mistake {
    let at = locate(term.content(), &[Step::Name("files".into()), Step::Index(index)]).span;
    let path = params.files.get(index).map_or("", String::as_str);
    let mistake = Mistake::at(at, format!("`{path}` {error}"));
    match error {
        ProjectError::Outside => {
            mistake.help("`files` are relative to the folder of the pipeline file and in it; data from elsewhere come through a `Fetch`")
        }
        ProjectError::Link(_) => mistake.help("copy what the link leads to, or name the files without it"),
        ProjectError::Other(_) | ProjectError::Name(_) => mistake.help("name the other files of the folder one by one"),
        ProjectError::Disk(_) => mistake,
    }
}

/// Returns the absolute paths in the words of a command and of its environment at which there is something, and which are not the same on
/// every Linux.
fn absolute(params: &CommandParams) -> Vec<String> {
    let texts = params.run.iter().chain(params.env.values()).filter_map(|word| word.plain());
    let paths = texts.flat_map(|text| text.split(['=', ':'])).filter(|path| path.starts_with('/'));
    let is_own =
        |path: &&str| !EVERYWHERE.iter().any(|root| path.starts_with(root)) && std::path::Path::new(path).exists();
    let found: BTreeSet<_> = paths.filter(|path| path.len() > 1).filter(is_own).map(str::to_owned).collect();
    found.into_iter().collect()
}

/// Complains about each word that is a file of the project and is not declared.
fn undeclared(params: &CommandParams, term: &Term, around: &Surroundings<'_>, mistakes: &mut Vec<Mistake>) {
    let is_declared = |path: &str| {
        let path = path.trim_start_matches("./");
        params.files.iter().any(|file| {
            let file = file.trim_start_matches("./").trim_end_matches('/');
            file.is_empty()
                || file == "."
                || path == file
                || path.strip_prefix(file).is_some_and(|rest| rest.starts_with('/'))
        })
    };
    let words =
        params.run.iter().enumerate().map(|(index, word)| (word, vec![Step::Name("run".into()), Step::Index(index)]));
    let variables =
        params.env.iter().map(|(name, word)| (word, vec![Step::Name("env".into()), Step::Name(name.clone())]));
    for (word, steps) in words.chain(variables) {
        let Some(text) = word.plain() else { continue };
        // `--config=conf.yaml` names a file, too.
        let path = text.split_once('=').map_or(text, |(_, path)| path);
        let looks_like_a_path = !path.is_empty() && path != "." && !path.starts_with('-');
        if !looks_like_a_path || is_declared(path) || std::path::Path::new(path).is_absolute() {
            continue;
        }
        // The name of a program on the search path is not a file here, unless it is said to be.
        let is_program = steps == [Step::Name("run".into()), Step::Index(0)] && !path.contains('/');
        if !is_program && around.base.join(path).is_file() {
            let at: Span = locate(term.content(), &steps).span;
            let all: Vec<_> = params.files.iter().map(String::as_str).chain([path]).collect();
            let all: Vec<_> = all.iter().map(|file| format!("\"{file}\"")).collect();
            let mistake = Mistake::at(at, format!("`{path}` is a file here and is not in `files`"));
            mistakes.push(mistake.help(format!("add it: `files: [{}]`", all.join(", "))));
        }
    }
}

/// Returns what a part of the environment is, or why that cannot be found out, and what to do.
fn known_of(known: &Environment, around: &Surroundings<'_>) -> Result<Known, (String, String)> {
    match known {
        Environment::File(path) => match Snapshot::of_project(around.base, std::slice::from_ref(path), &around.look) {
            Ok(snapshot) => match snapshot.listing().files.as_slice() {
                [file] => Ok(Known { what: format!("file {path}"), is: file.digest.to_string() }),
                _ => Ok(Known { what: format!("file {path}"), is: snapshot.digest().to_string() }),
            },
            Err(errors) => {
                let why = errors.first().map(|(_, error)| error.to_string()).unwrap_or_default();
                Err((format!("`{path}` {why}"), "name a file that is beside the pipeline file".to_owned()))
            }
        },
        Environment::Says(words) => {
            let what = format!("says {}", words.join(" "));
            Ok(Known { what, is: says(words, around)? })
        }
    }
}

/// Returns what a command prints to its standard output. Each is run once in a process of `pipe`.
fn says(words: &[String], around: &Surroundings<'_>) -> Result<String, (String, String)> {
    static SAID_BEFORE: Mutex<BTreeMap<Vec<String>, String>> = Mutex::new(BTreeMap::new());
    let mut said = SAID_BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(text) = said.get(words) {
        return Ok(text.clone());
    }
    let [program, rest @ ..] = words else {
        return Err(("`Says` has no words".to_owned(), "write `Says([\"python\", \"--version\"])`".to_owned()));
    };
    let line = words.join(" ");
    let base = if around.base.as_os_str().is_empty() { std::path::Path::new(".") } else { around.base };
    let started = Instant::now();
    let output = Process::new(program).args(rest).current_dir(base).stdin(Stdio::null()).output();
    let output = output.map_err(|error| {
        (format!("`{line}` cannot be run: {error}"), format!("is `{program}` installed, and on the search path?"))
    })?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        let last = error.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it printed nothing");
        return Err((format!("`{line}` failed ({}): {last}", output.status), "run it by hand".to_owned()));
    }
    let seconds = started.elapsed();
    if seconds > LONG_SAID {
        tracing::info!("`{line}` took {:.1} s to say what it is, at each plan", seconds.as_secs_f64());
    }
    // Older versions of Python print theirs to the standard error.
    let printed = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    let text = String::from_utf8_lossy(printed).trim().to_owned();
    let text = if text.chars().count() > SAID { format!("blake3 {}", Digest::of(text.as_bytes())) } else { text };
    said.insert(words.to_vec(), text.clone());
    Ok(text)
}
