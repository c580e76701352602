//! `pipe tag`

use std::time::SystemTime;

use clap::Args;
use pipe_engine::{
    study,
    tag::{self, Existing, TagError},
};
use pipe_stages::words::closest;
use pipe_store::{Digest, Store};

use crate::{
    failure::Failure,
    logging::Logging,
    output::{json, print},
    store_args::StoreArgs,
};

/// Name a study, so that it stays in the store
///
/// A tag can be used wherever a study is given. `pipe gc` keeps a tagged study and everything that it needs, whatever
/// `--keep-last` says. Without arguments, lists the tags.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe tag shapes v1
  pipe tag --delete v1")]
pub(crate) struct Tag {
    /// The study's name, hash or tag
    #[arg(value_name = "STUDY", requires = "name")]
    study: Option<String>,
    /// The tag
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Move the tag if it names another study
    #[arg(long, requires = "study")]
    force: bool,
    /// Remove this tag; the study stays until `pipe gc` removes it
    #[arg(long, value_name = "NAME", conflicts_with = "study")]
    delete: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Row {
    tag: String,
    study: Digest,
    /// The name that the study was last run under.
    name: Option<String>,
    /// When the tag was set, in seconds since 1970.
    at: u64,
}

impl Tag {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        if let Some(name) = &self.delete {
            if !tag::delete(&store, name)? {
                return Err(unknown(&store, name)?);
            }
        } else if let (Some(study), Some(name)) = (&self.study, &self.name) {
            let found = study::find(&store, Some(study))?;
            let existing = if self.force { Existing::Replace } else { Existing::Keep };
            tag::set(&store, name, &found.hash, existing, SystemTime::now())?;
        }
        let wanted = self.delete.or(self.name);
        let studies = study::list(&store)?;
        let name_of = |study: &Digest| {
            studies
                .iter()
                .filter(|(_, entry)| entry.digest == *study)
                .max_by_key(|(_, entry)| entry.at)
                .map(|(name, _)| name)
        };
        let rows: Vec<Row> = tag::list(&store)?
            .into_iter()
            .filter(|(tag, _)| wanted.as_ref().is_none_or(|wanted| wanted == tag))
            .map(|(tag, entry)| Row { tag, study: entry.digest, name: name_of(&entry.digest).cloned(), at: entry.at })
            .collect();
        if self.json {
            return print(&json(&rows));
        }
        let width = rows.iter().map(|row| row.tag.len()).max().unwrap_or(0);
        let line = |row: &Row| {
            format!("{:width$}  {}  {}", row.tag, row.study, row.name.as_deref().unwrap_or("")).trim_end().to_owned()
                + "\n"
        };
        print(&rows.iter().map(line).collect::<String>())
    }
}

/// Returns the failure for a tag that does not exist.
fn unknown(store: &Store, name: &str) -> Result<Failure, Failure> {
    let tags = tag::list(store)?;
    let close = closest(name, tags.iter().map(|(tag, _)| tag.as_str()));
    let failure = Failure::usage(format!("there is no tag `{name}`"));
    Ok(match close {
        Some(close) => failure.hint(format!("did you mean `{close}`?")),
        None => failure.hint("`pipe tag` lists all tags"),
    })
}

impl From<TagError> for Failure {
    fn from(error: TagError) -> Self {
        match error {
            TagError::Taken { .. } => Self::usage(&error).hint("`--force` moves it"),
            TagError::IsStudy(_) => Self::usage(&error).hint("a tag needs a name of its own"),
            TagError::Tilde(_) => Self::usage(&error),
            TagError::Store(error) => error.into(),
        }
    }
}
