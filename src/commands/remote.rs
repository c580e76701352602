//! `pipe remote`

use clap::{Args, Subcommand};

use crate::{failure::Failure, logging::Logging, store_args::StoreArgs};

/// Add, list, check and remove remotes: stores elsewhere
///
/// A remote is a folder (`file:///mnt/share/pipe`), a part of a bucket (`s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`,
/// `az://CONTAINER/PREFIX`), or a folder of a web server, which can only be read (`https://..`). Remotes are written to `remotes.ron`
/// in the store. Credentials come from the environment alone.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe remote add lab s3://lab-pipe/studies
  pipe remote list
  pipe remote check lab
  pipe remote remove lab")]
pub(crate) struct Remote {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
#[cfg_attr(not(feature = "remote"), expect(dead_code, reason = "this build has no remotes"))]
enum Action {
    /// Add a remote, and find out what it can do: read, list, write, and create a file only if there is none
    Add {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        /// Where it is
        #[arg(value_name = "URL")]
        url: String,
        /// Let `pipe run --remote` write results to it
        #[arg(long)]
        write: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// List the remotes
    List {
        #[command(flatten)]
        store: StoreArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Find out again what a remote can do
    Check {
        /// Its name [default: the only one]
        #[arg(value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Remove a remote from this store; what is there stays there
    Remove {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        store: StoreArgs,
    },
}

#[cfg(not(feature = "remote"))]
impl Remote {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let Self { action: _ } = self;
        Err(crate::remotes::not_built())
    }
}

#[cfg(feature = "remote")]
impl Remote {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        use pipe_remote::{Place, Record, Remotes};

        use crate::{
            output::{json, print},
            remotes,
        };

        match self.action {
            Action::Add { name, url, write, store } => {
                // What is wrong with the URL is said before anything is made.
                Place::parse(&url)?;
                let store = store.open()?;
                let record = Record { url, write, conditional: true };
                Remotes::of(&store)?.check_new(&name, &record)?;
                pipe_remote::Remote::prepare(&name, &record)?;
                let probe = pipe_remote::Remote::open(&name, &record)?.probe()?;
                let record = Record { conditional: probe.conditional.unwrap_or(true), ..record };
                print(&format!("{name}  {}\n{}", record.url, remotes::describe(&probe)))?;
                remotes::warn(&name, &probe);
                Ok(Remotes::add(&store, &name, record)?)
            }
            Action::List { store, json: as_json } => {
                let remotes = Remotes::of(&store.open_existing()?)?;
                if as_json {
                    return print(&json(&remotes));
                }
                let width = remotes.0.keys().map(String::len).max().unwrap_or(0);
                let line = |(name, record): (&String, &Record)| {
                    format!("{name:width$}  {}{}\n", record.url, if record.write { "  (write)" } else { "" })
                };
                print(&remotes.0.iter().map(line).collect::<String>())
            }
            Action::Check { name, store } => {
                let store = store.open_existing()?;
                let remotes = Remotes::of(&store)?;
                let (name, record) = remotes.find(name.as_deref())?;
                let probe = pipe_remote::Remote::open(name, record)?.probe()?;
                print(&format!("{name}  {}\n{}", record.url, remotes::describe(&probe)))?;
                remotes::warn(name, &probe);
                let conditional = probe.conditional.unwrap_or(record.conditional);
                if conditional != record.conditional {
                    Remotes::add(&store, name, Record { conditional, ..record.clone() })?;
                }
                Ok(())
            }
            Action::Remove { name, store } => Ok(Remotes::remove(&store.open_existing()?, &name)?),
        }
    }
}
