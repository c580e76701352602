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

    pub(crate) fn finish(&self, _: bool) -> Result<(), Failure> {
        match *self {}
    }
}

#[cfg(not(feature = "remote"))]
pub(crate) fn read_through(_: &pipe_store::Store, _: &str, _: bool) -> Result<Through, Failure> {
    Err(not_built())
}

#[cfg(feature = "remote")]
pub(crate) use with::*;

#[cfg(feature = "remote")]
mod with {
    use std::sync::Arc;

    use indicatif::{ProgressBar, ProgressStyle};
    use pipe_engine::run::remote_results::RemoteResults;
    use pipe_remote::{Probe, Progress, ReadThrough, ReadThroughEnd, Remote, RemoteError, Remotes};
    use pipe_stages::words::closest;
    use pipe_store::Store;

    use super::Failure;
    use crate::talk;

    /// Opens the remote called `name`, or the only one.
    pub(crate) fn open(store: &Store, name: Option<&str>) -> Result<(String, Remote), Failure> {
        let remotes = Remotes::of(store)?;
        let (name, record) = remotes.find(name)?;
        Ok((name.to_owned(), Remote::open(name, record)?))
    }

    /// The remote that `pipe run --remote` asks.
    pub(crate) struct Through(Arc<ReadThrough>, String);

    /// Opens the remote called `name`, to be asked for results and, if `write` or the remote's record says so, to get results.
    pub(crate) fn read_through(store: &Store, name: &str, write: bool) -> Result<Through, Failure> {
        let remotes = Remotes::of(store)?;
        let (name, record) = remotes.find(Some(name))?;
        let through = ReadThrough::open(name, record, store, write || record.write)?;
        Ok(Through(Arc::new(through), name.to_owned()))
    }

    impl Through {
        pub(crate) fn results(&self) -> Arc<dyn RemoteResults> {
            self.0.clone()
        }

        /// Waits until everything is sent, and says what came of it.
        pub(crate) fn finish(&self, quiet: bool) -> Result<(), Failure> {
            let ReadThroughEnd { fetched, conflicts } = self.0.finish();
            if fetched > 0 && !quiet {
                let results = if fetched == 1 { "1 result".to_owned() } else { format!("{fetched} results") };
                talk::say(&format!("{results} came from the remote `{}`", self.1));
            }
            if conflicts.is_empty() {
                return Ok(());
            }
            Err(RemoteError::Conflicts { remote: self.1.clone(), found: conflicts }.into())
        }
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
