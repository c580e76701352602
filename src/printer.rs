//! The output of `pipe run`: progress bars on a terminal, otherwise plain lines, or JSON events.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use pipe_engine::{
    pipeline::stages::is_of_search,
    plan::Plan,
    run::{
        Event, How,
        room::RoomNeeded,
        slurm::note::Place,
        verdict::{Counts, Verdict},
        why::Why,
    },
};
use pipe_stages::{StageName, stage::Progress};
use pipe_store::Digest;
use pipe_views::findings::Findings;
use serde_json::{Value, json};

use crate::{
    output::{self, print, print_event},
    size::size,
    talk,
    time::duration,
    trials::News,
};

/// The result of a run.
pub(super) struct Summary<'a> {
    pub(crate) study: Digest,
    pub(crate) name: &'a str,
    pub(crate) executed: usize,
    pub(crate) reused: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
    pub(crate) seconds: f64,
    pub(crate) findings: &'a Findings,
    pub(crate) report: &'a Path,
    pub(crate) pictures: Option<&'a Path>,
    /// The lock file, if it is new or has changed.
    pub(crate) lock: Option<&'a Path>,
}

/// Shows the progress of a run.
pub(super) struct Printer<'p> {
    form: Form,
    quiet: bool,
    /// Whether every node has its own line, however many there are.
    verbose: bool,
    /// The nodes between trials, which have no lines of their own: proposals, histories, selections.
    between: BTreeSet<&'p str>,
    total: usize,
    settled: usize,
    reused_unshown: usize,
    /// The number of nodes that were skipped, and the first of them with the reason.
    skipped: (usize, String),
    /// The nodes that are running.
    running: BTreeMap<String, Running>,
    /// The nodes that wait elsewhere, why most of them do, and when a plain line last said so.
    queued: BTreeSet<String>,
    reason: Option<String>,
    said_queue: Option<Instant>,
    /// How the searches stand.
    outlook: String,
}

enum Form {
    Plain,
    /// JSON events on standard output.
    Events,
    /// JSON lines on standard error, through tracing.
    Log,
    Bars(Box<Bars>),
}

struct Bars {
    study: ProgressBar,
    running: BTreeMap<String, ProgressBar>,
    all: talk::Bars,
}

/// A running node: its start, and when a plain line last showed its progress.
struct Running {
    since: Instant,
    last: Instant,
    /// The progress at the start. A training can continue from a checkpoint, and steps before it must not count for its speed.
    from: Option<u64>,
    /// Where it runs, if that is another machine.
    host: Option<String>,
}

/// The time between two lines about the progress of a node, if there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(30);

impl<'p> Printer<'p> {
    pub(crate) fn new(events: bool, quiet: bool, verbose: bool, log: bool, plan: &'p Plan, total: usize) -> Self {
        let form = if events {
            Form::Events
        } else if log {
            Form::Log
        } else {
            let bars = if quiet { None } else { talk::Bars::start() };
            bars.map_or(Form::Plain, |all| Form::Bars(Box::new(Bars::new(all, total))))
        };
        let is_between = |stage: &str| StageName::find(stage).is_some_and(is_of_search);
        let between = plan.nodes.iter().filter(|node| is_between(node.stage.id().name));
        Self {
            form,
            quiet,
            verbose,
            between: between.map(|node| node.name.as_str()).collect(),
            total,
            settled: 0,
            reused_unshown: 0,
            skipped: (0, String::new()),
            running: BTreeMap::new(),
            queued: BTreeSet::new(),
            reason: None,
            said_queue: None,
            outlook: String::new(),
        }
    }

    /// Shows one event. `news` is what came of it, if it is the end of a training.
    pub(crate) fn event(&mut self, event: &Event<'_>, news: Option<&News>) {
        match event {
            Event::Queued { node, why } => self.queued(node, why),
            Event::Placed { node, place } => self.placed(node, place),
            Event::Waiting { reasons } => self.waiting(reasons),
            Event::Notice { text } => match self.form {
                Form::Events => print_event(&json!({ "event": "notice", "text": text })),
                Form::Log => tracing::warn!("{text}"),
                Form::Plain | Form::Bars(_) => self.line(&format!("note: {text}")),
            },
            Event::Started { node, why } => self.started(node, why),
            Event::Progress { node, progress } => self.progress(node, progress),
            Event::Talk { node, line } => match self.form {
                Form::Log => tracing::info!(node, line, "worker"),
                _ => self.line(&format!("{node}: {line}")),
            },
            Event::Settled { node, how, why, key, tree, seconds } => {
                self.settled += 1;
                if let Form::Events = self.form {
                    let text = |digest: Option<Digest>| digest.map_or(Value::Null, |digest| json!(digest));
                    let mut event = json!({
                        "event": "node", "node": node, "how": how, "why": why.to_string(), "reason": why,
                        "action": text(key.map(|key| key.0)), "tree": text(*tree), "seconds": round(*seconds),
                    });
                    if let Some(news) = news {
                        event["score"] = news.json();
                    }
                    return print_event(&event);
                }
                self.settled(node, *how, &why.to_string(), news, *seconds);
            }
            Event::Lost { node } => {
                self.settled = self.settled.saturating_sub(1);
                let text = format!("files of `{node}` that a remote had are not to be had: it is executed after all");
                match self.form {
                    Form::Events => print_event(&json!({ "event": "lost", "node": node, "text": text })),
                    Form::Log => tracing::warn!(node, "{text}"),
                    Form::Plain | Form::Bars(_) => self.line(&format!("note: {text}")),
                }
            }
            Event::Room { needed } => self.room(needed),
            Event::GivenUp { search, trials, node, message } => self.given_up(search, *trials, node, message),
            Event::Stopped { search, trials, planned, nodes, reason } => {
                self.total = self.total.saturating_sub(*nodes);
                self.stopped(search, *trials, *planned, reason);
            }
            Event::Checked { node, verdict, seconds } => self.checked(node, verdict, *seconds),
        }
    }

    /// Says what the trainings need on the disk, if it is much. In JSON always.
    fn room(&mut self, needed: &RoomNeeded) {
        if let Form::Events = self.form {
            return print_event(&room_event(needed));
        }
        if needed.is_too_much() {
            self.warn(&format!("{}: {ROOM_HINT}", room_text(needed)));
        } else if needed.is_much() {
            self.line(&room_text(needed));
        }
    }

    /// Says that a search is given up, and what to do.
    fn given_up(&mut self, search: &str, trials: usize, node: &str, message: &str) {
        let first = if trials == 1 {
            "its first trial failed".to_owned()
        } else {
            format!("its first {trials} trials all failed alike")
        };
        let text = format!("`{search}` stopped because {first}");
        match self.form {
            Form::Events => print_event(&json!({
                "event": "given_up", "search": search, "trials": trials, "node": node, "message": message,
                "text": text,
            })),
            Form::Log => tracing::error!(search, trials, node, message, "{text}"),
            Form::Plain | Form::Bars(_) => {
                talk::say(&format!(
                    "error: {text}\n  cause: {message}\n  hint: `pipe logs {node}` shows what the first one said; the next run tries again"
                ));
            }
        }
    }

    /// Says that a search stops before its last trial.
    fn stopped(&mut self, search: &str, trials: usize, planned: usize, reason: &str) {
        let text = format!("`{search}` stops after {trials} of {planned} trials: {reason}");
        match &mut self.form {
            Form::Events => print_event(&json!({
                "event": "stopped", "search": search, "trials": trials, "planned": planned, "reason": reason,
                "text": text,
            })),
            Form::Log => tracing::info!(search, trials, planned, reason, "{text}"),
            Form::Plain => self.line(&text),
            Form::Bars(bars) => {
                bars.study.set_length(self.total as u64);
                self.line(&text);
            }
        }
    }

    /// Notes that a node waits elsewhere. Many may, so they have one line together, the one of the study.
    fn queued(&mut self, node: &str, why: &Why) {
        self.clear_bar(node);
        self.queued.insert(node.to_owned());
        match &self.form {
            Form::Events => {
                print_event(&json!({ "event": "queued", "node": node, "why": why.to_string(), "reason": why }))
            }
            Form::Log => tracing::info!(node, %why, "queued"),
            Form::Plain | Form::Bars(_) => self.tell_queue(),
        }
    }

    fn placed(&mut self, node: &str, place: &Place) {
        match &mut self.form {
            Form::Events => {
                print_event(&json!({ "event": "placed", "node": node, "host": place.host, "job": place.job }))
            }
            Form::Log => tracing::info!(node, host = place.host, job = place.job, "placed"),
            Form::Plain if self.verbose => self.line(&format!("{:>11}  {node}  on {place}", "running")),
            Form::Plain => {}
            Form::Bars(bars) => {
                if let Some(bar) = bars.running.get(node) {
                    bar.set_message(format!("on {place}"));
                }
                if let Some(running) = self.running.get_mut(node) {
                    running.host = Some(place.host.clone());
                }
            }
        }
    }

    fn waiting(&mut self, reasons: &[(String, usize)]) {
        self.reason = reasons.first().map(|(reason, _)| reason.clone());
        match &self.form {
            Form::Events => {
                let reasons: Vec<_> =
                    reasons.iter().map(|(reason, jobs)| json!({ "reason": reason, "jobs": jobs })).collect();
                print_event(&json!({ "event": "waiting", "reasons": reasons }));
            }
            Form::Log => tracing::debug!(?reasons, "waiting"),
            Form::Plain => {
                if self.said_queue.is_some_and(|said| said.elapsed() < PLAIN_EVERY) || reasons.is_empty() {
                    return;
                }
                self.said_queue = Some(Instant::now());
                let text: Vec<_> =
                    reasons.iter().map(|(reason, jobs)| format!("{jobs}{}", in_brackets(reason))).collect();
                self.line(&format!("{:>11}  {}", "queued", text.join(", ")));
            }
            Form::Bars(_) => self.tell_queue(),
        }
    }

    /// Shows how many nodes wait elsewhere beside the bar of the study.
    fn tell_queue(&self) {
        if let Form::Bars(bars) = &self.form {
            let queue = match (self.queued.len(), &self.reason) {
                (0, _) => String::new(),
                (n, reason) => format!("{n} queued{}  ", in_brackets(reason.as_deref().unwrap_or_default())),
            };
            bars.study.set_message(queue + &self.outlook);
        }
    }

    fn started(&mut self, node: &str, why: &Why) {
        let now = Instant::now();
        if self.queued.remove(node) {
            self.tell_queue();
        }
        self.running.insert(node.to_owned(), Running { since: now, last: now, from: None, host: None });
        match &mut self.form {
            Form::Events => {
                print_event(&json!({ "event": "start", "node": node, "why": why.to_string(), "reason": why }))
            }
            Form::Log => tracing::info!(node, %why, "start"),
            Form::Plain => {}
            Form::Bars(bars) => {
                let bar = bars.all.insert_before(&bars.study, ProgressBar::new(0));
                bar.set_style(style(if is_narrow() {
                    "{prefix:<20!} {spinner} {wide_msg}"
                } else {
                    "{prefix:<28!} {spinner} {wide_msg}"
                }));
                bar.set_prefix(node.to_owned());
                bar.enable_steady_tick(Duration::from_millis(120));
                bars.running.insert(node.to_owned(), bar);
            }
        }
    }

    fn progress(&mut self, node: &str, progress: &Progress) {
        let Some(running) = self.running.get_mut(node) else { return };
        let from = *running.from.get_or_insert(progress.done);
        match &mut self.form {
            Form::Events => {
                let mut line = output::value(progress);
                line["event"] = json!("progress");
                line["node"] = json!(node);
                print_event(&line);
            }
            Form::Log => tracing::debug!(node, done = progress.done, total = progress.total, "progress"),
            // A program that reports nothing.
            Form::Plain | Form::Bars(_) if progress.total == 0 => {}
            Form::Plain => {
                if running.last.elapsed() < PLAIN_EVERY {
                    return;
                }
                running.last = Instant::now();
                let share = progress.done as f64 * 100.0 / progress.total.max(1) as f64;
                let more = describe(progress, from, running.since.elapsed());
                let comma = if more.is_empty() { "" } else { ", " };
                self.line(&format!("          {node}  {share:.0} %{comma}{more}"));
            }
            Form::Bars(bars) => {
                let Some(bar) = bars.running.get(node) else { return };
                if bar.length() != Some(progress.total) {
                    bar.set_length(progress.total);
                    bar.set_style(style(if is_narrow() {
                        "{prefix:<20!} {bar:8.cyan/blue} {percent:>3}% {wide_msg}"
                    } else {
                        "{prefix:<28!} {bar:24.cyan/blue} {percent:>3}% {wide_msg}"
                    }));
                }
                bar.set_position(progress.done);
                let host = running.host.as_ref().map(|host| format!("{host}  ")).unwrap_or_default();
                bar.set_message(host + &describe(progress, from, running.since.elapsed()));
            }
        }
    }

    fn settled(&mut self, node: &str, how: How, why: &str, news: Option<&News>, seconds: f64) {
        let word = match how {
            How::Executed => "executed",
            How::Reused => "reused",
            How::Failed => "failed",
            How::Skipped => "skipped",
            How::Interrupted => "interrupted",
        };
        self.clear_bar(node);
        if let Form::Log = self.form {
            return match how {
                How::Failed => tracing::error!(node, how = word, why, seconds = round(seconds)),
                _ => tracing::info!(node, how = word, why, seconds = round(seconds)),
            };
        }
        let time = if seconds > 0.0 { format!("  {}", duration(seconds)) } else { String::new() };
        if matches!(how, How::Failed) {
            return talk::say(&format!("{word:>11}  {node}: {why}{time}"));
        }
        if matches!(how, How::Skipped | How::Interrupted) && !self.verbose {
            let (n, first) = &mut self.skipped;
            if *n == 0 {
                *first = format!("{node}  ({why})");
            }
            *n += 1;
            return;
        }
        if self.between.contains(node) && !self.verbose {
            return;
        }
        if let Some(news) = news {
            // A trial without a score is a result of the search, and no failure of the run.
            return match news.trouble() {
                Some(trouble) => self.line(&format!("{:>11}  {node}  {trouble}{time}", news.score.status.as_str())),
                None => self.line(&format!("{word:>11}  {node}  {}  ({why}){time}", news.text())),
            };
        }
        // On a terminal, a long list of reused nodes would hide the others.
        if matches!(how, How::Reused) && !self.verbose && matches!(self.form, Form::Bars(_)) && self.total > 40 {
            self.reused_unshown += 1;
            return;
        }
        self.line(&format!("{word:>11}  {node}  ({why}){time}"));
    }

    fn checked(&mut self, node: &str, verdict: &Verdict, seconds: f64) {
        self.settled += 1;
        self.clear_bar(node);
        let word = match verdict {
            Verdict::Equal { .. } => "equal",
            Verdict::Different { .. } => "DIFFERENT",
            Verdict::Unclaimed => "no claim",
            Verdict::NotRun => "not run yet",
            Verdict::Unchecked { .. } => "not checked",
        };
        let is_trouble = matches!(verdict, Verdict::Different { .. } | Verdict::Unchecked { .. });
        match &self.form {
            Form::Events => {
                let mut line = output::value(verdict);
                line["event"] = json!("checked");
                line["node"] = json!(node);
                line["text"] = json!(verdict.to_string());
                line["seconds"] = json!(round(seconds));
                return print_event(&line);
            }
            Form::Log if is_trouble => return tracing::error!(node, how = word, %verdict, seconds = round(seconds)),
            Form::Log => return tracing::info!(node, how = word, %verdict, seconds = round(seconds)),
            Form::Plain | Form::Bars(_) => {}
        }
        let time = if seconds > 0.0 { format!("  {}", duration(seconds)) } else { String::new() };
        match verdict {
            Verdict::Equal { resumed: None } | Verdict::NotRun | Verdict::Unclaimed => {
                self.line(&format!("{word:>11}  {node}{time}"))
            }
            Verdict::Equal { resumed: Some(resumed) } => {
                self.line(&format!("{word:>11}  {node}  ({resumed}){time}"));
            }
            _ => talk::say(&format!("{word:>11}  {node}: {verdict}{time}")),
        }
    }

    /// Shows how many nodes had which verdict.
    pub(crate) fn check(&mut self, counts: &Counts, seconds: f64) {
        self.clear();
        let Counts { equal, different, not_run, unchecked, .. } = counts;
        match self.form {
            Form::Events => print_event(&json!({
                "event": "check", "equal": equal, "different": different, "not_run": not_run, "unchecked": unchecked,
                "seconds": round(seconds),
            })),
            Form::Log => tracing::info!(equal, different, not_run, unchecked, seconds = round(seconds), "check"),
            _ => self.line(&format!(
                "{equal} equal, {different} different, {not_run} not run yet, {unchecked} not checked in {}",
                duration(seconds)
            )),
        }
    }

    /// Removes the bar of a node, and moves the bar of the study on.
    fn clear_bar(&mut self, node: &str) {
        self.running.remove(node);
        self.queued.remove(node);
        if let Form::Bars(bars) = &mut self.form {
            if let Some(bar) = bars.running.remove(node) {
                bar.finish_and_clear();
                bars.all.remove(&bar);
            }
            bars.study.set_position(self.settled as u64);
        }
    }

    /// Shows the result of the run: the counts, where its report is, and the study hash.
    pub(crate) fn study(&mut self, summary: &Summary<'_>) {
        self.clear();
        if let Form::Events = self.form {
            return print_event(&json!({
                "event": "study", "study": summary.study, "name": summary.name, "executed": summary.executed,
                "reused": summary.reused, "failed": summary.failed, "skipped": summary.skipped,
                "findings": output::value(summary.findings),
                "seconds": round(summary.seconds), "report": summary.report, "pictures": summary.pictures,
                "lock": summary.lock,
            }));
        }
        if let Form::Log = self.form {
            let Summary { study, name, executed, reused, failed, skipped, .. } = summary;
            let (report, seconds) = (summary.report.display(), round(summary.seconds));
            tracing::info!(%study, name, executed, reused, failed, skipped, seconds, %report, "study");
            return result(summary);
        }
        if self.reused_unshown > 0 {
            self.line(&format!("{:>11}  {} more nodes (-v names them)", "reused", self.reused_unshown));
        }
        let skipped = if summary.skipped > 0 { format!(", {} skipped", summary.skipped) } else { String::new() };
        self.tell_skipped();
        for line in summary.findings.lines() {
            self.line(&line);
        }
        self.line(&format!(
            "{} executed, {} reused, {} failed{skipped} in {}",
            summary.executed,
            summary.reused,
            summary.failed,
            duration(summary.seconds)
        ));
        self.line(&format!("report:   {}", summary.report.display()));
        if let Some(pictures) = summary.pictures {
            self.line(&format!("pictures: {}", pictures.display()));
        }
        if let Some(lock) = summary.lock {
            self.line(&format!("lock:     {}", lock.display()));
        }
        result(summary);
    }

    /// Shows how a node differs from the lock file, or that none does. `event` is what is shown instead as JSON.
    pub(crate) fn compared(&mut self, text: &str, event: &Value) {
        match self.form {
            Form::Events => print_event(event),
            Form::Log => tracing::info!("{text}"),
            _ => self.line(text),
        }
    }

    /// Shows a warning.
    pub(crate) fn warn(&mut self, text: &str) {
        match self.form {
            Form::Log => tracing::warn!("{text}"),
            _ => talk::say(&format!("warning: {text}")),
        }
    }

    /// Shows that the run was interrupted, with the number of nodes whose results stay.
    pub(crate) fn interrupted(&mut self, done: usize) {
        self.clear();
        let total = self.total;
        match self.form {
            Form::Events => print_event(&json!({ "event": "interrupted", "done": done, "nodes": total })),
            Form::Log => tracing::warn!(done, total, "interrupted"),
            _ => talk::say(&format!(
                "interrupted: {done} of {total} nodes are done and stay, and trainings have checkpoints; `pipe run` goes on from here"
            )),
        }
    }

    /// Says how many nodes were skipped, in one line.
    fn tell_skipped(&mut self) {
        let (n, first) = std::mem::take(&mut self.skipped);
        match n {
            0 => {}
            1 => self.line(&format!("{:>11}  {first}", "skipped")),
            n => self.line(&format!("{:>11}  {first} and {} more (-v names them)", "skipped", n - 1)),
        }
    }

    /// Shows how the searches stand beside the bar of the study.
    pub(crate) fn outlook(&mut self, outlook: Option<String>) {
        self.outlook = outlook.unwrap_or_default();
        self.tell_queue();
    }

    fn clear(&mut self) {
        if let Form::Bars(bars) = &mut self.form {
            bars.study.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        if !self.quiet {
            talk::say(text);
        }
    }
}

/// Writes the last line to standard output: the name and hash of the study. An error is reported at the end of the command.
fn result(summary: &Summary<'_>) {
    drop(print(&format!("study {} {}\n", summary.name, summary.study)));
}

impl Bars {
    fn new(all: talk::Bars, total: usize) -> Self {
        let study = all.add(ProgressBar::new(total as u64));
        study.set_style(style(if is_narrow() {
            "{prefix:<12!} {bar:8.green/black} {pos}/{len} {elapsed} {wide_msg}"
        } else {
            "{prefix:<28!} {bar:24.green/black} {pos}/{len} nodes {elapsed}  {wide_msg}"
        }));
        study.set_prefix("study");
        study.enable_steady_tick(Duration::from_millis(250));
        Self { study, running: BTreeMap::new(), all }
    }
}

/// Returns whether the terminal is too narrow for bars and names of full length. Messages are cut at its edge in any case.
fn is_narrow() -> bool {
    talk::width().is_some_and(|width| width < 90)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are constants")
}

/// Returns the epoch, the loss and accuracy in training of a node if it has them, its speed and its remaining time. The node began at the
/// progress `from`, `since` ago.
fn describe(progress: &Progress, from: u64, since: Duration) -> String {
    let Progress { done, total, unit, .. } = progress;
    let rate = done.saturating_sub(from) as f64 / since.as_secs_f64().max(1e-3);
    let left = || duration(total.saturating_sub(*done) as f64 / rate);
    let parts = [
        progress.epoch.map(|(epoch, epochs)| format!("epoch {epoch}/{epochs}")),
        progress.loss.map(|loss| format!("train loss {loss:.3}")),
        progress.accuracy.map(|accuracy| format!("train accuracy {:.1} %", accuracy * 100.0)),
        (rate > 0.0).then(|| format!("{} {unit}/s, {} left", shown(rate), left())),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Returns why jobs wait, behind their number. Slurm says `None` if it has not looked at them yet.
fn in_brackets(reason: &str) -> String {
    if matches!(reason, "" | "None") { String::new() } else { format!(" ({reason})") }
}

/// Returns a number above 0 with about two digits.
fn shown(number: f64) -> String {
    let digits = if number < 10.0 { (1.0 - number.log10().floor()).min(4.0) as usize } else { 0 };
    format!("{number:.digits$}")
}

fn round(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// What to do if there is too little room.
pub(crate) const ROOM_HINT: &str =
    "run fewer nodes at a time with `--jobs`, make room with `pipe gc`, or use another disk with `--store`";

/// Returns an event about what a run needs on the disk.
pub(crate) fn room_event(needed: &RoomNeeded) -> Value {
    json!({
        "event": "disk", "needed": needed.total(), "checkpoints": needed.checkpoints, "outputs": needed.outputs,
        "unknown": needed.unknown, "free": needed.free, "text": room_text(needed),
    })
}

/// Returns what a run needs on the disk as text.
pub(crate) fn room_text(needed: &RoomNeeded) -> String {
    let free = needed.free.map(|free| format!(", {} are free", size(free))).unwrap_or_default();
    let unknown = match needed.unknown {
        0 => "",
        _ if needed.total() == 0 => return "what it needs on disk is known once the data are there".to_owned(),
        _ => ", and more for trainings whose data are not there yet",
    };
    format!("needs about {} on disk{unknown}{free}", size(needed.total()))
}
