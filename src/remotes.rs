//! What the commands for remotes share. Without the cargo feature `remote` they only say how to get it.

use crate::failure::Failure;

/// Returns the failure of a build without remotes.
#[cfg(not(feature = "remote"))]
pub(crate) fn not_built() -> Failure {
    Failure::usage("this build of `pipe` has no remotes")
        .hint("build one that has: `cargo install --path . --features remote --locked`")
}

/// What `pipe run --remote` asks. There is none in this build.
#[cfg(not(feature = "remote"))]
pub(crate) enum Through {}

#[cfg(not(feature = "remote"))]
impl Through {
    pub(crate) fn results(&self) -> std::sync::Arc<dyn pipe_engine::run::remote_results::RemoteResults> {
        match *self {}
    }

    pub(crate) fn came(&self) -> Option<(String, serde_json::Value)> {
        match *self {}
    }

    pub(crate) fn finish(&self) -> Result<(), Failure> {
        match *self {}
    }
}

#[cfg(not(feature = "remote"))]
pub(crate) fn read_through(_: &pipe_store::Store, _: &str, _: bool) -> Result<Through, Failure> {
    Err(not_built())
}

#[cfg(not(feature = "remote"))]
pub(crate) fn promised(_: &pipe_store::Store) -> Result<Option<Through>, Failure> {
    Ok(None)
}

#[cfg(feature = "remote")]
pub(crate) use with::*;

#[cfg(feature = "remote")]
mod with {
    use std::sync::Arc;

    use indicatif::{ProgressBar, ProgressStyle};
    use pipe_engine::run::remote_results::RemoteResults;
    use pipe_remote::{Came, Fetched, Probe, Progress, ReadThrough, Remote, RemoteError, Remotes};
    use pipe_stages::words::closest;
    use pipe_store::Store;

    use serde_json::Value;

    use super::Failure;
    use crate::{output, size::size, talk};

    /// Opens the remote called `name`, or the only one.
    pub(crate) fn open(store: &Store, name: Option<&str>) -> Result<(String, Remote), Failure> {
        let remotes = Remotes::of(store)?;
        let (name, record) = remotes.find(name)?;
        Ok((name.to_owned(), Remote::open(name, record)?))
    }

    /// What remotes give in a run: results of one that is asked, and files that are promised.
    pub(crate) struct Through(Arc<ReadThrough>);

    /// Opens the remote called `name`, to be asked for results and, if `write` or the remote's record says so, to get results.
    pub(crate) fn read_through(store: &Store, name: &str, write: bool) -> Result<Through, Failure> {
        let remotes = Remotes::of(store)?;
        let (name, record) = remotes.find(Some(name))?;
        let through = ReadThrough::open(name, record, store, write || record.write)?;
        Ok(Through(Arc::new(through)))
    }

    /// Returns what fetches the files that are promised in a store, if there are any. No remote is asked before one is needed.
    pub(crate) fn promised(store: &Store) -> Result<Option<Through>, Failure> {
        Ok(store.has_promises()?.then(|| Through(Arc::new(ReadThrough::of_promises()))))
    }

    impl Through {
        pub(crate) fn results(&self) -> Arc<dyn RemoteResults> {
            self.0.clone()
        }

        /// Returns what came from remotes as text, which may be empty, and as an event. `None` if no remote was asked for anything.
        pub(crate) fn came(&self) -> Option<(String, Value)> {
            let came = self.0.came();
            if came.remote.is_none() && came.files == 0 {
                return None;
            }
            let mut event = output::value(&came);
            event["event"] = "remote".into();
            Some((came_text(&came), event))
        }

        /// Waits until everything is sent.
        ///
        /// # Errors
        /// If a result that this run made differs from the one that stands there.
        pub(crate) fn finish(&self) -> Result<(), Failure> {
            let found = self.0.finish();
            match self.0.came().remote {
                Some(remote) if !found.is_empty() => Err(RemoteError::Conflicts { remote, found }.into()),
                _ => Ok(()),
            }
        }
    }

    fn came_text(came: &Came) -> String {
        let Came { remote, results, files: fetched, bytes, left, left_bytes } = came;
        let Some(remote) = remote.as_ref().filter(|_| *results > 0) else {
            let verb = if *fetched == 1 { "was" } else { "were" };
            let text = format!("{} ({}) {verb} fetched because nodes read them", files(*fetched), size(*bytes));
            return if *fetched == 0 { String::new() } else { text };
        };
        let results = if *results == 1 { "1 result".to_owned() } else { format!("{results} results") };
        let mut text = format!("{results} came from the remote `{remote}`");
        if *left > 0 {
            let (stay, they_are) = if *left == 1 { ("stays", "it is") } else { ("stay", "they are") };
            text += &format!("; {} ({}) {stay} there until {they_are} needed", files(*left), size(*left_bytes));
        }
        text
    }

    /// Returns a number of files as text.
    pub(crate) fn files(n: u64) -> String {
        if n == 1 { "1 file".to_owned() } else { format!("{n} files") }
    }

    /// Returns a number of files as the subject of a sentence.
    pub(crate) fn files_are(n: u64) -> String {
        format!("{} {}", files(n), if n == 1 { "is" } else { "are" })
    }

    /// Returns what was fetched of a study, or would be, as a line.
    pub(crate) fn describe_fetched(fetched: &Fetched, plan: bool) -> String {
        let Fetched { name, study, files: n, bytes, remotes, .. } = fetched;
        let name = name.as_ref().map(|name| format!("{name} ")).unwrap_or_default();
        if remotes.is_empty() {
            return format!("{name}{}: everything is here\n", study.short());
        }
        let (verb, remotes) =
            (if plan { "would fetch" } else { "fetched" }, Vec::from_iter(remotes.clone()).join(", "));
        format!("{name}{} <- {remotes}: {verb} {} ({})\n", study.short(), files(*n), size(*bytes))
    }

    /// Returns what a remote can do, as lines.
    pub(crate) fn describe(probe: &Probe) -> String {
        let yes = |flag: bool| if flag { "yes" } else { "no" };
        let mut text =
            format!("  read    {}\n  list    {}\n  write   {}", yes(probe.reads), yes(probe.lists), yes(probe.writes));
        if let Some(refusal) = &probe.refusal {
            text += &format!(": {refusal}");
        }
        if let Some(conditional) = probe.conditional {
            text += &format!("\n  create  {}", yes(conditional));
        }
        text + "\n"
    }

    /// Returns a number of objects as text.
    pub(crate) fn objects(n: u64) -> String {
        if n == 1 { "1 object".to_owned() } else { format!("{n} objects") }
    }

    /// Says what a remote cannot do and what follows from it.
    pub(crate) fn warn(name: &str, probe: &Probe) {
        if probe.conditional == Some(false) {
            talk::say(&format!(
                "warning: the server of `{name}` overwrites a file that it should only create: each result is read before and \
                 after it is written, and of two that are written at the same moment the last one stands"
            ));
        }
    }

    /// The bar of a transfer.
    pub(crate) struct Bar {
        bar: ProgressBar,
        _bars: Option<talk::Bars>,
    }

    impl Bar {
        /// Starts a bar that begins with `verb`.
        pub(crate) fn start(verb: &str) -> Self {
            let bars = talk::Bars::start();
            let bar = bars.as_ref().map_or_else(ProgressBar::hidden, |bars| bars.add(ProgressBar::new(0)));
            let template = format!("{verb} {{bar:30}} {{bytes}}/{{total_bytes}} {{msg}} {{bytes_per_sec}} {{eta}}");
            bar.set_style(ProgressStyle::with_template(&template).expect("the template is sound"));
            Self { bar, _bars: bars }
        }

        /// Shows how far it is.
        pub(crate) fn show(&self, progress: Progress) {
            let ((bytes, all_bytes), (items, all_items)) = (progress.bytes, progress.items);
            self.bar.set_length(all_bytes);
            self.bar.set_position(bytes);
            let text = if all_items == 0 { "asking ..".to_owned() } else { format!("{items}/{all_items} objects") };
            self.bar.set_message(text);
        }
    }

    impl Drop for Bar {
        fn drop(&mut self) {
            self.bar.finish_and_clear();
        }
    }

    impl From<RemoteError> for Failure {
        fn from(error: RemoteError) -> Self {
            let known = |known: &[String], what: &str, none: &str| match known {
                [] => none.to_owned(),
                known => format!("{what} are {}", known.join(", ")),
            };
            match error {
                RemoteError::Store(error) => error.into(),
                RemoteError::Study(error) => error.into(),
                RemoteError::Unknown { ref name, known: ref names } if name.is_empty() => {
                    let hint = known(names, "remotes", "add one with `pipe remote add NAME URL`");
                    Self::usage(if names.is_empty() { "there are no remotes" } else { "which remote?" }).hint(hint)
                }
                RemoteError::Unknown { ref name, known: ref names } => {
                    let hint =
                        closest(name, names.iter().map(String::as_str)).map(|close| format!("did you mean `{close}`?"));
                    let others = || known(names, "remotes", "add one with `pipe remote add NAME URL`");
                    Self::usage(&error).hint(hint.unwrap_or_else(others))
                }
                RemoteError::NoStudy { ref remote, ref study, known: ref names } => {
                    let hint = closest(study, names.iter().map(String::as_str))
                        .map(|close| format!("did you mean `{close}`?"));
                    Self::usage(&error)
                        .hint(hint.unwrap_or_else(|| format!("`pipe studies --remote {remote}` lists them")))
                }
                RemoteError::Taken { .. } => Self::usage(&error).hint("remove it first, or take another name"),
                RemoteError::Url { .. }
                | RemoteError::Name { .. }
                | RemoteError::File { .. }
                | RemoteError::Unfit(_) => Self::usage(&error),
                RemoteError::Credentials { ref hint, .. } => {
                    let hint = hint.clone();
                    Self::usage(&error).hint(hint)
                }
                RemoteError::Unauthenticated { .. } => {
                    Self::work(&error).hint("check the credentials in the environment or the profile: docs/remote.md")
                }
                RemoteError::Unsigned { .. } => Self::work(&error).hint(
                    "who has the study signs it with `pipe push --sign FILE`; `pipe remote trust` says whom you trust",
                ),
                RemoteError::Elsewhere { ref study, .. } => {
                    let hint = format!("`pipe remote fetch {study}` fetches what is not here");
                    Self::work(&error).hint(hint)
                }
                RemoteError::Denied { .. } => Self::work(&error).hint("this identity may do less than that"),
                RemoteError::Damaged { .. } | RemoteError::Missing { .. } => Self::work(&error)
                    .hint("nothing of it was stored; who has the study mends it with `pipe push --again`"),
                RemoteError::Conflicts { .. } => {
                    Self::work(&error).hint("`pipe run --check NODE` tells whether a node gives the same result again")
                }
                RemoteError::Failed { .. } | RemoteError::Foreign { .. } => Self::work(&error),
            }
        }
    }
}
