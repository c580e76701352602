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
  pipe pull lab/shapes --recheck 2%
  pipe pull lab/1f2e3d4c")]
pub(crate) struct Pull {
    /// The remote and the study: its name, `NAME~1` for the one before the latest, or its hash. Without a remote, the only one
    #[arg(value_name = "REMOTE/STUDY")]
    study: String,
    /// Execute a sample of the results again, as `pipe run --check` does: `2%`, or `100%` for all
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    recheck: Option<f64>,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Returns the share that a text such as `2%` means.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse().ok());
    let share = number.filter(|percent| (0.0..=100.0).contains(percent)).map(|percent: f64| percent / 100.0);
    share.ok_or_else(|| "expected a percentage: `2%`".to_owned())
}

#[cfg(not(feature = "remote"))]
impl Pull {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        Err(crate::remotes::not_built())
    }
}

#[cfg(feature = "remote")]
impl Pull {
    pub(crate) fn run(self, logging: &Logging) -> Result<(), Failure> {
        use std::time::SystemTime;

        use pipe_engine::study::Study;

        use crate::{
            output::{json, print},
            remotes::{self, Bar},
            report_folder,
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
        if pulled.fetched > 0 {
            // A report that is here already may have lacked pictures.
            report_folder::refresh(&store, &pulled.study, &Study::load(&store, &pulled.study)?)?;
        }
        let check = |share| super::recheck::check_sample(&store, &pulled.study, share, &self.store, logging);
        if self.json {
            print(&json(&pulled))?;
            return self.recheck.map_or(Ok(()), check);
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
        self.recheck.map_or(Ok(()), check)
    }
}
