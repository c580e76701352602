//! `pipe push`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::{failure::Failure, logging::Logging, store_args::StoreArgs};

/// Send a study to a remote
///
/// Sends everything that the study needs and the remote does not have, and the study's name last. A push that was stopped goes on
/// where it was. If the remote has another result for the same action, says so and overwrites nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe push
  pipe push shapes --to lab
  pipe push shapes --without weights,data --plan")]
pub(crate) struct Push {
    /// The study's name, hash or tag [default: the one that was run last]
    #[arg(value_name = "STUDY")]
    study: Option<String>,
    /// The remote [default: the only one]
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    /// Leave out what `pipe run` makes again, or what executions said
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
    without: Vec<Without>,
    /// Send everything again, in the place of what may be damaged there
    #[arg(long)]
    again: bool,
    /// Sign the study and its results with the secret key in this file
    #[arg(long, value_name = "FILE", env = "PIPE_SIGNING_KEY")]
    sign: Option<PathBuf>,
    /// Only say what would be sent
    #[arg(long)]
    plan: bool,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What can be left out.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Without {
    /// The weights of networks
    Weights,
    /// Data sets: what `Fetch` and `Decode` give
    Data,
    /// What executions said
    Logs,
}

#[cfg(not(feature = "remote"))]
impl Push {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        Err(crate::remotes::not_built())
    }
}

#[cfg(feature = "remote")]
impl Push {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        use std::{sync::Arc, time::SystemTime};

        use crate::{
            output::{json, print},
            remotes::{self, Bar},
            size::size,
        };

        let store = self.store.open_existing()?;
        let (remote_name, remote) = remotes::open(&store, self.to.as_deref())?;
        let without = self.without.into_iter().map(|what| match what {
            Without::Weights => pipe_remote::Without::Weights,
            Without::Data => pipe_remote::Without::Data,
            Without::Logs => pipe_remote::Without::Logs,
        });
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let sign = self.sign.map(|path| pipe_remote::SecretKey::read(&path)).transpose()?.map(Arc::new);
        let without = without.collect();
        let options = pipe_remote::PushOptions { without, again: self.again, plan: self.plan, sign, now };
        let bar = Bar::start("push");
        let pushed = remote.push(&store, self.study.as_deref(), &options, &mut |progress| bar.show(progress))?;
        drop(bar);
        if self.json {
            return print(&json(&pushed));
        }
        let verb = if self.plan { "would send at most" } else { "sent" };
        let left_out: Vec<_> = pushed.without.iter().map(|what| what.name()).collect();
        let left_out =
            if left_out.is_empty() { String::new() } else { format!(", without {}", left_out.join(" and ")) };
        print(&format!(
            "{} {} -> {remote_name}: {verb} {} ({}), {} there already{left_out}\n",
            pushed.name,
            pushed.study.short(),
            remotes::objects(pushed.sent),
            size(pushed.bytes),
            pushed.known,
        ))
    }
}
