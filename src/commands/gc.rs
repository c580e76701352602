//! `pipe gc`

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use clap::Args;
use pipe_engine::{
    gc::{self, Forgotten, Reason, Takes},
    study, tag,
};
use pipe_store::{ActionKey, Digest, Fitted, GcPlan, Store, StoreError};
use serde_json::json;

use crate::{
    failure::Failure,
    logging::Logging,
    output::{self, print},
    report_folder,
    size::{self, size},
    store_args::StoreArgs,
    talk,
};

/// Remove everything that no study needs
///
/// Keeps the objects of all studies, the results of running and unfinished runs, and everything that was written or used
/// within the grace period. It can run at the same time as `pipe run`. A second `pipe gc` waits for the first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe gc --dry-run
  pipe gc --keep-last 3 --grace 1d
  pipe gc --max-size 20G")]
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
    /// Then remove more, until the store takes at most this: `500M`, `20G`, `1T` (powers of 1024)
    ///
    /// Removes, in this order and only as far as needed: what killed processes left; results and objects that nothing needs, whatever
    /// their age; checkpoints and working folders of programs, the oldest first. Never removes what a study, a tag, or a running or unfinished run needs. If the store
    /// is still larger, prints what takes how much and fails.
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    max_size: Option<u64>,
    /// Say why an object is kept, and remove nothing: its hash, a prefix of it, or a file of the store
    #[arg(long, value_name = "HASH|FILE", conflicts_with_all = ["dry_run", "keep_last", "abandon", "max_size"])]
    why: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Gc {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        if let Some(what) = &self.why {
            return self.say_why(&store, what);
        }
        if self.dry_run {
            return self.show_plan(&store);
        }
        let _lock = match store.lock_gc() {
            // There may be no room for the file of the lock.
            Err(StoreError::Io { .. }) => store.free_reserve().and_then(|()| store.lock_gc()),
            lock => lock,
        }?;
        let now = SystemTime::now();
        refuse_beside_runs(&store)?;
        let forgotten = gc::forget(&store, self.keep_last)?;
        let plan = self.plan(&store, &forgotten, now)?.plan;
        // Before anything is written, because the disk may be full.
        store.free_reserve()?;
        let collected = self.collect(&store, plan, &forgotten, now);
        store.keep_reserve();
        collected
    }

    fn show_plan(&self, store: &Store) -> Result<(), Failure> {
        let now = SystemTime::now();
        let forgotten = gc::forget(store, self.keep_last)?;
        let Fitted { plan, left } = self.plan(store, &forgotten, now)?;
        let views = self.stale_views(store, &forgotten, now)?;
        let over = self.over(store, &forgotten, left)?;
        let text = gc::render(&plan, &forgotten, true) + &render_views(&views);
        self.finish(&text, &plan, left, over)
    }

    fn collect(&self, store: &Store, mut plan: GcPlan, forgotten: &Forgotten, now: SystemTime) -> Result<(), Failure> {
        if self.abandon {
            for run in store.runs()?.into_iter().filter(|run| !run.running) {
                store.abandon_run(&run.id)?;
            }
        }
        // Names are removed first, because a name must not refer to a record that was removed.
        forgotten.carry_out(store)?;
        let swept = loop {
            match store.sweep(&plan) {
                // A run has ended since the plan was made, and its study needs the results.
                Err(StoreError::StalePlan) => plan = self.plan(store, &Forgotten::default(), now)?.plan,
                swept => break swept?,
            }
        };
        let views = self.stale_views(store, &Forgotten::default(), now)?;
        for folder in &views {
            fs::remove_dir_all(folder)
                .map_err(|error| Failure::work(format!("`{}` cannot be removed: {error}", folder.display())))?;
        }
        let left = if self.max_size.is_some() { store.total()?.bytes } else { 0 };
        let over = self.over(store, &Forgotten::default(), left)?;
        if !self.json && swept.spared.count > 0 {
            talk::say(&format!("{} files were kept: they have been used in the meantime", swept.spared.count));
        }
        self.finish(&(gc::render(&plan, forgotten, false) + &render_views(&views)), &swept, left, over)
    }

    /// Returns what takes how much, if the store is larger than it may be.
    fn over(&self, store: &Store, forgotten: &Forgotten, left: u64) -> Result<Option<Vec<Takes>>, Failure> {
        let is_over = self.max_size.is_some_and(|limit| left > limit);
        Ok(if is_over { Some(gc::takes(store, forgotten)?) } else { None })
    }

    /// Prints what was or would be done, and fails if the store is larger than it may be.
    fn finish(
        &self,
        text: &str,
        data: &impl serde::Serialize,
        left: u64,
        over: Option<Vec<Takes>>,
    ) -> Result<(), Failure> {
        let takes = over.as_deref().unwrap_or_default();
        if self.json {
            let mut data = serde_json::to_value(data).map_err(|error| Failure::from_error(&error))?;
            if let (Some(fields), Some(limit)) = (data.as_object_mut(), self.max_size) {
                fields.extend([
                    ("left".to_owned(), json!(left)),
                    ("limit".to_owned(), json!(limit)),
                    ("takes".to_owned(), json!(takes)),
                ]);
            }
            print(&output::json(&data))?;
        } else {
            print(&(text.to_owned() + &takes.iter().map(render_takes).collect::<String>()))?;
        }
        match (over, self.max_size) {
            (Some(_), Some(limit)) => {
                let failure = Failure::work(format!(
                    "the store {} {}, which is more than {}, and nothing else can be removed",
                    if self.dry_run { "would take" } else { "takes" },
                    size(left),
                    size(limit)
                ));
                Err(failure.hint(
                    "`--keep-last N` forgets studies, `pipe tag --delete` tags, and `--abandon` gives up unfinished runs",
                ))
            }
            _ => Ok(()),
        }
    }

    fn say_why(&self, store: &Store, what: &str) -> Result<(), Failure> {
        let now = SystemTime::now();
        let (name, reason) = match kept_file(store, what)? {
            Some(Kept::Checkpoint(path)) => {
                let written = fs::metadata(&path).and_then(|metadata| metadata.modified());
                let written = written.map_err(|error| Failure::usage(format!("`{what}` cannot be read: {error}")))?;
                let age = now.duration_since(written).unwrap_or_default();
                let left = self.grace.saturating_sub(age).as_secs();
                let young = Reason::Young { age: age.as_secs(), left, steps: Vec::new() };
                (None, if left > 0 { young } else { Reason::Nothing })
            }
            Some(Kept::WorkFolder(key)) => (None, gc::why_work_folder(store, &key, now, self.grace)?),
            Some(Kept::Object(name)) => (Some(name), gc::why(store, &name, now, self.grace)?),
            None => {
                let name = store.resolve_prefix(what)?;
                (Some(name), gc::why(store, &name, now, self.grace)?)
            }
        };
        if self.json {
            let why = json!({ "object": name, "reason": reason, "text": reason.to_string() });
            return print(&output::json(&why));
        }
        print(&format!("{reason}\n"))
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

    fn plan(&self, store: &Store, forgotten: &Forgotten, now: SystemTime) -> Result<Fitted, Failure> {
        let mut roots = store.gc_roots()?;
        if self.abandon {
            gc::leave_out_unfinished(store, &mut roots)?;
        }
        gc::add_studies(store, &mut roots, forgotten)?;
        Ok(match self.max_size {
            Some(limit) => store.gc_plan_to_fit(&roots, now, self.grace, limit)?,
            None => Fitted { plan: store.gc_plan(&roots, now, self.grace)?, left: 0 },
        })
    }
}

/// What a file of the store is kept as.
enum Kept {
    /// As an object, or with the action of this key.
    Object(Digest),
    /// As a part of a checkpoint.
    Checkpoint(PathBuf),
    /// As the working folder of this action, or a file in it.
    WorkFolder(ActionKey),
}

/// Returns what the file of the store at `text` is kept as. `None` if it is not a path.
fn kept_file(store: &Store, text: &str) -> Result<Option<Kept>, Failure> {
    if !text.contains('/') {
        return Ok(None);
    }
    let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let root = canonical(store.root());
    // Relative to the store, as reports and plans have it, or to the folder where the command runs.
    let given = [store.root().join(text), PathBuf::from(text)].into_iter().find(|path| path.exists());
    let Some(path) = given.map(|path| canonical(&path)) else {
        return Err(Failure::usage(format!("there is no file `{text}`")));
    };
    let parts: Vec<_> = path.strip_prefix(&root).into_iter().flatten().map(|part| part.to_string_lossy()).collect();
    let kept = match parts.iter().map(AsRef::as_ref).collect::<Vec<&str>>()[..] {
        ["objects" | "actions" | "provenance" | "logs", shard, file] => {
            let digits = file.split('.').next().unwrap_or_default();
            format!("{shard}{digits}").parse().ok().map(Kept::Object)
        }
        ["checkpoints", _, ..] => Some(Kept::Checkpoint(path.clone())),
        ["work", key, ..] => key.parse().ok().map(Kept::WorkFolder),
        _ => None,
    };
    let expected =
        "expected a file in `objects`, `actions`, `provenance`, `logs`, `checkpoints` or `work` of the store";
    kept.map(Some).ok_or_else(|| Failure::usage(format!("`{text}` is not kept for a reason: {expected}")))
}

fn render_takes(takes: &Takes) -> String {
    let entries = if takes.entries > 1 { format!(" ({} studies)", takes.entries) } else { String::new() };
    format!("{:>14}  {}{entries}, {} of it alone\n", size(takes.bytes), takes.owner, size(takes.alone))
}

fn render_views(folders: &[PathBuf]) -> String {
    if folders.is_empty() {
        String::new()
    } else {
        format!("reports of forgotten studies to remove: {}\n", folders.len())
    }
}

/// Refuses to collect beside a run if other machines do not see the locks of this store: whether a run has ended cannot be seen then.
fn refuse_beside_runs(store: &Store) -> Result<(), Failure> {
    let run = if store.locks_are_local() { store.runs()?.into_iter().next() } else { None };
    let Some(run) = run else { return Ok(()) };
    let failure = Failure::work(format!(
        "a run of `{}` is not finished, and whether it goes on elsewhere cannot be seen here: other machines do not see the locks of this \
         store",
        run.study_name
    ));
    Err(failure.hint("finish it with `pipe run`, and collect then"))
}
