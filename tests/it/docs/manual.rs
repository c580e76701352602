//! The commands and options in `pipe help`, which those on the pages are compared with.

use std::collections::{BTreeMap, BTreeSet};

use crate::sandbox::Sandbox;

/// The commands and options in `pipe help`.
pub(crate) struct Manual {
    /// command -> its options
    pub(crate) options: BTreeMap<String, BTreeSet<String>>,
}

impl Manual {
    pub(crate) fn read() -> Self {
        let sandbox = Sandbox::new();
        let help = sandbox.pipe("--help").ok().out;
        let options = |command: &str| -> BTreeSet<String> {
            let mut help = sandbox.pipe(&format!("{command} --help")).ok().out;
            for inner in commands_in(&help) {
                help += &sandbox.pipe(&format!("{command} {inner} --help")).ok().out;
            }
            let lines = help.lines().filter(|line| line.trim_start().starts_with('-'));
            let words = lines.flat_map(|line| line.split([' ', ',', '=', '['])).filter(|word| word.starts_with("--"));
            words.map(|word| word.trim_end_matches('.').to_owned()).collect()
        };
        Self { options: commands_in(&help).into_iter().map(|name| (name.clone(), options(&name))).collect() }
    }

    /// Returns the problems of the commands and options in `codes`: those that do not exist.
    pub(crate) fn problems(&self, codes: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut problems = Vec::new();
        for code in codes {
            // What is quoted is a value, or the command line of another program.
            let unquoted: String = code.split('\'').step_by(2).collect();
            let words: Vec<&str> = unquoted.split_whitespace().map(|word| word.trim_matches(['"', ')', ','])).collect();
            let at = words.iter().position(|word| *word == "pipe" || word.ends_with("/pipe"));
            // What comes before may be another program, with options of its own.
            let words = &words[at.unwrap_or(0)..];
            let at = at.map(|_| 0);
            let options = words.iter().filter(|word| word.starts_with("--") && word.len() > 2);
            let options: Vec<&str> = options.map(|word| word.split('=').next().unwrap()).collect();
            let command =
                at.and_then(|at| words.get(at + 1)).filter(|word| word.starts_with(|c: char| c.is_lowercase()));
            let known: BTreeSet<&str> = match command {
                Some(&"help") => continue,
                Some(command) => match self.options.get(*command) {
                    Some(options) => options.iter().map(String::as_str).collect(),
                    None => {
                        problems.push(format!("`{code}`: there is no command `{command}`"));
                        continue;
                    }
                },
                // Other programs have options of their own.
                None if !code.starts_with("--") => continue,
                None => self.options.values().flatten().map(String::as_str).collect(),
            };
            let unknown = options.into_iter().filter(|option| !known.contains(option));
            problems.extend(unknown.map(|option| format!("`{code}`: there is no option `{option}`")));
        }
        problems
    }
}

/// Returns the commands that a help text lists.
fn commands_in(help: &str) -> Vec<String> {
    let lines = help.split("Commands:\n").nth(1).unwrap_or_default().lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}
