//! Completions of a command line: what it is about, and what can come next. Shells ask the hidden command `complete`, so that they
//! know nodes, studies and columns.

mod cursor;
mod line;
mod offer;
mod values;

use cursor::{Cursor, Wanted};
pub(crate) use line::split;
pub(crate) use offer::{Offer, Word};

/// Returns what can complete the last of `words`, the arguments of `program` up to the cursor.
pub(crate) fn complete(program: &clap::Command, words: &[String]) -> Offer {
    let cursor = Cursor::find(program, words);
    let word = words.last().map_or("", String::as_str);
    let mut offered = match &cursor.wanted {
        Wanted::Command => program.get_subcommands().filter(|command| !command.is_hide_set()).map(of_command).collect(),
        Wanted::Option => options(&cursor),
        Wanted::Value { arg, before } => match values::of(&cursor, arg, &word[before.len()..]) {
            Offer::Words(words) => {
                words.into_iter().map(|word| Word { text: format!("{before}{}", word.text), ..word }).collect()
            }
            files => return files,
        },
        Wanted::Nothing => Vec::new(),
    };
    offered.retain(|offered| offered.text.starts_with(word));
    Offer::Words(offered)
}

fn of_command(command: &clap::Command) -> Word {
    Word::new(command.get_name(), command.get_about().map(ToString::to_string).unwrap_or_default())
}

/// Returns the options of the command that are not there yet, or may be there again.
fn options(cursor: &Cursor<'_>) -> Vec<Word> {
    let is_free = |arg: &&clap::Arg| {
        let repeats = matches!(arg.get_action(), clap::ArgAction::Append | clap::ArgAction::Count);
        !arg.is_hide_set() && (repeats || !cursor.given.iter().any(|(id, _)| id == arg.get_id().as_str()))
    };
    let word = |arg: &clap::Arg| {
        let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
        Some(Word::new(format!("--{}", arg.get_long()?), about))
    };
    let mut words: Vec<_> = cursor.command.get_arguments().filter(is_free).filter_map(word).collect();
    if cursor.command.get_name() != cursor.program.get_name() {
        // Those of the program are options of each command.
        let global = cursor.program.get_arguments().filter(|arg| arg.is_global_set()).filter(is_free);
        words.extend(global.filter_map(word));
        words.push(Word::new("--help", "Print help"));
    }
    words.sort_by(|a, b| a.text.cmp(&b.text));
    words.dedup_by(|a, b| a.text == b.text);
    words
}

#[cfg(test)]
mod tests;
