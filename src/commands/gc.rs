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

use super::{EXIT_CODES, Failure, StoreArgs, json, print};
use crate::report_folder;

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
            let views = self.stale_views(&store, &forgotten, now)?;
            let text = gc::render(&plan, &forgotten, true) + &render_views(&views);
            return print(&if self.json { json(&plan) } else { text });
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
            eprintln!("{} files stayed: they were used meanwhile", swept.spared.count);
        }
        Ok(())
    }

    /// Returns the folders of reports whose studies are forgotten, past the grace period: they can be written again at any
    /// time as long as their study is there.
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
