//! A launcher: words that are put before the command line of a worker, so that it runs elsewhere. `srun` starts it as a step of a Slurm
//! job, `ssh` on another machine. Its standard input and output stay those of the worker, so progress, stopping and the end of either
//! side go through.

use std::{ffi::OsStr, path::Path};

/// What a worker needs of the place where it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resources {
    /// The number of threads, at least 1.
    pub threads: usize,
    /// The memory in MiB.
    pub memory: u64,
    /// The number of GPUs.
    pub gpus: usize,
}

impl Resources {
    /// Returns what to ask for, for a node that needs `memory` bytes by its estimate: a quarter and 256 MiB more, for the process itself.
    pub(super) fn new(threads: usize, memory: u64, gpus: usize) -> Self {
        let memory = memory.saturating_add(memory / 4).div_ceil(1 << 20).saturating_add(256);
        Self { threads, memory, gpus }
    }
}

/// The words that are put before the command line of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launcher {
    text: String,
    words: Vec<Word>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Parts(Vec<Part>),
    /// The command line of the worker, as one word that a shell takes apart.
    Command,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Threads,
    Memory,
    Gpus,
    Node,
}

/// Why a text is no launcher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LauncherError {
    /// It has no words.
    #[error("it is empty: write a command such as `srun --exact -n1 -c{{threads}}`")]
    Empty,
    /// A quote does not end.
    #[error("a quote does not end")]
    Quote,
    /// A placeholder that there is not.
    #[error(
        "`{{{0}}}` is no placeholder: there are {{threads}}, {{memory}} (in MiB), {{gpus}}, {{node}} and {{command}}; write `{{{{` for a brace"
    )]
    Placeholder(String),
    /// A brace without its partner.
    #[error("a brace has no partner in `{0}`: write `{{{{` for a brace")]
    Brace(String),
    /// The command line of the worker within a word.
    #[error("`{{command}}` must be a word of its own, not a part of `{0}`")]
    Command(String),
}

impl Launcher {
    /// Reads a launcher. Its words are separated by spaces, and quotes and backslashes work as in a shell.
    ///
    /// # Errors
    /// If there is no word, or a quote, a brace or a placeholder is wrong.
    pub fn parse(text: &str) -> Result<Self, LauncherError> {
        let words = shlex::split(text).ok_or(LauncherError::Quote)?;
        if words.is_empty() {
            return Err(LauncherError::Empty);
        }
        let words = words.iter().map(|word| parse_word(word)).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), words })
    }

    /// Returns the text that it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the command line that starts `worker` for a node. If the launcher is `ssh`, or has the word `{command}`, the worker's words
    /// are quoted for a shell.
    pub(super) fn fill(&self, node: &str, resources: Resources, worker: &[&OsStr]) -> Vec<String> {
        let worker: Vec<_> = worker.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let quoted = || shlex::try_join(worker.iter().map(String::as_str)).expect("no word of ours has a zero byte");
        let mut filled = Vec::new();
        for word in &self.words {
            filled.push(match word {
                Word::Command => quoted(),
                Word::Parts(parts) => parts.iter().map(|part| part.fill(node, resources)).collect(),
            });
        }
        if self.words.contains(&Word::Command) {
            return filled;
        }
        let is_ssh = Path::new(&filled[0]).file_name() == Some(OsStr::new("ssh"));
        // A shell on the other machine takes apart what `ssh` is given.
        filled.extend(if is_ssh { vec![quoted()] } else { worker });
        filled
    }
}

impl Part {
    fn fill(&self, node: &str, resources: Resources) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Threads => resources.threads.to_string(),
            Self::Memory => resources.memory.to_string(),
            Self::Gpus => resources.gpus.to_string(),
            Self::Node => node.to_owned(),
        }
    }
}

fn parse_word(word: &str) -> Result<Word, LauncherError> {
    if word == "{command}" {
        return Ok(Word::Command);
    }
    let unpaired = || LauncherError::Brace(word.to_owned());
    let (mut parts, mut text, mut rest) = (Vec::new(), String::new(), word);
    while let Some(at) = rest.find(['{', '}']) {
        text += &rest[..at];
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            text += brace;
            rest = after;
            continue;
        }
        let (name, after) = rest.split_once('}').filter(|_| brace == "{").ok_or_else(unpaired)?;
        parts.push(Part::Text(std::mem::take(&mut text)));
        parts.push(match name {
            "threads" => Part::Threads,
            "memory" => Part::Memory,
            "gpus" => Part::Gpus,
            "node" => Part::Node,
            "command" => return Err(LauncherError::Command(word.to_owned())),
            _ => return Err(LauncherError::Placeholder(name.to_owned())),
        });
        rest = after;
    }
    parts.push(Part::Text(text + rest));
    parts.retain(|part| *part != Part::Text(String::new()));
    Ok(Word::Parts(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str, worker: &[&str]) -> Vec<String> {
        let worker: Vec<_> = worker.iter().map(OsStr::new).collect();
        let resources = Resources::new(2, 100 << 20, 1);
        Launcher::parse(text).unwrap().fill("search/train/003", resources, &worker)
    }

    #[test]
    fn a_launcher_comes_before_the_worker() {
        let filled =
            fill("srun --exact -c{threads} --mem={memory}M --gpus={gpus} -J '{node} {{x}}'", &["pipe", "exec"]);
        let expected =
            ["srun", "--exact", "-c2", "--mem=381M", "--gpus=1", "-J", "search/train/003 {x}", "pipe", "exec"];
        assert_eq!(filled, expected);
        assert_eq!(fill("nice", &["pipe", "a b"]), ["nice", "pipe", "a b"]);
    }

    #[test]
    fn words_for_a_shell_elsewhere_are_quoted() {
        let how = r#"{"a":"it's"}"#;
        assert_eq!(
            fill("/usr/bin/ssh gpu3", &["pipe", "a b", how]),
            ["/usr/bin/ssh", "gpu3", r#"pipe 'a b' "{\"a\":\"it's\"}""#]
        );
        assert_eq!(
            fill("kubectl exec -i pod -- sh -c {command}", &["pipe", "a b"]),
            ["kubectl", "exec", "-i", "pod", "--", "sh", "-c", "pipe 'a b'"]
        );
        // A shell gives the words back.
        let command = fill("ssh x", &["printf", "%s\\n", "a b", how, "$HOME", ""]).pop().unwrap();
        let said = std::process::Command::new("sh").args(["-c", &command]).output().unwrap().stdout;
        assert_eq!(String::from_utf8(said).unwrap(), format!("a b\n{how}\n$HOME\n\n"));
    }

    #[test]
    fn what_is_no_launcher_is_refused() {
        let error = |text: &str| Launcher::parse(text).unwrap_err().to_string();
        assert!(error("  ").starts_with("it is empty: write a command such as `srun --exact -n1 -c{threads}`"));
        assert_eq!(error("srun 'x"), "a quote does not end");
        assert!(error("srun -c{thread}").starts_with("`{thread}` is no placeholder: there are {threads}, "));
        assert_eq!(error("srun {x"), "a brace has no partner in `{x`: write `{{` for a brace");
        assert_eq!(error("srun x}"), "a brace has no partner in `x}`: write `{{` for a brace");
        assert_eq!(error("sh -c x{command}"), "`{command}` must be a word of its own, not a part of `x{command}`");
    }
}
