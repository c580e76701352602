//! `pipe gc`

use std::time::{Duration, SystemTime};

use clap::Args;
use pipe_store::{GcPlan, Store, StoreError};

use super::{EXIT_CODES, Failure, StoreArgs, json, print};
use crate::gc::{self, Forgotten};

/// Remove what no study needs.
///
/// What stays: everything that a study in the store names; what a running or an unfinished run has made; what was written
/// or used within the grace period. Safe beside a running `pipe run`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Gc {
    #[command(flatten)]
    store: StoreArgs,
    /// Only tell what would go
    #[arg(long)]
    dry_run: bool,
    /// Forget all but the last N studies of each name first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep_last: Option<u32>,
    /// Keep what is younger than this: `90s`, `30m`, `12h`, `14d`
    #[arg(long, value_name = "TIME", default_value = "14d", value_parser = gc::parse_duration)]
    grace: Duration,
    /// Give up unfinished runs: what they made goes too, and is made again if they are run again
    #[arg(long)]
    abandon: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Gc {
    pub fn run(self) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let now = SystemTime::now();
        let forgotten = gc::forget(&store, self.keep_last)?;
        let mut plan = self.plan(&store, &forgotten, now)?;
        if self.dry_run {
            return print(&if self.json { json(&plan) } else { gc::render(&plan, &forgotten, true) });
        }
        if self.abandon {
            for run in store.runs()?.into_iter().filter(|run| !run.running) {
                store.abandon_run(&run.id)?;
            }
        }
        // Names first: a record that is swept must not be named any more.
        forgotten.carry_out(&store)?;
        let swept = loop {
            match store.sweep(&plan) {
                // A run ended meanwhile: what its study needs stays.
                Err(StoreError::StalePlan) => plan = self.plan(&store, &Forgotten::default(), now)?,
                swept => break swept?,
            }
        };
        if self.json {
            return print(&json(&swept));
        }
        print(&gc::render(&plan, &forgotten, false))?;
        if swept.spared.count > 0 {
            eprintln!("{} files stayed: they were used meanwhile", swept.spared.count);
        }
        Ok(())
    }

    fn plan(&self, store: &Store, forgotten: &Forgotten, now: SystemTime) -> Result<GcPlan, Failure> {
        let mut roots = store.gc_roots()?;
        if self.abandon {
            gc::leave_out_unfinished(store, &mut roots)?;
        }
        gc::add_studies(store, &mut roots, forgotten)?;
        Ok(store.gc_plan(&roots, now, self.grace)?)
    }
}
