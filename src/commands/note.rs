//! `pipe note`

use std::time::SystemTime;

use clap::Args;
use pipe_engine::{
    note::{self, Note as Written},
    study,
};
use pipe_views::moment;

use crate::{
    failure::Failure,
    logging::Logging,
    output::{json, print},
    report_folder,
    store_args::StoreArgs,
};

/// The most bytes of a note.
const MOST: usize = 64 << 10;

/// Write a note beside a study, or list its notes
///
/// A study can have several notes, which are shown by `pipe studies`, `pipe show` and the report. They change neither its hash nor its
/// results. Without a text, lists them with their numbers.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe note shapes 'wide kernels help'
  pipe note shapes
  pipe note shapes --delete 1")]
pub(crate) struct Note {
    /// The study's name, hash or tag
    #[arg(value_name = "STUDY")]
    study: String,
    /// What to note
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// Remove the note with this number
    #[arg(long, value_name = "NUMBER", conflicts_with = "text")]
    delete: Option<usize>,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Note {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let found = study::find(&store, Some(&self.study))?;
        let before = note::of(&store, &found.hash)?;
        if let Some(text) = self.text.as_deref().map(str::trim) {
            if text.is_empty() || text.len() > MOST {
                return Err(Failure::usage(format!("a note of {} bytes: expected 1 to {MOST}", text.len())));
            }
            note::add(&store, &found.hash, text, SystemTime::now())?;
        }
        if let Some(number) = self.delete {
            let is_gone = number.checked_sub(1).map(|at| note::delete(&store, &found.hash, at)).transpose()?;
            if is_gone != Some(true) {
                let message = format!("`{}` has no note {number}", self.study);
                return Err(Failure::usage(message).hint(format!("`pipe note '{}'` lists its notes", self.study)));
            }
        }
        let notes = note::of(&store, &found.hash)?;
        if notes != before {
            report_folder::refresh(&store, &found.hash, &found.study)?;
        }
        if self.json {
            return print(&json(&notes));
        }
        let line = |(at, Written { at: second, text }): (usize, &Written)| {
            format!("{}  {}  {}\n", at + 1, moment(*second as f64), text.replace('\n', "\n   "))
        };
        print(&notes.iter().enumerate().map(line).collect::<String>())
    }
}
