//! `pipe remote`

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use crate::{failure::Failure, logging::Logging, store_args::StoreArgs};

/// Add, check, trust, clean up and remove remotes: stores elsewhere
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
  pipe remote fetch shapes
  pipe remote gc lab --keep-last 3 --dry-run
  pipe remote remove lab")]
pub(crate) struct Remote {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
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
    /// Fetch the files of a study that results of a remote have left there
    ///
    /// `pipe run --remote` fetches large files, such as weights, only when a node reads them. This fetches all that are not here yet,
    /// verified as by `pipe pull`.
    Fetch {
        /// The study's name, hash or tag [default: the one that was run last]
        #[arg(value_name = "STUDY")]
        study: Option<String>,
        /// Only say what would be fetched
        #[arg(long)]
        plan: bool,
        #[command(flatten)]
        store: StoreArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Demand that what comes from a remote was signed with this key, or with another one that is trusted
    Trust {
        /// The remote
        #[arg(value_name = "NAME")]
        name: String,
        /// The public key: what `pipe remote keygen` printed
        #[arg(value_name = "KEY")]
        key: String,
        /// Trust the key no longer
        #[arg(long)]
        revoke: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Make a key to sign with: writes the secret key to a new file, and prints the public key
    Keygen {
        /// The file of the secret key
        #[arg(value_name = "FILE")]
        path: PathBuf,
    },
    /// Remove what no study of a remote needs, in two steps: what is marked by one call is removed by one after the grace period
    Gc {
        /// The remote [default: the only one]
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// First forget all studies but the last N of each name
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        keep_last: Option<u32>,
        /// How old something must be, and how long it must have been marked: `12h`, `7d`
        #[arg(long, value_name = "TIME", default_value = "7d", value_parser = humantime::parse_duration)]
        grace: Duration,
        /// Print what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        store: StoreArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
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
        use std::time::SystemTime;

        use pipe_remote::{Place, Record, Remotes};
        use pipe_views::moment;

        use crate::{
            output::{json, print},
            remotes, report_folder,
            size::size,
        };

        match self.action {
            Action::Add { name, url, write, store } => {
                // What is wrong with the URL is said before anything is made.
                Place::parse(&url)?;
                let store = store.open()?;
                let record = Record { write, ..Record::new(url) };
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
            Action::Fetch { study, plan, store, json: as_json } => {
                let store = store.open_existing()?;
                let bar = remotes::Bar::start("fetch");
                let fetched =
                    pipe_remote::fetch_study(&store, study.as_deref(), plan, &mut |progress| bar.show(progress))?;
                drop(bar);
                if fetched.files > 0 && !plan {
                    // They may have lacked pictures.
                    let study = pipe_engine::study::Study::load(&store, &fetched.study)?;
                    report_folder::refresh(&store, &fetched.study, &study)?;
                }
                if as_json {
                    print(&json(&fetched))?;
                } else {
                    print(&remotes::describe_fetched(&fetched, plan))?;
                }
                if fetched.lost.is_empty() {
                    return Ok(());
                }
                let (n, lost) = (fetched.lost.len() as u64, fetched.lost.join("\n  "));
                let failure = Failure::work(format!("{} not to be had any more:\n  {lost}", remotes::files_are(n)));
                Err(failure.hint("`pipe run` makes them again"))
            }
            Action::Trust { name, key, revoke, store } => {
                let signer = key.parse()?;
                Ok(Remotes::trust(&store.open_existing()?, &name, signer, revoke)?)
            }
            Action::Keygen { path } => {
                let secret = pipe_remote::SecretKey::create(&path)?;
                print(&format!("{}\n", secret.signer()))
            }
            Action::Gc { name, keep_last, grace, dry_run, store, json: as_json } => {
                let (_, remote) = remotes::open(&store.open_existing()?, name.as_deref())?;
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
                let keep_last = keep_last.map(|n| n as usize);
                let done = remote.collect(pipe_remote::GcOptions { keep_last, grace, dry: dry_run, now })?;
                if as_json {
                    return print(&json(&done));
                }
                let verb = |did: &'static str, would: &'static str| if dry_run { would } else { did };
                let forgotten = done.forgotten.iter().map(|study| {
                    format!("{}  {} {}\n", verb("forgot", "would forget"), study.name, study.study.short())
                });
                let mut text: String = forgotten.collect();
                text += &format!(
                    "{} {} files ({}), {} {} ({})\n",
                    verb("removed", "would remove"),
                    done.removed,
                    size(done.removed_bytes),
                    verb("marked", "would mark"),
                    done.marked,
                    size(done.marked_bytes)
                );
                if let Some(due) = done.due {
                    text += &format!("what is marked can be removed from {} on\n", moment(due as f64));
                }
                print(&text)
            }
            Action::Remove { name, store } => Ok(Remotes::remove(&store.open_existing()?, &name)?),
        }
    }
}
