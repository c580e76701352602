//! What the word at the cursor is: a command, an option, or the value of an argument.

use clap::{Arg, Command};

/// What a command line says before the cursor.
pub(super) struct Cursor<'c> {
    pub(super) program: &'c Command,
    /// The command that was named. The program, before it is.
    pub(super) command: &'c Command,
    /// The values of the options and arguments that were given: (id, value). A flag has an empty one.
    pub(super) given: Vec<(String, String)>,
    pub(super) wanted: Wanted<'c>,
}

/// What the word at the cursor is.
pub(super) enum Wanted<'c> {
    /// The name of a command.
    Command,
    /// The name of an option.
    Option,
    /// A value of `arg`. In the word, `before` comes before it: `--study=`.
    Value { arg: &'c Arg, before: String },
    /// Nothing that is known.
    Nothing,
}

impl<'c> Cursor<'c> {
    /// Reads `words`, the program's own name and what follows it. The last word is the one at the cursor.
    pub(super) fn find(program: &'c Command, words: &[String]) -> Self {
        let mut cursor = Self { program, command: program, given: Vec::new(), wanted: Wanted::Nothing };
        let Some((last, before)) = words.split_last() else { return cursor };
        // The option that the next word is the value of.
        let mut open: Option<&Arg> = None;
        let (mut positions, mut only_positions, mut of_help) = (0, false, false);
        for word in before.iter().skip(1) {
            if let Some(arg) = open.take()
                && !(word.starts_with('-') && may_stand_alone(arg))
            {
                cursor.give(arg, word);
            } else if only_positions || !word.starts_with('-') || word == "-" {
                if cursor.is_at_start() {
                    let Some(command) = program.find_subcommand(word) else {
                        // clap adds `help` when it parses.
                        of_help = word == "help" && !of_help;
                        if of_help {
                            continue;
                        }
                        return cursor;
                    };
                    if of_help {
                        return cursor;
                    }
                    cursor.command = command;
                } else {
                    if let Some(arg) = cursor.position(positions) {
                        cursor.give(arg, word);
                    }
                    positions += 1;
                }
            } else if word == "--" {
                only_positions = true;
            } else {
                open = cursor.option(word);
            }
        }
        cursor.wanted = match open {
            Some(arg) if !(last.starts_with('-') && may_stand_alone(arg)) => {
                Wanted::Value { arg, before: String::new() }
            }
            _ if last.starts_with('-') && !only_positions => match last.split_once('=') {
                None => Wanted::Option,
                Some((name, _)) => match cursor.long(name) {
                    Some(arg) => Wanted::Value { arg, before: format!("{name}=") },
                    None => Wanted::Nothing,
                },
            },
            _ if cursor.is_at_start() => Wanted::Command,
            _ => match cursor.position(positions) {
                Some(arg) => Wanted::Value { arg, before: String::new() },
                None => Wanted::Nothing,
            },
        };
        cursor
    }

    /// Returns the value of the option or argument `id` that was given last.
    pub(super) fn value(&self, id: &str) -> Option<&str> {
        self.given.iter().rev().find(|(known, _)| known == id).map(|(_, value)| value.as_str())
    }

    fn is_at_start(&self) -> bool {
        std::ptr::eq(self.command, self.program)
    }

    fn give(&mut self, arg: &Arg, value: &str) {
        self.given.push((arg.get_id().to_string(), value.to_owned()));
    }

    /// Takes note of an option. Returns it if the next word is its value.
    fn option(&mut self, word: &str) -> Option<&'c Arg> {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let (arg, value) = match name.strip_prefix("--") {
            Some(_) => (self.long(name)?, value),
            None => {
                // `-vq`, or `-fpipeline.ron`.
                let mut letters = word[1..].char_indices();
                loop {
                    let (at, letter) = letters.next()?;
                    let arg = self.arguments().find(|arg| arg.get_short() == Some(letter))?;
                    let rest = &word[1 + at + letter.len_utf8()..];
                    if takes_value(arg) || rest.is_empty() {
                        break (arg, Some(rest).filter(|rest| !rest.is_empty()));
                    }
                    self.give(arg, "");
                }
            }
        };
        if takes_value(arg) && value.is_none() {
            return Some(arg);
        }
        self.give(arg, value.unwrap_or_default());
        None
    }

    /// Returns the option called `--name`.
    fn long(&self, name: &str) -> Option<&'c Arg> {
        let name = name.strip_prefix("--")?;
        self.arguments()
            .find(|arg| arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|all| all.contains(&name)))
    }

    fn arguments(&self) -> impl Iterator<Item = &'c Arg> + use<'c> {
        self.command.get_arguments().chain(self.program.get_arguments().filter(|arg| arg.is_global_set()))
    }

    /// Returns the argument at a position, from 0. The last one may take several words.
    fn position(&self, at: usize) -> Option<&'c Arg> {
        let mut args = self.command.get_positionals();
        let last = self.command.get_positionals().last();
        args.nth(at).or_else(|| last.filter(|arg| matches!(arg.get_action(), clap::ArgAction::Append)))
    }
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), clap::ArgAction::Set | clap::ArgAction::Append)
}

/// Returns whether an option may have no value: `--check`.
fn may_stand_alone(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|n| n.min_values() == 0)
}
