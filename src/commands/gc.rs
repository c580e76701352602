//! `pipe gc`

use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::Args;
use pipe_engine::{
    gc::{self, Forgotten},
    study,
};
use pipe_store::{GcPlan, Store, StoreError};

use crate::{
    failure::{EXIT_CODES, Failure},
    logging::Logging,
    output::{json, print},
    report_folder,
    store_args::StoreArgs,
};

/// Remove what no study needs
///
/// It keeps everything that a study in the store names, that a running or an unfinished run has made, or that was written or
/// used within the grace period. It is safe beside a running `pipe run`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Gc {
    #[command(flatten)]
    store: StoreArgs,
    /// Print what would go, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// First forget all but the last N studies of each name
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep_last: Option<u32>,
    /// Keep what is younger than this: `90s`, `30m`, `12h`, `14d`
    #[arg(long, value_name = "TIME", default_value = "14d", value_parser = humantime::parse_duration)]
    grace: Duration,
    /// Give up unfinished runs: what they made goes, too, and running them again makes it again
    #[arg(long)]
    abandon: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Gc {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let now = SystemTime::now();
        let forgotten = gc::forget(&store, self.keep_last)?;
        let mut plan = self.plan(&store, &forgotten, now)?;
        if self.dry_run {
            let views = self.stale_views(&store, &forgotten, now)?;
            let text = gc::render(&plan, &forgotten, true) + &render_views(&views);
            return print(&if self.json { json(&plan) } else { text });
        }
        if self.abandon {
            for run in store.runs()?.into_iter().filter(|run| !run.running) {
                store.abandon_run(&run.id)?;
            }
        }
        // Names first: nothing may name a record that is swept.
        forgotten.carry_out(&store)?;
        let swept = loop {
            match store.sweep(&plan) {
                // A run has ended since, and its study needs what it made.
                Err(StoreError::StalePlan) => plan = self.plan(&store, &Forgotten::default(), now)?,
                swept => break swept?,
            }
        };
        let views = self.stale_views(&store, &Forgotten::default(), now)?;
        for folder in &views {
            fs::remove_dir_all(folder)
                .map_err(|error| Failure::work(format!("`{}` cannot be removed: {error}", folder.display())))?;
        }
        if self.json {
            return print(&json(&swept));
        }
        print(&(gc::render(&plan, &forgotten, false) + &render_views(&views)))?;
        if swept.spared.count > 0 {
            eprintln!("{} files stayed: they have been used since", swept.spared.count);
        }
        Ok(())
    }

    /// Returns the folders of reports that are past the grace period and whose studies are forgotten. As long as a study is
    /// there, its report can be written again.
    fn stale_views(&self, store: &Store, forgotten: &Forgotten, now: SystemTime) -> Result<Vec<PathBuf>, Failure> {
        let mut kept: Vec<_> = study::list(store)?.into_iter().map(|(name, entry)| (name, entry.digest)).collect();
        for entry in &forgotten.entries {
            if let Some(at) = kept.iter().position(|kept| kept == entry) {
                kept.remove(at);
            }
        }
        let is_old = |path: &PathBuf| {
            let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
            modified.is_ok_and(|modified| now.duration_since(modified).unwrap_or_default() >= self.grace)
        };
        Ok(report_folder::stale(store, &kept.into_iter().collect()).into_iter().filter(is_old).collect())
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

fn render_views(folders: &[PathBuf]) -> String {
    if folders.is_empty() {
        String::new()
    } else {
        format!("reports of forgotten studies that go, too: {}\n", folders.len())
    }
}
