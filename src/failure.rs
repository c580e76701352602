//! The failure of a command: its message, its hint and its exit code.

use std::fmt::Display;

use pipe_engine::{
    names::NameError,
    pipeline::mistake::{Refused, Rendering},
    study::StudyError,
};
use pipe_store::StoreError;
use pipe_views::ViewError;

use crate::{publish::PublishError, report_folder::ViewsError, talk};

/// A failed command: its message, its hint and its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// Whether the message is whole without `error: `, and may have colours.
    pub(crate) verbatim: bool,
}

impl Failure {
    /// Returns a failure with exit code 1: the command could not do what it was asked to.
    pub(crate) fn work(message: impl Display) -> Self {
        Self { code: 1, message: message.to_string(), hint: None, verbatim: false }
    }

    /// Returns a failure with exit code 2: wrong usage.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { code: 2, ..Self::work(message) }
    }

    /// Returns a failure without a message, as everything has been printed already.
    pub(crate) fn silent(code: u8) -> Self {
        Self { code, message: String::new(), hint: None, verbatim: true }
    }

    /// Adds a hint: what the user can do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns a failure for any error, with its causes. Errors of the store among them determine the exit code.
    pub(crate) fn from_error(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut failure = Self::work(pipe_engine::run::with_causes(error));
        let mut cause = Some(error);
        while let Some(error) = cause {
            match error.downcast_ref::<StoreError>() {
                Some(error) if error.is_damage() => {
                    let hint = "`pipe verify` lists all damage, `pipe verify --repair` sets it aside so that `pipe run` \
                                makes it again";
                    failure = Self { code: 3, ..failure }.hint(hint);
                }
                Some(StoreError::Promised { .. }) => {
                    failure = failure.hint("`pipe remote fetch STUDY` fetches what is not here of a study");
                }
                Some(StoreError::Format { .. }) => {
                    failure = Self { code: 2, ..failure }
                        .hint("a newer `pipe` wrote it: use that one, or another store with `--store`");
                }
                Some(StoreError::Foreign(_)) => {
                    failure = Self { code: 2, ..failure }
                        .hint("name a folder that is empty or does not exist with `--store`");
                }
                Some(StoreError::Name { .. }) => failure.code = 2,
                Some(StoreError::Interrupted) => failure = Self::silent(130),
                Some(StoreError::Prefix(_) | StoreError::UnknownPrefix(_) | StoreError::AmbiguousPrefix { .. }) => {
                    failure.code = 2;
                }
                _ => {}
            }
            cause = error.source();
        }
        failure
    }

    /// Writes the message and the hint to standard error.
    pub(crate) fn say(&self) {
        match (self.verbatim, self.message.as_str()) {
            (true, "") => {}
            (true, message) => talk::say_styled(message),
            (false, message) => talk::say(&format!("error: {message}")),
        }
        if let Some(hint) = &self.hint {
            talk::say(&format!("  hint: {hint}"));
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::from_error(&error)
    }
}

impl From<ViewError> for Failure {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Study(error) => error.into(),
            ViewError::Store(error) => error.into(),
            ViewError::Name(error) => error.into(),
            ViewError::UnknownColumn { ref candidates, ref known, .. } if candidates.is_empty() => {
                Self::usage(&error).hint(columns(known))
            }
            ViewError::UnknownColumn { .. } | ViewError::Nothing(_) => Self::usage(&error),
            _ => Self::from_error(&error),
        }
    }
}

/// Returns a hint that lists columns. Each metric is there twice, at the best epoch and at the end, and is named once.
fn columns(known: &[String]) -> String {
    let metric = |name: &&String| name.starts_with("best.") || name.starts_with("end.");
    let metrics: Vec<_> = known.iter().filter_map(|name| name.strip_prefix("end.")).collect();
    let others: Vec<_> = known.iter().filter(|name| !metric(name)).map(String::as_str).collect();
    let metrics = match metrics.as_slice() {
        [] => String::new(),
        some => format!("; with `best.` or `end.` before it: {}", some.join(", ")),
    };
    format!("columns are {}{metrics}", others.join(", "))
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let look = if talk::has_colours() { Rendering::Coloured } else { Rendering::Plain };
        Self { verbatim: true, ..Self::usage(refused.render(look)) }
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self::usage(&error)
    }
}

impl From<ViewsError> for Failure {
    fn from(error: ViewsError) -> Self {
        match error {
            ViewsError::View(error) => error.into(),
            ViewsError::Store(error) => error.into(),
            ViewsError::Publish(error) => error.into(),
        }
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        match &error {
            PublishError::Exists(_) => Self::usage(&error).hint("`--force` overwrites it"),
            PublishError::Link { forcible: true, .. } => Self::usage(&error).hint("`--force` replaces the link"),
            PublishError::Link { .. } => Self::usage(&error).hint("name the file that it leads to, or remove the link"),
            PublishError::IsFolder(_) => Self::usage(&error).hint("name a file in it"),
            PublishError::NotAFolder(_) => Self::usage(&error),
            PublishError::OtherFiles { .. } => Self::usage(&error).hint("move them away, or name another folder"),
            PublishError::Fixed(folder) => {
                let inside = folder.join("exported");
                Self::usage(&error)
                    .hint(format!("name a folder in it that does not exist, such as `{}`", inside.display()))
            }
            PublishError::Io { source, .. } => Self::work(format!("{error}: {source}")),
            PublishError::Store(_) | PublishError::NotTheSame(_) => Self::from_error(&error),
        }
    }
}

impl From<StudyError> for Failure {
    fn from(error: StudyError) -> Self {
        match error {
            StudyError::Unknown { ref name, ref known } => {
                let close = pipe_stages::words::closest(name, known.iter().map(String::as_str));
                let hint = close.map_or_else(
                    || format!("studies are {}; a hash needs at least four digits", known.join(", ")),
                    |close| format!("did you mean `{close}`?"),
                );
                Self::usage(&error).hint(hint)
            }
            StudyError::TooFarBack { ref name, studies, .. } => {
                let oldest = if studies > 1 {
                    format!("the oldest is `{name}~{}`", studies - 1)
                } else {
                    format!("it is `{name}`")
                };
                Self::usage(&error).hint(oldest + "; `pipe studies` lists all")
            }
            StudyError::Empty => Self::usage(&error).hint("make one with `pipe run`"),
            StudyError::Store(error) => error.into(),
            StudyError::NotA { .. } => Self::from_error(&error),
        }
    }
}
