//! `pipe complete` says what can come next on a command line. The scripts of `pipe completions` ask it.

use clap::Args;

use crate::{
    completion::{self, Offer, Word},
    failure::Failure,
    logging::Logging,
    output::print,
};

/// Print what can come next on a command line (plumbing)
///
/// The first line is `files`, `folders` or `words`. After `words` comes a line for each word: the word, a tab, and what it is. Nothing is
/// written to the store, and what cannot be read is no error.
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Complete {
    /// The command line up to the cursor
    #[arg(long, value_name = "LINE", allow_hyphen_values = true, conflicts_with = "words")]
    line: Option<String>,
    /// The characters at which the shell divides words; what is before the last `=` or `:` of them is left out
    #[arg(long, value_name = "CHARACTERS", allow_hyphen_values = true, default_value = "")]
    breaks: String,
    /// The words of the command line; the last one is up to the cursor
    #[arg(last = true)]
    words: Vec<String>,
}

impl Complete {
    pub(crate) fn run(self, _: &Logging, mut program: clap::Command) -> Result<(), Failure> {
        program.build();
        let words = self.line.as_deref().map_or(self.words, completion::split);
        let word = words.last().map_or("", String::as_str);
        let is_break = |c: char| "=:".contains(c) && self.breaks.contains(c);
        let done = word.rfind(is_break).map_or(0, |at| at + 1);
        let text = match completion::complete(&program, &words) {
            Offer::Files => "files\n".to_owned(),
            Offer::Folders => "folders\n".to_owned(),
            Offer::Words(words) => {
                let line = |Word { text, about }: &Word| {
                    // The shell would take a line break for another word.
                    let is_plain = !text.contains(|c: char| c.is_control());
                    let about = about.lines().next().unwrap_or_default();
                    is_plain.then(|| format!("{}\t{about}\n", &text[done..]))
                };
                "words\n".to_owned() + &words.iter().filter_map(line).collect::<String>()
            }
        };
        print(&text)
    }
}
