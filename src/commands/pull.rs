//! `pipe pull`

use clap::Args;

use crate::{failure::Failure, logging::Logging, store_args::StoreArgs};

/// Fetch a study from a remote
///
/// Fetches everything that the study needs and this store does not have. Nothing is stored before it is verified. Afterwards `pipe
/// run` of the same pipeline executes nothing. A pull that was stopped goes on where it was.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe pull lab/shapes
  pipe pull lab/shapes~1
  pipe pull lab/1f2e3d4c")]
#[cfg_attr(not(feature = "remote"), expect(dead_code, reason = "without remotes there is nothing to pull from"))]
pub(crate) struct Pull {
    /// The remote and the study: its name, `NAME~1` for the one before the latest, or its hash. Without a remote, the only one
    #[arg(value_name = "REMOTE/STUDY")]
    study: String,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[cfg(not(feature = "remote"))]
impl Pull {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        Err(crate::remotes::not_built())
    }
}

#[cfg(feature = "remote")]
impl Pull {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        use std::time::SystemTime;

        use crate::{
            output::{json, print},
            remotes::{self, Bar},
            size::size,
            talk,
        };

        let store = self.store.open()?;
        let (remote, study) = match self.study.split_once('/') {
            Some((remote, study)) => (Some(remote), study),
            None => (None, self.study.as_str()),
        };
        let (name, remote) = remotes::open(&store, remote)?;
        let bar = Bar::start("pull");
        let pulled = remote.pull(&store, study, SystemTime::now(), &mut |progress| bar.show(progress))?;
        drop(bar);
        if self.json {
            return print(&json(&pulled));
        }
        print(&format!(
            "{} {} <- {name}: fetched {} ({}), {} results\n",
            pulled.name,
            pulled.study.short(),
            remotes::objects(pulled.fetched),
            size(pulled.bytes),
            pulled.results,
        ))?;
        if pulled.left_out > 0 {
            let what: Vec<_> = pulled.without.iter().map(|what| what.name()).collect();
            talk::say(&format!(
                "it was pushed without {}: {} of its results are not whole, and `pipe run` makes them again",
                what.join(" and "),
                pulled.left_out
            ));
        }
        Ok(())
    }
}
