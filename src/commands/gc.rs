//! `pipe gc`

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::Args;
use pipe_engine::{
    gc::{self, Forgotten},
    study, tag,
};
use pipe_store::{GcPlan, Store, StoreError};

use crate::{
    failure::{EXIT_CODES, Failure},
    logging::Logging,
    output::{json, print},
    report_folder,
    store_args::StoreArgs,
    talk,
};

/// Remove everything that no study needs
///
/// Keeps the objects of all studies, the results of running and unfinished runs, and everything that was written or used
/// within the grace period. It can run at the same time as `pipe run`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Gc {
    #[command(flatten)]
    store: StoreArgs,
    /// Print what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// First forget all studies but the last N of each name
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep_last: Option<u32>,
    /// Keep everything younger than this: `90s`, `30m`, `12h`, `14d`
    #[arg(long, value_name = "TIME", default_value = "14d", value_parser = humantime::parse_duration)]
    grace: Duration,
    /// Also remove the results of unfinished runs
    ///
    /// If such a run is started again, it computes them again.
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
        // Names are removed first, because a name must not refer to a record that was removed.
        forgotten.carry_out(&store)?;
        let swept = loop {
            match store.sweep(&plan) {
                // A run has ended since the plan was made, and its study needs the results.
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
            talk::say(&format!("{} files were kept: they have been used in the meantime", swept.spared.count));
        }
        Ok(())
    }

    /// Returns the folders of reports that are older than the grace period and whose studies are forgotten. The report of a study
    /// that still exists is kept.
    fn stale_views(&self, store: &Store, forgotten: &Forgotten, now: SystemTime) -> Result<Vec<PathBuf>, Failure> {
        let mut kept: Vec<_> = study::list(store)?.into_iter().map(|(name, entry)| (name, entry.digest)).collect();
        for entry in &forgotten.entries {
            if let Some(at) = kept.iter().position(|kept| kept == entry) {
                kept.remove(at);
            }
        }
        let names: BTreeSet<String> = kept.iter().map(|(name, _)| name.clone()).collect();
        for (tag, entry) in tag::list(store)? {
            // The report of a tagged study stays under each name that it may have been run under.
            kept.extend(names.iter().cloned().chain([tag]).map(|name| (name, entry.digest)));
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
        format!("reports of forgotten studies to remove: {}\n", folders.len())
    }
}
