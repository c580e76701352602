//! `pipe verify`

use std::{collections::BTreeSet, time::SystemTime};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use pipe_engine::study;

use crate::{
    failure::Failure,
    logging::Logging,
    output::{json, print},
    store_args::StoreArgs,
    talk,
};

/// Check the store for damaged and missing objects
///
/// `--repair` moves damaged files, and results that refer to missing objects, to `.pipe/quarantine`. `pipe run` then computes
/// them again. A study whose manifest is missing is forgotten.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe verify
  pipe verify --repair")]
pub(crate) struct Verify {
    #[command(flatten)]
    store: StoreArgs,
    /// Move damaged files, and results that refer to missing objects, to the quarantine
    #[arg(long)]
    repair: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_damaged()?;
        let bars = talk::Bars::start();
        let bar = bars.as_ref().map_or_else(ProgressBar::hidden, |bars| bars.add(ProgressBar::new(0)));
        bar.set_style(
            ProgressStyle::with_template("verify {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
                .expect("the template is constant"),
        );
        let report = store.verify(&study::manifest, &mut |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        })?;
        bar.finish_and_clear();
        drop(bars);
        if self.json {
            print(&json(&report))?;
        } else {
            let mut text = String::new();
            for object in &report.damaged {
                text += &format!("damaged     {}  {}\n", object.path.display(), object.reason);
            }
            for object in &report.missing {
                text += &format!("missing     {}  named by {}\n", object.name, object.named_by.display());
            }
            for file in &report.unreadable {
                text += &format!("unreadable  {}  {}\n", file.path.display(), file.reason);
            }
            for path in &report.foreign {
                text += &format!("foreign     {}\n", path.display());
            }
            let promised: u64 = report.promised.iter().map(|file| file.size).sum();
            if !report.promised.is_empty() {
                let remotes: BTreeSet<_> = report.promised.iter().map(|file| format!("`{}`", file.remote)).collect();
                let remotes = Vec::from_iter(remotes).join(", ");
                let n = report.promised.len();
                let files = if n == 1 { "1 file".to_owned() } else { format!("{n} files") };
                text += &format!("promised    {files} ({promised} bytes) at the remote {remotes}\n");
            }
            text += &format!(
                "{} objects ({} bytes), {} results and {} checkpoints read: {}\n",
                report.objects.count,
                report.objects.bytes,
                report.records,
                report.checkpoints,
                if report.is_clean() { "no damage found" } else { "DAMAGE FOUND" }
            );
            print(&text)?;
        }
        if report.is_clean() {
            return Ok(());
        }
        if !self.repair {
            return Err(Failure { code: 3, ..Failure::work("the store is damaged") }
                .hint("`pipe verify --repair` moves damaged files to the quarantine"));
        }
        let repaired = store.repair(&report, &study::manifest, SystemTime::now())?;
        for (name, study) in &repaired.forgotten {
            talk::say(&format!("forgot study {name} {study}: its manifest is missing"));
        }
        for (name, lines) in &repaired.dropped {
            talk::say(&format!("dropped {lines} lines that cannot be read from the log of study {name}"));
        }
        for (name, study) in &repaired.recovered {
            talk::say(&format!("named study {name} {study} again: it is in the store"));
        }
        if repaired.restored > 0 {
            talk::say(&format!("wrote {} results again, because studies name them", repaired.restored));
        }
        if repaired.kept > 0 {
            talk::say(&format!(
                "kept {} results and objects that damaged files may have named; `pipe gc --abandon` gives them up",
                repaired.kept
            ));
        }
        if !report.missing.is_empty() {
            talk::say(
                "`pipe run` makes missing objects again; until then `pipe verify` reports those that a study names",
            );
        }
        let quarantine = store.root().join("quarantine");
        talk::say(&format!("damaged files are in `{}`; `pipe run` computes them again", quarantine.display()));
        Ok(())
    }
}
