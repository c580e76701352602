//! A code block, and what the test does with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Map, Value};

use super::{manual::Manual, page::SLURM_CONF, study};
use crate::sandbox::{Output, Sandbox, filtered};

/// The folder in which commands are run, as the pages show it.
const HOME: &str = "/home/me/shapes";

/// For each digest on a page, the digest in its place in the output. They may differ, but equal digests on the page must be equal in
/// the output.
pub(crate) type Digests = BTreeMap<String, String>;

/// A fenced block of code.
pub(crate) struct Block {
    /// The number of its first line, from 1.
    pub(crate) line: usize,
    /// The words after the fence: its info string.
    pub(crate) info: Vec<String>,
    pub(crate) text: String,
}

impl Block {
    /// Does what the info string of the block says, and returns the differences from the page.
    pub(crate) fn check(&self, sandbox: &Sandbox, set: &str, manual: &Manual, digests: &mut Digests) -> Vec<String> {
        let info: Vec<&str> = self.info.iter().map(String::as_str).collect();
        let written = |extension: &str, name: &str| name.ends_with(extension) && !name.contains('/');
        match info.as_slice() {
            ["console", "no-run"] => manual.problems(self.commands().into_iter().map(|(command, _)| command)),
            ["console" | "unseen"] => self.run(0, sandbox, set, digests),
            ["console", code] if code.starts_with("exit-") => {
                self.run(code["exit-".len()..].parse().unwrap(), sandbox, set, digests)
            }
            ["ron"] => study::plan(&self.text, study::Expected::Accepted),
            ["ron", name] if written(".ron", name) => {
                sandbox.write(name, &self.text);
                study::plan(&self.text, study::Expected::Accepted)
            }
            ["ron", name, "refused"] if written(".ron", name) => {
                sandbox.write(name, &self.text);
                study::plan(&self.text, study::Expected::Refused)
            }
            ["ron", "stages"] => study::stages(&self.text),
            ["ron", "search"] => study::search(&self.text),
            ["ron", "train"] => study::train(&self.text),
            ["json", name @ ..] if name.len() <= 1 && name.iter().all(|name| written(".json", name)) => {
                name.iter().for_each(|name| sandbox.write(name, &self.text));
                let parsed = serde_json::from_str::<Value>(&self.text);
                parsed.err().map(|error| error.to_string()).into_iter().collect()
            }
            ["json", record] if record.contains('/') => self.compare(&sandbox.pipe(&format!("cat {record}")).ok().out),
            ["python", name] if written(".py", name) => {
                sandbox.write(name, &self.text);
                Vec::new()
            }
            ["text"] => Vec::new(),
            other => vec![format!("unknown info string `{}`", other.join(" "))],
        }
    }

    /// Compares the block with a record.
    fn compare(&self, record: &str) -> Vec<String> {
        let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|error| error.to_string());
        match (parse(&self.text), parse(record)) {
            (Ok(shown), Ok(found)) => differences("", &shown, &found),
            (shown, found) => [shown.err(), found.err()].into_iter().flatten().collect(),
        }
    }

    /// Returns the commands, each with its expected output.
    fn commands(&self) -> Vec<(String, Vec<&str>)> {
        let mut commands: Vec<(String, Vec<&str>)> = Vec::new();
        for line in self.text.lines() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push((command.to_owned(), Vec::new())),
                (None, Some((command, printed))) if command.ends_with('\\') && printed.is_empty() => {
                    *command += &format!("\n{line}");
                }
                (None, Some((_, printed))) => printed.push(line),
                (None, None) => panic!("line {}: a console begins with `$ `", self.line),
            }
        }
        commands
    }

    /// Runs the commands. The last one must end with `code`, the others with 0.
    fn run(&self, code: i32, sandbox: &Sandbox, set: &str, digests: &mut Digests) -> Vec<String> {
        let commands = self.commands();
        let mut problems = Vec::new();
        for (i, (command, printed)) in commands.iter().enumerate() {
            if !is_harmless(command) {
                problems.push(format!("$ {command}: only `pipe`, `ls` and `cat` may be run"));
                continue;
            }
            let expected = if i + 1 == commands.len() { code } else { 0 };
            let output = shell(command, sandbox, set);
            // With less work than on the page, a study has the same nodes but different scores.
            let comparable =
                |text: &str| if set.is_empty() { filtered(text) } else { without_decimals(&filtered(text)) };
            let lines = |text: &str| -> Vec<String> { text.lines().map(|line| comparable(line.trim_end())).collect() };
            let (shown, found) = (printed.join("\n").replace(HOME, "SANDBOX"), output.out.trim_end());
            let pairs = pairs(&lines(&shown), &lines(found)).filter(|_| output.code == Some(expected));
            let Some(pairs) = pairs else {
                let (shown, found) = (lines(&shown).join("\n"), lines(found).join("\n"));
                problems.push(format!(
                    "$ {command}\n--- expected, exit code {expected}:\n{shown}\n--- found, exit code {:?}:\n{found}",
                    output.code
                ));
                continue;
            };
            let (shown, found): (Vec<_>, Vec<_>) = (shown.lines().collect(), found.lines().collect());
            for (i, j) in pairs {
                for (shown, found) in digests_in(shown[i]).zip(digests_in(found[j])) {
                    let before = digests.entry(shown.to_owned()).or_insert_with(|| found.to_owned());
                    if before != found {
                        problems.push(format!("$ {command}\n{shown} was {before} before, and is {found} here"));
                    }
                }
            }
        }
        problems
    }
}

/// Returns the differences between a value on a page and the value found. A list on a page may be shorter.
fn differences(path: &str, shown: &Value, found: &Value) -> Vec<String> {
    match (shown, found) {
        (Value::Object(shown), Value::Object(found)) => {
            let keys: BTreeSet<&String> = shown.keys().chain(found.keys()).collect();
            let mut problems = Vec::new();
            for key in keys {
                problems.extend(differences(&format!("{path}.{key}"), value(shown, key), value(found, key)));
            }
            problems
        }
        (Value::Array(shown), Value::Array(found)) if shown.len() <= found.len() => {
            let items = shown.iter().zip(found).enumerate();
            items.flat_map(|(i, (shown, found))| differences(&format!("{path}[{i}]"), shown, found)).collect()
        }
        (Value::String(shown), Value::String(found)) if filtered(shown) == filtered(found) => Vec::new(),
        (shown, found) if shown == found => Vec::new(),
        (shown, found) => vec![format!("{path}: expected {shown}, found {found}")],
    }
}

fn value<'a>(map: &'a Map<String, Value>, key: &str) -> &'a Value {
    map.get(key).unwrap_or(&Value::Null)
}

/// Returns whether a test may run a command, because it needs neither a network nor another program.
fn is_harmless(command: &str) -> bool {
    let mut words = command.split_whitespace().skip_while(|word| word.starts_with("PIPE_"));
    // A value of PIPE_SET may have a space.
    let program = words.find(|word| !word.ends_with('\''));
    program.is_some_and(|program| ["pipe", "ls", "cat"].contains(&program))
}

/// Runs a command in a shell. Standard output and standard error are both in `out`, in order.
fn shell(command: &str, sandbox: &Sandbox, set: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_pipe")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec 2>&1\n{command}")]).current_dir(sandbox.path("")).stdin(Stdio::null());
    shell.env_clear().env("PATH", format!("{}:{path}", program.display()));
    // One node at a time, so that the order of lines does not vary.
    shell.env("PIPE_JOBS", "1");
    if !set.is_empty() {
        shell.env("PIPE_SET", set);
    }
    if sandbox.path(SLURM_CONF).exists() {
        shell.env("SLURM_CONF", sandbox.path(SLURM_CONF));
    }
    sandbox.output(&mut shell)
}

/// Returns the pairs (line of `shown`, line of `found`) that correspond, or `None` if `found` does not match `shown`. A line `..` in
/// `shown` matches any lines. Lines that contain `..` are in no pair.
fn pairs(shown: &[String], found: &[String]) -> Option<Vec<(usize, usize)>> {
    let Some((last, before)) = shown.split_last() else { return found.is_empty().then(Vec::new) };
    if last.trim() == ".." {
        return (0..=found.len()).find_map(|end| pairs(before, &found[..end]));
    }
    let (line, lines) = found.split_last()?;
    let mut pairs = is_like(last, line).then(|| pairs(before, lines))??;
    if !last.contains("..") {
        pairs.push((before.len(), lines.len()));
    }
    Some(pairs)
}

/// Returns the first twelve digits of the digests in a line.
fn digests_in(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric());
    let is_digest = |word: &&str| [12, 64].contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    words.filter(is_digest).map(|word| &word[..12])
}

/// Returns whether `line` matches `pattern`, in which `..` matches any text.
fn is_like(pattern: &str, line: &str) -> bool {
    match pattern.split_once("..") {
        None => pattern == line,
        Some((before, after)) => line.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| is_like(after, &rest[at..]))
        }),
    }
}

/// Returns text with numbers that have a decimal point replaced.
fn without_decimals(text: &str) -> String {
    let is_decimal = |word: &str| {
        let word = word.trim_start_matches(['(', '-', '+']).trim_end_matches([')', ',', ':', '%']);
        word.contains('.') && word.parse::<f64>().is_ok()
    };
    let word = |word: &str| if is_decimal(word) { "DECIMAL" } else { word }.to_owned();
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn two_dots_match_any_text_or_lines() {
    assert!(is_like("a .. c", "a b c") && is_like("a..", "a") && is_like("a", "a"));
    assert!(!is_like("a .. c", "a b d") && !is_like("a", "ab"));
    let lines = |text: &str| -> Vec<String> { text.chars().map(|c| c.to_string().replace('_', "..")).collect() };
    let check = |shown, found, expected: Option<&[_]>| {
        assert_eq!(pairs(&lines(shown), &lines(found)), expected.map(<[_]>::to_vec), "{shown} {found}");
    };
    check("a_c", "ac", Some(&[(0, 0), (2, 1)]));
    check("_", "ab", Some(&[]));
    check("a_", "b", None);
    check("a", "ab", None);
}

#[test]
fn only_harmless_commands_are_run() {
    assert!(is_harmless("PIPE_SET='seed=3; search.trials=4' pipe run") && is_harmless("ls .pipe"));
    assert!(!is_harmless("pip install numpy") && !is_harmless("python3 x.py"));
}
